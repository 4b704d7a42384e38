//! The window's colours, light and dark. Text stands out from what is behind it by at least 4.5 to
//! 1 (WCAG 2.2 §1.4.3).

use tiny_skia::Color;

use crate::configuration::Theme;

/// What a colour is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Behind everything.
    Background,
    /// Behind keys and rows.
    Surface,
    /// Text.
    Text,
    /// Less important text.
    Quiet,
    /// Behind the button that calls, and of a level.
    Go,
    /// Behind the button that hangs up.
    Stop,
    /// Text on either.
    OnStrong,
    /// Behind a warning.
    Warning,
    /// Text of a warning.
    OnWarning,
    /// Around what the keyboard points at.
    Focus,
}

/// Whether the window is dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colours {
    /// Light on dark.
    pub is_dark: bool,
}

impl Colours {
    /// The colours that the configuration or, by `desktop`, the desktop asks for.
    pub fn of(theme: Theme, desktop: Option<winit::window::Theme>) -> Self {
        let is_dark = match theme {
            Theme::Light => false,
            Theme::Dark => true,
            Theme::System => {
                desktop.map_or_else(desktop_is_dark, |theme| theme == winit::window::Theme::Dark)
            }
        };
        Self { is_dark }
    }

    /// The colour for a purpose.
    pub fn get(self, tone: Tone) -> Color {
        let [red, green, blue] = self.rgb(tone);
        Color::from_rgba8(red, green, blue, 255)
    }

    fn rgb(self, tone: Tone) -> [u8; 3] {
        match (tone, self.is_dark) {
            (Tone::Background, false) => [250, 250, 252],
            (Tone::Background, true) => [24, 26, 30],
            (Tone::Surface, false) => [230, 232, 238],
            (Tone::Surface, true) => [48, 52, 60],
            (Tone::Text, false) => [20, 22, 28],
            (Tone::Text, true) => [240, 242, 246],
            (Tone::Quiet, false) => [84, 90, 102],
            (Tone::Quiet, true) => [172, 178, 190],
            (Tone::Go, false) => [22, 120, 62],
            (Tone::Go, true) => [34, 124, 70],
            (Tone::Stop, _) => [190, 34, 44],
            (Tone::OnStrong, _) => [255, 255, 255],
            (Tone::Warning, false) => [255, 232, 176],
            (Tone::Warning, true) => [92, 66, 8],
            (Tone::OnWarning, false) => [74, 46, 0],
            (Tone::OnWarning, true) => [255, 228, 160],
            (Tone::Focus, false) => [20, 84, 200],
            (Tone::Focus, true) => [130, 180, 255],
        }
    }
}

/// What GNOME and those who follow it were told. X11 itself has no such setting.
fn desktop_is_dark() -> bool {
    let asked = std::process::Command::new("gsettings")
        .args(["get", "org.gnome.desktop.interface", "color-scheme"])
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .output();
    asked.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("prefer-dark"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2, relative luminance.
    fn luminance(rgb: [u8; 3]) -> f64 {
        let linear = rgb.map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    #[test]
    fn text_can_be_read_in_both() {
        for is_dark in [false, true] {
            let colours = Colours { is_dark };
            for (text, behind) in [
                (Tone::Text, Tone::Background),
                (Tone::Text, Tone::Surface),
                (Tone::Quiet, Tone::Background),
                (Tone::OnStrong, Tone::Go),
                (Tone::OnStrong, Tone::Stop),
                (Tone::OnWarning, Tone::Warning),
            ] {
                let (one, other) = (luminance(colours.rgb(text)), luminance(colours.rgb(behind)));
                let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                assert!(contrast >= 4.5, "{text:?} on {behind:?}, dark {is_dark}: {contrast:.2}");
            }
        }
    }
}
