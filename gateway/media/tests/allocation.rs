//! Once a call is up, no packet costs an allocation: neither on the worker nor on the line, nor
//! through a pair, transcoded or not, nor through two joined timeslots.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{FarEnd, backends, config, own_address, pair, speech, wait};
use trunkline_dsp::SampleRate;
use trunkline_dsp::g711::Law;
use trunkline_dsp::opus::{OpusEncoder, OpusSettings};
use trunkline_media::packet_io::Backend;
use trunkline_media::{
    Media, Payload, PayloadFormat, Protection, Remote, RtpLegSpec, RtpLegUpdate, Sending, cross,
};
use trunkline_rtp::codec::Codec;
use trunkline_rtp::srtp::{MasterKey, SrtpKeys, SrtpReceiver, SrtpSender, Suite};

/// The system's allocator, and a count of what it was asked for.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: hands everything to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Keys of a leg whose other side has them the other way round.
fn keys(suite: Suite, is_mirrored: bool) -> SrtpKeys {
    let key = |octet| MasterKey::generate(suite, |octets| octets.fill(octet));
    match is_mirrored {
        false => SrtpKeys { local: key(1), remote: key(2) },
        true => SrtpKeys { local: key(2), remote: key(1) },
    }
}

/// Two sides with a line each talk, under SRTP if there is a suite.
fn a_call_allocates_nothing(backend: Backend, suite: Option<Suite>) {
    let (mut a, mut b) = pair(backend);
    for (side, is_mirrored) in [(&a, false), (&b, true)] {
        let protection = suite.map(|suite| Protection::Srtp(keys(suite, is_mirrored)));
        let update = RtpLegUpdate { protection, ..RtpLegUpdate::default() };
        side.media.update(side.leg, update).unwrap();
    }
    let said = speech(160, 1);
    let mut heard = [0; 160];
    for round in 0..300_u64 {
        // After two seconds everything has happened once, RTCP too.
        if round == 100 {
            count();
        }
        for (here, there) in [(&mut a, 0), (&mut b, 1)] {
            // Each tenth packet time of b's line is lost: concealment must not allocate.
            let lost = there == 1 && round % 10 == 9;
            for at in (0..160).step_by(8) {
                let from_line = if lost { &[][..] } else { &said[at..at + 8] };
                here.timeslot.exchange(from_line, &mut heard[at..at + 8]);
            }
        }
        // Reading the counters would allocate: the workers simply get some ticks.
        std::thread::sleep(Duration::from_millis(3));
    }
    assert_eq!(counted(), 0, "{backend} {suite:?}");
    let counters = a.total();
    assert!(counters.packets_received > 200 && counters.packets_sent > 200);
    assert!(counters.rtcp_sent > 1);
    assert!(a.timeslot.playout().concealed > 0);
}

/// A pair passes packets from one key to another.
fn a_secure_pair_allocates_nothing(backend: Backend) {
    let (one, other) = (Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm);
    let (mut far, mut near) = (FarEnd::new(), FarEnd::new());
    let spec = |end: &FarEnd, suite| {
        let mut spec = RtpLegSpec::g711(own_address(), Some(Remote::new(end.address)), Law::A);
        spec.protection = Protection::Srtp(keys(suite, false));
        spec
    };
    let media = Media::start(config(backend)).unwrap();
    let pair = media.open_pair(spec(&far, one), spec(&near, other)).unwrap();
    let mut protect = SrtpSender::new(&keys(one, true).local).unwrap();
    let mut unprotect = SrtpReceiver::new(&keys(other, true).remote).unwrap();
    let mut packet = [0; 172 + 16];
    for round in 0..300 {
        if round == 100 {
            count();
        }
        packet[..2].copy_from_slice(&[0x80, 8]);
        packet[2..4].copy_from_slice(&far.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&far.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&far.ssrc.to_be_bytes());
        packet[12..172].fill(round as u8);
        far.skip(160);
        let octets = protect.protect_rtp(&mut packet, 172).unwrap();
        far.rtp.send_to(&packet[..octets], pair.a.local).unwrap();
        let (octets, _) = near.rtp.recv_from(&mut packet).unwrap();
        assert_eq!(unprotect.unprotect_rtp(&mut packet[..octets]), Ok(172));
        assert_eq!(packet[12..172], [round as u8; 160]);
        near.skip(160);
    }
    assert_eq!(counted(), 0, "{backend}");
}

// The only test of this file: another one beside it would be counted too.
#[test]
fn what_is_up_allocates_nothing() {
    for backend in backends() {
        a_call_allocates_nothing(backend, None);
        for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm] {
            a_call_allocates_nothing(backend, Some(suite));
        }
        a_secure_pair_allocates_nothing(backend);
        a_pair(backend);
        a_transcoded_pair(backend);
    }
    a_crossing();
}

