//! What stands where in the window: a pure function of what the phone is doing.

use std::time::Instant;

use crate::callee::Callee;
use crate::sound::devices::Choice;
use crate::state::{CallState, Ending, Key};
use crate::window::colours::Tone;
use crate::words::{self, Language, clock};

/// Width of the window that everything is laid out for.
pub const WIDTH: f32 = 360.0;
/// Its height.
pub const HEIGHT: f32 = 620.0;
/// Room at the sides.
const SIDE: f32 = 24.0;
/// Height of a button: 44 px or more, for fingers.
const BUTTON: f32 = 48.0;
/// Below this level, in dB of full scale, a meter shows nothing.
const METER_FLOOR_DB: f32 = -60.0;

/// What the window shows.
#[derive(Clone, Debug)]
pub enum Page {
    /// Nothing yet.
    Empty,
    /// The question before dialling.
    Question(Callee),
    /// Why a number is not called.
    Refused(String),
    /// A call.
    Call(CallState),
    /// Why a call did not come about or broke off.
    Failed(String),
}

/// Everything that the window shows.
#[derive(Clone, Debug)]
pub struct Model {
    /// The language.
    pub language: Language,
    /// The page.
    pub page: Page,
    /// The number of the page.
    pub number: String,
    /// The gateway of the call.
    pub gateway: String,
    /// Digits sent in this call.
    pub sent: String,
    /// Something to know beside the state.
    pub note: Option<String>,
    /// Whether the microphone is off.
    pub is_muted: bool,
    /// Levels of microphone and loudspeaker, 0 to 32,768.
    pub levels: (f32, f32),
    /// The devices to choose from.
    pub devices: Choice,
    /// Another number was clicked and waits.
    pub is_another_waiting: bool,
}

impl Model {
    /// A window that shows nothing yet.
    pub fn new(language: Language) -> Self {
        Self {
            language,
            page: Page::Empty,
            number: String::new(),
            gateway: String::new(),
            sent: String::new(),
            note: None,
            is_muted: false,
            levels: (0.0, 0.0),
            devices: Choice::default(),
            is_another_waiting: false,
        }
    }

    /// Whether a call lives.
    pub fn is_live(&self) -> bool {
        matches!(&self.page, Page::Call(state) if state.is_live())
    }

    /// The state in a few words, for the window and its title.
    pub fn headline(&self) -> String {
        let pick = |english: &str, japanese: &str| self.language.pick(english, japanese).to_owned();
        match &self.page {
            Page::Empty => String::new(),
            Page::Question(_) => pick("Call this number?", "電話をかけますか?"),
            Page::Refused(_) => pick("Not called", "発信しません"),
            Page::Failed(_) => pick("No call", "通話できませんでした"),
            Page::Call(state) => match state {
                CallState::Registering { .. } => pick("Registering", "登録中"),
                CallState::Ready { .. } => pick("Ready for calls", "待ち受け中"),
                CallState::NotRegistered { .. } => pick("Not registered", "登録できません"),
                CallState::RungBy { .. } => pick("Incoming call", "着信"),
                CallState::Inquiring => pick("Looking up the number", "問い合わせ中"),
                CallState::Dialling { .. } => pick("Connecting", "接続中"),
                CallState::Ringing => pick("Ringing", "呼び出し中"),
                CallState::Talking { .. } | CallState::TalkingAgain { .. } => {
                    pick("Talking", "通話中")
                }
                CallState::OnHold { .. } => pick("On hold", "保留中"),
                CallState::Ended { .. } => pick("Call ended", "通話終了"),
            },
        }
    }

    /// The window's title: what a person sees in a list of windows.
    pub fn title(&self) -> String {
        let words = [self.number.as_str(), &self.headline(), "Trunkline"];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" – ")
    }
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl Place {
    /// Whether a point is inside.
    pub fn has(&self, x: f32, y: f32) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }
}

/// One thing in the window.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// A line of text, centred or from the left.
    Text {
        /// Where.
        place: Place,
        /// What.
        text: String,
        /// Size of an em.
        size: f32,
        /// Colour.
        tone: Tone,
        /// In the middle of the place.
        is_centred: bool,
    },
    /// A coloured area.
    Area {
        /// Where.
        place: Place,
        /// Colour.
        tone: Tone,
    },
    /// A button.
    Button {
        /// Where.
        place: Place,
        /// What is written on it.
        text: String,
        /// Size of an em.
        size: f32,
        /// Colour of the button and of its text.
        tones: (Tone, Tone),
        /// What it does.
        does: Key,
    },
}

