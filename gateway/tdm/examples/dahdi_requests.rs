//! Every request that is made of the DAHDI driver, made of the real one, with what it brings about:
//! two spans back to back, and what goes in on the one and comes out of the other. Run by
//! `make test-line` in a guest, since it makes spans.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use trunkline_dsp::g711::Law;
use trunkline_tdm::dahdi::device::{
    Buffers, Channel, ChannelLaw, Coding, Control, DynamicSpan, Framing, LineSettings, Policy,
    Signalling,
};

const TIMESLOTS: u8 = 31;
const D_CHANNEL: u8 = 16;
const BLOCK: usize = 80;
const BUFFERS: Buffers = Buffers { count: 8, size_octets: BLOCK as i32, policy: Policy::Immediate };
/// Events of the driver, by its header.
const EVENTS: [(i32, &str); 4] =
    [(27, "NLP disabled"), (28, "NLP enabled"), (29, "read overrun"), (30, "write underrun")];

fn loc(address: &str) -> DynamicSpan {
    DynamicSpan { driver: "loc".to_owned(), address: address.to_owned(), timing: 0 }
}

fn done(what: &str) {
    println!("{what}: ok");
}

#[track_caller]
fn refused<T>(outcome: io::Result<T>, errno: i32, what: &str) {
    let error = outcome.err().unwrap_or_else(|| panic!("{what}: not refused"));
    assert_eq!(error.raw_os_error(), Some(errno), "{what}: {error}");
}

/// Until something is so; the driver runs in steps of 4 ms.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
    println!("{what}: ok, {} ms", begun.elapsed().as_millis());
}

/// Reads all that is there.
fn read_all(channel: &Channel) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut block = [0; BLOCK];
    loop {
        match channel.read(&mut block) {
            Ok(size) => octets.extend_from_slice(&block[..size]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return octets,
            Err(error) if error.raw_os_error() == Some(500) => while next(channel).is_some() {},
            Err(error) => panic!("a read: {error}"),
        }
    }
}

fn next(channel: &Channel) -> Option<i32> {
    channel.event().expect("GETEVENT")
}

/// Writes a block as soon as there is room.
fn write(channel: &Channel, block: &[u8]) {
    let begun = Instant::now();
    loop {
        match channel.write(block) {
            Ok(size) => return assert_eq!(size, block.len()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(begun.elapsed() < Duration::from_secs(5), "no room for a block");
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) if error.raw_os_error() == Some(500) => while next(channel).is_some() {},
            Err(error) => panic!("a write: {error}"),
        }
    }
}

/// What comes out of `to` in the next while.
fn heard(to: &Channel, time: Duration) -> Vec<u8> {
    let begun = Instant::now();
    let mut octets = Vec::new();
    while begun.elapsed() < time {
        octets.extend(read_all(to));
        std::thread::sleep(Duration::from_millis(2));
    }
    octets
}

const A_WHILE: Duration = Duration::from_millis(200);

/// A block in which no octet is idle, different for each seed.
fn block(seed: u8) -> [u8; BLOCK] {
    std::array::from_fn(|at| (at as u8).wrapping_mul(3) ^ (seed << 1) | 1)
        .map(|octet: u8| if [0xd5, 0xff, 0x7f].contains(&octet) { 0x11 } else { octet })
}

fn has(octets: &[u8], block: &[u8]) -> bool {
    octets.windows(block.len()).any(|window| window == block)
}

