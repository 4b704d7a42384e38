//! RTCP as the far end sees it, and what our side learns from it.

mod common;

use std::time::Duration;

use common::{FarEnd, Side, backends, config, pair, speech, talk};
use trunkline_media::{MediaEventKind, Remote, RtpLegUpdate};
use trunkline_rtp::ntp::NtpTime;
use trunkline_rtp::packet::Timestamp;
use trunkline_rtp::rtcp::{
    Compound, ExtendedBlock, JitterBufferKind, LossConcealment, Report, ReportBlock, RtcpPacket,
    SenderReport, VoipMetrics, write_report,
};

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
    let voice = VoipMetrics { ssrc, mos_lq_tenths: Some(39), ..VoipMetrics::default() };
    let sender = SenderReport { ntp: NtpTime(1), timestamp: Timestamp(0), packets: 1, octets: 160 };
    let report = Report {
        ssrc: far.ssrc,
        sender: Some(sender),
        blocks: &[block],
        cname: "x",
        voip_metrics: Some(voice),
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
    assert_eq!(figures.remote_voice, Some(voice));
    assert_eq!(figures.rtcp_received, 1);
}

/// The VoIP metrics of a compound, and whether it says goodbye.
fn metrics_of(compound: &[u8]) -> (Option<VoipMetrics>, bool) {
    let (mut metrics, mut goodbye) = (None, false);
    for packet in Compound::parse(compound).unwrap().map(Result::unwrap) {
        match packet {
            RtcpPacket::ExtendedReport { mut blocks, .. } => {
                let Some(Ok(ExtendedBlock::VoipMetrics(block))) = blocks.next() else {
                    panic!("{blocks:?}");
                };
                metrics = Some(block);
            }
            RtcpPacket::Bye { .. } => goodbye = true,
            _ => {}
        }
    }
    (metrics, goodbye)
}

#[test]
fn far_end_that_asks_hears_how_its_voice_arrives() {
    let mut side = Side::a_law(config(backends()[0]));
    let mut far = FarEnd::new();
    let remote = Remote { voip_metrics: true, ..Remote::new(far.address) };
    let update = RtpLegUpdate { remote: Some(remote), ..Default::default() };
    side.media.update(side.leg, update).expect("the worker takes it");
    let mut came = 0;
    let mut late = Vec::new();
    for number in 0..90_u64 {
        match number {
            // A burst, and a single packet that is held up until its turn is over.
            30..34 => far.skip(160),
            60 => {
                late = far.packet(8, false, &[7; 160]);
                far.skip(160);
            }
            _ => {
                far.speak(side.local, 8, &[7; 160]);
                came += 1;
            }
        }
        if number == 65 {
            far.rtp.send_to(&late, side.local).expect("send");
            came += 1;
        }
        side.wait("the packet", |counters| counters.packets_received == came);
        side.turn(&[0xD5; 160], 160);
    }
    let figures = side.close();
    let losses = figures.losses;
    assert_eq!((losses.expected, losses.lost, losses.discarded), (90, 4, 1));
    assert_eq!((losses.bursts.count, losses.bursts.missing), (1, 4));
    assert_eq!((losses.gaps.count, losses.gaps.missing), (2, 1));
    let quality = figures.quality.expect("voice came");
    assert!(quality.mos_lq < 4.0 && quality.mos_cq <= quality.mos_lq, "{quality:?}");

    let block = loop {
        let (metrics, goodbye) = metrics_of(&far.hear_report());
        if goodbye {
            break metrics.expect("it was asked for");
        }
    };
    assert_eq!((block.ssrc, block.gmin), (far.ssrc, 16));
    assert_eq!((block.loss_rate, block.discard_rate), (11, 2));
    assert_eq!((block.burst_density, block.gap_density), (255, 2));
    assert_eq!((block.burst_duration_ms, block.gap_duration_ms), (80, 860));
    assert_eq!(block.r_factor, Some(quality.r_factor.round() as u8));
    assert_eq!(block.mos_lq_tenths, Some((quality.mos_lq * 10.0).round() as u8));
    assert_eq!(block.signal_level_dbm0, None);
    assert_eq!(block.concealment, LossConcealment::Standard);
    assert_eq!(block.jitter_buffer, JitterBufferKind::Adaptive);
    assert_eq!(block.jitter_buffer_maximum_ms, 1000);
    assert_eq!(u32::from(block.jitter_buffer_nominal_ms), figures.playout.delay_ms);
    assert_eq!(u32::from(block.end_system_delay_ms), 20 + figures.playout.delay_ms);
}

#[test]
fn far_end_that_does_not_ask_hears_no_extended_report() {
    let mut side = Side::a_law(config(backends()[0]));
    let mut far = FarEnd::new();
    side.connect(far.address);
    far.speak(side.local, 8, &[7; 160]);
    side.wait("the packet", |counters| counters.packets_received == 1);
    side.turn(&[0xD5; 160], 160);
    far.hear();
    assert!(side.close().quality.is_some());
    while let (metrics, false) = metrics_of(&far.hear_report()) {
        assert_eq!(metrics, None);
    }
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
