//! DTMF: the sixteen digits of push-button dialling as pairs of tones (ITU-T Q.23, Q.24).
//!
//! | | 1209 Hz | 1336 Hz | 1477 Hz | 1633 Hz |
//! |---|---|---|---|---|
//! | 697 Hz | 1 | 2 | 3 | A |
//! | 770 Hz | 4 | 5 | 6 | B |
//! | 852 Hz | 7 | 8 | 9 | C |
//! | 941 Hz | * | 0 | # | D |
//!
//! [`Generator`] makes them, [`Detector`] finds them on one channel and [`DetectorBank`] on sixteen. Digits are characters, `A`–`D` upper case.

mod bank;
mod detector;
mod generator;
mod runs;

pub use bank::DetectorBank;
pub use detector::Detector;
pub use generator::{Generator, Levels};
pub use runs::Event;

/// Frequencies of the low group, one a row of the keys.
const LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
/// Frequencies of the high group, one a column of the keys.
const HIGH_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// Low and high frequency of a digit; `None` if it is none of the sixteen.
pub fn frequencies_hz(digit: char) -> Option<(f32, f32)> {
    let digit = digit.to_ascii_uppercase();
    KEYS.iter().zip(LOW_HZ).find_map(|(row, low_hz)| {
        row.iter().position(|&key| key == digit).map(|column| (low_hz, HIGH_HZ[column]))
    })
}
