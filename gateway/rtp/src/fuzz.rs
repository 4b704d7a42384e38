//! Every parser as `fn(&[u8])` for fuzzers, with what must hold whatever the bytes are. Compiled with
//! `--cfg fuzzing`, as `cargo fuzz` does, and in the tests of this crate.
#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc)]

use std::time::{Duration, Instant};

use crate::codec::Codec;
use crate::comfort_noise::{ComfortNoise, MAXIMUM_ORDER};
use crate::packet::{RtpPacket, SequenceNumber, Timestamp};
use crate::reception::Reception;
use crate::rtcp::{Compound, RtcpPacket};
use crate::sdp::{Crypto, LocalMedia, Sdp, accept_answer, answer};
use crate::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};
use crate::telephone_event::{DigitEvent, DigitReceiver};

#[cfg(test)]
#[path = "../../../fuzz/corpus.rs"]
mod corpus;

/// An RTP packet: its parts lie within the datagram.
pub fn rtp_packet(bytes: &[u8]) {
    if let Ok(packet) = RtpPacket::parse(bytes) {
        let extension = packet.extension.map_or(0, |extension| 4 + extension.data.len());
        assert!(12 + packet.csrc.len() + extension + packet.payload.len() <= bytes.len());
    }
}

/// A compound RTCP packet: every iterator ends.
pub fn rtcp_compound(bytes: &[u8]) {
    let Ok(compound) = Compound::parse(bytes) else {
        return;
    };
    for packet in compound.flatten() {
        let entries = match packet {
            RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } => {
                blocks.count()
            }
            RtcpPacket::SourceDescription(names) => names.count(),
            RtcpPacket::Bye { sources, .. } => sources.count(),
            RtcpPacket::ExtendedReport { blocks, .. } => {
                // A block has four octets at least.
                assert!(blocks.count() <= bytes.len() / 4);
                0
            }
            RtcpPacket::Other { .. } => 0,
        };
        assert!(entries <= 31);
    }
}

/// A stream of telephone-event packets, eight octets each (timestamp, payload): presses and releases
/// alternate.
pub fn telephone_events(bytes: &[u8]) {
    let mut receiver = DigitReceiver::new(8_000);
    let mut now = Instant::now();
    let mut is_pressed = false;
    for packet in bytes.chunks(8) {
        let (head, payload) = packet.split_at(packet.len().min(4));
        let timestamp = head.iter().fold(0, |word: u32, octet| word << 8 | u32::from(*octet));
        receiver.packet_arrived(Timestamp(timestamp), payload, now);
        now += Duration::from_millis(20);
        while let Some(event) = receiver.poll_output() {
            assert_eq!(matches!(event, DigitEvent::Ended { .. }), is_pressed);
            is_pressed = !is_pressed;
        }
    }
}

/// A comfort noise payload: what is read is written and read back the same.
pub fn comfort_noise(bytes: &[u8]) {
    if let Ok(noise) = ComfortNoise::parse(bytes) {
        let mut out = [0; 1 + MAXIMUM_ORDER];
        let octets = noise.write(&mut out).expect("the buffer holds the highest order");
        assert_eq!(ComfortNoise::parse(&out[..octets]), Ok(noise));
    }
}

/// A session description: if it can be answered, the answer can be read and fits the offer.
pub fn session_description(bytes: &[u8]) {
    let plain = LocalMedia::new(([192, 0, 2, 1], 20_000).into(), 1);
    let crypto = Crypto::generate(&Suite::ALL, |octets| octets.fill(0x5a));
    let secure = LocalMedia { crypto, ..plain.clone() };
    let preferences = [Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::opus_telephony()];
    for local in [plain, secure] {
        if let Ok(offer) = Sdp::parse(bytes)
            && let Ok((ours, _)) = answer(&offer, &local, &preferences)
        {
            let read = Sdp::parse(ours.to_string().as_bytes()).expect("what we write can be read");
            assert!(accept_answer(&offer, &read).is_ok());
        }
    }
}

/// A packet, as plain text and as SRTP: what can be protected arrives once and unchanged, what nobody
/// protected is refused, counted, and changes nothing.
pub fn srtp_packet(bytes: &[u8]) {
    // A tag of four octets could be met by chance.
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm, Suite::AeadAes256Gcm] {
        let key = MasterKey::generate(suite, |octets| octets.fill(0x5a));
        let mut sender = SrtpSender::new(&key).expect("a whole key");
        let mut receiver = SrtpReceiver::new(&key).expect("a whole key");
        assert!(receiver.unprotect_rtp(&mut bytes.to_vec()).is_err());
        assert!(receiver.unprotect_rtcp(&mut bytes.to_vec()).is_err());
        let counted = receiver.counters();
        assert_eq!(counted.tag + counted.malformed, 2);

        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + 20, 0);
        if let Ok(octets) = sender.protect_rtp(&mut buffer, bytes.len()) {
            let mut again = buffer[..octets].to_vec();
            assert_eq!(receiver.unprotect_rtp(&mut buffer[..octets]), Ok(bytes.len()));
            assert_eq!(&buffer[..bytes.len()], bytes);
            assert!(receiver.unprotect_rtp(&mut again).is_err());
        }
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + 20, 0);
        if let Ok(octets) = sender.protect_rtcp(&mut buffer, bytes.len()) {
            assert_eq!(receiver.unprotect_rtcp(&mut buffer[..octets]), Ok(bytes.len()));
            assert_eq!(&buffer[..bytes.len()], bytes);
        }
    }
}

/// A stream of sequence numbers and timestamps, six octets each: every packet is counted once.
pub fn reception(bytes: &[u8]) {
    let mut reception = Reception::new(8_000, 2);
    let mut now = Instant::now();
    let packets = bytes.chunks_exact(6);
    let count = packets.len() as u64;
    for packet in packets {
        let sequence = SequenceNumber(u16::from_be_bytes([packet[0], packet[1]]));
        let timestamp = Timestamp(u32::from_be_bytes([packet[2], packet[3], packet[4], packet[5]]));
        reception.packet_arrived(sequence, Some(timestamp), now);
        now += Duration::from_millis(20);
        reception.report(1, now);
    }
    let figures = reception.statistics();
    assert_eq!(figures.received + figures.refused, count);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_corpus_is_survived() {
        type Target = fn(&[u8]);
        let targets: [(&str, Target); 5] = [
            ("rtp_packet", rtp_packet),
            ("rtcp_compound", rtcp_compound),
            ("telephone_events", telephone_events),
            ("session_description", session_description),
            ("srtp_packet", srtp_packet),
        ];
        for (name, target) in targets {
            corpus::replay(name, target);
        }
    }

    proptest! {
        #[test]
        fn every_target_stands_arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..1_500)) {
            for target in [
                rtp_packet, rtcp_compound, telephone_events, comfort_noise, session_description, srtp_packet,
                reception,
            ] {
                target(&bytes);
            }
        }
    }
}
