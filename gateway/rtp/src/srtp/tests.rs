//! What a leg sees of SRTP: packets go through once, unchanged, and everything else is refused and counted.

use proptest::prelude::*;

use super::*;
use crate::packet::{RtpHeader, SequenceNumber, Timestamp};

fn key(suite: Suite) -> MasterKey {
    let mut octet = 0_u8;
    MasterKey::generate(suite, |octets| {
        octets.fill_with(|| {
            octet = octet.wrapping_mul(5).wrapping_add(113);
            octet
        })
    })
}

fn pair(suite: Suite) -> (SrtpSender, SrtpReceiver) {
    (SrtpSender::new(&key(suite)).unwrap(), SrtpReceiver::new(&key(suite)).unwrap())
}

/// A packet of G.711, 20 ms.
fn voice(ssrc: u32, sequence: u16) -> Vec<u8> {
    let header = RtpHeader {
        marker: false,
        payload_type: 8,
        sequence: SequenceNumber(sequence),
        timestamp: Timestamp(u32::from(sequence) * 160),
        ssrc,
    };
    let mut packet = header.to_bytes().to_vec();
    packet.extend((0..160_u8).map(|octet| octet ^ sequence as u8));
    packet
}

fn report(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x81, 202, 0, 3]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend(*b"\x01\x04gw@a\0\0");
    packet
}

fn protect(sender: &mut SrtpSender, plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + 16, 0);
    let octets = sender.protect_rtp(&mut buffer, plain.len()).unwrap();
    buffer.truncate(octets);
    buffer
}

fn protect_report(sender: &mut SrtpSender, plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + 20, 0);
    let octets = sender.protect_rtcp(&mut buffer, plain.len()).unwrap();
    buffer.truncate(octets);
    buffer
}

fn unprotect(receiver: &mut SrtpReceiver, protected: &[u8]) -> Result<Vec<u8>, RtpError> {
    let mut packet = protected.to_vec();
    let octets = receiver.unprotect_rtp(&mut packet)?;
    packet.truncate(octets);
    Ok(packet)
}

fn unprotect_report(receiver: &mut SrtpReceiver, protected: &[u8]) -> Result<Vec<u8>, RtpError> {
    let mut packet = protected.to_vec();
    let octets = receiver.unprotect_rtcp(&mut packet)?;
    packet.truncate(octets);
    Ok(packet)
}

#[test]
fn packets_arrive_as_they_were_sent_and_are_unreadable_between() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let plain = voice(7, 1);
        let protected = protect(&mut sender, &plain);
        assert_eq!(protected.len(), plain.len() + suite.rtp_overhead_octets());
        assert_eq!(protected[..12], plain[..12]);
        assert!(protected.windows(8).all(|octets| octets != &plain[20..28]));
        assert_eq!(unprotect(&mut receiver, &protected), Ok(plain));

        let plain = report(7);
        let protected = protect_report(&mut sender, &plain);
        assert_eq!(protected.len(), plain.len() + suite.rtcp_overhead_octets());
        assert!(protected.windows(8).all(|octets| octets != &plain[12..20]));
        assert_eq!(unprotect_report(&mut receiver, &protected), Ok(plain));
        assert_eq!(receiver.counters(), SrtpCounters::default());
    }
}

#[test]
fn csrc_list_and_extension_stay_readable_and_padding_does_not() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let mut plain = voice(7, 1);
        plain[0] = 0x80 | 0x20 | 0x10 | 2;
        let inserted = [1, 2, 3, 4, 5, 6, 7, 8, 0xbe, 0xde, 0, 1, 9, 9, 9, 9];
        plain.splice(12..12, inserted);
        plain.extend([0, 0, 0, 4]);
        let protected = protect(&mut sender, &plain);
        assert_eq!(protected[..28], plain[..28]);
        assert_ne!(protected[28..plain.len()], plain[28..]);
        assert_eq!(unprotect(&mut receiver, &protected), Ok(plain));
    }
}

#[test]
fn packets_without_payload_pass() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let plain = voice(7, 1)[..12].to_vec();
        let protected = protect(&mut sender, &plain);
        assert_eq!(unprotect(&mut receiver, &protected), Ok(plain));
    }
}

