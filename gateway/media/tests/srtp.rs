//! SRTP legs against another implementation of SRTP, the `webrtc-srtp` crate, by real sockets.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use common::{FarEnd, Side, backends, config, own_address, speech, starts_at, wait};
use trunkline_dsp::g711::Law;
use trunkline_media::packet_io::Backend;
use trunkline_media::{
    Direction, Media, MediaConfig, MediaEventKind, OpenedPair, Protection, Remote, RtpLegSpec,
    RtpLegUpdate,
};
use trunkline_rtp::rtcp::{Report, write_report};
use trunkline_rtp::srtp::{MasterKey, SrtpKeys, Suite};
use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;

/// The octets of a key.
fn key(suite: Suite, seed: u8) -> Vec<u8> {
    (0..suite.key_octets() as u8).map(|n| n.wrapping_mul(83).wrapping_add(seed)).collect()
}

/// Keys of a leg: `ours` and `theirs` are their seeds.
fn keys(suite: Suite, ours: u8, theirs: u8) -> Protection {
    let of = |seed| MasterKey::new(suite, &key(suite, seed)).unwrap();
    Protection::Srtp(SrtpKeys { local: of(ours), remote: of(theirs) })
}

/// The foreign implementation with a key.
fn foreign(suite: Suite, seed: u8) -> Context {
    let profile = match suite {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    };
    let octets = key(suite, seed);
    let (key, salt) = octets.split_at(profile.key_len());
    let (rtp, rtcp) = (srtp_replay_protection(128), srtcp_replay_protection(128));
    Context::new(key, salt, profile, Some(rtp), Some(rtcp)).unwrap()
}

/// A far end that speaks SRTP.
struct SecureEnd {
    far: FarEnd,
    protect: Context,
    unprotect: Context,
}

impl SecureEnd {
    /// Its leg has the keys `keys(suite, ours, theirs)`.
    fn new(suite: Suite, ours: u8, theirs: u8) -> Self {
        let (protect, unprotect) = (foreign(suite, theirs), foreign(suite, ours));
        Self { far: FarEnd::new(), protect, unprotect }
    }

    /// The next packet of speech as it goes on the wire.
    fn next(&mut self, payload: &[u8]) -> Vec<u8> {
        let packet = self.far.packet(8, false, payload);
        self.far.skip(payload.len());
        self.protect.encrypt_rtp(&packet).unwrap().to_vec()
    }

    fn speak(&mut self, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let packet = self.next(payload);
        self.far.rtp.send_to(&packet, to).unwrap();
        packet
    }

    /// The next packet that comes: as it came, and in plain.
    fn hear(&mut self) -> (Vec<u8>, Vec<u8>) {
        let packet = self.far.hear();
        let plain = self.unprotect.decrypt_rtp(&packet).expect("it is for us").to_vec();
        (packet, plain)
    }

    /// A receiver report about nothing.
    fn report(&mut self) -> Vec<u8> {
        let mut buffer = [0; 128];
        let report = Report {
            ssrc: self.far.ssrc,
            sender: None,
            blocks: &[],
            cname: "far",
            bye: false,
            voip_metrics: None,
        };
        let octets = write_report(&report, &mut buffer).unwrap();
        self.protect.encrypt_rtcp(&buffer[..octets]).unwrap().to_vec()
    }
}

fn rtcp_port(side: &Side) -> SocketAddr {
    SocketAddr::new(side.local.ip(), side.local.port() + 1)
}

fn spec(protection: Protection, remote: SocketAddr) -> RtpLegSpec {
    let mut spec = RtpLegSpec::g711(own_address(), Some(Remote::new(remote)), Law::A);
    spec.protection = protection;
    spec
}

#[test]
fn every_suite_carries_speech_and_reports_both_ways() {
    for backend in backends() {
        for suite in Suite::ALL {
            let mut end = SecureEnd::new(suite, 1, 2);
            let mut side = Side::new(config(backend), spec(keys(suite, 1, 2), end.far.address));
            let said = speech(160 * 20, 3);
            let answer = speech(160 * 20, 4);
            for (number, (piece, reply)) in said.chunks(160).zip(answer.chunks(160)).enumerate() {
                side.turn(piece, 160);
                let (packet, plain) = end.hear();
                assert_eq!(packet.len(), 12 + 160 + suite.rtp_overhead_octets(), "{suite:?}");
                assert_ne!(packet[12..172], *piece, "{suite:?}");
                assert_eq!(plain[12..], *piece, "{suite:?}");
                if number == 0 {
                    assert!(plain[2] < 0x80, "begins below 2^15 (RFC 3711 §3.3.1)");
                }
                end.speak(side.local, reply);
                side.wait("the packet", |counters| counters.packets_received > number as u64);
            }
            side.turn(&speech(160 * 5, 5), 160);
            let begins = (0..side.heard.len() - 160)
                .find(|at| side.heard[*at..][..160] == answer[..160])
                .unwrap_or_else(|| panic!("{suite:?}: nothing was heard"));
            assert_eq!(starts_at(&side.heard[begins..][..160 * 15], &answer), Some(0));

            let report = end.far.hear_report();
            let plain = end.unprotect.decrypt_rtcp(&report).expect("it is for us");
            assert_eq!((plain[0] >> 6, plain[1]), (2, 200), "{suite:?}: a sender report");
            let rtcp_port = rtcp_port(&side);
            let report = end.report();
            end.far.rtcp.send_to(&report, rtcp_port).unwrap();
            side.wait("the report", |counters| counters.rtcp_received == 1);
            let figures = side.close();
            let srtp = figures.srtp.expect("the leg is SRTP");
            assert_eq!(
                (srtp.suite, srtp.authentication_failed, srtp.replayed),
                (Some(suite), 0, 0)
            );
            assert_eq!(figures.malformed, 0);
        }
    }
}

