//! Numbers that come digit by digit, in both directions.

use std::time::Duration;

use trunkline_isdn::{CallId, Indication, Number, NumberType, Request, Setup};

use super::basic_call::setup;
use super::peer::{Line, on_interfaces};

fn with_overlap(test: impl Fn(&mut Line)) {
    on_interfaces(|variant| variant.overlap, &["overlap"], test);
}

/// The peer calls with one digit; we await more.
fn dialling(line: &mut Line) -> CallId {
    line.command("call 4 1 0 0 0 469595678 33 3");
    line.event("calling");
    let (call, indication) = line.indication();
    let Indication::Setup(setup) = indication else { panic!("{indication:?}") };
    assert_eq!((setup.called.digits.as_str(), setup.sending_complete), ("0", false));
    line.ask(call, Request::MoreDigits { dial_tone: true });
    assert_eq!(line.event("setup_ack").number("progress") & 8, 8);
    call
}

fn no_more() -> Indication {
    Indication::Digits { digits: String::new(), complete: true }
}

#[test]
fn digits_that_we_send_one_by_one_reach_the_peer_in_order() {
    with_overlap(|line| {
        let call = line.setup(&Setup {
            called: Number::new(NumberType::Unknown, "03"),
            sending_complete: false,
            ..setup(3)
        });
        let ring = line.event("ring");
        assert_eq!((ring.text("called"), ring.number("complete")), ("03", 0));
        let number = ring.number("call");
        line.command(&format!("setup_ack {number} 3"));
        assert_eq!(line.indication(), (call, Indication::MoreDigits { in_band: true }));
        for (digits, complete) in [("33", false), ("331", false), ("234", true)] {
            line.ask(call, Request::Digits { digits: digits.into(), complete });
            let event = line.event("digits");
            assert_eq!(event.text("called"), digits);
            assert_eq!(event.number("complete") != 0, complete);
        }
        line.command(&format!("proceed {number} 3"));
        assert_eq!(line.indication(), (call, Indication::Proceeding { in_band: false }));
        line.command(&format!("answer {number} 3"));
        assert_eq!(line.indication(), (call, Indication::Connect));
    });
}

#[test]
fn digits_of_the_peer_are_told_one_by_one_and_t302_says_that_no_more_come() {
    with_overlap(|line| {
        let call = dialling(line);
        for digit in ["4", "6", "9"] {
            line.command(&format!("digit {} {digit}", line.last_call()));
            let expected = Indication::Digits { digits: digit.into(), complete: false };
            assert_eq!(line.indication(), (call, expected));
        }
        line.pass(Duration::from_secs(16));
        assert_eq!(line.indication(), (call, no_more()));
        line.ask(call, Request::Proceeding);
        line.event("proceeding");
        line.ask(call, Request::Connect);
        line.event("answer");
    });
}

#[test]
fn a_number_that_stays_incomplete_is_refused_with_28() {
    with_overlap(|line| {
        let call = dialling(line);
        line.pass(Duration::from_secs(16));
        assert_eq!(line.indication(), (call, no_more()));
        line.ask(call, Request::Disconnect { cause: 28, in_band: false });
        assert_eq!(line.event("disconnect").number("cause"), 28);
    });
}
