//! RTCP as the far end sees it, and what our side learns from it.

mod common;

use std::time::Duration;

use common::{FarEnd, Side, backends, config, pair, speech, talk};
use trunkline_media::MediaEventKind;
use trunkline_rtp::ntp::NtpTime;
use trunkline_rtp::packet::Timestamp;
use trunkline_rtp::rtcp::{Compound, Report, ReportBlock, RtcpPacket, SenderReport, write_report};

#[test]
fn reports_tell_what_was_sent_and_received_and_the_last_says_goodbye() {
    for backend in backends() {
        let mut side = Side::a_law(config(backend));
        let mut far = FarEnd::new();
        side.connect(far.address);
        for number in 0..10_u64 {
            far.speak(side.local, 8, &[7; 160]);
            if number == 4 {
                far.skip(160);
            }
            side.wait("the packet", |counters| counters.packets_received == number + 1);
            side.turn(&[0xD5; 160], 160);
        }
        let first = far.hear();
        let ssrc = u32::from_be_bytes(first[8..12].try_into().unwrap());
        let report = far.hear_report();
        let mut packets = Compound::parse(&report).unwrap().map(Result::unwrap);
        let Some(RtcpPacket::SenderReport { ssrc: from, report: sent, mut blocks }) =
            packets.next()
        else {
            panic!("no sender report");
        };
        assert_eq!(from, ssrc);
        assert_eq!((sent.packets, sent.octets), (10, 1600));
        let block = blocks.next().expect("a block about the far end");
        assert_eq!((block.ssrc, block.cumulative_lost), (far.ssrc, 1));
        assert_eq!(block.highest_sequence & 0xFFFF, 110);
        assert!(block.fraction_lost > 0);
        assert!(matches!(packets.next(), Some(RtcpPacket::SourceDescription(_))));

        let figures = side.close();
        assert_eq!(figures.packets_sent, 10);
        assert!(figures.rtcp_sent >= 2);
        let mut goodbye = false;
        while !goodbye {
            let report = far.hear_report();
            goodbye = Compound::parse(&report).unwrap().any(|packet| {
                matches!(packet, Ok(RtcpPacket::Bye { sources, .. }) if sources.clone().any(|s| s == ssrc))
            });
        }
    }
}

#[test]
fn the_far_ends_report_gives_loss_jitter_and_round_trip() {
    let mut side = Side::a_law(config(backends()[0]));
    let mut far = FarEnd::new();
    side.connect(far.address);
    far.speak(side.local, 8, &[7; 160]);
    side.turn(&[0xD5; 160], 160);
    let first = far.hear();
    let ssrc = u32::from_be_bytes(first[8..12].try_into().unwrap());
    let ours = far.hear_report();
    let ntp = match Compound::parse(&ours).unwrap().next() {
        Some(Ok(RtcpPacket::SenderReport { report, .. })) => report.ntp,
        other => panic!("no sender report but {other:?}"),
    };
    let held = Duration::from_millis(20);
    std::thread::sleep(held);
    let block = ReportBlock {
        ssrc,
        fraction_lost: 64,
        cumulative_lost: 3,
        highest_sequence: 1,
        jitter: 80,
        last_sr: ntp.middle(),
        delay_since_last_sr: (held.as_millis() as u32 * 65_536) / 1000,
    };
    let sender = SenderReport { ntp: NtpTime(1), timestamp: Timestamp(0), packets: 1, octets: 160 };
    let report = Report {
        ssrc: far.ssrc,
        sender: Some(sender),
        blocks: &[block],
        cname: "x",
        voip_metrics: None,
        bye: true,
    };
    let mut compound = [0; 200];
    let len = write_report(&report, &mut compound).unwrap();
    far.rtcp.send_to(&compound[..len], (side.local.ip(), side.local.port() + 1)).unwrap();
    side.event("the far end's BYE", |kind| (kind == MediaEventKind::ByeReceived).then_some(()));
    let figures = side.close();
    assert_eq!(figures.remote_loss, Some(0.25));
    assert_eq!(figures.remote_jitter_us, Some(10_000));
    assert!(figures.round_trip_us.is_some_and(|us| us < 1_000_000), "{:?}", figures.round_trip_us);
    assert_eq!(figures.rtcp_received, 1);
}

#[test]
fn two_sides_learn_of_each_other_and_the_end_has_all_figures() {
    let (mut a, mut b) = pair(backends()[0]);
    for _ in 0..40 {
        talk(&mut a, &mut b, &speech(3 * 160, 1), &speech(3 * 160, 2), 160);
        std::thread::sleep(Duration::from_millis(15));
    }
    a.wait("a report", |counters| counters.rtcp_received > 0 && counters.rtcp_sent > 0);
    let figures = a.close();
    assert_eq!((figures.packets_sent, figures.packets_received), (120, 120));
    assert_eq!((figures.octets_sent, figures.octets_received), (19_200, 19_200));
    assert_eq!(figures.remote_loss, Some(0.0));
    assert!(figures.round_trip_us.is_none_or(|us| us < 1_000_000));
    assert!(figures.reception.jitter_us < 100_000);
    b.event("a's BYE", |kind| (kind == MediaEventKind::ByeReceived).then_some(()));
}