/// The parts being put together, from above.
struct Layout<'a> {
    parts: Vec<Part>,
    y: f32,
    width_of: &'a dyn Fn(&str, f32) -> f32,
}

/// Lays the window out. `width_of` measures a text at a size.
pub fn lay_out(model: &Model, now: Instant, width_of: &dyn Fn(&str, f32) -> f32) -> Vec<Part> {
    let mut layout = Layout { parts: Vec::new(), y: SIDE, width_of };
    let language = model.language;
    layout.centred(&model.headline(), 17.0, Tone::Quiet);
    let size = if width_of(&model.number, 30.0) > WIDTH - 2.0 * SIDE { 18.0 } else { 30.0 };
    layout.centred(&shortened(&model.number, size, width_of), size, Tone::Text);
    match &model.page {
        Page::Empty => {}
        Page::Question(callee) => question(&mut layout, callee, language),
        Page::Refused(why) => {
            layout.y += 12.0;
            layout.warning(why);
            layout.y = HEIGHT - SIDE - BUTTON;
            layout.buttons(&[(language.pick("Close", "閉じる"), PLAIN, Key::Close)]);
        }
        Page::Failed(why) => {
            layout.y += 12.0;
            layout.warning(why);
            ended(&mut layout, model);
        }
        Page::Call(CallState::RungBy { .. }) => {
            layout.y = HEIGHT - SIDE - 2.0 * BUTTON - 12.0;
            layout.buttons(&[(language.pick("Answer", "応答"), GO, Key::Yes)]);
            layout.buttons(&[(language.pick("Decline", "拒否"), STOP, Key::No)]);
        }
        Page::Call(state) if state.is_waiting() => {
            layout.y += 12.0;
            layout.wrapped(&words::line(state, language), 15.0, Tone::Quiet);
            layout.y = HEIGHT - SIDE - BUTTON;
            layout.buttons(&[(language.pick("Close", "閉じる"), PLAIN, Key::Close)]);
        }
        Page::Call(state) if state.is_live() => call(&mut layout, model, state, now),
        Page::Call(state) => {
            if let CallState::Ended { ending, talked } = state {
                layout.y += 12.0;
                layout.wrapped(&over(*ending, language), 17.0, Tone::Text);
                if let Some(talked) = talked {
                    layout.centred(&clock(*talked), 40.0, Tone::Text);
                }
            }
            ended(&mut layout, model);
        }
    }
    layout.parts
}

const PLAIN: (Tone, Tone) = (Tone::Surface, Tone::Text);
const GO: (Tone, Tone) = (Tone::Go, Tone::OnStrong);
const STOP: (Tone, Tone) = (Tone::Stop, Tone::OnStrong);

fn over(ending: Ending, language: Language) -> String {
    match ending {
        Ending::HungUp => language.pick("You hung up.", "電話を切りました。"),
        Ending::OtherSide => language.pick("The other side hung up.", "相手が電話を切りました。"),
    }
    .to_owned()
}

fn question(layout: &mut Layout, callee: &Callee, language: Language) {
    layout.centred(&callee.number.to_string(), 15.0, Tone::Quiet);
    layout.y += 12.0;
    if let Some(gateway) = &callee.gateway {
        let text = match language {
            Language::English => format!("The page names gateway {gateway}, which is trusted."),
            Language::Japanese => {
                format!("ページの指定する信頼済みゲートウェイ {gateway} を使います。")
            }
        };
        layout.wrapped(&text, 15.0, Tone::Quiet);
    }
    if let Some(gateway) = &callee.untrusted_gateway {
        layout.warning(&sentence(&words::untrusted_gateway(gateway, language)));
    }
    layout.y = HEIGHT - SIDE - 2.0 * BUTTON - 12.0;
    layout.buttons(&[(language.pick("Call", "電話をかける"), GO, Key::Yes)]);
    layout.buttons(&[(language.pick("Do not call", "かけない"), PLAIN, Key::No)]);
}

