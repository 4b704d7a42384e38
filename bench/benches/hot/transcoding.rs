//! One direction of a call between two codecs: packets in, packets out.

use std::hint::black_box;
use std::time::{Duration, Instant};

use trunkline_dsp::SampleRate;
use trunkline_dsp::g711::Law;
use trunkline_dsp::g722::G722Encoder;
use trunkline_dsp::opus::{MAX_PACKET_OCTETS, OpusEncoder, OpusSettings};
use trunkline_media::Payload;
use trunkline_media::transcode::{Arrived, Newest, Transcoder};
use trunkline_rtp::codec::Codec;
use trunkline_rtp::packet::{RtpHeader, SequenceNumber, Timestamp};

use super::{BLOCK, Work, sound};

/// One direction of a call, fed with speech over and over.
pub struct Direction {
    transcoder: Transcoder,
    codec: Codec,
    /// What comes, again and again.
    pub payloads: Vec<Vec<u8>>,
    number: usize,
    began: Instant,
    newest: Newest,
}

impl Direction {
    /// From one codec to another.
    pub fn new(from: Codec, to: Codec) -> Self {
        let samples = sound::speech();
        let settings = OpusSettings::new(SampleRate::Hz8000);
        let mut opus = OpusEncoder::new(settings).expect("an encoder");
        let mut g722 = G722Encoder::new(SampleRate::Hz8000).expect("an encoder");
        let payload = |samples: &[i16]| {
            let mut payload = vec![0; MAX_PACKET_OCTETS];
            let octets = match from {
                Codec::Opus(_) => opus.encode(samples, &mut payload).expect("a packet"),
                Codec::G722 => g722.encode(samples, &mut payload),
                Codec::Pcmu => Law::Mu.encode_block(samples, &mut payload),
                Codec::Pcma => Law::A.encode_block(samples, &mut payload),
            };
            payload.truncate(octets);
            payload
        };
        Self {
            transcoder: Transcoder::new(&[from], to).expect("both codecs"),
            codec: from,
            payloads: samples.chunks_exact(BLOCK).map(payload).collect(),
            number: 0,
            began: Instant::now(),
            newest: Newest { timestamp: Timestamp(0), at: None },
        }
    }

    /// A packet comes and leaves in the tick.
    pub fn packet(&mut self) {
        let step = self.codec.timestamp_step(20);
        self.transcoder.arrived(Arrived {
            header: RtpHeader {
                marker: false,
                payload_type: 0,
                sequence: SequenceNumber(self.number as u16),
                timestamp: Timestamp((self.number as u32).wrapping_mul(step)),
                ssrc: 1,
            },
            payload: Some(Payload::Audio(self.codec)),
            octets: &self.payloads[self.number % self.payloads.len()],
            restarted: false,
            timestamp_offset: None,
        });
        self.number += 1;
        let now = self.began + Duration::from_millis(20) * self.number as u32;
        let newest = &mut self.newest;
        let outcome = self.transcoder.work(20, *newest, now, &mut |departing| {
            *newest = Newest { timestamp: departing.timestamp, at: Some(now) };
            black_box(departing.payload_octets);
        });
        black_box(outcome);
    }
}

pub fn g722_to_pcma() -> Box<dyn Work> {
    let mut direction = Direction::new(Codec::G722, Codec::Pcma);
    Box::new(move || direction.packet())
}

pub fn pcma_to_g722() -> Box<dyn Work> {
    let mut direction = Direction::new(Codec::Pcma, Codec::G722);
    Box::new(move || direction.packet())
}
