//! What the two sides of each call speak: where they differ, a relay has to transcode.

use clap::ValueEnum;
use trunkline_dsp::SampleRate;
use trunkline_dsp::g711::Law;
use trunkline_dsp::g722::G722Encoder;
use trunkline_dsp::opus::{MAX_PACKET_OCTETS, OpusEncoder, OpusSettings};

/// Octets of every payload that is sent. An Opus packet is padded up to that.
pub const PAYLOAD_OCTETS: usize = 160;
/// Samples of a packet, 20 ms at 8 kHz.
const PACKET_SAMPLES: usize = 160;
/// Packets of speech after which it begins again: two seconds.
const SPEECH_PACKETS: usize = 100;

/// A codec that a party can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VoiceCodec {
    /// G.711, A-law.
    Pcma,
    /// G.711, µ-law.
    Pcmu,
    /// G.722.
    G722,
    /// Opus: telephone quality, 16 kbit/s.
    Opus,
}

/// The codecs of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Codecs {
    /// What the A party of each call speaks.
    #[arg(long = "codec-a", value_enum, default_value = "pcma", value_name = "CODEC")]
    pub a: VoiceCodec,
    /// What the B party of each call speaks.
    #[arg(long = "codec-b", value_enum, default_value = "pcma", value_name = "CODEC")]
    pub b: VoiceCodec,
}

impl Codecs {
    /// A-law on both sides.
    pub const ALIKE: Self = Self { a: VoiceCodec::Pcma, b: VoiceCodec::Pcma };

    /// Whether the relay has to transcode.
    pub fn differ(&self) -> bool {
        self.a != self.b
    }

    /// The codec of party `index`: A of call 0, B of call 0, A of call 1, …
    pub fn of(&self, index: usize) -> VoiceCodec {
        if index.is_multiple_of(2) { self.a } else { self.b }
    }

    /// The options that say so, for another program.
    pub fn arguments(&self) -> [&'static str; 4] {
        ["--codec-a", self.a.option(), "--codec-b", self.b.option()]
    }
}

impl VoiceCodec {
    fn option(self) -> &'static str {
        match self {
            Self::Pcma => "pcma",
            Self::Pcmu => "pcmu",
            Self::G722 => "g722",
            Self::Opus => "opus",
        }
    }

    /// Its name and rates in `a=rtpmap`.
    pub fn rtpmap(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA/8000",
            Self::Pcmu => "PCMU/8000",
            Self::G722 => "G722/8000",
            Self::Opus => "opus/48000/2",
        }
    }

    /// The payload type that is agreed on.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Pcmu => 0,
            Self::G722 => 9,
            Self::Opus => 96,
        }
    }

    /// Timestamp steps of 20 ms.
    pub fn timestamp_step(self) -> u32 {
        if self == Self::Opus { 960 } else { 160 }
    }

    /// Two seconds of somebody who speaks, as payloads.
    pub fn speech(self) -> Vec<[u8; PAYLOAD_OCTETS]> {
        let mut opus = OpusEncoder::new(OpusSettings::new(SampleRate::Hz8000)).ok();
        let mut g722 = G722Encoder::new(SampleRate::Hz8000).ok();
        let packet = |number: usize| {
            let samples: [i16; PACKET_SAMPLES] =
                std::array::from_fn(|n| voice(number * PACKET_SAMPLES + n));
            let mut payload = [0; PAYLOAD_OCTETS];
            match self {
                Self::Pcma => {
                    Law::A.encode_block(&samples, &mut payload);
                }
                Self::Pcmu => {
                    Law::Mu.encode_block(&samples, &mut payload);
                }
                Self::G722 => {
                    if let Some(g722) = &mut g722 {
                        g722.encode(&samples, &mut payload);
                    }
                }
                Self::Opus => {
                    let mut octets = [0; MAX_PACKET_OCTETS];
                    let encoded =
                        opus.as_mut().and_then(|it| it.encode(&samples, &mut octets).ok());
                    pad(&octets[..encoded.unwrap_or_default()], &mut payload);
                }
            }
            payload
        };
        (0..SPEECH_PACKETS).map(packet).collect()
    }
}

/// Pads an Opus packet of one frame with octets that decoders pass over (RFC 6716 §3.2.5).
fn pad(frame: &[u8], packet: &mut [u8; PAYLOAD_OCTETS]) {
    let Some((toc, frame)) = frame.split_first() else { return };
    let Some(padding) = PAYLOAD_OCTETS.checked_sub(3 + frame.len()).filter(|it| *it < 255) else {
        return;
    };
    // Code 3, one frame, with padding; how much of it; the frame.
    packet[..3].copy_from_slice(&[toc | 3, 0x40 | 1, padding as u8]);
    packet[3..3 + frame.len()].copy_from_slice(frame);
}

/// Something voiced, whose pitch and loudness move.
fn voice(n: usize) -> i16 {
    let time = n as f32 / 8_000.0;
    let turns = 125.0 * time + 3.0 * (2.0 * time).sin();
    let harmonic = |k: f32| (k * turns * std::f32::consts::TAU).sin() / k;
    let loudness = 2_000.0 + 1_500.0 * (9.0 * time).sin();
    (loudness * (1..=12).map(|k| harmonic(k as f32)).sum::<f32>()) as i16
}

#[cfg(test)]
mod tests {
    use trunkline_dsp::opus::OpusDecoder;

    use super::*;

    #[test]
    fn opus_is_padded_to_the_length_of_all_and_decodes_as_ever() {
        let mut decoder = OpusDecoder::new(SampleRate::Hz8000).unwrap();
        let mut samples = [0; PACKET_SAMPLES];
        for payload in VoiceCodec::Opus.speech() {
            assert_eq!(decoder.decode(&payload, &mut samples).unwrap(), PACKET_SAMPLES);
        }
        assert!(samples.iter().any(|sample| sample.abs() > 500));
    }
}
