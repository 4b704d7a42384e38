//! Our playout on a trace: the media crate's own code from the timeline to the line.

use trunkline_dsp::g711::Law;
use trunkline_media::VirtualLine;
use trunkline_rtp::packet::{HEADER_OCTETS, RtpHeader, RtpPacket, SequenceNumber, Timestamp};
use trunkline_rtp::playout::{PlayoutConfig, PlayoutStatistics};

use super::trace::Arrival;
use crate::load::clock::thread_cpu_ns;

/// Samples of the line's block: 1 ms.
const BLOCK: usize = 8;
/// Samples of a packet: 20 ms.
pub(super) const PACKET: usize = 160;
/// A worker looks for packets so often, ms.
const TICK_MS: usize = 5;
/// Where its ticks lie in the packets' time, ms: in the middle of where they may.
const TICK_PHASE_MS: usize = 2;
/// Played after the last packet was due, ms.
const AFTER_MS: usize = 1_000;

/// What was heard.
#[derive(Debug)]
pub struct Heard {
    /// From the moment the first sample was spoken, linear, 8 kHz.
    pub samples: Vec<i16>,
    /// What the playout did.
    pub playout: PlayoutStatistics,
    /// Processor time for each 10 ms of what was heard, µs.
    pub cost_us: f64,
}

/// Plays `alaw`, in packets of 20 ms that come as the arrivals say.
pub fn play(arrivals: &[Arrival], alaw: &[u8]) -> Heard {
    let packets: Vec<[u8; HEADER_OCTETS + PACKET]> = alaw
        .chunks_exact(PACKET)
        .enumerate()
        .map(|(number, payload)| packet(number as u32, payload))
        .collect();
    let mut coming = arrivals.iter().peekable();
    let mut line = VirtualLine::new(Law::A, PlayoutConfig::default());
    let mut octets = vec![0; alaw.len() + AFTER_MS * BLOCK];
    let began_ns = thread_cpu_ns();
    for (ms, block) in octets.chunks_exact_mut(BLOCK).enumerate() {
        if ms % TICK_MS == TICK_PHASE_MS {
            while let Some(arrival) = coming.next_if(|arrival| arrival.at_ms <= ms as f64) {
                let packet = packets.get(arrival.number as usize);
                if let Some(Ok(packet)) = packet.map(|packet| RtpPacket::parse(packet)) {
                    line.hear(&packet);
                }
            }
        }
        line.play_octets(block);
    }
    let took_us = (thread_cpu_ns() - began_ns) as f64 / 1e3;
    Heard {
        samples: octets.iter().map(|octet| Law::A.decode(*octet)).collect(),
        playout: line.playout(),
        cost_us: took_us / (octets.len() as f64 / 80.0),
    }
}

fn packet(number: u32, payload: &[u8]) -> [u8; HEADER_OCTETS + PACKET] {
    let header = RtpHeader {
        marker: number == 0,
        payload_type: 8,
        sequence: SequenceNumber(number as u16),
        timestamp: Timestamp(number.wrapping_mul(PACKET as u32)),
        ssrc: 1,
    };
    let mut packet = [0; HEADER_OCTETS + PACKET];
    packet[..HEADER_OCTETS].copy_from_slice(&header.to_bytes());
    packet[HEADER_OCTETS..].copy_from_slice(payload);
    packet
}
