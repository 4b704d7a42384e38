//! Compares what was said with what was heard.
//!
//! On a clean path G.711 to the line is bit-exact but for the start and for adjustments of the
//! playout delay. So the speech that was sent (after its one pass through A-law) is cut into
//! blocks, and each block must be found sample for sample in what was heard, in order. A shift
//! between two blocks is a playout adjustment: it is counted, and the blocks beside it may be
//! damaged by its cross-fade.

use trunkline_dsp::g711::Law;

/// Length of a compared block: 20 ms at 8 kHz.
const BLOCK_SAMPLES: usize = 160;

/// How far one playout adjustment may move the speech: 0.5 s.
const SHIFT_SAMPLES_MAX: usize = 4_000;

/// A block whose samples all stay below this is silence and tells nothing.
const SILENCE_AMPLITUDE: u16 = 64;

/// Blocks that one playout adjustment can damage: those that its cross-fade lies in, and the one
/// that is shortened or lengthened.
const BLOCKS_OF_AN_ADJUSTMENT: usize = 3;

/// Speech with more adjustments than this leaves of it is not intact whatever the reason.
const EXACT_SHARE_MIN: f64 = 0.9;

/// What the comparison found.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Blocks of 20 ms with speech in them that were sent.
    pub blocks_sent: usize,
    /// Of these, found sample for sample.
    pub blocks_exact: usize,
    /// Delay of the first block found, from the start of both recordings, in ms.
    pub delay_ms: f64,
    /// Times that the delay changed in between.
    pub adjustments: usize,
}

impl Comparison {
    /// Share of the speech that arrived bit-exact, 0 to 1.
    pub fn exact_share(&self) -> f64 {
        if self.blocks_sent == 0 {
            return 0.0;
        }
        self.blocks_exact as f64 / self.blocks_sent as f64
    }

    /// The speech is intact: at least 98 % of it arrived bit-exact, not counting the blocks that
    /// the cross-fade of a playout adjustment touches.
    pub fn is_intact(&self) -> bool {
        let lost = self.blocks_sent - self.blocks_exact;
        let unexplained = lost.saturating_sub(BLOCKS_OF_AN_ADJUSTMENT * self.adjustments);
        self.exact_share() >= EXACT_SHARE_MIN && unexplained * 50 <= self.blocks_sent
    }
}

/// Compares `sent` (as recorded by the microphone, linear) with `heard` (linear, from the line).
///
/// Both at 8 kHz. The first block found may lie anywhere in `heard`.
pub fn compare(sent: &[i16], heard: &[i16]) -> Comparison {
    let sent: Vec<i16> = sent.iter().map(|&sample| Law::A.decode(Law::A.encode(sample))).collect();
    let mut result = Comparison { blocks_sent: 0, blocks_exact: 0, delay_ms: 0.0, adjustments: 0 };
    let mut shift: Option<isize> = None;
    for (index, block) in sent.chunks_exact(BLOCK_SAMPLES).enumerate() {
        if block.iter().all(|sample| sample.unsigned_abs() < SILENCE_AMPLITUDE) {
            continue;
        }
        result.blocks_sent += 1;
        let at = index * BLOCK_SAMPLES;
        let found = match shift {
            Some(shift) => find_near(block, heard, at as isize + shift),
            None => find(block, heard, 0..heard.len()),
        };
        let Some(found) = found else { continue };
        let new_shift = found as isize - at as isize;
        match shift {
            None => result.delay_ms = new_shift as f64 / 8.0,
            Some(old) if old != new_shift => result.adjustments += 1,
            Some(_) => {}
        }
        shift = Some(new_shift);
        result.blocks_exact += 1;
    }
    result
}

fn find_near(block: &[i16], heard: &[i16], expected: isize) -> Option<usize> {
    if let Ok(at) = usize::try_from(expected)
        && heard.get(at..at + block.len()) == Some(block)
    {
        return Some(at);
    }
    let from = expected.saturating_sub_unsigned(SHIFT_SAMPLES_MAX).max(0) as usize;
    let until = (expected.saturating_add_unsigned(SHIFT_SAMPLES_MAX)).max(0) as usize;
    find(block, heard, from..until.min(heard.len()))
}

fn find(block: &[i16], heard: &[i16], range: std::ops::Range<usize>) -> Option<usize> {
    let heard = heard.get(range.clone())?;
    heard.windows(block.len()).position(|window| window == block).map(|at| at + range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something that repeats as little as speech does, from a small random generator.
    fn speech(samples: usize) -> Vec<i16> {
        let mut state = 1_u32;
        (0..samples)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 18) as i16 - 8_192
            })
            .collect()
    }

    fn through_a_law(samples: &[i16]) -> Vec<i16> {
        samples.iter().map(|&sample| Law::A.decode(Law::A.encode(sample))).collect()
    }

    #[test]
    fn a_delayed_copy_is_intact() {
        let sent = speech(8_000);
        let mut heard = vec![0; 1_234];
        heard.extend(through_a_law(&sent));
        let result = compare(&sent, &heard);
        assert!(result.is_intact());
        assert_eq!(result.exact_share(), 1.0);
        assert_eq!((result.delay_ms, result.adjustments), (154.25, 0));
    }

    #[test]
    fn a_playout_adjustment_is_counted_and_costs_its_block() {
        let sent = speech(16_000);
        let mut heard = through_a_law(&sent);
        heard.drain(8_010..8_050);
        let result = compare(&sent, &heard);
        assert_eq!(result.adjustments, 1);
        assert_eq!(result.blocks_sent - result.blocks_exact, 1);
        assert!(result.is_intact());
    }

    #[test]
    fn damaged_or_missing_speech_is_not_intact() {
        let sent = speech(8_000);
        let mut damaged = through_a_law(&sent);
        damaged.iter_mut().step_by(400).for_each(|sample| *sample = sample.wrapping_add(8));
        assert!(!compare(&sent, &damaged).is_intact());
        let often = through_a_law(&sent)
            .chunks(790)
            .flat_map(|part| part[30..].to_vec())
            .collect::<Vec<_>>();
        assert!(!compare(&sent, &often).is_intact());
        assert!(!compare(&sent, &[]).is_intact());
        assert!(!compare(&sent, &through_a_law(&sent)[..4_000]).is_intact());
    }
}
