//! Echo paths: hybrids at the far end of a line.

use std::path::Path;

use crate::signal::Noise;

/// Where Debian's `libspandsp-dev` has the models of G.168 Annex D, and its test signal.
const MODELS: &str = "/usr/include/spandsp/g168models.h";

/// An impulse response at 8 kHz.
#[derive(Clone, Debug)]
pub struct EchoPath {
    pub name: String,
    response: Vec<f32>,
}

impl EchoPath {
    /// As the path lies behind a flat delay, with an echo return loss for white noise.
    pub fn behind(&self, delay: usize, erl_db: f32) -> Vec<f32> {
        let energy: f32 = self.response.iter().map(|tap| tap * tap).sum();
        let scale = 10_f32.powf(-erl_db / 20.0) / energy.sqrt();
        let taps = self.response.iter().map(|tap| tap * scale);
        std::iter::repeat_n(0.0, delay).chain(taps).collect()
    }

    /// Eight paths of the shape that hybrids have: some milliseconds of decaying ringing in the
    /// band of the telephone, some with a second reflection.
    pub fn made_up() -> Vec<Self> {
        let decays_and_reflections = [
            (6.0, 0),
            (12.0, 0),
            (20.0, 0),
            (9.0, 40),
            (15.0, 30),
            (7.0, 60),
            (25.0, 0),
            (10.0, 25),
        ];
        let made = |(n, (decay, second)): (usize, (f32, usize))| {
            let mut noise = Noise::new(n as u64 + 1);
            let ring: Vec<f32> = (0..96)
                .map(|t| (1.0 - (-(t as f32) / 2.0).exp()) * (-(t as f32) / decay).exp())
                .map(|envelope| envelope * noise.next())
                .collect();
            let at = |t: usize| ring.get(t).copied().unwrap_or(0.0);
            let twice = |t: usize| {
                let late = t.checked_sub(second).filter(|_| second > 0);
                at(t) - 0.5 * late.map_or(0.0, at)
            };
            // Neither the lowest nor the highest frequencies come through.
            let response = (0..150).map(|t: usize| {
                let before = |ago: usize| t.checked_sub(ago).map_or(0.0, twice);
                0.4 * before(0) + 0.6 * before(1) - 0.6 * before(3) - 0.4 * before(4)
            });
            Self { name: format!("made up {n}"), response: response.collect() }
        };
        decays_and_reflections.into_iter().enumerate().map(made).collect()
    }

    /// The models D.2 to D.9 of G.168, and why not if they are not here.
    pub fn of_g168() -> Result<Vec<Self>, String> {
        let text = read(Path::new(MODELS))?;
        (2..=9)
            .map(|n| {
                let response = numbers(&text, &format!("line_model_d{n}_coeffs"))?;
                Ok(Self { name: format!("D.{n}"), response })
            })
            .collect()
    }
}

/// The voiced part of the composite source signal, as the package has it.
pub fn css_voiced() -> Result<Vec<f32>, String> {
    numbers(&read(Path::new(MODELS))?, "css_c1")
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("{} (Debian package libspandsp-dev): {error}", path.display()))
}

/// The numbers of an array in a C header.
fn numbers(text: &str, name: &str) -> Result<Vec<f32>, String> {
    let missing = || format!("no array {name} in {MODELS}");
    let begin = text.find(&format!("{name}[]")).ok_or_else(missing)?;
    let open = begin + text[begin..].find('{').ok_or_else(missing)? + 1;
    let close = open + text[open..].find('}').ok_or_else(missing)?;
    let numbers = text[open..close].split(',').map(str::trim).filter(|text| !text.is_empty());
    numbers.map(|number| number.parse().map_err(|_| missing())).collect()
}
