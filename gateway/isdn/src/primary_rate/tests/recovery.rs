//! Enquiries, restarts and messages that make no sense.

use super::*;

/// An answered call from the user, and what each end has seen until then forgotten.
fn answered() -> (Interface, CallId, CallId) {
    let mut interface = Interface::up();
    let (call, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Connect);
    interface.seen_by_user();
    interface.seen_by_network();
    (interface, call, theirs)
}

impl Interface {
    /// The network's end sends this for a call, whatever it takes the call for itself.
    fn network_says(&mut self, call: CallId, message_type: MessageType, elements: Vec<Element>) {
        let key = self.network.references[&call];
        self.network.send(self.now, key, message_type, elements);
        self.network.drain_link(self.now);
        self.run();
    }
}

#[test]
fn an_enquiry_that_fits_changes_nothing() {
    let (mut interface, call, theirs) = answered();
    interface.ask_user(call, Request::Enquire);
    interface.ask_network(theirs, Request::Enquire);
    interface.pass(Duration::from_secs(20));
    assert_eq!((interface.seen_by_user(), interface.seen_by_network()), (vec![], vec![]));
    assert_eq!((interface.user.calls(), interface.network.calls()), (1, 1));
}

#[test]
fn an_enquiry_into_a_call_that_the_other_end_does_not_know_ends_it() {
    let (mut interface, call, theirs) = answered();
    let key = interface.network.references.remove(&theirs).unwrap();
    interface.network.calls.remove(&key);
    interface.ask_user(call, Request::Enquire);
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Released { cause: Cause { value: 41, .. }, .. }]
    ));
}

#[test]
fn an_enquiry_that_finds_the_call_still_ringing_ends_it_with_101() {
    let (mut interface, call, theirs) = answered();
    let key = interface.network.references[&theirs];
    interface.network.calls.get_mut(&key).unwrap().state =
        crate::q931::call::CallState::CallDelivered;
    interface.ask_user(call, Request::Enquire);
    assert!(matches!(
        interface.seen_by_user()[0],
        Indication::Disconnect { cause: Cause { value: 101, .. }, .. }
    ));
}

#[test]
fn t322_repeats_an_enquiry_and_ends_a_call_with_41_when_nobody_answers() {
    let (mut interface, call, _) = answered();
    // Messages are lost, the link is not: its frames are made up.
    interface.user.request(interface.now, call, Request::Enquire).unwrap();
    let mut enquiries = 0;
    let mut ended = None;
    for _ in 0..14 {
        while let Some(output) = interface.user.poll_output() {
            match output {
                Output::Frame(octets) if octets.ends_with(&[0x75]) => {
                    enquiries += 1;
                    acknowledge(&mut interface, &octets);
                }
                Output::Frame(octets) if octets.len() > 4 => acknowledge(&mut interface, &octets),
                Output::Call { indication: Indication::Disconnect { cause, .. }, .. } => {
                    ended = Some(cause.value);
                }
                _ => {}
            }
        }
        interface.now += Duration::from_secs(1);
        interface.user.timeout(interface.now);
    }
    assert_eq!((enquiries, ended), (3, Some(41)));
}

/// The network's link takes a message that its layer 3 never sees.
fn acknowledge(interface: &mut Interface, octets: &[u8]) {
    let ns = octets[2] >> 1;
    interface.user.frame(interface.now, &[0x00, 0x01, 0x01, ((ns + 1) % 128) << 1]);
}

#[test]
fn the_networks_tone_after_disconnect_lasts_t306() {
    let mut configuration = Configuration::new(Side::Network, Variant::EURO_ISDN);
    configuration.timers.t306 = Duration::from_secs(12);
    let mut interface = Interface { network: PrimaryRate::new(configuration), ..Interface::new() };
    interface.user.line_up(interface.now);
    interface.run();
    let (_, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Connect);
    interface.ask_network(theirs, Request::Disconnect { cause: 17, in_band: true });
    assert!(matches!(
        interface.seen_by_user().last(),
        Some(Indication::Disconnect { in_band: true, .. })
    ));
    interface.pass(Duration::from_secs(11));
    assert_eq!(interface.user.calls(), 1);
    interface.pass(Duration::from_secs(2));
    assert_eq!((interface.user.calls(), interface.network.calls()), (0, 0));
}