const SUITE: Suite = Suite::AesCm128HmacSha1_80;

/// A leg with the keys 1 and 2, and its far end.
fn call(config: MediaConfig) -> (Side, SecureEnd) {
    let end = SecureEnd::new(SUITE, 1, 2);
    (Side::new(config, spec(keys(SUITE, 1, 2), end.far.address)), end)
}

/// What a re-INVITE says that changes `protection` only.
fn again(end: &SecureEnd, protection: Protection) -> RtpLegUpdate {
    RtpLegUpdate {
        remote: Some(Remote::new(end.far.address)),
        protection: Some(protection),
        ..RtpLegUpdate::default()
    }
}

#[test]
fn a_re_invite_that_keeps_the_keys_keeps_the_roll_over_counters() {
    let (side, mut end) = call(config(Backend::Mio));
    end.far.sequence = 65_530;
    for number in 1..=40 {
        if number == 20 {
            // The far end has counted a roll-over: only whoever kept count can read on.
            let mut update = again(&end, keys(SUITE, 1, 2));
            update.direction = Some(Direction { send: false, receive: true });
            side.media.update(side.leg, update).unwrap();
        }
        end.speak(side.local, &speech(160, number));
        side.wait("the packet", |counters| counters.packets_received == u64::from(number));
    }
    assert_eq!(side.total().dropped_authentication, 0);
}

#[test]
fn hold_by_plain_rtp_and_back_reads_on_under_the_same_keys() {
    let (mut side, mut end) = call(config(Backend::Mio));
    end.far.sequence = 65_530;
    for number in 1..=10 {
        end.speak(side.local, &speech(160, number));
        side.wait("the packet", |counters| counters.packets_received == u64::from(number));
    }
    side.turn(&speech(160, 3), 160);
    let (_, first) = end.hear();
    side.media.update(side.leg, again(&end, Protection::Plain)).unwrap();
    let (_, update) = (end.far.speak(side.local, 8, &[1; 160]), again(&end, keys(SUITE, 1, 2)));
    side.wait("the plain packet", |counters| counters.packets_received == 11);
    side.media.update(side.leg, update).unwrap();
    end.speak(side.local, &speech(160, 11));
    side.wait("the packet", |counters| counters.packets_received == 12);
    side.turn(&speech(160, 4), 160);
    // How many packets of ours the far end did not count is not known: a new stream.
    let (_, second) = end.hear();
    assert_ne!(first[8..12], second[8..12]);
    assert_eq!(side.close().packets_sent, 2);
}

#[test]
fn another_key_of_ours_begins_another_stream_and_another_of_theirs_is_read() {
    let (mut side, mut end) = call(config(Backend::Mio));
    side.turn(&speech(160, 3), 160);
    let (_, first) = end.hear();
    end.speak(side.local, &speech(160, 4));
    side.wait("the packet", |counters| counters.packets_received == 1);

    let suite = Suite::AeadAes256Gcm;
    side.media.update(side.leg, again(&end, keys(suite, 3, 4))).unwrap();
    (end.protect, end.unprotect) = (foreign(suite, 4), foreign(suite, 3));
    end.speak(side.local, &speech(160, 5));
    side.wait("the packet", |counters| counters.packets_received == 2);
    side.turn(&speech(160, 6), 160);
    let (_, second) = end.hear();
    assert_ne!(first[8..12], second[8..12], "its own SSRC");
    assert!(second[2] < 0x80 && second[1] & 0x80 != 0, "from below 2^15, marked");
    let figures = side.close();
    assert_eq!((figures.packets_sent, figures.octets_sent), (2, 320));
    assert_eq!(figures.srtp.unwrap().suite, Some(suite));
}