#[test]
fn sequence_numbers_wrap_three_times_without_a_packet_lost() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        for step in 0..70_u32 {
            // Steps of 3000 packets: what a long loss leaves.
            let plain = voice(7, (60_000 + step * 3_000) as u16);
            let protected = protect(&mut sender, &plain);
            assert_eq!(unprotect(&mut receiver, &protected), Ok(plain), "step {step}");
        }
    }
}

#[test]
fn packets_reordered_across_the_wrap_are_taken() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let sent: Vec<(Vec<u8>, Vec<u8>)> = (65_500..65_536_u32 + 36)
            .map(|sequence| voice(7, sequence as u16))
            .map(|plain| (plain.clone(), protect(&mut sender, &plain)))
            .collect();
        // Pairs change places, then the rest backwards.
        let (plain, protected) = &sent[0];
        assert_eq!(unprotect(&mut receiver, protected).as_ref(), Ok(plain));
        for two in sent[1..21].chunks(2).chain([&sent[21..]]) {
            for (plain, protected) in two.iter().rev() {
                assert_eq!(unprotect(&mut receiver, protected).as_ref(), Ok(plain));
            }
        }
        for (_, protected) in &sent {
            assert!(matches!(
                unprotect(&mut receiver, protected),
                Err(RtpError::SrtpReplay { .. })
            ));
        }
        assert_eq!(receiver.counters().replay, sent.len() as u64);
    }
}

#[test]
fn repeated_and_too_old_packets_are_refused_and_counted() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let old = protect(&mut sender, &voice(7, 100));
        let early = protect(&mut sender, &voice(7, 101));
        let late = protect(&mut sender, &voice(7, 229));
        let reports = [report(7), report(7)].map(|plain| protect_report(&mut sender, &plain));
        assert!(unprotect(&mut receiver, &late).is_ok());
        assert_eq!(unprotect(&mut receiver, &late), Err(RtpError::SrtpReplay { index: 229 }));
        assert_eq!(unprotect(&mut receiver, &old), Err(RtpError::SrtpReplay { index: 100 }));
        assert_eq!(
            unprotect(&mut receiver, &early),
            Err(RtpError::SrtpReplay { index: 101 }),
            "128 packets behind the newest is one too many"
        );
        assert!(unprotect_report(&mut receiver, &reports[1]).is_ok());
        assert!(unprotect_report(&mut receiver, &reports[0]).is_ok());
        assert_eq!(
            unprotect_report(&mut receiver, &reports[1]),
            Err(RtpError::SrtpReplay { index: 1 })
        );
        assert_eq!(receiver.counters(), SrtpCounters { replay: 4, ..SrtpCounters::default() });
    }
}

#[test]
fn change_of_any_bit_is_refused_and_changes_nothing() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let (first, second) = (voice(7, 1), voice(7, 2));
        let first_protected = protect(&mut sender, &first);
        let protected = protect(&mut sender, &second);
        let report_protected = protect_report(&mut sender, &report(7));
        assert_eq!(unprotect(&mut receiver, &first_protected), Ok(first));
        for bit in 0..protected.len() * 8 {
            let mut changed = protected.clone();
            changed[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(unprotect(&mut receiver, &changed).is_err(), "{suite:?} bit {bit}");
        }
        for bit in 0..report_protected.len() * 8 {
            let mut changed = report_protected.clone();
            changed[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(unprotect_report(&mut receiver, &changed).is_err(), "{suite:?} bit {bit}");
        }
        let bits = (protected.len() + report_protected.len()) as u64 * 8;
        let counted = receiver.counters();
        assert_eq!(counted.tag + counted.replay + counted.malformed, bits);
        assert!(counted.malformed >= 4, "the version's bits are not the tag's matter");
        // Neither index, nor SSRC, nor window moved.
        assert_eq!(unprotect(&mut receiver, &protected), Ok(second));
        assert_eq!(unprotect_report(&mut receiver, &report_protected), Ok(report(7)));
    }
}

