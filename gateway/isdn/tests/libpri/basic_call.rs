//! Calls are set up and cleared, in both directions, by either end.

use trunkline_isdn::{
    BearerCapability, CallId, Cause, Indication, Number, NumberType, Request, Setup,
    TransferCapability,
};

use super::peer::{Line, on_every_interface};

/// Every cause of Q.850 that an end gives of itself.
const CAUSES: [u8; 58] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 28, 29, 31, 34, 38, 39,
    40, 41, 42, 43, 44, 46, 47, 49, 50, 53, 55, 57, 58, 62, 63, 65, 66, 69, 70, 79, 82, 83, 84, 85,
    86, 87, 88, 90, 91, 95, 111, 127,
];

pub fn setup(channel: u8) -> Setup {
    Setup {
        channel,
        exclusive: true,
        bearer: BearerCapability { transfer: TransferCapability::Speech, user_layer_1: Some(3) },
        called: Number::new(NumberType::National, "333331234"),
        calling: Some(Number::new(NumberType::National, "469595678")),
        sending_complete: true,
        ..Setup::default()
    }
}

fn disconnect(cause: u8) -> Request {
    Request::Disconnect { cause, in_band: false }
}

/// We call; the peer answers.
pub fn call_out(line: &mut Line, channel: u8) -> CallId {
    let mut wanted = setup(channel);
    wanted.bearer.user_layer_1 = Some(line.variant.user_layer_1);
    let call = line.setup(&wanted);
    let ring = line.event("ring");
    assert_eq!(ring.number("layer1"), 0x20 | i64::from(line.variant.user_layer_1));
    assert_eq!(ring.text("called"), "333331234");
    assert_eq!(ring.number("plan"), 0x21, "national, E.164");
    assert_eq!(ring.text("calling"), "469595678");
    assert_eq!(ring.number("channel"), i64::from(channel));
    assert_eq!(ring.number("complete"), i64::from(line.variant.sending_complete));
    let number = ring.number("call");
    line.command(&format!("proceed {number} {channel}"));
    assert_eq!(line.indication(), (call, Indication::Proceeding { in_band: false }));
    line.command(&format!("alert {number} {channel}"));
    assert_eq!(line.indication(), (call, Indication::Alerting { in_band: true }));
    line.command(&format!("answer {number} {channel}"));
    assert_eq!(line.indication(), (call, Indication::Connect));
    call
}

/// The peer calls; we answer.
pub fn call_in(line: &mut Line, channel: u8) -> CallId {
    line.command(&format!("call {channel} 1 333331234 33 1 469595678 33 3"));
    line.event("calling");
    let (call, indication) = line.indication();
    let Indication::Setup(setup) = indication else { panic!("{indication:?}") };
    assert_eq!((setup.channel, setup.called.digits.as_str()), (channel, "333331234"));
    assert_eq!(setup.calling.expect("a calling number").digits, "469595678");
    line.ask(call, Request::Proceeding);
    assert_eq!(line.event("proceeding").number("channel"), i64::from(channel));
    line.ask(call, Request::Alerting { in_band: true });
    assert_eq!(line.event("ringing").number("progress") & 8, 8);
    line.ask(call, Request::Connect);
    line.event("answer");
    call
}

/// The cause with which a call of ours ended, however it was cleared.
pub fn cause_of_ours(line: &mut Line, call: CallId) -> Cause {
    let mut first = None;
    loop {
        match line.indication() {
            (cleared, Indication::Disconnect { cause, .. }) if cleared == call => {
                first = Some(cause);
                line.ask(call, disconnect(cause.value));
            }
            (cleared, Indication::Released { cause, .. }) if cleared == call => {
                return first.unwrap_or(cause);
            }
            (_, Indication::ConnectAcknowledged) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The first cause that the peer hears of when we clear; then its call is gone.
fn cause_of_theirs(line: &mut Line) -> i64 {
    let first = line.next_event();
    match first.verb() {
        "disconnect" => {
            line.event("hangup_ack");
        }
        "hangup" | "hangup_ack" => {}
        other => panic!("{other}"),
    }
    first.number("cause")
}

#[test]
fn calls_are_set_up_both_ways_and_cleared_by_either_end() {
    on_every_interface(|line| {
        for (they_call, they_clear) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let last = line.last_channel();
            let call = if they_call { call_in(line, last) } else { call_out(line, 7) };
            // Nothing crosses the message that clears.
            line.settle();
            if they_clear {
                line.command(&format!("hangup {} 16", line.last_call()));
                assert_eq!(cause_of_ours(line, call).value, 16);
                line.settle();
            } else {
                line.ask(call, disconnect(16));
                assert_eq!(cause_of_theirs(line), 16);
                cause_of_ours(line, call);
            }
            assert!(line.is_at_rest());
        }
        let counters = line.ours.counters();
        assert_eq!((counters.messages_refused, counters.statuses_received), (0, 0));
        assert_eq!(counters.link.errors, 0);
    });
}

#[test]
fn every_cause_of_an_answered_call_arrives_at_the_other_end() {
    on_every_interface(|line| {
        for cause in CAUSES {
            let call = call_out(line, 1);
            line.command(&format!("hangup {} {cause}", line.last_call()));
            assert_eq!(cause_of_ours(line, call).value, cause);
            line.settle();
            let call = call_in(line, 23);
            line.ask(call, disconnect(cause));
            assert_eq!(cause_of_theirs(line), i64::from(cause));
            cause_of_ours(line, call);
            assert!(line.is_at_rest());
        }
    });
}

#[test]
fn every_cause_of_a_refused_call_arrives_at_the_other_end() {
    on_every_interface(|line| {
        for cause in CAUSES {
            let call = line.setup(&setup(1));
            let ring = line.event("ring").number("call");
            // Without it libpri says nothing at all for causes that it does not refuse with.
            line.command(&format!("proceed {ring} 1"));
            line.command(&format!("hangup {ring} {cause}"));
            assert_eq!(line.indication().1, Indication::Proceeding { in_band: false });
            assert_eq!(cause_of_ours(line, call).value, cause);
            line.settle();
            line.command("call 23 1 333331234 33 1 469595678 33 3");
            line.event("calling");
            let (call, _) = line.indication();
            line.ask(call, disconnect(cause));
            assert_eq!(cause_of_theirs(line), i64::from(cause));
            cause_of_ours(line, call);
        }
    });
}
