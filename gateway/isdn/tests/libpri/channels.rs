//! Which channel a call gets: preferred and exclusive ones, and both ends calling on the same.

use trunkline_isdn::{CallId, Indication, Request, Setup, Side};

use super::basic_call::{call_out, cause_of_ours, setup};
use super::peer::{Line, on_every_interface};

/// The peer's call arrives here on this channel.
fn arrival(line: &mut Line, channel: u8) -> CallId {
    let (call, indication) = line.indication();
    let Indication::Setup(setup) = indication else { panic!("{indication:?}") };
    assert_eq!(setup.channel, channel);
    call
}

#[test]
fn a_preferred_channel_may_be_changed_by_the_peer_and_an_exclusive_one_may_not() {
    on_every_interface(|line| {
        let call = line.setup(&Setup { exclusive: false, ..setup(6) });
        let ring = line.event("ring");
        assert_eq!(ring.number("flexible"), 1);
        line.command(&format!("proceed {} 8", ring.number("call")));
        assert_eq!(line.indication(), (call, Indication::Channel { channel: 8 }));
        assert_eq!(line.indication(), (call, Indication::Proceeding { in_band: false }));
        assert_eq!(line.ours.channel(call), Some(8));

        let call = line.setup(&setup(6));
        let ring = line.event("ring");
        line.command(&format!("proceed {} 9", ring.number("call")));
        let (refused, indication) = line.indication();
        assert_eq!(refused, call);
        assert!(matches!(indication, Indication::Disconnect { cause, .. } if cause.value == 6));
        assert_eq!(line.event("hangup").number("cause"), 6);
        assert!(matches!(line.indication().1, Indication::Released { .. }));
    });
}

#[test]
fn a_call_of_the_peer_moves_to_another_channel_when_it_only_preferred_its_own() {
    on_every_interface(|line| {
        line.command("call 6 0 333331234 33 1 469595678 33 3");
        line.event("calling");
        let call = arrival(line, 6);
        line.ours.move_call(call, 8).expect("it was only preferred");
        line.ask(call, Request::Proceeding);
        assert_eq!(line.event("proceeding").number("channel"), 8);
    });
}

#[test]
fn a_busy_channel_is_refused_with_44_or_left_for_another_one() {
    on_every_interface(|line| {
        call_out(line, 6);
        line.command("call 6 1 333331234 33 1 469595678 33 3");
        line.event("calling");
        assert_eq!(line.event("hangup").number("cause"), 44);
        line.command("call 6 0 333331234 33 1 469595678 33 3");
        line.event("calling");
        let last = line.last_channel();
        let call = arrival(line, last);
        line.ask(call, Request::Proceeding);
        assert_eq!(line.event("proceeding").number("channel"), i64::from(last));
    });
}

#[test]
fn a_users_call_gives_way_to_the_networks_on_the_same_channel() {
    on_every_interface(|line| {
        if line.side == Side::Network {
            return;
        }
        line.command("call 5 1 333331234 33 1 469595678 33 3");
        let ours = line.setup(&setup(5));
        let (lost, indication) = line.indication();
        assert_eq!(lost, ours);
        assert!(matches!(indication, Indication::Released { cause, .. } if cause.value == 44));
        let theirs = arrival(line, 5);
        line.ask(theirs, Request::Connect);
        assert_eq!(line.indication(), (theirs, Indication::ConnectAcknowledged));
        assert_eq!(line.ours.counters().collisions, 1);
        // What is left of ours goes without a word to its owner.
        line.quiet_until(|line| line.ours.calls() == 1);
    });
}

#[test]
fn the_networks_call_stays_where_a_users_is_refused_or_moved() {
    on_every_interface(|line| {
        if line.side == Side::User {
            return;
        }
        for exclusive in [1, 0] {
            line.command(&format!("call 5 {exclusive} 333331234 33 1 469595678 33 3"));
            let ours = line.setup(&setup(5));
            let ring = loop {
                let event = line.next_event();
                match event.verb() {
                    "ring" => break event.number("call"),
                    "calling" => {}
                    "hangup" => assert_eq!((exclusive, event.number("cause")), (1, 44)),
                    other => panic!("{other}"),
                }
            };
            let theirs = (exclusive == 0).then(|| {
                let last = line.last_channel();
                arrival(line, last)
            });
            line.command(&format!("answer {ring} 5"));
            assert_eq!(line.indication().1, Indication::Connect);
            for call in theirs.into_iter().chain([ours]) {
                line.ask(call, Request::Disconnect { cause: 16, in_band: false });
                cause_of_ours(line, call);
            }
            line.settle_all();
        }
    });
}