fn call(layout: &mut Layout, model: &Model, state: &CallState, now: Instant) {
    let language = model.language;
    match state.since() {
        Some(since) => {
            let time = clock(now.saturating_duration_since(since));
            layout.centred(&time, 26.0, Tone::Text);
        }
        None => layout.y += 32.0,
    }
    let beside = match (&model.note, model.sent.is_empty()) {
        _ if model.is_another_waiting => language
            .pick("Another number was clicked: it waits", "別の番号が押されました (通話後に確認)")
            .to_owned(),
        (_, false) => model.sent.clone(),
        (Some(note), _) => note.clone(),
        (None, _) if model.gateway.is_empty() => String::new(),
        (None, _) => format!("{} {}", language.pick("through", "経由:"), model.gateway),
    };
    let beside = shortened(&beside, 14.0, layout.width_of);
    layout.centred(&beside, 14.0, Tone::Quiet);
    for (name, level) in [
        (language.pick("Microphone", "マイク"), model.levels.0),
        (language.pick("Loudspeaker", "スピーカー"), model.levels.1),
    ] {
        layout.meter(name, level);
    }
    layout.y += 6.0;
    for row in ["123", "456", "789", "*0#"] {
        layout.keys(row);
    }
    layout.y += 4.0;
    for is_microphone in [true, false] {
        layout.device(model, is_microphone);
    }
    layout.y = HEIGHT - 16.0 - BUTTON;
    let mute = match model.is_muted {
        false => (language.pick("Mute", "消音"), PLAIN, Key::Mute),
        true => (
            language.pick("Muted: unmute", "消音を解除"),
            (Tone::Warning, Tone::OnWarning),
            Key::Mute,
        ),
    };
    layout.buttons(&[mute, (language.pick("Hang up", "切る"), STOP, Key::HangUp)]);
}

fn ended(layout: &mut Layout, model: &Model) {
    let language = model.language;
    layout.y = HEIGHT - SIDE - 2.0 * BUTTON - 12.0;
    layout.buttons(&[(language.pick("Call again", "もう一度かける"), GO, Key::Again)]);
    layout.buttons(&[(language.pick("Close", "閉じる"), PLAIN, Key::Close)]);
}

/// The device after the one in use, the default among them.
fn next_device(names: &[String], in_use: Option<&String>) -> Option<String> {
    match in_use.and_then(|name| names.iter().position(|other| other == name)) {
        None => names.first().cloned(),
        Some(at) => names.get(at + 1).cloned(),
    }
}

/// How much of a meter is lit: by decibels, as one hears.
fn meter_share(level: f32) -> f32 {
    let db = 20.0 * (level.max(1.0) / 32_768.0).log10();
    ((db - METER_FLOOR_DB) / -METER_FLOOR_DB).clamp(0.0, 1.0)
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if first.is_ascii() => {
            format!("{}{}.", first.to_ascii_uppercase(), letters.as_str())
        }
        _ => text.to_owned(),
    }
}

