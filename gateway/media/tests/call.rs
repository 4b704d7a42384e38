//! Calls between two media planes over the loopback, on a line clock turned by the test.

mod common;

use common::{Side, backends, config, own_address, pair, speech, starts_at, talk};
use trunkline_dsp::g711::Law;
use trunkline_media::{MediaError, Remote, RtpLegSpec};

#[test]
fn a_law_arrives_bit_exact_both_ways_with_blocks_of_any_length() {
    for backend in backends() {
        for block in [8, 37, 160] {
            let (mut a, mut b) = pair(backend);
            let (said_a, said_b) = (speech(60 * 160, 1), speech(60 * 160, 2));
            talk(&mut a, &mut b, &said_a, &said_b, block);
            for (heard, said) in [(&b.heard, &said_a), (&a.heard, &said_b)] {
                let start = starts_at(heard, said);
                // A packet, the start margin, and the block that was under way.
                let latest = 160 + 80 + 160;
                assert!(
                    start.is_some_and(|start| start <= latest),
                    "{backend}, block {block}: not what was said, or from {start:?}"
                );
            }
            let figures = b.close();
            assert_eq!(figures.packets_received, 60);
            assert_eq!(figures.reception.lost, 0);
            assert_eq!(figures.playout.concealed_ms, 0);
            assert_eq!(
                (figures.playout.lengthened_samples, figures.playout.shortened_samples),
                (0, 0)
            );
            assert_eq!(figures.octets_received, 60 * 160);
        }
    }
}

#[test]
fn mu_law_line_and_a_law_packets_are_converted() {
    let backend = backends()[0];
    let mut a = Side::a_law(config(backend));
    // The same codec, a µ-law line.
    let spec = RtpLegSpec { line_law: Law::Mu, ..RtpLegSpec::g711(own_address(), None, Law::A) };
    let mut b = Side::new(config(backend), spec);
    a.connect(b.local);
    b.connect(a.local);
    let said = speech(40 * 160, 3);
    talk(&mut a, &mut b, &said, &speech(40 * 160, 4), 8);
    let mut converted = said.clone();
    Law::A.convert_block(&mut converted, Law::Mu);
    assert!(starts_at(&b.heard, &converted).is_some());
}

#[test]
fn ipv6_carries_a_call_as_well() {
    for backend in backends() {
        let here = "::1".parse().unwrap();
        let mut a = Side::new(config(backend), RtpLegSpec::g711(here, None, Law::A));
        let spec = RtpLegSpec::g711(here, Some(Remote::new(a.local)), Law::A);
        let mut b = Side::new(config(backend), spec);
        a.connect(b.local);
        let (said_a, said_b) = (speech(20 * 160, 5), speech(20 * 160, 6));
        talk(&mut a, &mut b, &said_a, &said_b, 160);
        assert!(starts_at(&b.heard, &said_a).is_some());
        assert!(starts_at(&a.heard, &said_b).is_some());
    }
}

#[test]
fn port_exhaustion_is_a_clear_error_and_closing_makes_room() {
    for backend in backends() {
        let mut settings = config(backend);
        settings.rtp_ports = 20_000..=20_003;
        let mut side = Side::a_law(settings);
        let ip = side.local.ip();
        let spec = || RtpLegSpec::g711(ip, None, Law::A);
        let second = side.media.open(spec()).unwrap();
        let refused = side.media.open(spec()).unwrap_err();
        assert!(matches!(refused, MediaError::PortsExhausted { pairs: 2, .. }), "{refused}");
        assert_eq!(side.media.legs(), 2);
        side.close();
        common::wait("a free pair", || side.media.open(spec()).is_ok());
        drop(second);
    }
}
