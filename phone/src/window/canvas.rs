//! Draws the parts of the window, by a rasteriser in software: no graphics card is needed.

use ab_glyph::{Font, ScaleFont, point};
use tiny_skia::{
    Color, FillRule, Paint, Path, PathBuilder, Pixmap, PremultipliedColorU8, Stroke, Transform,
};

use crate::window::colours::{Colours, Tone};
use crate::window::fonts::{Fonts, scale};
use crate::window::screen::{Part, Place};

/// Radius of corners.
const CORNER: f32 = 8.0;

/// A picture that is drawn on.
pub struct Canvas<'a> {
    picture: &'a mut Pixmap,
    fonts: &'a Fonts,
    colours: Colours,
    /// Pixels for one unit of the layout.
    zoom: f32,
}

impl<'a> Canvas<'a> {
    /// Begins a picture with its background.
    pub fn new(picture: &'a mut Pixmap, fonts: &'a Fonts, colours: Colours, zoom: f32) -> Self {
        picture.fill(colours.get(Tone::Background));
        Self { picture, fonts, colours, zoom }
    }

    /// Draws a part, with a frame around it where the keyboard points at it.
    pub fn draw(&mut self, part: &Part, is_focused: bool) {
        match part {
            Part::Area { place, tone } => self.fill(*place, self.colours.get(*tone)),
            Part::Text { place, text, size, tone, is_centred } => {
                self.text(*place, text, *size, self.colours.get(*tone), *is_centred);
            }
            Part::Button { place, text, size, tones, .. } => {
                self.fill(*place, self.colours.get(tones.0));
                self.text(*place, text, *size, self.colours.get(tones.1), true);
                if is_focused {
                    self.frame(*place);
                }
            }
        }
    }

    fn fill(&mut self, place: Place, colour: Color) {
        let mut paint = Paint::default();
        paint.set_color(colour);
        if let Some(path) = rounded(place) {
            let zoom = Transform::from_scale(self.zoom, self.zoom);
            self.picture.fill_path(&path, &paint, FillRule::Winding, zoom, None);
        }
    }

    fn frame(&mut self, place: Place) {
        let mut paint = Paint::default();
        paint.set_color(self.colours.get(Tone::Focus));
        let outside = Place {
            x: place.x - 3.0,
            y: place.y - 3.0,
            width: place.width + 6.0,
            height: place.height + 6.0,
        };
        if let Some(path) = rounded(outside) {
            let stroke = Stroke { width: 2.5, ..Stroke::default() };
            let zoom = Transform::from_scale(self.zoom, self.zoom);
            self.picture.stroke_path(&path, &paint, &stroke, zoom, None);
        }
    }

    fn text(&mut self, place: Place, text: &str, size: f32, colour: Color, is_centred: bool) {
        let size = size * self.zoom;
        let left = place.x * self.zoom;
        let free = place.width * self.zoom - self.fonts.width(text, size);
        let mut x = left + if is_centred { free / 2.0 } else { 0.0 };
        // Capitals are about 0.72 em high in the fonts that are looked for.
        let baseline = (place.y + place.height / 2.0) * self.zoom + size * 0.36;
        for letter in text.chars() {
            let (face, id) = self.fonts.glyph(letter);
            let scale = scale(face, size);
            let glyph = id.with_scale_and_position(scale, point(x, baseline));
            x += face.as_scaled(scale).h_advance(id);
            let Some(outline) = face.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            let (origin_x, origin_y) = (bounds.min.x as i32, bounds.min.y as i32);
            outline.draw(|dx, dy, coverage| {
                self.blend(origin_x + dx as i32, origin_y + dy as i32, colour, coverage);
            });
        }
    }

    fn blend(&mut self, x: i32, y: i32, colour: Color, coverage: f32) {
        let (width, height) = (self.picture.width() as i32, self.picture.height() as i32);
        if !(0..width).contains(&x) || !(0..height).contains(&y) {
            return;
        }
        let pixel = &mut self.picture.pixels_mut()[(y * width + x) as usize];
        let coverage = coverage.clamp(0.0, 1.0);
        // What is behind is opaque, so premultiplied and plain colours are the same.
        let mix = |behind: u8, over: f32| {
            (f32::from(behind) * (1.0 - coverage) + over * 255.0 * coverage).round() as u8
        };
        let mixed = PremultipliedColorU8::from_rgba(
            mix(pixel.red(), colour.red()),
            mix(pixel.green(), colour.green()),
            mix(pixel.blue(), colour.blue()),
            255,
        );
        *pixel = mixed.unwrap_or(*pixel);
    }
}

fn rounded(place: Place) -> Option<Path> {
    let Place { x, y, width, height } = place;
    let corner = CORNER.min(width / 2.0).min(height / 2.0);
    if width < 1.0 || height < 1.0 {
        return None;
    }
    let (right, bottom) = (x + width, y + height);
    let mut path = PathBuilder::new();
    path.move_to(x + corner, y);
    path.line_to(right - corner, y);
    path.quad_to(right, y, right, y + corner);
    path.line_to(right, bottom - corner);
    path.quad_to(right, bottom, right - corner, bottom);
    path.line_to(x + corner, bottom);
    path.quad_to(x, bottom, x, bottom - corner);
    path.line_to(x, y + corner);
    path.quad_to(x, y, x + corner, y);
    path.close();
    path.finish()
}
