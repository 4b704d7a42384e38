//! Numbers digit by digit, and the timers that wait for them.

use super::*;

fn incomplete(digits: &str) -> Setup {
    Setup { called: Number::new(NumberType::Unknown, digits), sending_complete: false, ..setup(17) }
}

fn digits(digits: &str, complete: bool) -> Indication {
    Indication::Digits { digits: digits.into(), complete }
}

/// The user has sent the first digits, the network awaits more.
fn dialling() -> (Interface, CallId, CallId) {
    let mut interface = Interface::up();
    let call = interface.user.setup(interface.now, &incomplete("03")).unwrap();
    interface.run();
    let (theirs, indication) = interface.network_saw.pop().unwrap();
    assert!(matches!(indication, Indication::Setup(setup) if !setup.sending_complete));
    interface.ask_network(theirs, Request::MoreDigits { dial_tone: true });
    assert_eq!(interface.seen_by_user(), [Indication::MoreDigits { in_band: true }]);
    (interface, call, theirs)
}

#[test]
fn digits_arrive_in_order_until_the_last() {
    let (mut interface, call, theirs) = dialling();
    for (text, complete) in [("33", false), ("33", false), ("1234", true)] {
        interface.pass(Duration::from_secs(14));
        interface.ask_user(call, Request::Digits { digits: text.into(), complete });
        assert_eq!(interface.seen_by_network(), [digits(text, complete)]);
    }
    interface.ask_network(theirs, Request::Proceeding);
    interface.ask_network(theirs, Request::Connect);
    assert_eq!(
        interface.seen_by_user(),
        [Indication::Proceeding { in_band: false }, Indication::Connect]
    );
}

#[test]
fn t302_tells_that_no_more_digits_come_and_the_owner_decides() {
    let (mut interface, _, theirs) = dialling();
    interface.pass(Duration::from_secs(16));
    assert_eq!(interface.seen_by_network(), [digits("", true)]);
    interface.ask_network(theirs, disconnect(28));
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Disconnect { cause: Cause { value: 28, .. }, .. }]
    ));
}

#[test]
fn t304_ends_a_call_whose_number_is_never_taken() {
    let (mut interface, call, _) = dialling();
    interface.ask_user(call, Request::Digits { digits: "3".into(), complete: false });
    interface.pass(Duration::from_secs(29));
    assert_eq!(interface.seen_by_user(), []);
    interface.pass(Duration::from_secs(2));
    assert!(matches!(
        interface.seen_by_user()[0],
        Indication::Disconnect { cause: Cause { value: 28, location: Location::User }, .. }
    ));
    assert!(interface.seen_by_network().iter().any(|indication| matches!(
        indication,
        Indication::Disconnect { cause: Cause { value: 102, .. }, .. }
    )));
}

#[test]
fn a_variant_without_overlap_takes_every_number_as_whole() {
    let side = |side| PrimaryRate::new(Configuration::new(side, Variant::INS_1500));
    let mut interface =
        Interface { user: side(Side::User), network: side(Side::Network), ..Interface::new() };
    interface.user.line_up(interface.now);
    interface.run();
    interface.user.setup(interface.now, &incomplete("03")).unwrap();
    interface.run();
    let (theirs, indication) = interface.network_saw.pop().unwrap();
    assert!(matches!(indication, Indication::Setup(setup) if setup.sending_complete));
    assert_eq!(
        interface.network.request(interface.now, theirs, Request::MoreDigits { dial_tone: false }),
        Err(IsdnError::WrongState { state: 1 })
    );
}

#[test]
fn a_link_established_anew_ends_calls_that_may_have_lost_digits() {
    let (mut interface, _, _) = dialling();
    // The network's end restarts its link; the user's sees SABME.
    interface.network.link.line_lost();
    interface.network.link.establish(interface.now);
    interface.network.drain_link(interface.now);
    interface.run();
    assert!(matches!(
        interface.seen_by_user()[0],
        Indication::Disconnect { cause: Cause { value: 41, .. }, .. }
    ));
}
