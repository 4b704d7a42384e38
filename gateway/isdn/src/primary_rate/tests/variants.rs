//! What each variant says differently on the wire.

use super::*;
use crate::q931::message::Message;

/// Both sides of a variant, its link up.
fn interface_of(variant: Variant) -> Interface {
    let side = |side| PrimaryRate::new(Configuration::new(side, variant));
    let mut interface =
        Interface { user: side(Side::User), network: side(Side::Network), ..Interface::new() };
    interface.user.line_up(interface.now);
    interface.run();
    interface
}

/// Messages that a side has sent and that are still on its lips.
fn messages(side: &mut PrimaryRate) -> Vec<(Message, Vec<u8>)> {
    std::iter::from_fn(|| side.poll_output())
        .filter_map(|output| match output {
            Output::Frame(octets) => {
                let octets = octets.get(4..)?.to_vec();
                Some((Message::decode(&octets).ok()?, octets))
            }
            _ => None,
        })
        .collect()
}

fn setup_of(variant: Variant) -> Vec<u8> {
    let mut interface = interface_of(variant);
    let bearer = BearerCapability {
        transfer: TransferCapability::Speech,
        user_layer_1: Some(variant.user_layer_1),
    };
    let setup = Setup {
        bearer,
        calling: None,
        accompanying: Accompanying { display: Some("A".into()), ..Accompanying::default() },
        ..setup(1)
    };
    interface.network.setup(interface.now, &setup).unwrap();
    messages(&mut interface.network).remove(0).1
}

const A_LAW: [u8; 5] = [0x04, 3, 0x80, 0x90, 0xa3];
const MU_LAW: [u8; 5] = [0x04, 3, 0x80, 0x90, 0xa2];
const CHANNEL_1: [u8; 5] = [0x18, 3, 0xa9, 0x83, 0x81];
const DISPLAY: [u8; 3] = [0x28, 1, b'A'];
const CALLED: &[u8] = b"\x70\x0b\x810333331234";
const SENDING_COMPLETE: [u8; 1] = [0xa1];

#[test]
fn setup_is_what_each_network_expects() {
    let header: &[u8] = &[8, 2, 0, 1, 5];
    let e1: Vec<u8> = [header, &A_LAW, &CHANNEL_1, &DISPLAY, CALLED, &SENDING_COMPLETE].concat();
    let qsig: Vec<u8> = [header, &A_LAW, &CHANNEL_1, CALLED, &SENDING_COMPLETE].concat();
    let t1: Vec<u8> = [header, &MU_LAW, &CHANNEL_1, &DISPLAY, CALLED].concat();
    let ins: Vec<u8> = [header, &MU_LAW, &CHANNEL_1, CALLED].concat();
    for (variant, expected) in [
        (Variant::EURO_ISDN, &e1),
        (Variant::QSIG, &qsig),
        (Variant::NI_2, &t1),
        (Variant::DMS_100, &t1),
        (Variant::ESS_4, &t1),
        (Variant::ESS_5, &t1),
        (Variant::INS_1500, &ins),
    ] {
        assert_eq!(&setup_of(variant), expected, "{}", variant.name);
    }
}

#[test]
fn the_d_channel_is_no_b_channel() {
    for variant in Variant::ALL {
        assert!(!variant.b_channels.contains(&variant.d_channel), "{}", variant.name);
        let count = if variant.d_channel == 16 { 30 } else { 23 };
        assert_eq!(variant.b_channels.len(), count, "{}", variant.name);
        assert_eq!(Variant::by_name(variant.name), Some(variant));
    }
    assert_eq!(Variant::by_name("ni_3"), None);
}

#[test]
fn ins_1500_hears_of_a_tone_without_progress() {
    for (variant, expected) in [
        (Variant::INS_1500, vec![MessageType::CallProceeding]),
        (Variant::EURO_ISDN, vec![MessageType::CallProceeding, MessageType::Progress]),
    ] {
        let mut interface = interface_of(variant);
        interface.user.setup(interface.now, &setup(1)).unwrap();
        interface.run();
        let (call, _) = interface.network_saw.pop().unwrap();
        interface.network.request(interface.now, call, Request::Progress).unwrap();
        let sent: Vec<MessageType> = messages(&mut interface.network)
            .iter()
            .map(|(message, _)| message.message_type)
            .collect();
        assert_eq!(sent, expected, "{}", variant.name);
    }
}

#[test]
fn between_private_exchanges_both_ends_wait_for_the_acknowledgement_and_are_private() {
    let mut interface = interface_of(Variant::QSIG);
    let (call, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Connect);
    assert_eq!(interface.seen_by_network(), [Indication::ConnectAcknowledged]);
    interface.seen_by_user();
    interface.ask_user(call, disconnect(16));
    assert!(matches!(
        interface.seen_by_network()[..],
        [Indication::Disconnect {
            cause: Cause { value: 16, location: Location::PrivateLocal },
            ..
        }]
    ));
}

#[test]
fn service_is_refused_and_counted_where_the_variant_has_none() {
    let mut interface = interface_of(Variant::EURO_ISDN);
    let state = ServiceState::OutOfService;
    assert_eq!(
        interface.user.announce_service(interface.now, 5, state),
        Err(IsdnError::NotInVariant)
    );
    let service = [0x03, 2, 0, 0, 0x0f, 0x01, 1, 0xc2, 0x18, 3, 0xa9, 0x83, 0x85];
    interface.user.link.data(interface.now, service.to_vec());
    interface.user.drain_link(interface.now);
    interface.run();
    assert_eq!(interface.network.counters().messages_refused, 1);
}