/// A text that may be a page's, cut to the window's width.
fn shortened(text: &str, size: f32, width_of: &dyn Fn(&str, f32) -> f32) -> String {
    if width_of(text, size) <= WIDTH - 2.0 * SIDE {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(80).collect();
    while !kept.is_empty() && width_of(&kept, size) > WIDTH - 2.0 * SIDE - size {
        kept.pop();
    }
    kept + "…"
}

impl Layout<'_> {
    fn centred(&mut self, text: &str, size: f32, tone: Tone) {
        let place = Place { x: SIDE, y: self.y, width: WIDTH - 2.0 * SIDE, height: size * 1.35 };
        self.y += place.height;
        self.parts.push(Part::Text { place, text: text.to_owned(), size, tone, is_centred: true });
    }

    fn wrapped(&mut self, text: &str, size: f32, tone: Tone) {
        for line in wrap(text, size, WIDTH - 2.0 * SIDE, self.width_of) {
            self.centred(&line, size, tone);
        }
    }

    fn warning(&mut self, text: &str) {
        let (size, inner) = (15.0, 14.0);
        let lines = wrap(text, size, WIDTH - 2.0 * (SIDE + inner), self.width_of);
        let height = lines.len() as f32 * size * 1.4 + 2.0 * inner;
        let place = Place { x: SIDE, y: self.y, width: WIDTH - 2.0 * SIDE, height };
        self.parts.push(Part::Area { place, tone: Tone::Warning });
        for (index, text) in lines.into_iter().enumerate() {
            let place = Place {
                x: SIDE + inner,
                y: self.y + inner + index as f32 * size * 1.4,
                width: WIDTH - 2.0 * (SIDE + inner),
                height: size * 1.4,
            };
            let tone = Tone::OnWarning;
            self.parts.push(Part::Text { place, text, size, tone, is_centred: false });
        }
        self.y += height + 12.0;
    }

    /// A row of buttons, as wide as the window.
    fn buttons(&mut self, row: &[(&str, (Tone, Tone), Key)]) {
        let gap = 12.0;
        let width = (WIDTH - 2.0 * SIDE - gap * (row.len() as f32 - 1.0)) / row.len() as f32;
        for (index, (text, tones, does)) in row.iter().enumerate() {
            let x = SIDE + index as f32 * (width + gap);
            self.parts.push(Part::Button {
                place: Place { x, y: self.y, width, height: BUTTON },
                text: (*text).to_owned(),
                size: 17.0,
                tones: *tones,
                does: does.clone(),
            });
        }
        self.y += BUTTON + gap;
    }

    fn keys(&mut self, row: &str) {
        let (gap, height) = (8.0, 46.0);
        let width = (WIDTH - 2.0 * SIDE - 2.0 * gap) / 3.0;
        for (index, digit) in row.chars().enumerate() {
            let x = SIDE + index as f32 * (width + gap);
            self.parts.push(Part::Button {
                place: Place { x, y: self.y, width, height },
                text: digit.to_string(),
                size: 22.0,
                tones: PLAIN,
                does: Key::Digit(digit),
            });
        }
        self.y += height + gap;
    }

    fn meter(&mut self, name: &str, level: f32) {
        let label = 104.0;
        let (size, height) = (13.0, 19.0);
        self.parts.push(Part::Text {
            place: Place { x: SIDE, y: self.y, width: label, height },
            text: name.to_owned(),
            size,
            tone: Tone::Quiet,
            is_centred: false,
        });
        let bar = Place {
            x: SIDE + label,
            y: self.y + 6.0,
            width: WIDTH - 2.0 * SIDE - label,
            height: 8.0,
        };
        self.parts.push(Part::Area { place: bar, tone: Tone::Surface });
        let lit = Place { width: bar.width * meter_share(level), ..bar };
        self.parts.push(Part::Area { place: lit, tone: Tone::Go });
        self.y += height;
    }

    /// A row that names a device; pressing it takes the next one.
    fn device(&mut self, model: &Model, is_microphone: bool) {
        let (kind, names, in_use) = if is_microphone {
            let kind = model.language.pick("Microphone", "マイク");
            (kind, &model.devices.microphones, &model.devices.microphone)
        } else {
            let kind = model.language.pick("Loudspeaker", "スピーカー");
            (kind, &model.devices.loudspeakers, &model.devices.loudspeaker)
        };
        if names.is_empty() {
            return;
        }
        let default = model.language.pick("as the system has it", "システムの設定");
        let text = format!("{kind}: {}", in_use.as_deref().unwrap_or(default));
        let next = next_device(names, in_use.as_ref());
        let does = if is_microphone { Key::Microphone(next) } else { Key::Loudspeaker(next) };
        let height = 32.0;
        self.parts.push(Part::Button {
            place: Place { x: SIDE, y: self.y, width: WIDTH - 2.0 * SIDE, height },
            text: shortened(&text, 14.0, self.width_of),
            size: 13.0,
            tones: PLAIN,
            does,
        });
        self.y += height + 6.0;
    }
}

