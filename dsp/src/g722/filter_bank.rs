//! The quadrature mirror filters that part the voice into two bands and join them (G.722 §3.1, §4.4).

/// Taps of the filter, of both sample phases.
const TAPS: usize = 24;

/// Samples of each band that are done at a time.
pub(super) const CHUNK: usize = 80;

/// The low pass (table 11); 8192 stands for 1.
static LOW_PASS: [i16; TAPS] = [
    3, -11, -11, 53, 12, -156, 32, 362, -210, -805, 951, 3876, 3876, 951, -805, -210, 362, 32,
    -156, 12, 53, -11, -11, 3,
];

/// The high pass is its mirror: each second tap, the oldest first, has the other sign.
static HIGH_PASS: [i16; TAPS] = {
    let mut taps = LOW_PASS;
    let mut tap = 0;
    while tap < TAPS {
        taps[tap] = -taps[tap];
        tap += 2;
    }
    taps
};

/// Parts samples at 16 kHz into two bands at 8 kHz.
#[derive(Clone, Debug)]
pub(super) struct Split {
    samples: [i16; TAPS - 2 + 2 * CHUNK],
}

impl Split {
    pub(super) fn new() -> Self {
        Self { samples: [0; TAPS - 2 + 2 * CHUNK] }
    }

    /// Shows each pair of samples, of which there are up to [`CHUNK`], as a sample of the lower and
    /// one of the higher band, both of 15 bits.
    pub(super) fn process(&mut self, samples: &[i16], mut band: impl FnMut(i32, i32)) {
        let held = TAPS - 2;
        self.samples[held..held + samples.len()].copy_from_slice(samples);
        for pair in 0..samples.len() / 2 {
            let window = &self.samples[2 * pair..];
            band(dot(window, &LOW_PASS) >> 14, dot(window, &HIGH_PASS) >> 14);
        }
        self.samples.copy_within(samples.len()..samples.len() + held, 0);
    }
}

/// Joins two bands at 8 kHz into samples at 16 kHz.
#[derive(Clone, Debug)]
pub(super) struct Join {
    differences: [i16; TAPS / 2 - 1 + CHUNK],
    sums: [i16; TAPS / 2 - 1 + CHUNK],
}

/// The taps of one sample phase each.
static PHASES: [[i16; TAPS / 2]; 2] = {
    let mut phases = [[0; TAPS / 2]; 2];
    let mut tap = 0;
    while tap < TAPS {
        phases[tap % 2][TAPS / 2 - 1 - tap / 2] = LOW_PASS[tap];
        tap += 1;
    }
    phases
};

impl Join {
    pub(super) fn new() -> Self {
        Self { differences: [0; TAPS / 2 - 1 + CHUNK], sums: [0; TAPS / 2 - 1 + CHUNK] }
    }

    /// Samples of 15 bits of the lower and the higher band, up to [`CHUNK`] of each, become twice as
    /// many of `samples`.
    pub(super) fn process(&mut self, low: &[i16], high: &[i16], samples: &mut [i16]) {
        let held = TAPS / 2 - 1;
        for (n, (low, high)) in low.iter().zip(high).enumerate() {
            // What was concealed may be louder than any code.
            self.differences[held + n] = low.saturating_sub(*high);
            self.sums[held + n] = low.saturating_add(*high);
        }
        for (n, pair) in samples.chunks_exact_mut(2).take(low.len()).enumerate() {
            pair[0] = saturated(dot(&self.differences[n..], &PHASES[0]) >> 11);
            pair[1] = saturated(dot(&self.sums[n..], &PHASES[1]) >> 11);
        }
        self.differences.copy_within(low.len()..low.len() + held, 0);
        self.sums.copy_within(low.len()..low.len() + held, 0);
    }
}

/// Scalar product with the first samples; below 2^31 whatever they are, as the taps' magnitudes sum
/// up to 12 900.
#[inline]
fn dot<const N: usize>(samples: &[i16], taps: &[i16; N]) -> i32 {
    // Of a length the compiler knows: done in a few vector instructions.
    let samples = samples.first_chunk::<N>().unwrap_or(&[0; N]);
    let mut sum = 0;
    for tap in 0..N {
        sum += i32::from(samples[tap]) * i32::from(taps[tap]);
    }
    sum
}

fn saturated(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}