fn spans(control: &Control) {
    let version = control.version().expect("GETVERSION");
    println!("{version:?}");
    assert!(!version.version.is_empty());
    let has_mg2 = version.echo_cancellers.iter().any(|name| name.eq_ignore_ascii_case("mg2"));
    assert!(has_mg2, "{version:?}");

    // As Debian loads it: spans have no numbers, and there is no udev here to give them some.
    const AUTO_ASSIGN: &str = "/sys/module/dahdi/parameters/auto_assign_spans";
    std::fs::write(AUTO_ASSIGN, "0").expect("the driver's parameter");
    let made = control.create_dynamic_span(&loc("1:0"), TIMESLOTS.into());
    assert_eq!(made.expect("DYNAMIC_CREATE"), 0, "a span without a number");
    assert!(control.span_status(1).is_err());
    control.assign_spans().expect("sysfs");
    assert!(control.span_status(1).is_ok());
    std::fs::write(AUTO_ASSIGN, "1").expect("the driver's parameter");
    done("a span that has no number gets one without udev");

    let made = control.create_dynamic_span(&loc("1:1"), TIMESLOTS.into());
    assert_eq!(made.expect("DYNAMIC_CREATE"), 2);
    let again = control.create_dynamic_span(&loc("1:1"), TIMESLOTS.into());
    refused(again, libc::EEXIST, "a dynamic span that is there");
    let other = DynamicSpan { driver: "nothing".to_owned(), ..loc("2:0") };
    refused(control.create_dynamic_span(&other, 31), libc::EINVAL, "an unknown driver");

    let settings = LineSettings {
        framing: Framing::Ccs { crc4: true },
        coding: Coding::Hdb3,
        build_out: 0,
        sync: 1,
    };
    refused(control.configure_span(9, &settings), libc::ENXIO, "SPANCONFIG of no span");
    refused(control.start_span(9), libc::ENXIO, "STARTUP of no span");
    refused(control.stop_span(9), libc::ENXIO, "SHUTDOWN of no span");
    refused(
        control.configure_channel(900, Signalling::Clear, ChannelLaw::A),
        libc::EINVAL,
        "CHANCONFIG of no channel",
    );
    for (span, first) in [(1, 1), (2, 32)] {
        control.configure_span(span, &settings).expect("SPANCONFIG");
        let places = control.channels(span);
        let expected = (1..=TIMESLOTS).map(|timeslot| (first + i32::from(timeslot) - 1, timeslot));
        assert!(places.iter().map(|place| (place.channel, place.timeslot)).eq(expected));
        assert_eq!(control.span_status(span).expect("SPANSTAT").configured_channels, 0);
        for place in places {
            let is_d_channel = place.timeslot == D_CHANNEL;
            let signalling = if is_d_channel { Signalling::HdlcFcs } else { Signalling::Clear };
            let outcome = control.configure_channel(place.channel, signalling, ChannelLaw::A);
            outcome.expect("CHANCONFIG");
        }
        let signalling = |timeslot: usize| control.channels(span)[timeslot - 1].signalling;
        assert_eq!((signalling(1), signalling(16)), (0x80, 0x380));
        control.start_span(span).expect("STARTUP");
        let status = control.span_status(span).expect("SPANSTAT");
        assert_eq!((status.channels, status.configured_channels), (31, 31));
        let [name, description] = control.span_names(span).expect("SPANSTAT");
        assert_eq!(name, format!("DYN/loc/1:{}", span - 1));
        assert!(description.starts_with("Dynamic 'loc' span"), "{description}");
        println!("{name}: {status:?}");
    }
    done("enumeration, configuration, start");
}

fn buffers(a: &Channel, b: &Channel) {
    refused(Channel::open(1), libc::EBUSY, "a channel that is open");
    refused(Channel::open(900), libc::EINVAL, "no such channel");

    let half = Buffers { count: 6, policy: Policy::HalfFull, ..BUFFERS };
    for set in [Buffers { policy: Policy::WhenFull, ..half }, half] {
        a.set_buffers(set).expect("SET_BUFINFO");
        assert_eq!(a.buffers().expect("GET_BUFINFO"), set);
    }
    let too_small = Buffers { size_octets: 8, ..half };
    refused(a.set_buffers(too_small), libc::EINVAL, "a buffer of 8 octets");
    b.set_buffers(BUFFERS).expect("SET_BUFINFO");
    b.flush().expect("FLUSH");
    write(a, &block(1));
    write(a, &block(2));
    assert!(!has(&heard(b, A_WHILE), &block(1)), "two of six blocks are not yet half");
    write(a, &block(3));
    let octets = heard(b, A_WHILE);
    assert!(has(&octets, &[block(1), block(2), block(3)].concat()), "three are");
    done("a policy by which half of the buffers must be full");

    a.set_buffers(BUFFERS).expect("SET_BUFINFO");
    for (what, flush) in [
        ("all", Channel::flush as fn(&Channel) -> io::Result<()>),
        ("write", Channel::flush_written),
    ] {
        (0..7).for_each(|seed| write(a, &block(seed)));
        flush(a).expect("FLUSH");
        let octets = heard(b, A_WHILE);
        assert!(!has(&octets, &block(6)), "{what}: what was flushed is not played");
    }
    done("what waits is forgotten");

    a.report_buffer_events(true).expect("BUFFER_EVENTS");
    b.report_buffer_events(true).expect("BUFFER_EVENTS");
    write(a, &block(1));
    for (channel, event) in [(a, 30), (b, 29)] {
        let mut block = [0; BLOCK];
        let mut last = None;
        until(&format!("an event for a buffer ({event})"), || {
            // Whoever reads here would have no overrun; a write meets the event as well.
            let outcome =
                if event == 30 { channel.read(&mut block) } else { channel.write(&block) };
            last = outcome.err().and_then(|error| error.raw_os_error());
            last == Some(500)
        });
        let seen: Vec<i32> = std::iter::from_fn(|| next(channel)).collect();
        assert!(seen.contains(&event), "{seen:?}, of {EVENTS:?}");
        assert!(channel.read(&mut block).is_ok_and(|size| size == BLOCK), "no event is left");
    }
    a.report_buffer_events(false).expect("BUFFER_EVENTS");
    b.report_buffer_events(false).expect("BUFFER_EVENTS");
    a.flush().expect("FLUSH");
    heard(b, A_WHILE);
    assert_eq!((next(a), next(b)), (None, None), "no more are asked for");
    done("events stand in the way until they are taken");
}

