//! The call progress tones of countries, as data from ITU-T E.180 Supplement 2.

use super::{Component, Modulation, Step, ToneSpec};

/// What a call progress tone tells (E.180 §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// Dial: the exchange is ready for digits.
    Dial,
    /// The called telephone rings.
    RingBack,
    /// The called party is engaged.
    Busy,
    /// No path through the network.
    Congestion,
}

/// The tones of a country.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Country {
    /// ISO 3166 code, two capital letters.
    pub code: &'static str,
    /// What each sounds like. Two may sound alike.
    pub tones: [(Meaning, Pattern); 4],
}

/// Frequencies and cadence of a tone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pattern {
    /// The frequencies that sound together.
    pub frequencies_hz: &'static [f32],
    /// How their amplitude moves, if it does.
    pub modulation: Option<Modulation>,
    /// Tone, silence, tone, silence … in ms, over and over; empty is tone without end.
    pub cadence_ms: &'static [u32],
}

/// The nominal level that E.180 §5 recommends, of all frequencies together.
const LEVEL_DBM0: f32 = -10.0;

impl Country {
    /// The tones of a country by its ISO 3166 code, in capital letters or small.
    pub fn of(code: &str) -> Option<&'static Self> {
        COUNTRIES.iter().find(|country| country.code.eq_ignore_ascii_case(code))
    }

    /// All countries there are.
    pub fn all() -> &'static [Self] {
        &COUNTRIES
    }

    /// What a tone of this country sounds like.
    pub fn pattern(&self, meaning: Meaning) -> &Pattern {
        let [(_, first), others @ ..] = &self.tones;
        others.iter().find(|(other, _)| *other == meaning).map_or(first, |(_, pattern)| pattern)
    }
}

impl Pattern {
    /// The tone for a generator, at −10 dBm0.
    pub fn spec(&self) -> ToneSpec {
        let each_db = 10.0 * (self.frequencies_hz.len() as f32).log10();
        let component = |&frequency_hz: &f32| Component {
            frequency_hz,
            level_dbm0: LEVEL_DBM0 - each_db,
            modulation: self.modulation,
        };
        let components: Vec<_> = self.frequencies_hz.iter().map(component).collect();
        if self.cadence_ms.is_empty() {
            let steps = vec![Step { duration_ms: None, components }];
            return ToneSpec { steps, repeat_from: None };
        }
        let step = |(n, &duration_ms): (usize, &u32)| Step {
            duration_ms: Some(duration_ms),
            components: if n % 2 == 0 { components.clone() } else { Vec::new() },
        };
        let steps = self.cadence_ms.iter().enumerate().map(step).collect();
        ToneSpec { steps, repeat_from: Some(0) }
    }
}

const fn pattern(frequencies_hz: &'static [f32], cadence_ms: &'static [u32]) -> Pattern {
    Pattern { frequencies_hz, modulation: None, cadence_ms }
}

const fn modulated(hz: &'static [f32], by_hz: f32, cadence_ms: &'static [u32]) -> Pattern {
    let modulation = Some(Modulation { frequency_hz: by_hz, depth: 0.85 });
    Pattern { frequencies_hz: hz, modulation, cadence_ms }
}

const fn country(
    code: &'static str,
    dial: Pattern,
    ring_back: Pattern,
    busy: Pattern,
    congestion: Pattern,
) -> Country {
    let tones = [
        (Meaning::Dial, dial),
        (Meaning::RingBack, ring_back),
        (Meaning::Busy, busy),
        (Meaning::Congestion, congestion),
    ];
    Country { code, tones }
}