#[test]
fn another_key_of_theirs_is_read_past_a_roll_over() {
    for begins_again in [false, true] {
        let (mut side, mut end) = call(config(Backend::Mio));
        let mut renewed = foreign(SUITE, 4);
        end.far.sequence = 65_530;
        for number in 1..=20 {
            let plain = end.far.packet(8, false, &[1; 160]);
            if !begins_again {
                renewed.encrypt_rtp(&plain).unwrap();
            }
            end.speak(side.local, &[1; 160]);
            side.wait("the packet", |counters| counters.packets_received == number);
        }
        side.media.update(side.leg, again(&end, keys(SUITE, 1, 4))).unwrap();
        end.protect = renewed;
        for _ in 0..10 {
            end.speak(side.local, &[1; 160]);
        }
        side.wait("the packets", |counters| {
            counters.packets_received + counters.dropped_authentication == 30
        });
        let figures = side.close();
        let lost = u64::from(begins_again);
        assert_eq!(figures.srtp.unwrap().authentication_failed, lost);
        assert_eq!(figures.packets_received, 30 - lost);
    }
}

#[test]
fn packets_under_a_wrong_key_are_counted_and_change_nothing() {
    let timeout = Duration::from_millis(300);
    let (mut side, mut end) = call(MediaConfig { rtp_timeout: timeout, ..config(Backend::Mio) });
    end.speak(side.local, &speech(160, 1));
    side.wait("the packet", |counters| counters.packets_received == 1);

    let mut right = std::mem::replace(&mut end.protect, foreign(SUITE, 9));
    // And from a port that a translator could have chosen, if the right one had not spoken.
    let elsewhere = UdpSocket::bind((end.far.address.ip(), 0)).unwrap();
    let (begun, mut wrong) = (Instant::now(), 0);
    while begun.elapsed() < timeout + Duration::from_millis(100) {
        let packet = end.next(&speech(160, 2));
        for socket in [&end.far.rtp, &elsewhere] {
            socket.send_to(&packet, side.local).unwrap();
        }
        wrong += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    side.wait("the wrong packets", |counters| counters.dropped_authentication == wrong);
    side.wait("the stranger's", |counters| counters.dropped_source == wrong);
    side.event("the timeout", |kind| (kind == MediaEventKind::RtpTimeout).then_some(()));
    // Neither do plain packets pass for protected ones.
    end.far.speak(side.local, 8, &[1; 160]);
    side.wait("the plain packet", |counters| counters.dropped_authentication == wrong + 1);
    let report = end.report();
    end.far.rtcp.send_to(&report, rtcp_port(&side)).unwrap();
    side.wait("the report", |counters| counters.dropped_authentication == wrong + 2);
    side.turn(&[0x55; 1600], 160);
    assert!(side.heard.windows(20).all(|octets| octets != [1; 20]));

    std::mem::swap(&mut end.protect, &mut right);
    end.speak(side.local, &speech(160, 3));
    let kinds = side.event("that packets come again", |kind| match kind {
        MediaEventKind::RtpResumed => Some(true),
        MediaEventKind::SourceMoved { .. } => Some(false),
        _ => None,
    });
    assert!(kinds, "the source has not moved");
    let figures = side.close();
    assert_eq!(figures.srtp.unwrap().authentication_failed, wrong + 2);
    assert_eq!((figures.packets_received, figures.rtcp_received), (2, 0));
}

#[test]
fn a_repeated_packet_is_dropped_wherever_it_comes_from() {
    let (mut side, mut end) = call(config(Backend::Mio));
    let packet = end.speak(side.local, &speech(160, 1));
    let stranger = UdpSocket::bind((end.far.address.ip(), 0)).unwrap();
    end.far.rtp.send_to(&packet, side.local).unwrap();
    stranger.send_to(&packet, side.local).unwrap();
    // The stranger's is not even looked at.
    side.wait("both", |counters| (counters.dropped_replay, counters.dropped_source) == (1, 1));
    let report = end.report();
    for _ in 0..2 {
        end.far.rtcp.send_to(&report, rtcp_port(&side)).unwrap();
    }
    side.wait("the report", |counters| counters.dropped_replay == 2);
    let figures = side.close();
    assert_eq!((figures.packets_received, figures.rtcp_received), (1, 1));
    assert_eq!(figures.srtp.unwrap().replayed, 2);
}

#[test]
fn another_stream_of_the_far_end_is_read_with_a_roll_over_counter_of_its_own() {
    let (side, mut end) = call(config(Backend::Mio));
    end.far.sequence = 65_534;
    for number in 1..=4 {
        end.speak(side.local, &speech(160, number));
        side.wait("the packet", |counters| counters.packets_received == u64::from(number));
    }
    (end.far.ssrc, end.far.sequence) = (0xACE, 65_535);
    for number in 5..=8 {
        end.speak(side.local, &speech(160, number));
        side.wait("the packet", |counters| counters.packets_received == u64::from(number));
    }
    // A far end that changes its name without end finds an end.
    for ssrc in 0..100 {
        end.far.ssrc = ssrc;
        end.speak(side.local, &[1; 160]);
    }
    side.wait("the surplus", |counters| counters.dropped_exhausted == 100 + 2 - 32);
}

/// A pair of legs on one worker.
fn open_pair(backend: Backend, a: RtpLegSpec, b: RtpLegSpec) -> (Media, OpenedPair) {
    let media = Media::start(config(backend)).unwrap();
    let pair = media.open_pair(a, b).unwrap();
    (media, pair)
}

#[test]
fn a_pair_passes_from_srtp_to_rtp_and_back() {
    for backend in backends() {
        for suite in Suite::ALL {
            let (mut secure, mut plain) = (SecureEnd::new(suite, 1, 2), FarEnd::new());
            let a = spec(keys(suite, 1, 2), secure.far.address);
            let (_media, pair) = open_pair(backend, a, spec(Protection::Plain, plain.address));
            for number in 0..20 {
                let said = speech(160, number);
                secure.speak(pair.a.local, &said);
                assert_eq!(plain.hear()[12..], said);
                plain.speak(pair.b.local, 8, &said);
                let (packet, heard) = secure.hear();
                assert_eq!(packet.len(), 172 + suite.rtp_overhead_octets());
                assert_eq!(heard[12..], said);
            }
        }
    }
}

#[test]
fn a_pair_passes_between_two_srtp_sides_with_keys_of_their_own() {
    for backend in backends() {
        let (one, other) = (Suite::AesCm128HmacSha1_32, Suite::AeadAes256Gcm);
        let mut far_a = SecureEnd::new(one, 1, 2);
        let mut far_b = SecureEnd::new(other, 3, 4);
        let a = spec(keys(one, 1, 2), far_a.far.address);
        let b = spec(keys(other, 3, 4), far_b.far.address);
        let (media, pair) = open_pair(backend, a, b);
        for number in 0..20 {
            let said = speech(160, number);
            far_a.speak(pair.a.local, &said);
            assert_eq!(far_b.hear().1[12..], said);
            far_b.speak(pair.b.local, &said);
            assert_eq!(far_a.hear().1[12..], said);
        }
        // Each side has its own reports under its own key.
        for end in [&mut far_a, &mut far_b] {
            let report = end.far.hear_report();
            assert_eq!(end.unprotect.decrypt_rtcp(&report).unwrap()[1], 200);
        }
        assert_eq!(media.counters().total().dropped_authentication, 0);
    }
}

#[test]
fn a_pair_counts_its_own_roll_overs_over_re_invites() {
    let (mut secure, mut plain) = (SecureEnd::new(SUITE, 1, 2), FarEnd::new());
    let b = spec(keys(SUITE, 1, 2), secure.far.address);
    let (media, pair) = open_pair(Backend::Mio, spec(Protection::Plain, plain.address), b);
    let mut wrapped = 0;
    let mut before = 0;
    for number in 0..60 {
        plain.speak(pair.a.local, 8, &[number; 160]);
        let (_, heard) = secure.hear();
        assert_eq!(heard[12], number);
        let sequence = u16::from_be_bytes([heard[2], heard[3]]);
        wrapped += u32::from(sequence < before);
        before = sequence;
        // The network loses so much that the numbers rush on.
        for _ in 0..2_500 {
            plain.skip(160);
        }
        let update = again(&secure, keys(SUITE, 1, 2));
        media.update(pair.b.leg, update).unwrap();
        let ticks = media.counters().total().ticks;
        wait("a tick", || media.counters().total().ticks > ticks + 1);
    }
    assert_eq!(wrapped, 2);
}

#[test]
fn the_longest_datagram_is_passed_on_with_its_tag() {
    for backend in backends() {
        let suite = Suite::AeadAes128Gcm;
        let (mut secure, mut plain) = (SecureEnd::new(suite, 1, 2), FarEnd::new());
        let b = spec(keys(suite, 1, 2), secure.far.address);
        let (_media, pair) = open_pair(backend, spec(Protection::Plain, plain.address), b);
        // Of RTP's header extension: no codec has so much to say.
        let mut packet = plain.packet(8, false, &[]);
        packet[0] |= 0x10;
        packet.extend([0x12, 0x34]);
        packet.extend(((1600 - 16 - 160) as u16 / 4).to_be_bytes());
        packet.resize(1600, 7);
        plain.rtp.send_to(&packet, pair.a.local).unwrap();
        let (protected, heard) = secure.hear();
        assert_eq!((protected.len(), heard.len()), (1616, 1600), "{backend}");
        assert_eq!(heard[12..], packet[12..]);
        plain.skip(160);
    }
}
