use proptest::prelude::*;

use super::*;

fn blocks() -> [ReportBlock; 2] {
    [
        ReportBlock {
            ssrc: 2,
            fraction_lost: 64,
            cumulative_lost: -3,
            highest_sequence: 0x0001_0005,
            jitter: 33,
            last_sr: 0x1234_5678,
            delay_since_last_sr: 0x0001_8000,
        },
        ReportBlock { ssrc: 3, cumulative_lost: 0x7f_ffff, ..ReportBlock::default() },
    ]
}

fn sender() -> SenderReport {
    SenderReport {
        ntp: NtpTime(0x0102_0304_0506_0708),
        timestamp: Timestamp(160),
        packets: 9,
        octets: 1440,
    }
}

fn written(report: &Report<'_>) -> Vec<u8> {
    let mut out = [0xff; 1500];
    let octets = write_report(report, &mut out).unwrap();
    out[..octets].to_vec()
}

#[test]
fn sender_report_with_name_and_bye_is_read_back() {
    let blocks = blocks();
    let report = Report {
        ssrc: 1,
        sender: Some(sender()),
        blocks: &blocks,
        cname: "gw@192.0.2.1",
        voip_metrics: None,
        bye: true,
    };
    let bytes = written(&report);
    let packets: Vec<_> = Compound::parse(&bytes).unwrap().map(Result::unwrap).collect();
    let [
        RtcpPacket::SenderReport { ssrc: 1, report: read, blocks: read_blocks },
        RtcpPacket::SourceDescription(names),
        RtcpPacket::Bye { sources, reason: None },
    ] = packets.as_slice()
    else {
        panic!("{packets:?}");
    };
    assert_eq!(*read, sender());
    assert_eq!(read_blocks.clone().collect::<Vec<_>>(), blocks);
    assert_eq!(names.clone().next(), Some(Ok((1, &b"gw@192.0.2.1"[..]))));
    assert_eq!(sources.clone().collect::<Vec<_>>(), [1]);
}

#[test]
fn report_without_anything_sent_is_an_rr_and_names_of_every_length_end_on_a_word() {
    for length in 0..=255 {
        let cname = "x".repeat(length);
        let bytes = written(&Report {
            ssrc: 5,
            sender: None,
            blocks: &[],
            cname: &cname,
            voip_metrics: None,
            bye: false,
        });
        assert_eq!(bytes.len() % 4, 0);
        let packets: Vec<_> = Compound::parse(&bytes).unwrap().map(Result::unwrap).collect();
        let [RtcpPacket::ReceiverReport { ssrc: 5, .. }, RtcpPacket::SourceDescription(names)] =
            packets.as_slice()
        else {
            panic!("{packets:?}");
        };
        assert_eq!(names.clone().next(), Some(Ok((5, cname.as_bytes()))));
    }
}

#[test]
fn octets_on_the_wire_are_those_of_the_standard() {
    // RFC 3550 §6.4.2, §6.5 by hand.
    let bytes = written(&Report {
        ssrc: 0x0102_0304,
        sender: None,
        blocks: &[],
        cname: "ab",
        voip_metrics: None,
        bye: true,
    });
    let expected = [
        0x80, 201, 0, 1, 1, 2, 3, 4, // RR
        0x81, 202, 0, 3, 1, 2, 3, 4, 1, 2, b'a', b'b', 0, 0, 0, 0, // SDES
        0x81, 203, 0, 1, 1, 2, 3, 4, // BYE
    ];
    assert_eq!(bytes, expected);
}

#[test]
fn what_does_not_fit_is_refused() {
    let name = "x".repeat(256);
    let long =
        Report { ssrc: 1, sender: None, blocks: &[], cname: &name, voip_metrics: None, bye: false };
    assert!(matches!(
        write_report(&long, &mut [0; 1500]),
        Err(RtpError::TooLong { length: 256, .. })
    ));
    let many = [ReportBlock::default(); 32];
    let report = Report { blocks: &many, cname: "a", ..long };
    assert!(matches!(
        write_report(&report, &mut [0; 1500]),
        Err(RtpError::TooLong { length: 32, .. })
    ));
    let report = Report { blocks: &many[..31], ..report };
    assert!(matches!(write_report(&report, &mut [0; 700]), Err(RtpError::BufferTooSmall { .. })));
}

