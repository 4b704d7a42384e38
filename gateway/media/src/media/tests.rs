use super::*;
use crate::event::MediaEventKind;
use crate::packet_io::probe;
use crate::spec::Remote;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;
use trunkline_dsp::g711::Law;
use trunkline_rtp::codec::Codec;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 7));

fn config(rtp_ports: std::ops::RangeInclusive<u16>) -> MediaConfig {
    MediaConfig {
        cores: vec![0],
        backend: Some(Backend::Mio),
        rtp_ports,
        tick: Duration::from_millis(1),
        realtime_priority: None,
        legs_per_worker_max: 4,
        ..MediaConfig::default()
    }
}

/// The next event, within five seconds.
fn next(events: &mut mpsc::Receiver<MediaEvent>) -> MediaEvent {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match events.try_recv() {
            Ok(event) => return event,
            Err(_) => assert!(Instant::now() < deadline, "no event came"),
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

#[test]
fn a_leg_that_fails_is_released_and_counted_and_the_others_go_on() {
    let media = Media::start(config(21_000..=21_019)).unwrap();
    let mut events = media.events().unwrap();
    let far = UdpSocket::bind((HERE, 0)).unwrap();
    far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let remote = Some(Remote::new(far.local_addr().unwrap()));
    let spec = RtpLegSpec::g711(HERE, remote, Law::A);
    let faulty = RtpLegSpec { cname: crate::leg::FAULTY.to_owned(), ..spec.clone() };
    let faulty = media.open(faulty).unwrap();
    let mut sound = media.open(spec).unwrap();
    far.send_to(&[0x80; 172], faulty.local).unwrap();
    let failed = next(&mut events);
    assert_eq!((failed.leg, failed.kind), (faulty.leg, MediaEventKind::Failed));
    let closed = next(&mut events);
    assert_eq!(closed.leg, faulty.leg);
    assert!(matches!(closed.kind, MediaEventKind::Closed(_)));
    // The other leg of the worker has lost nothing.
    sound.timeslot.exchange(&[0xD5; 160], &mut [0; 160]);
    let mut packet = [0; 200];
    let (len, from) = far.recv_from(&mut packet).unwrap();
    assert_eq!((len, from), (172, sound.local));
    let counters = media.counters().total();
    assert_eq!((counters.legs_failed, counters.legs_closed, media.legs()), (1, 1, 1));
}

#[test]
fn stopping_closes_every_leg_with_its_figures_and_frees_the_ports() {
    for backend in [Backend::Mio, probe(None).backend] {
        stop_with_open_legs(MediaConfig { backend: Some(backend), ..config(21_020..=21_039) });
    }
}

fn stop_with_open_legs(config: MediaConfig) {
    let media = Media::start(config).unwrap();
    let mut events = media.events().unwrap();
    assert!(media.events().is_none());
    let legs: Vec<_> =
        (0..4).map(|_| media.open(RtpLegSpec::g711(HERE, None, Law::A)).unwrap()).collect();
    let refused = media.open(RtpLegSpec::g711(HERE, None, Law::A)).unwrap_err();
    assert!(matches!(refused, MediaError::LegsExhausted { limit: 4, workers: 1 }), "{refused}");
    let address = legs[0].local;
    drop(media);
    let closed: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    assert_eq!(closed.len(), 4);
    assert!(closed.iter().all(|event| matches!(event.kind, MediaEventKind::Closed(_))));
    // The kernel may take a moment to let go of a socket that a ring has used.
    let deadline = Instant::now() + Duration::from_secs(3);
    while UdpSocket::bind(address).is_err() {
        assert!(Instant::now() < deadline, "the port is still taken");
        std::thread::sleep(Duration::from_millis(1));
    }
    // The ends for the line go on without their legs.
    for mut leg in legs {
        let mut to_line = [0; 160];
        leg.timeslot.exchange(&[1; 160], &mut to_line);
        assert_eq!(to_line, [0xD5; 160]);
    }
}

#[test]
fn commands_for_a_leg_that_is_gone_do_nothing() {
    let media = Media::start(config(21_040..=21_059)).unwrap();
    let mut events = media.events().unwrap();
    let opened = media.open(RtpLegSpec::g711(HERE, None, Law::A)).unwrap();
    media.close(opened.leg).unwrap();
    media.close(opened.leg).unwrap();
    media.update(opened.leg, RtpLegUpdate::default()).unwrap();
    assert!(matches!(next(&mut events).kind, MediaEventKind::Closed(_)));
    let again = media.open(RtpLegSpec::g711(HERE, None, Law::A)).unwrap();
    assert_ne!(again.leg, opened.leg);
    media.close(again.leg).unwrap();
    assert_eq!(next(&mut events).leg, again.leg);
    assert_eq!(media.counters().total().legs_closed, 2);
}

#[test]
fn wrong_settings_and_descriptions_are_named() {
    let wrong = |change: fn(&mut MediaConfig)| {
        let mut config = config(21_060..=21_079);
        change(&mut config);
        Media::start(config).map(|_| ()).unwrap_err().to_string()
    };
    assert!(wrong(|c| c.rtp_ports = 21_061..=21_062).contains("21061-21062"));
    assert!(wrong(|c| c.tick = Duration::from_secs(1)).contains("tick"));
    assert!(wrong(|c| c.dscp = 64).contains("dscp"));
    assert!(wrong(|c| c.realtime_priority = Some(0)).contains("realtime_priority"));
    assert!(wrong(|c| c.cores = vec![1000]).contains("worker 0"));

    let media = Media::start(config(21_060..=21_079)).unwrap();
    let refused = |change: fn(&mut RtpLegSpec)| {
        let mut spec = RtpLegSpec::g711(HERE, None, Law::A);
        change(&mut spec);
        media.open(spec).map(|_| ()).unwrap_err().to_string()
    };
    assert!(refused(|s| s.sending.ptime_ms = 25).contains("ptime"));
    assert!(refused(|s| s.receiving.clear()).contains("audio"));
    assert!(refused(|s| s.sending.telephone_event = Some(8)).contains("same payload type"));
    assert!(
        refused(|s| s.remote = Some(Remote::new("[::1]:4000".parse().unwrap()))).contains("IP")
    );
    assert!(
        refused(|s| {
            (s.sending.codec, s.sending.ptime_ms) = (Codec::opus_telephony(), 50);
        })
        .contains("Opus")
    );
    assert_eq!(media.legs(), 0);
    assert_eq!(media.counters().port_pairs_free, 10);
    // Whatever negotiation may agree on for G.711.
    for ptime_ms in [10, 50, 60] {
        let mut spec = RtpLegSpec::g711(HERE, None, Law::A);
        spec.sending.ptime_ms = ptime_ms;
        assert!(media.open(spec).is_ok(), "{ptime_ms} ms");
    }
}
