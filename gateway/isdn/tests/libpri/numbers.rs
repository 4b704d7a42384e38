//! Numbers with their types and presentation, texts and notifications, as libpri reads and writes
//! them.

use trunkline_isdn::{
    Accompanying, Indication, Number, NumberType, Presentation, Progress, Redirecting,
    RedirectionReason, Request, Screening, Setup, Side,
};

use super::basic_call::{call_out, setup};
use super::peer::on_every_interface;

fn restricted() -> Number {
    Number {
        presentation: Presentation::Restricted,
        screening: Screening::UserPassed,
        ..Number::new(NumberType::International, "81469595678")
    }
}

#[test]
fn calling_and_redirecting_numbers_reach_the_peer_with_all_that_is_said_of_them() {
    on_every_interface(|line| {
        line.setup(&Setup {
            calling: Some(restricted()),
            accompanying: Accompanying {
                redirecting: Some(Redirecting {
                    number: Number::new(NumberType::National, "335550000"),
                    reason: Some(RedirectionReason::NoReply),
                }),
                user_user: Some(b"\x04hello".to_vec()),
                progress: vec![Progress {
                    description: 3,
                    location: trunkline_isdn::Location::User,
                }],
                ..Accompanying::default()
            },
            ..setup(2)
        });
        let ring = line.event("ring");
        assert_eq!(ring.text("calling"), "81469595678");
        assert_eq!(ring.number("calling_plan"), 0x11);
        assert_eq!(ring.number("presentation"), 0x21);
        assert_eq!((ring.text("redirecting"), ring.number("reason")), ("335550000", 2));
        assert_eq!(ring.text("user_user"), "hello");
        // PRI_PROG_CALLER_NOT_ISDN.
        assert_eq!(ring.number("progress"), 1 << 2);
    });
}

#[test]
fn a_redirected_call_of_the_peer_says_by_whom_and_why() {
    on_every_interface(|line| {
        line.command("call 2 1 333331234 33 1 81469595678 17 33 335550000 33 0 1");
        line.event("calling");
        let (_, indication) = line.indication();
        let Indication::Setup(setup) = indication else { panic!("{indication:?}") };
        assert_eq!(setup.calling, Some(restricted()));
        assert_eq!(
            setup.accompanying.redirecting,
            Some(Redirecting {
                number: Number::new(NumberType::National, "335550000"),
                reason: Some(RedirectionReason::Busy),
            })
        );
    });
}

#[test]
fn the_connected_number_is_told_both_ways() {
    on_every_interface(|line| {
        let call = line.setup(&setup(2));
        let ring = line.event("ring").number("call");
        line.command(&format!("connected {ring} 335550000 33 0"));
        line.command(&format!("answer {ring} 2"));
        let (_, indication) = line.indication();
        let Indication::Accompanying(with) = indication else { panic!("{indication:?}") };
        let connected = with.connected.expect("a connected number");
        assert_eq!(
            (connected.number_type, &connected.digits[..]),
            (NumberType::National, "335550000")
        );
        assert_eq!(connected.presentation, Presentation::Allowed);
        assert_eq!(line.indication(), (call, Indication::Connect));

        line.command("call 3 1 333331234 33 1 469595678 33 3");
        line.event("calling");
        let (call, _) = line.indication();
        line.ask_with(
            call,
            Request::Connect,
            &Accompanying {
                connected: Some(Number::new(NumberType::National, "335550000")),
                ..Accompanying::default()
            },
        );
        line.event("answer");
        let connected = line.event("connected");
        assert_eq!((connected.text("number"), connected.number("plan")), ("335550000", 33));
    });
}

#[test]
fn notifications_go_both_ways() {
    on_every_interface(|line| {
        let call = call_out(line, 2);
        line.ask(call, Request::Notify { description: 1 });
        assert_eq!(line.event("notify").number("description"), 1);
        line.command(&format!("notify {} 0", line.last_call()));
        assert_eq!(line.indication(), (call, Indication::Notify { description: 0 }));
    });
}

#[test]
fn a_text_is_shown_where_the_variant_and_the_side_allow_it() {
    on_every_interface(|line| {
        let accompanying =
            Accompanying { display: Some("Trunkline".into()), ..Accompanying::default() };
        line.setup(&Setup { accompanying, ..setup(2) });
        let may_show = line.side == Side::Network || line.variant.is_symmetric;
        let name = if may_show && line.variant.display { "Trunkline" } else { "-" };
        assert_eq!(line.event("ring").text("name"), name);
    });
}