#[test]
fn a_restart_that_is_not_acknowledged_is_repeated_by_t316_and_given_up() {
    let mut interface = Interface::up();
    interface.network.restart(interface.now, Some(3));
    interface.network.restart(interface.now, Some(4));
    interface.cut = true;
    interface.user.line_down(interface.now);
    interface.run();
    interface.cut = false;
    // The user's end is deaf to messages: its link alone answers.
    interface.user = PrimaryRate::new(Configuration::new(Side::User, Variant::EURO_ISDN));
    let mut failed = Vec::new();
    for _ in 0..600 {
        while let Some(output) = interface.network.poll_output() {
            match output {
                Output::Frame(octets) => interface.user.link.frame(interface.now, &octets),
                Output::RestartFailed { channel } => failed.push(channel),
                _ => {}
            }
        }
        while let Some(output) = interface.user.link.poll_output() {
            if let LinkOutput::Frame(octets) = output {
                interface.network.frame(interface.now, &octets);
            }
        }
        interface.now += Duration::from_secs(1);
        interface.network.timeout(interface.now);
        interface.user.link.timeout(interface.now);
    }
    assert_eq!(failed, [Some(3), Some(4)]);
    assert_eq!(interface.network.counters().restarts_failed, 2);
}

#[test]
fn restarts_of_several_channels_are_acknowledged_one_by_one() {
    let mut interface = Interface::up();
    for channel in [Some(3), Some(4), None] {
        interface.network.restart(interface.now, channel);
    }
    let mut restarted = Vec::new();
    for _ in 0..100 {
        while let Some(output) = interface.network.poll_output() {
            match output {
                Output::Frame(octets) => interface.user.frame(interface.now, &octets),
                Output::Restarted { channels } => restarted.push(channels),
                _ => {}
            }
        }
        while let Some(output) = interface.user.poll_output() {
            if let Output::Frame(octets) = output {
                interface.network.frame(interface.now, &octets);
            }
        }
    }
    assert_eq!(restarted, [Some(vec![3]), Some(vec![4]), None]);
}

#[test]
fn messages_that_lack_an_element_are_answered_with_status_and_do_nothing() {
    let (mut interface, call, theirs) = answered();
    for (message_type, elements) in [
        (MessageType::Progress, vec![]),
        (MessageType::Notify, vec![]),
        (MessageType::Status, vec![Element::CallState(0)]),
        (MessageType::Other(0x60), vec![]),
        (MessageType::SetupAcknowledge, vec![]),
    ] {
        interface.network_says(theirs, message_type, elements);
    }
    assert_eq!(interface.user.counters().statuses_sent, 5);
    assert_eq!(interface.seen_by_user(), []);
    assert_eq!(interface.user.channel(call), Some(17));
}

#[test]
fn a_disconnect_without_a_cause_counts_as_31_and_is_told_what_it_lacks() {
    let (mut interface, call, theirs) = answered();
    interface.network_says(theirs, MessageType::Disconnect, vec![]);
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Disconnect { cause: Cause { value: 31, .. }, .. }]
    ));
    interface.user.request(interface.now, call, disconnect(16)).unwrap();
    let release =
        std::iter::from_fn(|| interface.user.poll_output()).find_map(|output| match output {
            Output::Frame(octets) => Message::decode(octets.get(4..)?).ok(),
            _ => None,
        });
    assert_eq!(release.and_then(|release| release.cause()).map(|cause| cause.value), Some(96));
}

#[test]
fn a_segmented_message_is_refused_and_its_call_goes_on() {
    let (mut interface, call, theirs) = answered();
    interface.network_says(theirs, MessageType::Other(0x60), vec![Element::Display("x".into())]);
    assert_eq!(interface.user.channel(call), Some(17));
    assert_eq!(interface.network.counters().statuses_received, 1);
}

#[test]
fn a_message_over_n201_loses_what_it_can_do_without_and_arrives() {
    let mut interface = Interface::up();
    let long = Setup {
        accompanying: Accompanying {
            user_user: Some(vec![4; 200]),
            display: Some("x".repeat(80)),
            ..Accompanying::default()
        },
        ..setup(2)
    };
    interface.network.setup(interface.now, &long).unwrap();
    interface.run();
    let (_, indication) = interface.user_saw.pop().unwrap();
    let Indication::Setup(setup) = indication else { panic!("{indication:?}") };
    assert_eq!(setup.accompanying.user_user, None);
    assert_eq!(setup.accompanying.display.map(|text| text.len()), Some(80));
    assert_eq!(interface.network.counters().messages_shortened, 1);
    assert_eq!(interface.user.counters().link.errors, 0);
}

#[test]
fn a_call_to_a_number_that_cannot_be_read_is_refused() {
    let mut interface = Interface::up();
    let called = Number::new(NumberType::Unknown, "1".repeat(65));
    interface.user.setup(interface.now, &Setup { called, ..setup(2) }).unwrap();
    interface.run();
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Released { cause: Cause { value: 28, .. }, .. }]
    ));
    assert_eq!(interface.seen_by_network(), []);
}
