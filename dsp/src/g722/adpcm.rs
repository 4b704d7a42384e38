//! Adaptive differential quantisation of one sub-band (G.722 §3.2 to §3.7, §4, §5).
//!
//! Names of blocks are those of the recommendation: QUANTL, INVQAL, LOGSCL, SCALEL, UPPOL, UPZERO,
//! FILTEP, FILTEZ, PREDIC. All arithmetic is in 16 bits with saturation, as §6.2.1 asks for.

/// The lower band: six bits a sample, of which the adaptation looks at four (§3.4).
#[derive(Clone, Debug)]
pub(super) struct LowBand {
    scale: Scale,
    predictor: Predictor,
}

/// The higher band: two bits a sample.
#[derive(Clone, Debug)]
pub(super) struct HighBand {
    scale: Scale,
    predictor: Predictor,
}

impl LowBand {
    pub(super) fn new() -> Self {
        Self { scale: Scale { log: 0, step: 32 }, predictor: Predictor::default() }
    }

    /// The code of a sample.
    pub(super) fn encode(&mut self, sample: i32) -> u8 {
        let difference = clip(sample - self.predictor.estimate);
        // One's complement: there are as many steps below zero as above.
        let magnitude = if difference < 0 { !difference } else { difference };
        // QUANTL, by halving: always five steps, none of which is a branch.
        let mut interval = 0;
        for half in [16, 8, 4, 2, 1] {
            let is_above =
                (LOW_THRESHOLDS[interval + half - 1] * self.scale.step) >> 12 <= magnitude;
            interval += if is_above { half } else { 0 };
        }
        let interval = interval.min(LOW_CODES_POSITIVE.len() - 1);
        let codes = if difference < 0 { &LOW_CODES_NEGATIVE } else { &LOW_CODES_POSITIVE };
        let code = codes[interval];
        self.adapt(code);
        code
    }

    /// The sample of a code.
    pub(super) fn decode(&mut self, code: u8) -> i32 {
        // INVQBL: all six bits for what is heard, four for what adapts.
        let difference = (self.scale.step * LOW_VALUES_6[usize::from(code & 0x3F)]) >> 15;
        let sample = limit(self.predictor.estimate + difference);
        self.adapt(code);
        sample
    }

    fn adapt(&mut self, code: u8) {
        let coarse = usize::from(code >> 2 & 0x0F);
        let difference = (self.scale.step * LOW_VALUES_4[coarse]) >> 15;
        self.scale.adapt(LOW_SCALE_STEPS[coarse], LOW_LOG_MAX, LOW_LOG_SHIFT);
        self.predictor.update(difference);
    }
}

impl HighBand {
    pub(super) fn new() -> Self {
        Self { scale: Scale { log: 0, step: 8 }, predictor: Predictor::default() }
    }

    /// The code of a sample.
    pub(super) fn encode(&mut self, sample: i32) -> u8 {
        let difference = clip(sample - self.predictor.estimate);
        let magnitude = if difference < 0 { !difference } else { difference };
        // QUANTH.
        let is_large = magnitude >= (HIGH_THRESHOLD * self.scale.step) >> 12;
        let code = match (difference < 0, is_large) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self.adapt(code);
        code
    }

    /// The sample of a code.
    pub(super) fn decode(&mut self, code: u8) -> i32 {
        let estimate = self.predictor.estimate;
        limit(estimate + self.adapt(code))
    }

    fn adapt(&mut self, code: u8) -> i32 {
        let code = usize::from(code & 3);
        let difference = (self.scale.step * HIGH_VALUES[code]) >> 15;
        self.scale.adapt(HIGH_SCALE_STEPS[code], HIGH_LOG_MAX, HIGH_LOG_SHIFT);
        self.predictor.update(difference);
        difference
    }
}

/// The size of a quantiser's steps, and its logarithm, which is what adapts.
#[derive(Clone, Debug)]
struct Scale {
    log: i32,
    step: i32,
}

impl Scale {
    /// LOGSCL and SCALEL, or LOGSCH and SCALEH.
    fn adapt(&mut self, change: i32, log_max: i32, shift: i32) {
        self.log = (((self.log * 127) >> 7) + change).clamp(0, log_max);
        let fraction = INVERSE_LOG[(self.log >> 6 & 31) as usize];
        let shift = shift - (self.log >> 11);
        let step = if shift < 0 { fraction << -shift } else { fraction >> shift };
        self.step = step << 2;
    }
}