fn speech(a: &Channel, b: &Channel) {
    let same: [u8; 256] = std::array::from_fn(|octet| octet as u8);
    let turned = same.map(|octet| octet ^ 0x0f);
    let other = same.map(|octet| octet ^ 0xa0);
    a.set_audio_mode(false).expect("AUDIOMODE");
    refused(a.set_gains(&same, &turned), libc::EINVAL, "gains without audio mode");
    refused(a.gains(), libc::EINVAL, "gains without audio mode");
    refused(a.set_echo_canceller(256), libc::EINVAL, "a canceller without audio mode");
    a.set_audio_mode(true).expect("AUDIOMODE");
    assert_eq!(a.gains().expect("GETGAINS"), (same, same));
    a.set_gains(&other, &turned).expect("SETGAINS");
    b.set_gains(&turned, &same).expect("SETGAINS");
    assert_eq!(a.gains().expect("GETGAINS"), (other, turned));
    // Turned over by the one's transmit gain, and back by the other's receive gain.
    write(a, &block(1));
    assert!(has(&heard(b, A_WHILE), &block(1)));
    b.set_gains(&same, &same).expect("SETGAINS");
    write(a, &block(2));
    assert!(has(&heard(b, A_WHILE), &block(2).map(|octet| octet ^ 0x0f)));
    // The other way by the first one's receive gain.
    write(b, &block(3));
    assert!(has(&heard(a, A_WHILE), &block(3).map(|octet| octet ^ 0xa0)));
    a.set_audio_mode(false).expect("AUDIOMODE");
    a.set_audio_mode(true).expect("AUDIOMODE");
    assert_eq!(a.gains().expect("GETGAINS"), (same, same), "audio mode begins without gains");
    done("gains");

    for (law, silence) in [(ChannelLaw::Mu, Law::Mu.idle()), (ChannelLaw::A, Law::A.idle())] {
        a.set_law(law).expect("SETLAW");
        let octets = heard(b, A_WHILE);
        let last = &octets[octets.len() - BLOCK..];
        // The driver's silence is one of the two smallest values of the law.
        let is_silence = last.iter().all(|octet| *octet | 0x80 == silence | 0x80);
        assert!(is_silence, "{law:?}: {last:02x?}");
    }
    done("the law");
}

