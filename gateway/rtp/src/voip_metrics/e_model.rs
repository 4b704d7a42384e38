//! The quality of a conversation by the E-model (ITU-T G.107, 06/2015) with its default values.
//!
//! The scale is that of narrow-band speech, as a telephone line carries it: 93.2 is the best there is.
//! What the model cannot know here has its default: levels, noise, echo loss of the telephones.
#![forbid(unsafe_code)]

use super::LossFigures;
use crate::codec::Codec;

/// R without loss and delay: Ro − Is − Id of the default values (G.107 §7.7).
const BEST: f64 = 93.2;

/// How good the voice of a leg is to the one who hears it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quality {
    /// R factor with the effect of delay, 0.0..=93.2.
    pub r_factor: f64,
    /// Estimated mean opinion score of listening, 1.0..=4.5: without the effect of delay.
    pub mos_lq: f64,
    /// Estimated mean opinion score of conversation, 1.0..=4.5.
    pub mos_cq: f64,
}

impl Quality {
    /// Rates what came over `codec` with these losses and a delay from mouth to ear of `one_way_ms`.
    pub fn of(codec: &Codec, losses: &LossFigures, one_way_ms: f64) -> Self {
        let listening = BEST - effective_impairment(codec, losses);
        let delay = delay_impairment(one_way_ms) - delay_impairment(0.0);
        let r_factor = (listening - delay).clamp(0.0, 100.0);
        Self { r_factor, mos_lq: mos(listening), mos_cq: mos(r_factor) }
    }
}

/// What a codec does to the voice by itself, and how well it stands losses (G.107 §7.5).
struct Impairment {
    /// Equipment impairment factor Ie.
    equipment: f64,
    /// Packet-loss robustness factor Bpl, with concealment.
    robustness: f64,
}

impl Impairment {
    fn of(codec: &Codec) -> Self {
        match codec {
            // G.113 Appendix I, table I.4: G.711 with the concealment of its Appendix I.
            Codec::Pcmu | Codec::Pcma => Self { equipment: 0.0, robustness: 25.1 },
            // Nothing is published for Opus and for a G.722 that is heard on the narrow-band scale. At telephony's bit rates it is
            // taken for as good as G.711, and as robust as G.711 with concealment: too little where its
            // FEC repairs a loss. A wideband codec would lie on a scale of its own (G.107.1), but what
            // is rated is heard over a line of 8 kHz.
            Codec::Opus(_) | Codec::G722 => Self { equipment: 0.0, robustness: 25.1 },
        }
    }
}

/// Ie-eff (G.107 §7.5, equation 7-29).
fn effective_impairment(codec: &Codec, losses: &LossFigures) -> f64 {
    let Impairment { equipment, robustness } = Impairment::of(codec);
    let loss_percent = (losses.loss_rate() + losses.discard_rate()) * 100.0;
    // The values of G.113 are for random losses; the model vouches for bursts of twice that.
    let burst_ratio = losses.burst_ratio().clamp(1.0, 2.0);
    equipment + (95.0 - equipment) * loss_percent / (loss_percent / burst_ratio + robustness)
}

// The default values of G.107 table 2 that delay makes felt, and what follows from them.
/// Basic signal-to-noise ratio.
const RO: f64 = 94.77;
/// Sum of all circuit noise, dBm0p.
const NO_DBM0P: f64 = -61.18;
/// Receive loudness rating, dB.
const RLR_DB: f64 = 2.0;
/// Talker echo loudness rating, dB.
const TELR_DB: f64 = 65.0;
/// Weighted echo path loss, dB.
const WEPL_DB: f64 = 110.0;

/// Id (G.107 §7.4): talker echo, listener echo, and delay by itself, where the way back is as long.
fn delay_impairment(one_way_ms: f64) -> f64 {
    talker_echo(one_way_ms) + listener_echo(2.0 * one_way_ms) + too_long(one_way_ms)
}

/// Idte (equations 7-20 to 7-24).
fn talker_echo(one_way_ms: f64) -> f64 {
    let t = one_way_ms;
    let roe = -1.5 * (NO_DBM0P - RLR_DB);
    let terv = TELR_DB - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10()
        + 6.0 * (-0.3 * t * t).exp();
    let re = 80.0 + 2.5 * (terv - 14.0);
    let half = (roe - re) / 2.0;
    (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-t).exp())
}