/// Two timeslots joined to one another, of different laws and clocks.
fn a_crossing() {
    let (mut a, mut b, board) = cross(Law::A, Law::Mu);
    let (from_line, mut to_line) = ([0x5A; 8], [0; 8]);
    count();
    for round in 0..60_000 {
        a.exchange(&from_line, &mut to_line);
        b.exchange(&from_line, &mut to_line);
        if round % 1_000 == 0 {
            b.exchange(&from_line, &mut to_line);
        }
    }
    assert_eq!(counted(), 0, "a crossing");
    assert!(board.figures().iter().all(|figures| figures.slips > 0), "{:?}", board.figures());
}

/// From here on until the answer is taken, allocations are counted.
fn count() {
    COUNTS.store(true, Ordering::Relaxed);
}

fn counted() -> u64 {
    COUNTS.store(false, Ordering::Relaxed);
    ALLOCATIONS.swap(0, Ordering::Relaxed)
}

fn a_pair(backend: Backend) {
    let media = Media::start(config(backend)).expect("the media plane starts");
    let (mut a, b) = (FarEnd::new(), FarEnd::new());
    let here = own_address();
    let spec = |far: &FarEnd| RtpLegSpec::g711(here, Some(Remote::new(far.address)), Law::A);
    let pair = media.open_pair(spec(&a), spec(&b)).expect("a pair opens");
    let mut packet = a.packet(8, false, &speech(160, 1));
    let mut heard = [0; 2048];
    for round in 0..300_u64 {
        if round == 100 {
            count();
        }
        // Each tenth is lost, each ninth comes from another speaker.
        a.sequence = a.sequence.wrapping_add(if round % 10 == 9 { 2 } else { 1 });
        packet[2..4].copy_from_slice(&a.sequence.to_be_bytes());
        packet[11] = u8::from(round % 9 == 8);
        for (from, at, to) in [(&a, pair.a.local, &b), (&b, pair.b.local, &a)] {
            from.rtp.send_to(&packet, at).expect("send");
            let (len, _) = to.rtp.recv_from(&mut heard).expect("a packet");
            assert_eq!(heard[12..len], packet[12..]);
            // Again: not passed on.
            from.rtp.send_to(&packet, at).expect("send");
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    assert_eq!(counted(), 0, "a pair, {backend}");
    wait("all packets", || media.counters().total().dropped_duplicate == 600);
    let counters = media.counters().total();
    assert_eq!((counters.packets_received, counters.packets_sent), (600, 600));
    assert!(counters.rtcp_sent > 1);
}

/// Opus on the one side, G.722 or A-law in packets of another length on the other.
fn a_transcoded_pair(backend: Backend) {
    let mut opus = [0; 400];
    let settings = OpusSettings::new(SampleRate::Hz16000);
    let octets =
        OpusEncoder::new(settings).unwrap().encode(&[900; 320], &mut opus).expect("a packet");
    for (codec, payload_type) in [(Codec::G722, 9), (Codec::Pcma, 8)] {
        let media = Media::start(config(backend)).expect("the media plane starts");
        let (mut a, mut b) = (FarEnd::new(), FarEnd::new());
        let here = own_address();
        let spec = |far: &FarEnd, codec, payload_type, ptime_ms| RtpLegSpec {
            sending: Sending { codec, payload_type, telephone_event: Some(101), ptime_ms },
            receiving: vec![PayloadFormat { payload_type, payload: Payload::Audio(codec) }],
            ..RtpLegSpec::g711(here, Some(Remote::new(far.address)), Law::A)
        };
        let spec_a = spec(&a, Codec::opus_telephony(), 111, 20);
        let pair =
            media.open_pair(spec_a, spec(&b, codec, payload_type, 30)).expect("a pair opens");
        let mut from_a = a.packet(111, false, &opus[..octets]);
        let mut from_b = b.packet(payload_type, false, &[0x5A; 160]);
        let mut heard = [0; 2048];
        for far in [&a, &b] {
            far.rtp.set_nonblocking(true).expect("a socket");
        }
        for round in 0..300_u64 {
            if round == 100 {
                count();
            }
            // Each tenth is lost, each seventh comes late, each ninth from another speaker.
            for (far, packet, at, samples) in
                [(&mut a, &mut from_a, pair.a.local, 960), (&mut b, &mut from_b, pair.b.local, 160)]
            {
                far.skip(samples * if round % 10 == 9 { 2 } else { 1 });
                let sequence = far.sequence ^ u16::from(round % 7 == 6);
                packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                packet[4..8].copy_from_slice(&far.timestamp.to_be_bytes());
                packet[11] = u8::from(round % 9 == 8);
                far.rtp.send_to(packet, at).expect("send");
                while far.rtp.recv_from(&mut heard).is_ok() {}
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        assert_eq!(counted(), 0, "{codec}, {backend}");
        let counters = media.counters().total();
        assert!(counters.packets_sent > 300 && counters.concealed_samples > 1_000, "{counters:?}");
        assert!(counters.rtcp_sent > 1);
    }
}