/// Sends noise on `a`, says it back on `b` a quarter as loud, and measures what of it comes back at
/// `a`, in dB below what was sent: in the best half second, since a canceller begins anew where the
/// guest was held up.
fn echo_loss_db(a: &Channel, b: &Channel, time: Duration) -> f32 {
    let softer: [u8; 256] =
        std::array::from_fn(|octet| Law::A.encode(Law::A.decode(octet as u8) / 4));
    let mut state = 1_u32;
    let mut noise = || {
        [(); BLOCK].map(|()| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Law::A.encode(((state >> 19) as i16) - 4_096)
        })
    };
    for channel in [a, b] {
        channel.flush().expect("FLUSH");
        (0..2).for_each(|_| write(channel, &[Law::A.idle(); BLOCK]));
    }
    let energy = |octets: &[u8]| -> f32 {
        octets.iter().map(|octet| f32::from(Law::A.decode(*octet)).powi(2)).sum()
    };
    let (mut sent, mut back, mut blocks, mut best_db) = (0.0, 0.0, 0, 0_f32);
    let begun = Instant::now();
    while begun.elapsed() < time {
        let came = read_all(a);
        for part in came.chunks_exact(BLOCK) {
            let block = noise();
            write(a, &block);
            sent += energy(&block);
            back += energy(part);
            blocks += 1;
            if blocks == 50 {
                // The first half second has the silence at its beginning.
                if begun.elapsed() > Duration::from_secs(1) {
                    best_db = best_db.max(10.0 * (sent / back.max(1.0)).log10());
                }
                (sent, back, blocks) = (0.0, 0.0, 0);
            }
        }
        for part in read_all(b).chunks_exact(BLOCK) {
            let said: Vec<u8> = part.iter().map(|octet| softer[usize::from(*octet)]).collect();
            write(b, &said);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    best_db
}

fn echo(control: &Control, a: Channel, b: &Channel) -> Channel {
    let before_db = echo_loss_db(&a, b, Duration::from_secs(3));
    drop(a);
    refused(control.attach_echo_canceller(1, Some("none")), libc::EINVAL, "no such canceller");
    refused(control.attach_echo_canceller(900, Some("mg2")), libc::EINVAL, "no such channel");
    control.attach_echo_canceller(1, Some("mg2")).expect("ATTACH_ECHOCAN");
    let a = Channel::open(1).expect("SPECIFY");
    a.set_audio_mode(true).expect("AUDIOMODE");
    a.set_buffers(BUFFERS).expect("SET_BUFINFO");
    a.set_echo_canceller(1024).expect("ECHOCANCEL");
    let with_db = echo_loss_db(&a, b, Duration::from_secs(8));
    assert_eq!(next(&a), None);
    a.set_fax_mode(true).expect("ECHOCANCEL_FAX_MODE");
    assert_eq!(next(&a), Some(27), "of {EVENTS:?}");
    a.set_fax_mode(false).expect("ECHOCANCEL_FAX_MODE");
    assert_eq!(next(&a), Some(28), "of {EVENTS:?}");
    a.set_echo_canceller(0).expect("ECHOCANCEL");
    let after_db = echo_loss_db(&a, b, Duration::from_secs(3));
    println!("echo: {before_db:.1} dB, with the canceller {with_db:.1} dB, then {after_db:.1} dB");
    assert!((10.0..18.0).contains(&before_db) && (10.0..18.0).contains(&after_db));
    assert!(with_db > before_db + 10.0);
    // Whoever closes a channel need not know that its canceller was on.
    a.set_echo_canceller(128).expect("ECHOCANCEL");
    drop(a);
    control.attach_echo_canceller(1, None).expect("ATTACH_ECHOCAN");
    done("the echo canceller");
    Channel::open(1).expect("SPECIFY")
}

fn frames(a: &Channel, b: &Channel) {
    for channel in [a, b] {
        let buffers = Buffers { count: 32, size_octets: 1_024, policy: Policy::Immediate };
        channel.set_buffers(buffers).expect("SET_BUFINFO");
        refused(channel.set_audio_mode(true), libc::EINVAL, "audio mode of a D channel");
    }
    let mut frame = [0; 1_024];
    let mut size = 0;
    let mut looks = 0;
    until("a frame", || {
        // The first is lost if the receiver has not seen a flag before.
        if looks % 100 == 0 {
            write(a, &[1, 2, 3, 4, 5, 0, 0]);
        }
        looks += 1;
        match b.read(&mut frame) {
            Ok(read) => size = read,
            Err(_) => while next(b).is_some() {},
        }
        size > 0
    });
    assert_eq!((size, &frame[..5]), (7, &[1, 2, 3, 4, 5][..]), "with its FCS");
}

fn main() {
    let control = Control::open().expect("/dev/dahdi/ctl");
    spans(&control);
    let [a, b] = [1, 32].map(|number| Channel::open(number).expect("SPECIFY"));
    for channel in [&a, &b] {
        channel.set_audio_mode(true).expect("AUDIOMODE");
    }
    buffers(&a, &b);
    speech(&a, &b);
    let a = echo(&control, a, &b);
    let [c, d] = [16, 47].map(|number| Channel::open(number).expect("SPECIFY"));
    frames(&c, &d);

    refused(control.destroy_dynamic_span(&loc("1:1")), libc::EBUSY, "a span that is in use");
    drop([a, b, c, d]);
    refused(control.destroy_dynamic_span(&loc("5:1")), libc::EINVAL, "no such span");
    for (span, address) in [(1, "1:0"), (2, "1:1")] {
        control.stop_span(span).expect("SHUTDOWN");
        control.destroy_dynamic_span(&loc(address)).expect("DYNAMIC_DESTROY");
        assert!(control.span_status(span).is_err());
    }
    done("spans are stopped and taken away");
    println!("done");
}
