//! SRTP legs against another implementation of SRTP, the `webrtc-srtp` crate, by real sockets.

mod common;

use std::net::SocketAddr;

use common::{FarEnd, Side, backends, config, own_address, speech, starts_at};
use trunkline_dsp::g711::Law;
use trunkline_media::{Protection, Remote, RtpLegSpec};
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

/// A far end that speaks SRTP: its key has the seed 2, ours 1.
struct SecureEnd {
    far: FarEnd,
    protect: Context,
    unprotect: Context,
}

impl SecureEnd {
    fn new(suite: Suite) -> Self {
        Self { far: FarEnd::new(), protect: foreign(suite, 2), unprotect: foreign(suite, 1) }
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
        let report = Report { ssrc: 7, sender: None, blocks: &[], cname: "far", bye: false };
        let octets = write_report(&report, &mut buffer).unwrap();
        self.protect.encrypt_rtcp(&buffer[..octets]).unwrap().to_vec()
    }
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
            let mut end = SecureEnd::new(suite);
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
            let rtcp_port = SocketAddr::new(side.local.ip(), side.local.port() + 1);
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
