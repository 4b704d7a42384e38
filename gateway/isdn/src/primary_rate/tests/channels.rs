//! Which channel a call gets, and what happens when both ends want the same.

use super::*;

fn preferred(channel: u8) -> Setup {
    Setup { exclusive: false, ..setup(channel) }
}

/// Both ends call on the channel before either has heard of the other.
fn collision(user: &Setup, network: &Setup) -> (Interface, CallId, CallId) {
    let mut interface = Interface::up();
    let ours = interface.user.setup(interface.now, user).unwrap();
    let theirs = interface.network.setup(interface.now, network).unwrap();
    interface.run();
    (interface, ours, theirs)
}

#[test]
fn the_networks_call_has_the_channel_on_which_both_ends_call() {
    let (mut interface, ours, theirs) = collision(&setup(5), &setup(5));
    let (lost, released) = interface.user_saw.remove(0);
    assert_eq!(lost, ours);
    assert!(matches!(released, Indication::Released { cause: Cause { value: 44, .. }, .. }));
    let (call, indication) = interface.user_saw.remove(0);
    assert!(matches!(indication, Indication::Setup(setup) if setup.channel == 5));
    interface.ask_user(call, Request::Connect);
    assert_eq!(interface.seen_by_network(), [Indication::Connect]);
    assert_eq!((interface.user.calls(), interface.network.calls()), (1, 1));
    assert_eq!(interface.network.channel(theirs), Some(5));
}

#[test]
fn a_users_call_that_preferred_the_channel_is_over_for_both_ends_too() {
    let (mut interface, ours, _) = collision(&preferred(5), &setup(5));
    assert_eq!(interface.user.channel(ours), None, "the owner hunts another channel");
    interface.pass(Duration::from_secs(1));
    let of_the_user = interface.network_saw.iter().filter(|(_, indication)| {
        matches!(indication, Indication::Setup(_) | Indication::Released { .. })
    });
    assert_eq!(of_the_user.count(), 2, "the network moved it, and then it was released");
    assert_eq!(interface.network.calls(), 1);
}

#[test]
fn a_preferred_channel_that_is_busy_is_exchanged_for_a_free_one() {
    let mut interface = Interface::up();
    let (_, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Connect);
    // The network knows nothing of the call any more, the user does.
    let key = interface.network.references.remove(&theirs).unwrap();
    interface.network.calls.remove(&key);
    interface.seen_by_user();
    let call = interface.network.setup(interface.now, &preferred(17)).unwrap();
    interface.run();
    let (accepted, indication) = interface.user_saw.pop().unwrap();
    assert!(matches!(indication, Indication::Setup(setup) if setup.channel == 31));
    interface.ask_user(accepted, Request::Alerting { in_band: false });
    assert_eq!(
        interface.seen_by_network(),
        [Indication::Channel { channel: 31 }, Indication::Alerting { in_band: false }]
    );
    assert_eq!(interface.network.channel(call), Some(31));
}

#[test]
fn a_user_that_names_no_channel_gets_one_until_none_is_left() {
    let mut interface = Interface::up();
    for number in 0..31 {
        let message = Message {
            reference: CallReference { value: 1 + number, to_origin: false },
            message_type: MessageType::Setup,
            elements: vec![Element::BearerCapability(setup(1).bearer)],
        };
        interface.user.put(interface.now, &message);
        interface.user.drain_link(interface.now);
        interface.run();
    }
    let channels: std::collections::BTreeSet<u8> = interface
        .network_saw
        .iter()
        .filter_map(|(_, indication)| match indication {
            Indication::Setup(setup) => Some(setup.channel),
            _ => None,
        })
        .collect();
    assert!(channels.iter().eq(Variant::EURO_ISDN.b_channels));
    assert_eq!(interface.network.counters().setups_refused, 1, "34, no channel is free");
}

#[test]
fn calls_are_made_on_free_b_channels_only() {
    let mut interface = Interface::up();
    interface.call_from_user();
    let now = interface.now;
    assert_eq!(interface.user.setup(now, &setup(17)), Err(IsdnError::ChannelBusy { channel: 17 }));
    assert_eq!(
        interface.user.setup(now, &setup(16)),
        Err(IsdnError::NoSuchChannel { channel: 16 })
    );
}