/// Breaks a text into lines: at spaces, and anywhere in Japanese or in a word that is too long.
fn wrap(text: &str, size: f32, width: f32, width_of: &dyn Fn(&str, f32) -> f32) -> Vec<String> {
    // A page's words are in some of them: no more than fit into the window.
    const LINES_MAX: usize = 14;
    let mut lines = Vec::new();
    let mut line = String::new();
    for letter in text.chars() {
        if letter.is_control() {
            continue;
        }
        line.push(letter);
        if width_of(&line, size) <= width {
            continue;
        }
        let keep = line
            .rfind(' ')
            .filter(|at| *at > 0)
            .map_or(line.len() - letter.len_utf8(), |at| at + 1);
        let rest = line.split_off(keep);
        lines
            .push(std::mem::replace(&mut line, rest.trim_start().to_owned()).trim_end().to_owned());
        if lines.len() == LINES_MAX {
            return lines;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn width_of(text: &str, size: f32) -> f32 {
        text.chars().map(|letter| if letter.is_ascii() { 0.55 } else { 1.0 } * size).sum()
    }

    fn callee() -> Callee {
        Callee {
            written: "03-3333-1234".to_owned(),
            number: "+81333331234".parse().unwrap(),
            gateway: None,
            untrusted_gateway: Some("evil.example".to_owned()),
        }
    }

    fn pages() -> Vec<Model> {
        let since = Instant::now();
        let why = "回線が混み合っています。しばらくしてからおかけ直しください".to_owned();
        let pages = [
            Page::Question(callee()),
            Page::Refused(why.clone()),
            Page::Call(CallState::Ready { user: "0333331234".to_owned() }),
            Page::Call(CallState::RungBy { from: "+81312345678".to_owned() }),
            Page::Call(CallState::Inquiring),
            Page::Call(CallState::Ringing),
            Page::Call(CallState::Talking { since }),
            Page::Call(CallState::Ended {
                ending: Ending::OtherSide,
                talked: Some(Duration::from_secs(61)),
            }),
            Page::Failed(why),
        ];
        let mut models = Vec::new();
        for language in [Language::English, Language::Japanese] {
            for page in &pages {
                let mut model = Model::new(language);
                model.page = page.clone();
                model.number = "03-3333-1234".to_owned();
                model.devices.microphones = vec!["Built-in Audio Analogue Stereo".to_owned()];
                model.devices.loudspeakers = vec!["Built-in Audio Analogue Stereo".to_owned()];
                models.push(model);
            }
        }
        models
    }

    fn buttons(parts: &[Part]) -> Vec<(Place, Key)> {
        parts
            .iter()
            .filter_map(|part| match part {
                Part::Button { place, does, .. } => Some((*place, does.clone())),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn everything_is_inside_the_window_and_no_button_covers_another() {
        for model in pages() {
            let parts = lay_out(&model, Instant::now(), &width_of);
            for part in &parts {
                let (Part::Text { place, .. }
                | Part::Area { place, .. }
                | Part::Button { place, .. }) = part;
                let inside = place.x >= 0.0
                    && place.x + place.width <= WIDTH
                    && place.y >= 0.0
                    && place.y + place.height <= HEIGHT;
                assert!(inside, "{:?}: {part:?}", model.page);
                if let Part::Text { text, size, .. } | Part::Button { text, size, .. } = part {
                    assert!(width_of(text, *size) <= place.width, "{:?}: {text}", model.page);
                }
            }
            let buttons = buttons(&parts);
            for (at, (one, _)) in buttons.iter().enumerate() {
                for (other, _) in &buttons[at + 1..] {
                    let apart = one.x + one.width <= other.x
                        || other.x + other.width <= one.x
                        || one.y + one.height <= other.y
                        || other.y + other.height <= one.y;
                    assert!(apart, "{:?}: {one:?} and {other:?}", model.page);
                }
            }
        }
    }

    #[test]
    fn a_question_shows_the_number_as_dialled_and_the_gateway_that_is_not_trusted() {
        let mut model = Model::new(Language::English);
        model.number = "03-3333-1234".to_owned();
        model.page = Page::Question(callee());
        let parts = lay_out(&model, Instant::now(), &width_of);
        let shown: String = parts
            .iter()
            .filter_map(|part| match part {
                Part::Text { text, .. } => Some(format!("{text} ")),
                _ => None,
            })
            .collect();
        assert!(shown.contains("+81333331234"), "{shown}");
        assert!(shown.contains("evil.example") && shown.contains("not trusted"), "{shown}");
        let offered: Vec<Key> = buttons(&parts).into_iter().map(|(_, key)| key).collect();
        assert_eq!(offered, [Key::Yes, Key::No]);
    }

    #[test]
    fn devices_go_round_and_the_default_is_one_of_them() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(next_device(&names, None).as_deref(), Some("a"));
        assert_eq!(next_device(&names, Some(&"a".to_owned())).as_deref(), Some("b"));
        assert_eq!(next_device(&names, Some(&"b".to_owned())), None);
    }

    #[test]
    fn a_meter_goes_by_decibels() {
        assert_eq!(meter_share(0.0), 0.0);
        assert_eq!(meter_share(32_768.0), 1.0);
        assert!((meter_share(1_036.0) - 0.5).abs() < 0.01, "-30 dB");
    }

    #[test]
    fn long_words_of_a_page_stay_inside_the_window() {
        let lines = wrap(&"x".repeat(4_000), 15.0, 300.0, &width_of);
        assert!(lines.len() <= 14 && lines.iter().all(|line| width_of(line, 15.0) <= 300.0));
        assert_eq!(wrap("one two three", 10.0, 45.0, &width_of), ["one two", "three"]);
    }
}
