use proptest::prelude::*;

use super::*;
use crate::rtcp::{Compound, Report, RtcpPacket, write_report};

fn metrics() -> VoipMetrics {
    VoipMetrics {
        ssrc: 0x0102_0304,
        loss_rate: 13,
        discard_rate: 3,
        burst_density: 90,
        gap_density: 1,
        burst_duration_ms: 340,
        gap_duration_ms: 12_000,
        round_trip_ms: 84,
        end_system_delay_ms: 60,
        signal_level_dbm0: Some(-18),
        noise_level_dbm0: None,
        rerl_db: None,
        gmin: 16,
        r_factor: Some(82),
        external_r_factor: None,
        mos_lq_tenths: Some(42),
        mos_cq_tenths: Some(41),
        concealment: LossConcealment::Standard,
        jitter_buffer: JitterBufferKind::Adaptive,
        adjustment_rate: 0,
        jitter_buffer_nominal_ms: 40,
        jitter_buffer_maximum_ms: 500,
        jitter_buffer_absolute_maximum_ms: 500,
    }
}

fn blocks_of(compound: &[u8]) -> Vec<Result<ExtendedBlock, RtpError>> {
    Compound::parse(compound)
        .expect("a whole compound")
        .filter_map(|packet| match packet {
            Ok(RtcpPacket::ExtendedReport { blocks, .. }) => Some(blocks),
            _ => None,
        })
        .flatten()
        .collect()
}

/// An RR without blocks, then an extended report of these octets.
fn compound(blocks: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80, 201, 0, 1, 0, 0, 0, 1];
    bytes.extend_from_slice(&[0x80, 207]);
    bytes.extend_from_slice(&((blocks.len() / 4 + 1) as u16).to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 1]);
    bytes.extend_from_slice(blocks);
    bytes
}

#[test]
fn octets_on_the_wire_are_those_of_the_standard() {
    // RFC 3611 §4.7 by hand.
    #[rustfmt::skip]
    let expected = [
        7, 0, 0, 8,
        1, 2, 3, 4,
        13, 3, 90, 1,
        1, 84, 0x2e, 0xe0,
        0, 84, 0, 60,
        0xee, 127, 127, 16,
        82, 127, 42, 41,
        0xf0, 0, 0, 40,
        1, 0xf4, 1, 0xf4,
    ];
    assert_eq!(metrics().to_bytes(), expected);
}

#[test]
fn metrics_stand_between_the_name_and_the_goodbye_and_are_read_back() {
    let report = Report {
        ssrc: 9,
        sender: None,
        blocks: &[],
        cname: "gw@192.0.2.1",
        voip_metrics: Some(metrics()),
        bye: true,
    };
    let mut out = [0xff; 256];
    let octets = write_report(&report, &mut out).unwrap();
    let packets: Vec<_> = Compound::parse(&out[..octets]).unwrap().map(Result::unwrap).collect();
    let [
        RtcpPacket::ReceiverReport { .. },
        RtcpPacket::SourceDescription(_),
        RtcpPacket::ExtendedReport { ssrc: 9, blocks },
        RtcpPacket::Bye { .. },
    ] = packets.as_slice()
    else {
        panic!("{packets:?}");
    };
    let blocks: Vec<_> = blocks.clone().collect();
    assert_eq!(blocks, [Ok(ExtendedBlock::VoipMetrics(metrics()))]);
}

#[test]
fn other_blocks_are_skipped() {
    // A receiver reference time (RFC 3611 §4.4) before, a block of no known type after.
    let mut blocks = vec![4, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    blocks.extend_from_slice(&metrics().to_bytes());
    blocks.extend_from_slice(&[200, 0, 0, 0]);
    assert_eq!(
        blocks_of(&compound(&blocks)),
        [
            Ok(ExtendedBlock::Other { block_type: 4 }),
            Ok(ExtendedBlock::VoipMetrics(metrics())),
            Ok(ExtendedBlock::Other { block_type: 200 }),
        ]
    );
}

#[test]
fn block_of_a_wrong_length_is_refused_and_the_next_is_read() {
    let mut blocks = vec![7, 0, 0, 1, 0, 0, 0, 1];
    blocks.extend_from_slice(&metrics().to_bytes());
    let read = blocks_of(&compound(&blocks));
    assert_eq!(
        read[0],
        Err(RtpError::Value { what: "the length of the VoIP metrics block", found: 1 })
    );
    assert_eq!(read[1], Ok(ExtendedBlock::VoipMetrics(metrics())));
}

#[test]
fn block_that_is_longer_than_its_packet_ends_the_reading() {
    let mut blocks = metrics().to_bytes().to_vec();
    blocks[3] = 200;
    let read = blocks_of(&compound(&blocks));
    assert!(matches!(read.as_slice(), [Err(RtpError::Truncated { .. })]), "{read:?}");
}

#[test]
fn values_out_of_range_count_as_unavailable() {
    let mut block = metrics().to_bytes();
    block[24] = 101;
    block[26] = 9;
    block[27] = 51;
    let [Ok(ExtendedBlock::VoipMetrics(read))] = blocks_of(&compound(&block))[..] else {
        panic!("one block");
    };
    assert_eq!((read.r_factor, read.mos_lq_tenths, read.mos_cq_tenths), (None, None, None));
}

proptest! {
    #[test]
    fn what_is_read_is_written_and_read_back_the_same(
        bytes in proptest::collection::vec(any::<u8>(), VOIP_METRICS_OCTETS - 4),
    ) {
        let mut block = vec![7, 0, 0, 8];
        block.extend_from_slice(&bytes);
        let read = read_block(&block);
        let Ok(ExtendedBlock::VoipMetrics(metrics)) = read else {
            panic!("a whole block");
        };
        prop_assert_eq!(read_block(&metrics.to_bytes()), read);
    }

    #[test]
    fn arbitrary_blocks_never_panic_and_end(
        bytes in proptest::collection::vec(any::<u8>(), 0..1_400),
    ) {
        let blocks = ExtendedBlocks { rest: &bytes };
        prop_assert!(blocks.count() <= bytes.len() / 4 + 1);
    }
}