#[test]
fn compound_is_refused_when_its_outer_form_is_wrong() {
    let rr = [0x80, 201, 0, 1, 0, 0, 0, 9];
    let with = |index: usize, value: u8| {
        let mut bytes = rr.to_vec();
        bytes[index] = value;
        bytes
    };
    let padded_first = [&[0xa0, 201, 0, 2, 0, 0, 0, 9, 0, 0, 0, 4][..], &rr].concat();
    let cases: [(Vec<u8>, &str); 8] = [
        (vec![], "RTCP header needs 4"),
        (rr[..3].to_vec(), "RTCP header needs 4"),
        (rr[..7].to_vec(), "RTCP packet needs 8"),
        (with(0, 0x40), "version 1"),
        (with(1, 203), "packet type 203"),
        ([&rr[..], &[0x80]].concat(), "RTCP header needs 4"),
        (with(0, 0xa0), "padding of 9"),
        (padded_first, "padding of 4"),
    ];
    for (bytes, expected) in cases {
        let error = Compound::parse(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}

#[test]
fn packet_with_a_wrong_inside_is_an_error_and_those_after_it_are_read() {
    // An RR, then an SDES whose item runs over its end, then a BYE that names more than it has, then one
    // with a reason, then an APP.
    let bytes = [
        &[0x80, 201, 0, 1, 0, 0, 0, 9][..],
        &[0x81, 202, 0, 2, 0, 0, 0, 9, 1, 200, b'a', b'b'],
        &[0x82, 203, 0, 1, 0, 0, 0, 9],
        &[0x81, 203, 0, 2, 0, 0, 0, 9, 3, b'e', b'n', b'd'],
        &[0x80, 204, 0, 0],
    ]
    .concat();
    let packets: Vec<_> = Compound::parse(&bytes).unwrap().collect();
    assert_eq!(packets.len(), 5);
    let Ok(RtcpPacket::SourceDescription(names)) = &packets[1] else { panic!() };
    assert!(matches!(
        names.clone().next(),
        Some(Err(RtpError::Truncated { needed_octets: 200, .. }))
    ));
    assert!(matches!(packets[2], Err(RtpError::Truncated { what: "the BYE sources", .. })));
    assert!(matches!(packets[3], Ok(RtcpPacket::Bye { reason: Some(b"end"), .. })));
    assert_eq!(packets[4], Ok(RtcpPacket::Other { packet_type: 204 }));
}

#[test]
fn first_report_comes_after_one_to_three_seconds_the_next_after_two_to_six() {
    for random in [0, 1, u32::MAX / 2, u32::MAX] {
        let first = report_interval(true, random).as_secs_f64();
        assert!((1.02..=3.08).contains(&first), "{first}");
        let next = report_interval(false, random).as_secs_f64();
        assert!((2.05..=6.16).contains(&next), "{next}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_end(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600), plausible: bool,
    ) {
        if plausible && bytes.len() >= 8 {
            let words = (bytes.len() / 4 - 1) as u8;
            bytes[..4].copy_from_slice(&[0x81, 200, 0, words]);
            bytes.truncate(bytes.len() / 4 * 4);
        }
        if let Ok(compound) = Compound::parse(&bytes) {
            for packet in compound.flatten() {
                match packet {
                    RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } => {
                        prop_assert!(blocks.count() <= 31);
                    }
                    RtcpPacket::SourceDescription(names) => prop_assert!(names.count() <= 31),
                    RtcpPacket::Bye { sources, .. } => prop_assert!(sources.count() <= 31),
                    RtcpPacket::ExtendedReport { blocks, .. } => {
                        prop_assert!(blocks.count() <= bytes.len() / 4);
                    }
                    RtcpPacket::Other { .. } => {}
                }
            }
        }
    }
}
