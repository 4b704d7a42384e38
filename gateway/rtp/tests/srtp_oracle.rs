//! SRTP against another implementation, the `webrtc-srtp` crate, in both directions.

use trunkline_rtp::packet::{RtpHeader, SequenceNumber, Timestamp};
use trunkline_rtp::rtcp::{Report, write_report};
use trunkline_rtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};
use webrtc_srtp::context::Context;
use webrtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use webrtc_srtp::protection_profile::ProtectionProfile;

/// The octets of a key, and the oracle's context with it.
fn oracle(suite: Suite) -> (Vec<u8>, Context) {
    let profile = match suite {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    };
    let octets: Vec<u8> =
        (0..suite.key_octets() as u8).map(|n| n.wrapping_mul(83) ^ 0x5a).collect();
    let (key, salt) = octets.split_at(profile.key_len());
    let context = Context::new(
        key,
        salt,
        profile,
        Some(srtp_replay_protection(128)),
        Some(srtcp_replay_protection(128)),
    )
    .unwrap();
    (octets, context)
}

/// Packets of two streams; the first one's sequence numbers wrap twice, some packets carry a CSRC list and
/// an extension, their lengths differ.
fn packets() -> impl Iterator<Item = Vec<u8>> {
    (0..2_000_u32).map(|n| {
        let header = RtpHeader {
            marker: n % 50 == 0,
            payload_type: (n % 128) as u8,
            sequence: SequenceNumber((65_000 + n * 70) as u16),
            timestamp: Timestamp(n * 160),
            ssrc: if n % 10 == 3 { 0xdead_beef } else { 0x1234_5678 },
        };
        let mut packet = header.to_bytes().to_vec();
        if n % 7 == 1 {
            packet[0] |= 0x12;
            packet.extend([0, 0, 0, 1, 0, 0, 0, 2, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        }
        packet.extend((0..n % 300).map(|octet| (octet * n) as u8));
        packet
    })
}

fn report(n: u32) -> Vec<u8> {
    let mut buffer = [0; 256];
    let report = Report {
        ssrc: 7 + n % 2,
        sender: None,
        blocks: &[],
        cname: "gw@192.0.2.1",
        voip_metrics: None,
        bye: n == 99,
    };
    let octets = write_report(&report, &mut buffer).unwrap();
    buffer[..octets].to_vec()
}

#[test]
fn another_implementation_reads_what_we_protect() {
    for suite in Suite::ALL {
        let (octets, mut theirs) = oracle(suite);
        let mut ours = SrtpSender::new(&MasterKey::new(suite, &octets).unwrap()).unwrap();
        for plain in packets() {
            let mut buffer = plain.clone();
            buffer.resize(plain.len() + suite.rtp_overhead_octets(), 0);
            let octets = ours.protect_rtp(&mut buffer, plain.len()).unwrap();
            assert_eq!(theirs.decrypt_rtp(&buffer[..octets]).unwrap(), plain, "{suite:?}");
        }
        for plain in (0..100).map(report) {
            let mut buffer = plain.clone();
            buffer.resize(plain.len() + suite.rtcp_overhead_octets(), 0);
            let octets = ours.protect_rtcp(&mut buffer, plain.len()).unwrap();
            assert_eq!(theirs.decrypt_rtcp(&buffer[..octets]).unwrap(), plain, "{suite:?}");
        }
    }
}

#[test]
fn we_read_what_another_implementation_protects() {
    for suite in Suite::ALL {
        let (octets, mut theirs) = oracle(suite);
        let mut ours = SrtpReceiver::new(&MasterKey::new(suite, &octets).unwrap()).unwrap();
        for plain in packets() {
            let mut packet = theirs.encrypt_rtp(&plain).unwrap().to_vec();
            let octets = ours.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet[..octets], plain, "{suite:?}");
        }
        for plain in (0..100).map(report) {
            let mut packet = theirs.encrypt_rtcp(&plain).unwrap().to_vec();
            let octets = ours.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet[..octets], plain, "{suite:?}");
        }
    }
}
