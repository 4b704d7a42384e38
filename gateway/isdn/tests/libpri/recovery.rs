//! Data links that fail under calls, and messages that do not fit.

use trunkline_isdn::{Indication, Output, Request};

use super::basic_call::{call_in, call_out};
use super::peer::on_every_interface;

#[test]
fn an_answered_call_survives_a_data_link_that_is_established_anew() {
    on_every_interface(|line| {
        assert_eq!(line.other(), Output::LinkUp);
        let call = call_out(line, 2);
        let now = line.now();
        line.ours.line_down(now);
        assert_eq!(line.other(), Output::LinkDown);
        let now = line.now();
        line.ours.line_up(now);
        assert_eq!(line.other(), Output::LinkUp);
        // STATUS ENQUIRY was sent; libpri says that the call is active there too.
        let received = line.ours.counters().statuses_received;
        line.quiet_until(|line| line.ours.counters().statuses_received > received);
        assert_eq!(line.ours.channel(call), Some(2));
        line.ask(call, Request::Disconnect { cause: 16, in_band: false });
        assert!(matches!(line.indication().1, Indication::Released { .. }));
    });
}

#[test]
fn an_enquiry_finds_the_peer_in_the_same_state() {
    on_every_interface(|line| {
        let out = call_out(line, 2);
        let in_ = call_in(line, 3);
        for call in [out, in_] {
            let received = line.ours.counters().statuses_received;
            line.ask(call, Request::Enquire);
            line.quiet_until(|line| line.ours.counters().statuses_received > received);
            assert!(line.ours.channel(call).is_some());
        }
    });
}

#[test]
fn messages_that_do_not_fit_the_state_are_answered_by_status_and_change_nothing() {
    on_every_interface(|line| {
        let call = call_out(line, 2);
        let theirs = line.last_call();
        for command in ["proceed", "alert", "setup_ack"] {
            line.command(&format!("{command} {theirs} 2"));
        }
        // libpri keeps the CALL PROCEEDING to itself.
        line.quiet_until(|line| line.ours.counters().statuses_sent == 2);
        assert_eq!(line.ours.channel(call), Some(2));
        line.ask(call, Request::Disconnect { cause: 16, in_band: false });
        assert!(matches!(line.indication().1, Indication::Released { .. }));
    });
}