/// Idle (equations 7-25, 7-26).
fn listener_echo(round_trip_ms: f64) -> f64 {
    let rle = 10.5 * (WEPL_DB + 7.0) * (round_trip_ms + 1.0).powf(-0.25);
    let half = (RO - rle) / 2.0;
    half + (half * half + 169.0).sqrt()
}

/// Idd (equations 7-27, 7-28).
fn too_long(one_way_ms: f64) -> f64 {
    if one_way_ms <= 100.0 {
        return 0.0;
    }
    let x = (one_way_ms / 100.0).log2();
    let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// The mean opinion score of an R factor (G.107 Annex B).
fn mos(r: f64) -> f64 {
    if r <= 0.0 {
        1.0
    } else if r >= 100.0 {
        4.5
    } else {
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(expected: u64, lost: u64, runs: u64) -> LossFigures {
        LossFigures { expected, lost, runs, ..LossFigures::default() }
    }

    fn rated(lost_in_1000: u64, one_way_ms: f64) -> Quality {
        Quality::of(&Codec::Pcma, &losses(1_000, lost_in_1000, lost_in_1000), one_way_ms)
    }

    #[test]
    fn scores_are_those_of_the_recommendations_table() {
        // G.107 Annex B, table B.1; it has 4.03 where its formula gives 4.024.
        for (r, score) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((mos(r) - score).abs() < 0.01, "{r}: {}", mos(r));
        }
        assert_eq!((mos(-3.0), mos(2.0), mos(100.0)), (1.0, 1.0, 4.5));
    }

    #[test]
    fn undisturbed_call_is_rated_as_the_model_rates_its_defaults() {
        let quality = rated(0, 0.0);
        assert!((quality.r_factor - 93.2).abs() < 1e-9);
        assert!((quality.mos_lq - 4.41).abs() < 0.005);
        assert_eq!(quality.mos_lq, quality.mos_cq);
        // What 93.2 is made of: Ro, less Is (1.41 by the defaults), less Id without delay.
        assert!((RO - 1.41 - delay_impairment(0.0) - BEST).abs() < 0.05);
    }

    #[test]
    fn random_loss_costs_what_g113_says() {
        // Worked by hand: 95 * 1 / (1 + 25.1), 95 * 5 / (5 + 25.1); runs of random losses are hardly
        // longer than one packet.
        for (lost, r) in [(10, 93.2 - 3.64), (50, 93.2 - 15.78)] {
            let quality = rated(lost, 0.0);
            assert!((quality.r_factor - r).abs() < 0.01, "{lost}: {}", quality.r_factor);
        }
    }

    #[test]
    fn delay_costs_conversation_and_not_listening() {
        let near = rated(0, 20.0);
        let far = rated(0, 400.0);
        assert_eq!(near.mos_lq, far.mos_lq);
        assert!(near.mos_cq - far.mos_cq > 0.8, "{near:?} {far:?}");
        // G.114 figure 1: hardly anything at 100 ms, satisfied users up to 250 ms or so.
        assert!(rated(0, 100.0).r_factor > 89.0, "{:?}", rated(0, 100.0));
        assert!((78.0..=82.0).contains(&rated(0, 250.0).r_factor), "{:?}", rated(0, 250.0));
        // The delay by itself, by hand: log2(2.5) in equation 7-28.
        assert!((too_long(250.0) - 8.917).abs() < 0.001, "{}", too_long(250.0));
        let falls = (0..100).map(|n| delay_impairment(f64::from(n) * 10.0));
        assert!(falls.is_sorted());
    }

    #[test]
    fn losses_in_clusters_cost_more_than_single_ones() {
        let rate = |runs| Quality::of(&Codec::Pcma, &losses(1_000, 50, runs), 0.0).r_factor;
        assert!(rate(10) < rate(50) - 1.0);
        // Beyond twice random the model does not go.
        assert_eq!(rate(10), rate(5));
    }

    #[test]
    fn nothing_heard_is_nothing_lost_and_all_lost_is_the_worst_there_is() {
        let silent = Quality::of(&Codec::Pcma, &LossFigures::default(), 0.0);
        assert!((silent.r_factor - BEST).abs() < 1e-9);
        let lost = Quality::of(&Codec::opus_telephony(), &losses(100, 100, 1), 3_000.0);
        assert!(lost.r_factor >= 0.0 && lost.mos_cq >= 1.0 && lost.mos_lq < 2.0, "{lost:?}");
    }
}