#[test]
fn truncated_packets_are_refused_and_counted() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let protected = protect(&mut sender, &voice(7, 1));
        for octets in 0..protected.len() {
            let error = unprotect(&mut receiver, &protected[..octets]).unwrap_err();
            let is_too_short = octets < 12 + suite.rtp_overhead_octets();
            assert_eq!(matches!(error, RtpError::Truncated { .. }), is_too_short, "{error}");
        }
        let short = 12 + suite.rtp_overhead_octets() as u64;
        assert_eq!(receiver.counters().malformed, short);
        assert_eq!(receiver.counters().tag, protected.len() as u64 - short);
        let protected = protect_report(&mut sender, &report(7));
        for octets in 0..protected.len() {
            assert!(unprotect_report(&mut receiver, &protected[..octets]).is_err());
        }
        // An extension that claims more than is there.
        let mut packet = voice(7, 1);
        packet[0] |= 0x10;
        packet[14..16].copy_from_slice(&[0xff, 0xff]);
        let octets = packet.len();
        packet.resize(octets + 16, 0);
        assert!(matches!(sender.protect_rtp(&mut packet, octets), Err(RtpError::Truncated { .. })));
    }
}

#[test]
fn a_new_ssrc_starts_its_own_count() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        for (ssrc, sequence) in [(7, 65_535), (7, 0), (8, 3), (7, 1), (8, 4), (9, 65_535)] {
            let plain = voice(ssrc, sequence);
            let protected = protect(&mut sender, &plain);
            assert_eq!(unprotect(&mut receiver, &protected), Ok(plain));
        }
    }
}

#[test]
fn ssrcs_are_bounded_and_only_authentic_ones_count() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_80);
    for ssrc in 0..1_000 {
        let mut forged = voice(ssrc, 1);
        assert!(matches!(receiver.unprotect_rtp(&mut forged), Err(RtpError::SrtpTag { .. })));
    }
    for ssrc in 0..32 {
        let plain = voice(ssrc, 1);
        let protected = protect(&mut sender, &plain);
        assert_eq!(unprotect(&mut receiver, &protected), Ok(plain));
    }
    let mut one_more = voice(32, 1);
    one_more.resize(200, 0);
    assert_eq!(sender.protect_rtp(&mut one_more, 172), Err(RtpError::SrtpStreams { limit: 32 }));
    assert_eq!(receiver.unprotect_rtp(&mut one_more), Err(RtpError::SrtpStreams { limit: 32 }));
    assert_eq!((receiver.counters().tag, receiver.counters().streams), (1_000, 1));
    // Those known go on.
    let plain = voice(5, 2);
    let protected = protect(&mut sender, &plain);
    assert_eq!(unprotect(&mut receiver, &protected), Ok(plain));
}

#[test]
fn stream_under_a_new_key_is_read_whether_or_not_it_counts_its_roll_overs_on() {
    for suite in Suite::ALL {
        let other = MasterKey::generate(suite, |octets| octets.fill(9));
        let (mut sender, mut receiver) = pair(suite);
        for sequence in [65_534, 65_535, 0, 1] {
            unprotect(&mut receiver, &protect(&mut sender, &voice(7, sequence))).unwrap();
        }
        // A sender that goes on: as if it had counted under the new key from the beginning.
        let mut counts_on = SrtpSender::new(&other).unwrap();
        for sequence in [65_534, 65_535, 0, 1] {
            protect(&mut counts_on, &voice(7, sequence));
        }
        let begins_again = SrtpSender::new(&other).unwrap();
        // Odd sequence numbers are tried with the one, even ones with the other.
        for (mut sender, is_read) in [(counts_on, [true, true]), (begins_again, [false, true])] {
            let mut successor = SrtpReceiver::new(&other).unwrap();
            successor.follow(&receiver);
            // A second change before anything came under the first.
            let mut successor_of_that = SrtpReceiver::new(&other).unwrap();
            successor_of_that.follow(&successor);
            for sequence in 2..40 {
                let plain = voice(7, sequence);
                let expected = is_read[usize::from(sequence > 2)];
                let read = unprotect(&mut successor_of_that, &protect(&mut sender, &plain));
                assert_eq!(read.is_ok(), expected, "{suite:?} {sequence}");
                unprotect(&mut successor_of_that, &[&plain[..], &[0; 16]].concat()).unwrap_err();
            }
        }
    }
}