/// The predictor of a band: two poles and six zeros (§3.6).
#[derive(Clone, Debug, Default)]
struct Predictor {
    /// What the next sample will probably be.
    estimate: i32,
    /// The part of it that comes from the zeros.
    from_zeros: i32,
    /// Reconstructed samples and partial reconstructions, the newest first.
    reconstructed: [i32; 2],
    partial: [i32; 2],
    poles: [i32; 2],
    /// Quantised differences, the newest first.
    differences: [i32; 6],
    zeros: [i32; 6],
}

impl Predictor {
    fn update(&mut self, difference: i32) {
        let reconstructed = clip(self.estimate + difference);
        let partial = clip(self.from_zeros + difference);
        self.update_poles(partial);
        self.update_zeros(difference);
        // DELAYA.
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];
        let [d0, d1, d2, d3, d4, _] = self.differences;
        self.differences = [difference, d0, d1, d2, d3, d4];
        // FILTEP.
        let from_poles: i32 = self
            .poles
            .iter()
            .zip(&self.reconstructed)
            .map(|(pole, sample)| (pole * clip(2 * sample)) >> 15)
            .sum();
        // FILTEZ: the oldest first, as the recommendation sums up.
        self.from_zeros = 0;
        for (zero, difference) in self.zeros.iter().zip(&self.differences).rev() {
            self.from_zeros = clip(self.from_zeros + ((zero * clip(2 * difference)) >> 15));
        }
        // PREDIC.
        self.estimate = clip(clip(from_poles) + self.from_zeros);
    }

    fn update_poles(&mut self, partial: i32) {
        let [first, second] = self.poles;
        let alike = |earlier: i32| (partial < 0) == (earlier < 0);
        // UPPOL2.
        let by_first = clip(4 * first);
        let by_first = if alike(self.partial[0]) { clip(-by_first) } else { by_first };
        let by_sign = if alike(self.partial[1]) { 128 } else { -128 };
        let second = ((by_first >> 7) + by_sign + ((second * 32_512) >> 15)).clamp(-12_288, 12_288);
        // UPPOL1: within what keeps the filter stable.
        let by_sign = if alike(self.partial[0]) { 192 } else { -192 };
        let bound = 15_360 - second;
        let first = (by_sign + ((first * 32_640) >> 15)).clamp(-bound, bound);
        self.poles = [first, second];
    }

    /// UPZERO.
    fn update_zeros(&mut self, difference: i32) {
        let gain = if difference == 0 { 0 } else { 128 };
        for (zero, earlier) in self.zeros.iter_mut().zip(&self.differences) {
            let by_sign = if (difference < 0) == (*earlier < 0) { gain } else { -gain };
            *zero = clip(by_sign + ((*zero * 32_640) >> 15));
        }
    }
}

/// To 16 bits.
fn clip(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

/// To the 15 bits of a band's samples (LIMIT).
fn limit(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}

/// Decision levels of the lower band's quantiser (table 14), the last one thrice.
static LOW_THRESHOLDS: [i32; 31] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
    1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919, 2919, 2919,
];

/// Codes of the lower band by interval (table 14).
static LOW_CODES_NEGATIVE: [u8; 30] = [
    63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10,
    9, 8, 7, 6, 5, 4,
];

static LOW_CODES_POSITIVE: [u8; 30] = [
    61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38,
    37, 36, 35, 34, 33, 32,
];

/// Output levels by all six bits of a code (table 14 and 15).
static LOW_VALUES_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776,
    -2400, -2032, -1688, -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280,
    11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776,
    2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];

/// Output levels by the upper four bits.
static LOW_VALUES_4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584,
    1200, 0,
];

/// What the upper four bits change the scale by.
static LOW_SCALE_STEPS: [i32; 16] =
    [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];
const LOW_LOG_MAX: i32 = 18_432;
const LOW_LOG_SHIFT: i32 = 8;

/// The only decision level of the higher band, and its output levels.
const HIGH_THRESHOLD: i32 = 564;
static HIGH_VALUES: [i32; 4] = [-7408, -1616, 7408, 1616];
static HIGH_SCALE_STEPS: [i32; 4] = [798, -214, 798, -214];
const HIGH_LOG_MAX: i32 = 22_528;
const HIGH_LOG_SHIFT: i32 = 10;

/// 2048 · 2^(n/32).
static INVERSE_LOG: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
