//! Packets: read, judged, kept, timed, reported on, protected.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkline_rtp::jitter::{self, Arrival, Frame, Insertion, PAYLOAD_MAX_OCTETS, Waiting};
use trunkline_rtp::ntp::NtpTime;
use trunkline_rtp::packet::{RtpPacket, Timestamp};
use trunkline_rtp::playout::{Decision, Playout, PlayoutConfig};
use trunkline_rtp::reception::Reception;
use trunkline_rtp::rtcp::{Compound, Report, ReportBlock, RtcpPacket, SenderReport, write_report};
use trunkline_rtp::source::{SourcePolicy, SourceRule, Verdict};
use trunkline_rtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};
use trunkline_rtp::voip_metrics::LossPattern;

use super::{BLOCK, Work};

const PACKET_OCTETS: usize = 12 + BLOCK;
const PACKET_TIME: Duration = Duration::from_millis(20);

/// A-law packets of one stream, one after the other.
struct Stream {
    packet: [u8; PACKET_OCTETS + 16],
    sequence: u16,
    timestamp: u32,
}

impl Stream {
    fn new() -> Self {
        let mut packet = [0x55; PACKET_OCTETS + 16];
        packet[..12].copy_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
        Self { packet, sequence: 0, timestamp: 0 }
    }

    fn next(&mut self) -> &mut [u8] {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(BLOCK as u32);
        self.packet[1] = 8;
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        &mut self.packet
    }
}

pub fn rtp_parse() -> Box<dyn Work> {
    let mut stream = Stream::new();
    Box::new(move || {
        let packet = &stream.next()[..PACKET_OCTETS];
        let packet = RtpPacket::parse(black_box(packet)).expect("a whole packet");
        black_box(packet);
    })
}

/// All that a worker does with a datagram before the jitter buffer: parse, source rule, reception,
/// pattern of losses.
pub fn rtp_accept() -> Box<dyn Work> {
    let mut stream = Stream::new();
    let far: SocketAddr = ([192, 0, 2, 1], 20_000).into();
    let mut now = Instant::now();
    let expected = [8, 101].into_iter().collect();
    let mut source = SourceRule::new(SourcePolicy::default(), far, None, expected, now);
    let mut reception = Reception::new(8_000, 1);
    let mut losses = LossPattern::default();
    Box::new(move || {
        now += PACKET_TIME;
        let packet = &stream.next()[..PACKET_OCTETS];
        let packet = RtpPacket::parse(black_box(packet)).expect("a whole packet");
        let verdict = source.judge(black_box(far), &packet, now);
        assert!(matches!(verdict, Verdict::Accept | Verdict::AcceptMoved));
        let (sequence, timestamp) = (packet.header.sequence, packet.header.timestamp);
        losses.packet_arrived(reception.packet_arrived(sequence, Some(timestamp), now));
        black_box(&losses);
    })
}

/// Both ends of the jitter buffer: a packet in, its note and itself out.
pub fn jitter_buffer() -> Box<dyn Work> {
    let (mut inserter, mut taker) = jitter::buffer(64);
    let mut sequence = 1 << 16;
    let payload = [0x55; BLOCK];
    let mut taken = [0; PAYLOAD_MAX_OCTETS];
    Box::new(move || {
        sequence += 1;
        let frame = Frame {
            sequence,
            media_time: sequence as i64 * BLOCK as i64,
            samples: BLOCK as u16,
            format: 1,
            marker: false,
            payload: black_box(&payload),
        };
        assert_eq!(inserter.insert(frame), Insertion::Stored);
        black_box(taker.arrivals().count());
        let waiting = taker.peek().expect("it waits");
        assert_eq!(taker.take(waiting.sequence, &mut taken), Some(BLOCK));
        taker.advance(BLOCK as u32);
        black_box(&taken);
    })
}

/// The policy hears of a packet and lets it play. Its path has jitter, so that the memory of delays is
/// not all alike.
pub fn playout_policy() -> Box<dyn Work> {
    let mut policy = Playout::new(PlayoutConfig::default());
    let mut number: u32 = 0;
    Box::new(move || {
        // The line asks for 20 ms: a packet plays, or what is short of it is waited for.
        number += 1;
        let clock = number * BLOCK as u32;
        let media_time = clock - number * 7 % 60;
        policy.arrived(Arrival { media_time, clock });
        let waiting = Waiting {
            sequence: u64::from(number),
            media_time: i64::from(media_time),
            samples: BLOCK as u16,
            format: 1,
            marker: false,
            arrived: clock,
        };
        loop {
            match policy.decide(Some(black_box(waiting)), BLOCK as u32, false) {
                Decision::Wait { .. } | Decision::Conceal { .. } => {}
                Decision::Lengthen { .. } | Decision::Shorten { .. } => {
                    policy.adjusted(0);
                    return;
                }
                Decision::Play { .. } | Decision::Discard { .. } => return,
            }
        }
    })
}

const BLOCK_ABOUT_US: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 3,
    cumulative_lost: 5,
    highest_sequence: 70_000,
    jitter: 12,
    last_sr: 1,
    delay_since_last_sr: 65_536,
};

fn report(out: &mut [u8]) -> usize {
    let sender = SenderReport {
        ntp: NtpTime(1 << 32),
        timestamp: Timestamp(160),
        packets: 100,
        octets: 16_000,
    };
    let report = Report {
        ssrc: 1,
        sender: Some(sender),
        blocks: &[black_box(BLOCK_ABOUT_US)],
        cname: "trunkline@192.0.2.1",
        voip_metrics: None,
        bye: false,
    };
    write_report(&report, out).expect("there is room")
}

pub fn rtcp_write() -> Box<dyn Work> {
    let mut out = [0; 256];
    Box::new(move || {
        black_box(report(&mut out));
    })
}

pub fn rtcp_read() -> Box<dyn Work> {
    let mut out = [0; 256];
    let octets = report(&mut out);
    Box::new(move || {
        let compound = Compound::parse(black_box(&out[..octets])).expect("a whole compound");
        for packet in compound.flatten() {
            if let RtcpPacket::SenderReport { blocks, .. } = packet {
                blocks.for_each(|block| {
                    black_box(block);
                });
            }
        }
    })
}

/// The suite that every peer has. Instruction counters that do not know the processor's SHA
/// instructions count the way without them.
pub fn srtp_both_ways() -> Box<dyn Work> {
    let mut stream = Stream::new();
    let key = MasterKey::generate(Suite::AesCm128HmacSha1_80, |octets| octets.fill(0x5a));
    let mut sender = SrtpSender::new(&key).expect("a whole key");
    let mut receiver = SrtpReceiver::new(&key).expect("a whole key");
    Box::new(move || {
        let packet = stream.next();
        let octets = sender.protect_rtp(black_box(packet), PACKET_OCTETS).expect("there is room");
        assert_eq!(receiver.unprotect_rtp(&mut packet[..octets]), Ok(PACKET_OCTETS));
    })
}