#[test]
fn a_direction_takes_less_than_three_kilobytes() {
    let streams_octets = stream::MAXIMUM_STREAMS * size_of::<stream::Stream>();
    assert!(size_of::<Context>() + streams_octets < 3_072);
}

#[test]
fn sender_uses_no_index_twice() {
    let (mut sender, _) = pair(Suite::AeadAes128Gcm);
    protect(&mut sender, &voice(7, 1));
    let mut again = voice(7, 1);
    again.resize(200, 0);
    let before = again.clone();
    assert_eq!(sender.protect_rtp(&mut again, 172), Err(RtpError::SrtpReplay { index: 1 }));
    assert_eq!((again, sender.counters().replay), (before, 1));
}

#[test]
fn key_that_has_protected_all_it_may_protects_no_more() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_80);
    for context in [&mut sender.context, &mut receiver.context] {
        let mut stream = context.streams.find(7).unwrap();
        stream.rtp.note(RTP_INDICES - 2);
        stream.rtcp.note(RTCP_INDICES - 2);
        context.streams.keep(stream);
    }
    let last = protect(&mut sender, &voice(7, 65_535));
    assert_eq!(unprotect(&mut receiver, &last), Ok(voice(7, 65_535)));
    let mut packet = voice(7, 0);
    packet.resize(200, 0);
    assert_eq!(sender.protect_rtp(&mut packet, 172), Err(RtpError::SrtpKeyUsedUp));
    assert_eq!(receiver.unprotect_rtp(&mut packet), Err(RtpError::SrtpKeyUsedUp));
    let last = protect_report(&mut sender, &report(7));
    assert_eq!(unprotect_report(&mut receiver, &last), Ok(report(7)));
    let mut packet = report(7);
    packet.resize(200, 0);
    assert_eq!(sender.protect_rtcp(&mut packet, 24), Err(RtpError::SrtpKeyUsedUp));
    assert_eq!((sender.counters().key_used_up, receiver.counters().key_used_up), (2, 1));
}

#[test]
fn buffer_without_room_for_the_tag_is_refused() {
    for suite in Suite::ALL {
        let (mut sender, _) = pair(suite);
        let mut buffer = voice(7, 1);
        buffer.resize(172 + suite.rtp_overhead_octets() - 1, 0);
        let error = sender.protect_rtp(&mut buffer, 172).unwrap_err();
        assert!(matches!(error, RtpError::BufferTooSmall { .. }), "{error}");
        let mut buffer = report(7);
        let octets = buffer.len();
        assert!(sender.protect_rtcp(&mut buffer, octets).is_err());
        assert_eq!(sender.counters().malformed, 2);
    }
}

#[test]
fn debug_shows_no_key() {
    let (sender, receiver) = pair(Suite::AesCm128HmacSha1_80);
    for text in [format!("{sender:?}"), format!("{receiver:?}")] {
        assert!(text.contains("AesCm128HmacSha1_80") && text.len() < 300, "{text}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_and_counted(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        is_rtp_version in any::<bool>(),
    ) {
        if is_rtp_version && let Some(first) = bytes.first_mut() {
            *first = 0x80 | *first & 0x3f;
        }
        for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm, Suite::AeadAes256Gcm] {
            let (_, mut receiver) = pair(suite);
            prop_assert!(receiver.unprotect_rtp(&mut bytes.clone()).is_err());
            prop_assert!(receiver.unprotect_rtcp(&mut bytes.clone()).is_err());
            let counted = receiver.counters();
            prop_assert_eq!(counted.tag + counted.malformed, 2);
        }
    }

    #[test]
    fn whatever_can_be_protected_arrives(
        payload in proptest::collection::vec(any::<u8>(), 0..1_400),
        sequences in proptest::collection::vec(any::<u16>(), 1..20),
    ) {
        for suite in Suite::ALL {
            let (mut sender, mut receiver) = pair(suite);
            for sequence in &sequences {
                let mut buffer = voice(9, *sequence)[..12].to_vec();
                buffer.extend(&payload);
                let plain = buffer.clone();
                buffer.resize(plain.len() + 16, 0);
                if let Ok(octets) = sender.protect_rtp(&mut buffer, plain.len()) {
                    prop_assert_eq!(unprotect(&mut receiver, &buffer[..octets]), Ok(plain));
                }
            }
        }
    }
}
