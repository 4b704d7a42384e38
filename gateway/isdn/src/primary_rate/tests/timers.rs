//! Every timer runs as long as it is set to, and what T309 does for calls in set-up.

use super::*;
use crate::q931::timer::Timer;

/// How long the timer under test is set to run; all others run for an hour.
const SET: Duration = Duration::from_secs(777);

/// Both sides, their timers set.
fn with(timer: Timer) -> Interface {
    let side = |side| {
        let mut configuration = Configuration::new(side, Variant::EURO_ISDN);
        for other in Timer::ALL {
            configuration.timers.set(other, Duration::from_secs(3_600));
        }
        configuration.timers.set(timer, SET);
        PrimaryRate::new(configuration)
    };
    let mut interface =
        Interface { user: side(Side::User), network: side(Side::Network), ..Interface::new() };
    interface.user.line_up(interface.now);
    interface.run();
    interface
}

/// Brings a timer to run on one of the sides, and gives how long it runs there.
fn runs(timer: Timer) -> Option<Duration> {
    let mut interface = with(timer);
    let deadline = |side: &PrimaryRate| side.calls.values().find_map(Call::next_deadline);
    let at = match timer {
        Timer::T303 => {
            interface.user.setup(interface.now, &setup(1)).unwrap();
            deadline(&interface.user)
        }
        Timer::T302 | Timer::T304 => {
            let (called, complete) = (Number::new(NumberType::Unknown, "03"), false);
            let setup = Setup { called, sending_complete: complete, ..setup(1) };
            interface.user.setup(interface.now, &setup).unwrap();
            interface.run();
            let (theirs, _) = interface.network_saw.pop().unwrap();
            interface.ask_network(theirs, Request::MoreDigits { dial_tone: false });
            deadline(if timer == Timer::T302 { &interface.network } else { &interface.user })
        }
        Timer::T301 | Timer::T310 => {
            let (_, theirs) = interface.call_from_user();
            interface.ask_network(theirs, Request::Proceeding);
            if timer == Timer::T301 {
                interface.ask_network(theirs, Request::Alerting { in_band: false });
            }
            deadline(&interface.user)
        }
        Timer::T313 => {
            interface.network.setup(interface.now, &setup(1)).unwrap();
            interface.run();
            let (theirs, _) = interface.user_saw.pop().unwrap();
            interface.user.request(interface.now, theirs, Request::Connect).unwrap();
            deadline(&interface.user)
        }
        Timer::T305 => {
            let (call, _) = interface.call_from_user();
            interface.ask_user(call, disconnect(16));
            deadline(&interface.user)
        }
        Timer::T306 => {
            let (_, theirs) = interface.call_from_user();
            interface.ask_network(theirs, Request::Connect);
            interface.ask_network(theirs, Request::Disconnect { cause: 17, in_band: true });
            deadline(&interface.network)
        }
        Timer::T308 => {
            let (call, theirs) = interface.call_from_user();
            interface.ask_user(call, disconnect(16));
            interface.network.request(interface.now, theirs, disconnect(16)).unwrap();
            deadline(&interface.network)
        }
        Timer::T309 => {
            let (_, theirs) = interface.call_from_user();
            interface.ask_network(theirs, Request::Connect);
            interface.user.line_down(interface.now);
            deadline(&interface.user)
        }
        Timer::T316 => {
            interface.user.restart(interface.now, Some(1));
            interface.user.restart_deadline()
        }
        Timer::T322 => {
            let (call, theirs) = interface.call_from_user();
            interface.ask_network(theirs, Request::Connect);
            interface.user.request(interface.now, call, Request::Enquire).unwrap();
            deadline(&interface.user)
        }
    };
    Some(at?.duration_since(interface.now))
}

#[test]
fn every_timer_runs_as_long_as_it_is_set_to() {
    for timer in Timer::ALL {
        assert_eq!(runs(timer), Some(SET), "{timer:?}");
        assert_eq!(Timer::by_name(&format!("t{}", timer.number())), Some(timer));
    }
}

/// A call of the user that rings when the line between the ends is cut.
fn ringing_and_cut() -> (Interface, CallId, CallId) {
    let mut interface = Interface::up();
    let (call, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Alerting { in_band: false });
    interface.seen_by_user();
    interface.cut = true;
    interface.user.link.line_lost();
    interface.user.drain_link(interface.now);
    (interface, call, theirs)
}

#[test]
fn a_ringing_call_outlives_a_data_link_that_comes_back_within_t309() {
    let (mut interface, _, theirs) = ringing_and_cut();
    interface.pass(Duration::from_secs(60));
    assert_eq!(interface.seen_by_user(), []);
    interface.cut = false;
    interface.user.line_up(interface.now);
    interface.pass(Duration::from_secs(5));
    interface.ask_network(theirs, Request::Connect);
    assert_eq!(interface.seen_by_user(), [Indication::Connect]);
}

#[test]
fn a_ringing_call_ends_with_27_when_t309_runs_out() {
    let (mut interface, _, _) = ringing_and_cut();
    interface.pass(Duration::from_secs(91));
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Released { cause: Cause { value: 27, .. }, by_us: true }]
    ));
}

#[test]
fn a_call_that_is_ended_without_a_data_link_is_over_at_once() {
    let (mut interface, call, _) = ringing_and_cut();
    interface.user.request(interface.now, call, disconnect(16)).unwrap();
    assert_eq!(interface.user.calls(), 0);
    // The other end learns of it when the link is back.
    interface.cut = false;
    interface.user.line_up(interface.now);
    interface.pass(Duration::from_secs(5));
    assert_eq!(interface.network.calls(), 0);
}

#[test]
fn a_data_link_that_never_comes_up_is_told_of_once() {
    let mut interface = Interface::new();
    let mut outputs = Vec::new();
    interface.user.line_up(interface.now);
    for _ in 0..60 {
        interface.now += Duration::from_secs(1);
        interface.user.timeout(interface.now);
        outputs.extend(std::iter::from_fn(|| interface.user.poll_output()));
    }
    outputs.retain(|output| !matches!(output, Output::Frame(_)));
    assert_eq!(outputs, [Output::LinkNotEstablished { refused: false }]);
    assert!(interface.user.counters().link.establishments_failed > 5);
    // DM is another thing to look for than silence.
    interface.user.line_down(interface.now);
    interface.user.line_up(interface.now);
    interface.user.frame(interface.now, &[0x00, 0x01, 0x1f]);
    let refused = Output::LinkNotEstablished { refused: true };
    assert!(std::iter::from_fn(|| interface.user.poll_output()).any(|output| output == refused));
}
