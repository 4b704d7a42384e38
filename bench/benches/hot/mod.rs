//! The functions that run for every packet or every block of samples: what the benches measure, in
//! time (`media_plane.rs`) and in instructions (`instructions.rs`).
#![allow(dead_code, reason = "each bench uses its part")]

mod line;
mod packets;
pub mod sound;
pub mod transcoding;

/// Samples and octets of a 20 ms packet of G.711.
pub const BLOCK: usize = 160;

/// One hot function, with its input at hand.
pub trait Work {
    /// Whether [`Work::prepare`] does anything.
    fn needs_preparation(&self) -> bool {
        false
    }
    /// What must have happened before each run and is not measured.
    fn prepare(&mut self) {}
    /// The function, once.
    fn run(&mut self);
}

impl<F: FnMut()> Work for F {
    fn run(&mut self) {
        self();
    }
}

/// A hot function by name.
pub struct Hot {
    /// As it stands in the baseline.
    pub name: &'static str,
    /// Sets its input up.
    pub make: fn() -> Box<dyn Work>,
}

/// All of them.
pub const ALL: &[Hot] = &[
    Hot { name: "rtp_parse", make: packets::rtp_parse },
    Hot { name: "rtp_accept", make: packets::rtp_accept },
    Hot { name: "jitter_buffer", make: packets::jitter_buffer },
    Hot { name: "playout_policy", make: packets::playout_policy },
    Hot { name: "rtcp_write", make: packets::rtcp_write },
    Hot { name: "rtcp_read", make: packets::rtcp_read },
    Hot { name: "srtp_both_ways", make: packets::srtp_both_ways },
    Hot { name: "timeslot_plays_20_ms", make: line::plays },
    Hot { name: "timeslot_converts_20_ms", make: line::converts },
    Hot { name: "timeslot_conceals_20_ms", make: line::conceals },
    Hot { name: "g711_encode_20_ms", make: sound::g711_encode },
    Hot { name: "g711_decode_20_ms", make: sound::g711_decode },
    Hot { name: "g711_convert_20_ms", make: sound::g711_convert },
    Hot { name: "dtmf_hears_speech_20_ms", make: sound::dtmf_hears_speech },
    Hot { name: "dtmf_hears_digit_20_ms", make: sound::dtmf_hears_digit },
    Hot { name: "concealment_20_ms", make: sound::concealment },
    Hot { name: "comfort_noise_20_ms", make: sound::comfort_noise },
    Hot { name: "resample_8_to_16_khz_20_ms", make: sound::resample },
    Hot { name: "transcode_g722_to_pcma_20_ms", make: transcoding::g722_to_pcma },
    Hot { name: "transcode_pcma_to_g722_20_ms", make: transcoding::pcma_to_g722 },
    Hot { name: "q921_decode", make: line::q921_decode },
    Hot { name: "hdlc_decode_20_ms", make: line::hdlc_decode },
    Hot { name: "hdlc_encode_20_ms", make: line::hdlc_encode },
];
