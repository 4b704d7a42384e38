//! Fonts of the system: one for Latin letters, one for Japanese.

use ab_glyph::{Font, FontVec, GlyphId, PxScale, ScaleFont};
use fontdb::{Database, Family, Query, Style, Weight};

/// Families to take Latin letters from, best first.
const LATIN: [&str; 8] = [
    "Noto Sans",
    "Cantarell",
    "Ubuntu",
    "Open Sans",
    "DejaVu Sans",
    "Liberation Sans",
    "FreeSans",
    "Nimbus Sans",
];
/// Families to take Japanese from, best first.
const JAPANESE: [&str; 10] = [
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "IPAexGothic",
    "IPAPGothic",
    "IPAGothic",
    "TakaoPGothic",
    "VL PGothic",
    "M+ 1p",
    "Droid Sans Fallback",
    "WenQuanYi Zen Hei",
];

/// The fonts of a window.
pub struct Fonts {
    /// In the order in which a letter is looked for.
    faces: Vec<FontVec>,
    has_japanese: bool,
}

impl Fonts {
    /// The fonts of this system; `None` where there is none at all.
    pub fn of_system() -> Option<Self> {
        let mut database = Database::new();
        database.load_system_fonts();
        let mut faces = Vec::new();
        faces.extend(first(&database, &LATIN, 'A').or_else(|| any(&database, 'A')));
        let japanese = first(&database, &JAPANESE, 'あ').or_else(|| any(&database, 'あ'));
        let has_japanese = japanese.is_some();
        faces.extend(japanese);
        (!faces.is_empty()).then_some(Self { faces, has_japanese })
    }

    /// Whether Japanese can be shown.
    pub fn has_japanese(&self) -> bool {
        self.has_japanese
    }

    /// The font that has a letter, with the letter's glyph; the first font's mark for a missing
    /// glyph where none has it.
    pub fn glyph(&self, letter: char) -> (&FontVec, GlyphId) {
        self.faces
            .iter()
            .map(|face| (face, face.glyph_id(letter)))
            .find(|(_, glyph)| glyph.0 != 0)
            .unwrap_or((&self.faces[0], GlyphId(0)))
    }

    /// How wide a line of text is at a size, in pixels.
    pub fn width(&self, text: &str, size: f32) -> f32 {
        text.chars()
            .map(|letter| {
                let (face, glyph) = self.glyph(letter);
                face.as_scaled(scale(face, size)).h_advance(glyph)
            })
            .sum()
    }
}

/// The scale at which an em of the font is `size` pixels.
pub fn scale(face: &FontVec, size: f32) -> PxScale {
    let em = face.units_per_em().unwrap_or(1_000.0);
    PxScale::from(size * face.height_unscaled() / em)
}

fn first(database: &Database, families: &[&str], letter: char) -> Option<FontVec> {
    families.iter().find_map(|family| {
        let query = Query {
            families: &[Family::Name(family)],
            weight: Weight::NORMAL,
            style: Style::Normal,
            ..Query::default()
        };
        load(database, database.query(&query)?, letter)
    })
}

/// Any upright font of usual weight that has the letter.
fn any(database: &Database, letter: char) -> Option<FontVec> {
    database
        .faces()
        .filter(|face| face.style == Style::Normal && face.weight == Weight::NORMAL)
        .find_map(|face| load(database, face.id, letter))
}

fn load(database: &Database, id: fontdb::ID, letter: char) -> Option<FontVec> {
    let face = database.with_face_data(id, |data, index| {
        FontVec::try_from_vec_and_index(data.to_vec(), index).ok()
    })??;
    (face.glyph_id(letter).0 != 0).then_some(face)
}
