use bytes::Bytes;
use proptest::prelude::*;
use webrtc_util::marshal::{Marshal, Unmarshal};

use super::*;

const HEADER: RtpHeader = RtpHeader {
    marker: true,
    payload_type: 8,
    sequence: SequenceNumber(0xfffe),
    timestamp: Timestamp(0x0102_0304),
    ssrc: 0xdead_beef,
};

#[test]
fn written_header_is_read_back() {
    let mut packet = [0; 172];
    assert_eq!(HEADER.write(&mut packet), Ok(12));
    let view = RtpPacket::parse(&packet).unwrap();
    assert_eq!(view.header, HEADER);
    assert_eq!(view.payload.len(), 160);
    assert_eq!(packet[..12], HEADER.to_bytes());
}

#[test]
fn relayed_packet_keeps_csrc_extension_and_payload() {
    let mut packet = vec![0xb1, 0x00, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    packet.extend([0, 0, 0, 9]);
    packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
    packet.extend([7, 7, 7, 0, 2]);
    HEADER.rewrite(&mut packet).unwrap();
    let view = RtpPacket::parse(&packet).unwrap();
    assert_eq!(view.header, HEADER);
    assert_eq!(view.csrc, [0, 0, 0, 9]);
    assert_eq!(
        view.extension,
        Some(HeaderExtension { profile: 0xbede, data: &[0x10, 0xaa, 0, 0] })
    );
    assert_eq!(view.payload, [7, 7, 7]);
}

#[test]
fn cut_and_forged_packets_are_refused_by_name() {
    let whole = HEADER.to_bytes();
    assert!(matches!(
        RtpPacket::parse(&whole[..11]),
        Err(RtpError::Truncated { present_octets: 11, .. })
    ));
    let change = |index: usize, value: u8, extra: &[u8]| {
        let mut bytes = whole.to_vec();
        bytes[index] = value;
        bytes.extend_from_slice(extra);
        bytes
    };
    let cases: [(Vec<u8>, &str); 6] = [
        (change(0, 0x40, &[]), "version 1"),
        (change(0, 0x8f, &[0; 8]), "CSRC list needs 60"),
        (change(0, 0x90, &[0; 3]), "header extension needs 4"),
        (change(0, 0x90, &[0, 0, 0xff, 0xff, 1]), "needs 262140"),
        (change(0, 0xa0, &[1, 2, 0]), "padding of 0"),
        (change(0, 0xa0, &[1, 2, 4]), "padding of 4"),
    ];
    for (bytes, expected) in cases {
        let error = RtpPacket::parse(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
    assert!(matches!(HEADER.write(&mut [0; 4]), Err(RtpError::BufferTooSmall { .. })));
    assert!(HEADER.rewrite(&mut [0; 4]).is_err());
}

#[test]
fn sequence_numbers_and_timestamps_compare_across_the_wrap() {
    assert!(SequenceNumber(2).is_after(SequenceNumber(0xfff0)));
    assert_eq!(SequenceNumber(0xffff).next(), SequenceNumber(0));
    assert_eq!(SequenceNumber(0xfff0).since(SequenceNumber(2)), -18);
    assert!(Timestamp(5).is_after(Timestamp(u32::MAX)));
    assert_eq!(Timestamp(u32::MAX).plus(6), Timestamp(5));
}

#[test]
fn rtcp_on_a_shared_port_is_told_from_rtp() {
    assert!(is_rtcp(&[0x81, 200, 0, 6]));
    assert!(!is_rtcp(&[0x80, 8 | 0x80, 0, 6]));
    assert!(!is_rtcp(&[0x00, 200]));
    assert!(!is_rtcp(&[0x80]));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = RtpPacket::parse(&bytes);
        let _ = is_rtcp(&bytes);
    }

    // The `rtp` crate as the second opinion. It skips bytes in unknown extension profiles and keeps
    // padding rules of its own, so only what both accept is compared.
    #[test]
    fn packets_the_rtp_crate_reads_are_read_alike(
        flags in 0_u8..64, head in any::<[u8; 11]>(), body in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut bytes = vec![0x80 | flags];
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&body);
        let theirs = rtp::packet::Packet::unmarshal(&mut Bytes::copy_from_slice(&bytes));
        if let (Ok(ours), Ok(theirs)) = (RtpPacket::parse(&bytes), theirs) {
            prop_assert_eq!(ours.header.marker, theirs.header.marker);
            prop_assert_eq!(ours.header.payload_type, theirs.header.payload_type);
            prop_assert_eq!(ours.header.sequence.0, theirs.header.sequence_number);
            prop_assert_eq!(ours.header.timestamp.0, theirs.header.timestamp);
            prop_assert_eq!(ours.header.ssrc, theirs.header.ssrc);
            prop_assert_eq!(ours.csrc.len(), theirs.header.csrc.len() * 4);
            prop_assert_eq!(ours.payload, &theirs.payload[..]);
        }
    }

    #[test]
    fn packets_the_rtp_crate_writes_are_read_alike(
        marker: bool, payload_type in 0_u8..128, sequence: u16, timestamp: u32, ssrc: u32,
        csrc in proptest::collection::vec(any::<u32>(), 0..16),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let theirs = rtp::packet::Packet {
            header: rtp::header::Header {
                version: 2, marker, payload_type, sequence_number: sequence, timestamp, ssrc,
                csrc: csrc.clone(), ..Default::default()
            },
            payload: Bytes::from(payload.clone()),
        };
        let bytes = theirs.marshal().unwrap();
        let ours = RtpPacket::parse(&bytes).unwrap();
        let header = RtpHeader {
            marker, payload_type, sequence: SequenceNumber(sequence), timestamp: Timestamp(timestamp), ssrc,
        };
        prop_assert_eq!(ours.header, header);
        prop_assert_eq!(ours.payload, &payload[..]);
        let listed: Vec<u32> = ours.csrc.chunks_exact(4).map(|c| u32::from_be_bytes(c.try_into().unwrap())).collect();
        prop_assert_eq!(listed, csrc.clone());
        if csrc.is_empty() {
            prop_assert_eq!(&bytes[..12], &header.to_bytes()[..]);
        }
    }
}
