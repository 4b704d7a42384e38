//! What the data link does with each event in each state, as a table to review.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::*;
use crate::Side;

type Event = (&'static str, fn(&mut DataLink, Instant));

/// Every event; those of the peer are the network's frames. V(R) is 1 and V(S) is 1 in states 7 and
/// 8.
const EVENTS: &[Event] = &[
    ("establish", |link, now| link.establish(now)),
    ("release", |link, now| link.release(now)),
    ("line lost", |link, _| link.line_lost()),
    ("message to send", |link, now| link.data(now, vec![1])),
    ("message over N201", |link, now| link.data(now, vec![1; 261])),
    ("T200", |link, now| expire(link, now, |link| link.t200)),
    ("T200 after N200 repetitions", |link, now| {
        link.retransmissions = link.configuration.n200;
        expire(link, now, |link| link.t200);
    }),
    ("T203", |link, now| expire(link, now, |link| link.t203)),
    ("SABME P", |link, now| command(link, now, true, Control::Sabme)),
    ("DISC P", |link, now| command(link, now, true, Control::Disconnect)),
    ("UA F", |link, now| response(link, now, true, Control::UnnumberedAcknowledgement)),
    ("UA", |link, now| response(link, now, false, Control::UnnumberedAcknowledgement)),
    ("DM F", |link, now| response(link, now, true, Control::DisconnectedMode)),
    ("DM", |link, now| response(link, now, false, Control::DisconnectedMode)),
    ("FRMR", |link, now| response(link, now, false, Control::FrameReject)),
    ("I", |link, now| information(link, now, false, 1, 1)),
    ("I P", |link, now| information(link, now, true, 1, 1)),
    ("I out of sequence", |link, now| information(link, now, false, 3, 1)),
    ("I P out of sequence", |link, now| information(link, now, true, 3, 1)),
    ("I with a wrong N(R)", |link, now| information(link, now, false, 1, 9)),
    ("I over N201", |link, now| {
        let message = [0; 261];
        command(link, now, false, Control::Information { ns: 1, nr: 1, message: &message });
    }),
    ("RR command P", |link, now| command(link, now, true, Control::ReceiveReady { nr: 1 })),
    ("RR command", |link, now| command(link, now, false, Control::ReceiveReady { nr: 1 })),
    ("RR response F", |link, now| response(link, now, true, Control::ReceiveReady { nr: 1 })),
    ("RR response", |link, now| response(link, now, false, Control::ReceiveReady { nr: 1 })),
    ("RR with a wrong N(R)", |link, now| {
        response(link, now, false, Control::ReceiveReady { nr: 9 });
    }),
    ("RNR command P", |link, now| command(link, now, true, Control::ReceiveNotReady { nr: 1 })),
    ("RNR response F", |link, now| response(link, now, true, Control::ReceiveNotReady { nr: 1 })),
    ("RNR response", |link, now| response(link, now, false, Control::ReceiveNotReady { nr: 1 })),
    ("REJ command P", |link, now| command(link, now, true, Control::Reject { nr: 1 })),
    ("REJ response F", |link, now| response(link, now, true, Control::Reject { nr: 1 })),
    ("REJ response", |link, now| response(link, now, false, Control::Reject { nr: 1 })),
    ("UI", |link, now| command(link, now, false, Control::UnnumberedInformation)),
    ("XID P", |link, now| command(link, now, true, Control::ExchangeIdentification)),
    ("our own SABME, looped", |link, now| {
        let frame = Frame { is_command: true, poll_final: true, control: Control::Sabme };
        link.frame(now, &frame.encode(Side::User));
    }),
    ("undefined control field", |link, now| link.frame(now, &[0x02, 0x01, 0xe3])),
    ("RR of a wrong length", |link, now| link.frame(now, &[0x02, 0x01, 0x01, 0x02, 0x00])),
    ("frame cut off", |link, now| link.frame(now, &[0x02, 0x01])),
    ("another TEI", |link, now| link.frame(now, &[0x02, 0x81, 0x7f])),
];

fn expire(link: &mut DataLink, now: Instant, timer: fn(&DataLink) -> Option<Instant>) {
    let at = timer(link).unwrap_or(now);
    link.timeout(at);
}

fn command(link: &mut DataLink, now: Instant, poll_final: bool, control: Control<'_>) {
    link.frame(now, &Frame { is_command: true, poll_final, control }.encode(Side::Network));
}

fn response(link: &mut DataLink, now: Instant, poll_final: bool, control: Control<'_>) {
    link.frame(now, &Frame { is_command: false, poll_final, control }.encode(Side::Network));
}

fn information(link: &mut DataLink, now: Instant, poll: bool, ns: u8, nr: u8) {
    command(link, now, poll, Control::Information { ns, nr, message: &[2] });
}

/// A user's link in a state, reached by events alone. `outstanding` messages have been sent that
/// the peer has not acknowledged.
fn link_in(state: LinkState, outstanding: usize, now: Instant) -> DataLink {
    let mut link = DataLink::new(LinkConfiguration::new(Side::User));
    if state == LinkState::TeiAssigned4 {
        return link;
    }
    link.establish(now);
    if state != LinkState::AwaitingEstablishment5 {
        response(&mut link, now, true, Control::UnnumberedAcknowledgement);
        link.data(now, vec![1]);
        information(&mut link, now, false, 0, 1);
    }
    match state {
        LinkState::AwaitingRelease6 => link.release(now),
        LinkState::TimerRecovery8 => {
            let silence = now + Duration::from_secs(10);
            link.timeout(silence);
        }
        _ => {}
    }
    for _ in 0..outstanding {
        link.data(now, vec![1]);
    }
    while link.poll_output().is_some() {}
    assert_eq!(link.state(), state);
    link
}

fn describe(output: &LinkOutput) -> String {
    match output {
        LinkOutput::Established => "established".into(),
        LinkOutput::Released => "released".into(),
        LinkOutput::NotEstablished { refused: true } => "not established: refused".into(),
        LinkOutput::NotEstablished { refused: false } => "not established: no answer".into(),
        LinkOutput::Data(_) => "message".into(),
        LinkOutput::Frame(octets) => {
            let frame = Frame::decode(octets, Side::User, 260).expect("what we send can be read");
            let (name, numbers) = match frame.control {
                Control::Information { ns, nr, .. } => ("I", format!(" {ns},{nr}")),
                Control::ReceiveReady { nr } => ("RR", format!(" {nr}")),
                Control::ReceiveNotReady { nr } => ("RNR", format!(" {nr}")),
                Control::Reject { nr } => ("REJ", format!(" {nr}")),
                Control::Sabme => ("SABME", String::new()),
                Control::DisconnectedMode => ("DM", String::new()),
                Control::Disconnect => ("DISC", String::new()),
                Control::UnnumberedAcknowledgement => ("UA", String::new()),
                other => panic!("{other:?} is never sent"),
            };
            let bit = match (frame.is_command, frame.poll_final) {
                (true, true) => " P",
                (false, true) => " F",
                _ => "",
            };
            format!("{name}{numbers}{bit}")
        }
    }
}

#[test]
fn every_event_in_every_state_does_what_the_table_says() {
    let states = [
        (LinkState::TeiAssigned4, 0),
        (LinkState::AwaitingEstablishment5, 0),
        (LinkState::AwaitingRelease6, 0),
        (LinkState::MultipleFrameEstablished7, 0),
        (LinkState::MultipleFrameEstablished7, 2),
        (LinkState::TimerRecovery8, 0),
    ];
    let mut table = String::from(
        "Data link of Q.921, user's side: event, state after it, what is sent and indicated.\n",
    );
    for (state, outstanding) in states {
        let behind = if outstanding > 0 { ", two messages not acknowledged" } else { "" };
        writeln!(table, "\n{state:?}{behind}").unwrap();
        for (name, event) in EVENTS {
            let now = Instant::now();
            let mut link = link_in(state, outstanding, now);
            event(&mut link, now);
            let after = match link.state() {
                LinkState::TeiAssigned4 => 4,
                LinkState::AwaitingEstablishment5 => 5,
                LinkState::AwaitingRelease6 => 6,
                LinkState::MultipleFrameEstablished7 => 7,
                LinkState::TimerRecovery8 => 8,
            };
            let outputs: Vec<String> =
                std::iter::from_fn(|| link.poll_output()).map(|output| describe(&output)).collect();
            let line = format!("  {name:<30} {after}  {}", outputs.join(", "));
            writeln!(table, "{}", line.trim_end()).unwrap();
        }
    }
    crate::snapshot::compare("q921_link.txt", &table);
}