static COUNTRIES: [Country; 18] = [
    country(
        "AU",
        modulated(&[425.0], 25.0, &[]),
        modulated(&[425.0], 25.0, &[400, 200, 400, 2_000]),
        pattern(&[425.0], &[375, 375]),
        pattern(&[425.0], &[375, 375]),
    ),
    country(
        "BR",
        pattern(&[425.0], &[]),
        pattern(&[425.0], &[1_000, 4_000]),
        pattern(&[425.0], &[250, 250]),
        pattern(&[425.0], &[250, 250, 750, 250]),
    ),
    country(
        "CA",
        pattern(&[350.0, 440.0], &[]),
        pattern(&[440.0, 480.0], &[2_000, 4_000]),
        pattern(&[480.0, 620.0], &[500, 500]),
        pattern(&[480.0, 620.0], &[250, 250]),
    ),
    country(
        "CH",
        pattern(&[425.0], &[]),
        pattern(&[425.0], &[1_000, 4_000]),
        pattern(&[425.0], &[500, 500]),
        pattern(&[425.0], &[200, 200]),
    ),
    country(
        "CN",
        pattern(&[450.0], &[]),
        pattern(&[450.0], &[1_000, 4_000]),
        pattern(&[450.0], &[350, 350]),
        pattern(&[450.0], &[700, 700]),
    ),
    country(
        "DE",
        pattern(&[425.0], &[]),
        pattern(&[425.0], &[1_000, 4_000]),
        pattern(&[425.0], &[480, 480]),
        pattern(&[425.0], &[240, 240]),
    ),
    country(
        "ES",
        pattern(&[425.0], &[]),
        pattern(&[425.0], &[1_500, 3_000]),
        pattern(&[425.0], &[200, 200]),
        pattern(&[425.0], &[200, 200, 200, 200, 200, 600]),
    ),
    country(
        "FI",
        pattern(&[425.0], &[]),
        pattern(&[425.0], &[1_000, 4_000]),
        pattern(&[425.0], &[300, 300]),
        pattern(&[425.0], &[200, 200]),
    ),
    country(
        "FR",
        pattern(&[440.0], &[]),
        pattern(&[440.0], &[1_500, 3_500]),
        pattern(&[440.0], &[500, 500]),
        pattern(&[440.0], &[250, 250]),
    ),
    country(
        "GB",
        pattern(&[350.0, 440.0], &[]),
        pattern(&[400.0, 450.0], &[400, 200, 400, 2_000]),
        pattern(&[400.0], &[375, 375]),
        pattern(&[400.0], &[400, 350, 225, 525]),
    ),
    country(
        "IN",
        modulated(&[400.0], 25.0, &[]),
        modulated(&[400.0], 25.0, &[400, 200, 400, 2_000]),
        pattern(&[400.0], &[750, 750]),
        pattern(&[400.0], &[250, 250]),
    ),
    country(
        "IT",
        pattern(&[425.0], &[200, 200, 600, 1_000]),
        pattern(&[425.0], &[1_000, 4_000]),
        pattern(&[425.0], &[500, 500]),
        pattern(&[425.0], &[200, 200]),
    ),
    country(
        "JP",
        pattern(&[400.0], &[]),
        modulated(&[400.0], 16.0, &[1_000, 2_000]),
        pattern(&[400.0], &[500, 500]),
        pattern(&[400.0], &[500, 500]),
    ),
    country(
        "KR",
        pattern(&[350.0, 440.0], &[]),
        pattern(&[440.0, 480.0], &[1_000, 2_000]),
        pattern(&[480.0, 620.0], &[500, 500]),
        pattern(&[480.0, 620.0], &[300, 200]),
    ),
    country(
        "NL",
        pattern(&[425.0], &[]),
        pattern(&[425.0], &[1_000, 4_000]),
        pattern(&[425.0], &[500, 500]),
        pattern(&[425.0], &[250, 250]),
    ),
    country(
        "RU",
        pattern(&[425.0], &[]),
        pattern(&[425.0], &[1_000, 4_000]),
        pattern(&[425.0], &[350, 350]),
        pattern(&[425.0], &[175, 175]),
    ),
    country(
        "SE",
        pattern(&[425.0], &[]),
        pattern(&[425.0], &[1_000, 5_000]),
        pattern(&[425.0], &[250, 250]),
        pattern(&[425.0], &[250, 750]),
    ),
    country(
        "US",
        pattern(&[350.0, 440.0], &[]),
        pattern(&[440.0, 480.0], &[2_000, 4_000]),
        pattern(&[480.0, 620.0], &[500, 500]),
        pattern(&[480.0, 620.0], &[250, 250]),
    ),
];
