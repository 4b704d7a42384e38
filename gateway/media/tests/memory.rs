//! What a relayed call takes of memory, and a transcoded one.

mod common;

use common::{backends, config, own_address, wait};
use trunkline_dsp::g711::Law;
use trunkline_media::packet_io::Backend;
use trunkline_media::{Media, MediaConfig, Payload, PayloadFormat, Remote, RtpLegSpec, Sending};
use trunkline_rtp::codec::Codec;

/// The most heap a call between two RTP sides may take, octets.
const PAIR_MAX_OCTETS: isize = 16 * 1024;

/// The same of calls that are transcoded, of which libopus takes 60 KiB by itself.
const TRANSCODED_MAX_OCTETS: isize = 128 * 1024;

// The only test of this file: another one beside it would be weighed too.
#[test]
fn a_relayed_call_takes_less_than_16_kb_and_a_transcoded_one_less_than_128() {
    let opus = Codec::opus_telephony();
    for backend in backends() {
        for (a, b, most) in [
            (Codec::Pcma, Codec::Pcma, PAIR_MAX_OCTETS),
            (Codec::Pcma, Codec::Pcmu, PAIR_MAX_OCTETS),
            (Codec::Pcma, Codec::G722, TRANSCODED_MAX_OCTETS),
            (Codec::Pcma, opus, TRANSCODED_MAX_OCTETS),
            (Codec::G722, opus, TRANSCODED_MAX_OCTETS),
        ] {
            let (few, many) = (2, 102);
            // Everything: the worker's room for so many legs, their ports, and the legs.
            let (few_octets, many_octets) = (weigh(backend, few, a, b), weigh(backend, many, a, b));
            let octets = (many_octets - few_octets) / (many - few).cast_signed();
            println!("{backend}: {octets} octets of heap for a call of {a} and {b}");
            assert!((1..=most).contains(&octets), "{backend}, {a}, {b}: {octets} octets");
        }
    }
}

/// What the system has given out: to libopus too, which does not ask our allocator.
fn given() -> isize {
    // SAFETY: only reads figures.
    let given = unsafe { libc::mallinfo2() };
    (given.uordblks + given.hblkhd).cast_signed()
}

/// Octets of heap that a media plane takes with so many pairs of legs.
fn weigh(backend: Backend, pairs: usize, a: Codec, b: Codec) -> isize {
    let before = given();
    let media = Media::start(MediaConfig {
        rtp_ports: 20_000..=20_000 + 4 * pairs as u16 - 1,
        legs_per_worker_max: 2 * pairs,
        ..config(backend)
    })
    .expect("the media plane starts");
    let (here, far) = (own_address(), own_address());
    let spec = |codec: Codec| {
        let payload_type = codec.static_payload_type().unwrap_or(111);
        RtpLegSpec {
            sending: Sending { codec, payload_type, telephone_event: None, ptime_ms: 20 },
            receiving: vec![PayloadFormat { payload_type, payload: Payload::Audio(codec) }],
            ..RtpLegSpec::g711(here, Some(Remote::new((far, 30_000).into())), Law::A)
        }
    };
    for _ in 0..pairs {
        media.open_pair(spec(a), spec(b)).expect("a pair opens");
    }
    wait("the legs", || media.counters().total().legs_opened == 2 * pairs as u64);
    given() - before
}
