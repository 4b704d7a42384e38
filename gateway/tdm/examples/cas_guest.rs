//! Channel-associated signalling on the real DAHDI driver: E&M against the driver's own, MFC/R2
//! against libopenr2. Runs in a guest, since it makes spans. Built static, as `scripts/test-line` does:
//!   scripts/line-guest cas_guest em
//!   scripts/line-guest --file /usr/bin/r2test=/bin/r2test \
//!     --file /usr/libexec/coreutils/libstdbuf.so=/lib/libstdbuf.so cas_guest r2
//! Not part of `make test-line` yet: on a busy host the guest keeps neither the time of a wink nor an
//! unbroken tone.

#[path = "cas_guest/em.rs"]
mod em;
#[path = "cas_guest/r2.rs"]
mod r2;
#[path = "cas_guest/slot.rs"]
mod slot;

use std::time::{Duration, Instant};

use trunkline_tdm::dahdi::device::{
    BitSignalling, ChannelLaw, Coding, Control, DynamicSpan, Framing, LineSettings,
};

const PATIENCE: Duration = Duration::from_secs(40);

/// Makes a span that is back to back with the other of its key, and says its first channel.
fn span(
    control: &Control,
    span: i32,
    address: &str,
    is_t1: bool,
    signalling: BitSignalling,
    idle: u8,
) -> i32 {
    let dynamic = DynamicSpan { driver: "loc".to_owned(), address: address.to_owned(), timing: 0 };
    let (framing, coding, law, timeslots) = if is_t1 {
        (Framing::Esf, Coding::B8zs, ChannelLaw::Mu, 24)
    } else {
        (Framing::Cas { crc4: true }, Coding::Hdb3, ChannelLaw::A, 31)
    };
    control.create_dynamic_span(&dynamic, timeslots).expect("the span is made");
    let line = LineSettings { framing, coding, build_out: 0, sync: 0 };
    control.configure_span(span, &line).expect("the line is set");
    let places = control.channels(span);
    for place in &places {
        // Timeslot 16 of an E1 has the bits of all.
        if is_t1 || place.timeslot != 16 {
            let configured = control.configure_bit_channel(place.channel, signalling, idle, law);
            configured.expect("the channel is configured");
        }
    }
    control.start_span(span).expect("the span starts");
    places.iter().map(|place| place.channel).min().expect("channels")
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
    println!("{what}: {} ms", begun.elapsed().as_millis());
}

/// Winks and tones have times of their own, which an emulated processor that is held up does not
/// keep: a call may be tried three times.
fn attempt(call: impl Fn() + std::panic::UnwindSafe + std::panic::RefUnwindSafe) {
    for attempt in 1.. {
        match std::panic::catch_unwind(&call) {
            Ok(()) => return,
            Err(why) if attempt == 3 => std::panic::resume_unwind(why),
            Err(_) => println!("once more"),
        }
    }
}

fn main() {
    let control = Control::open().expect("/dev/dahdi/ctl");
    match std::env::args().nth(1).as_deref() {
        Some("em") => em::calls(&control),
        Some("r2") => r2::calls(&control),
        other => panic!("em or r2, not {other:?}"),
    }
}
