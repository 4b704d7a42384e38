//! What a call does with each event in each state, as a table to review.

use std::fmt::Write;
use std::time::Instant;

use super::super::element::{Location, Number, NumberType};
use super::*;

type Event = (&'static str, fn(&mut Call, Instant) -> Option<Step>);

/// Every event. A request that does not fit the state is refused.
const EVENTS: &[Event] = &[
    ("SETUP ACKNOWLEDGE", |call, now| message(call, now, MessageType::SetupAcknowledge, &[])),
    ("CALL PROCEEDING", |call, now| message(call, now, MessageType::CallProceeding, &[])),
    ("CALL PROCEEDING, channel 9", |call, now| {
        message(call, now, MessageType::CallProceeding, &[channel_element(9, true)])
    }),
    ("PROGRESS", |call, now| message(call, now, MessageType::Progress, &[IN_BAND])),
    ("PROGRESS without indicator", |call, now| message(call, now, MessageType::Progress, &[])),
    ("ALERTING", |call, now| message(call, now, MessageType::Alerting, &[IN_BAND])),
    ("ALERTING, unknown 0x0f", |call, now| {
        message(call, now, MessageType::Alerting, &[Element::Other(0x0f)])
    }),
    ("ALERTING, unknown 0x7b", |call, now| {
        message(call, now, MessageType::Alerting, &[Element::Other(0x7b)])
    }),
    ("CONNECT", |call, now| message(call, now, MessageType::Connect, &[])),
    ("CONNECT ACKNOWLEDGE", |call, now| message(call, now, MessageType::ConnectAcknowledge, &[])),
    ("SETUP", |call, now| {
        let bearer = Element::BearerCapability(Setup::default().bearer);
        message(call, now, MessageType::Setup, &[bearer, channel_element(1, true)])
    }),
    ("INFORMATION, digits", |call, now| {
        let digits = Element::CalledPartyNumber(Number::new(NumberType::Unknown, "12"));
        message(call, now, MessageType::Information, &[digits])
    }),
    ("INFORMATION, complete", |call, now| {
        message(call, now, MessageType::Information, &[Element::SendingComplete])
    }),
    ("INFORMATION, keypad", |call, now| {
        message(call, now, MessageType::Information, &[Element::KeypadFacility("1".into())])
    }),
    ("NOTIFY", |call, now| {
        message(call, now, MessageType::Notify, &[Element::NotificationIndicator(0)])
    }),
    ("NOTIFY without indicator", |call, now| message(call, now, MessageType::Notify, &[])),
    ("DISCONNECT 17", |call, now| message(call, now, MessageType::Disconnect, &[BUSY])),
    ("DISCONNECT without cause", |call, now| message(call, now, MessageType::Disconnect, &[])),
    ("RELEASE 17", |call, now| message(call, now, MessageType::Release, &[BUSY])),
    ("RELEASE without cause", |call, now| message(call, now, MessageType::Release, &[])),
    ("RELEASE COMPLETE 17", |call, now| message(call, now, MessageType::ReleaseComplete, &[BUSY])),
    ("RELEASE COMPLETE without cause", |call, now| {
        message(call, now, MessageType::ReleaseComplete, &[])
    }),
    ("STATUS ENQUIRY", |call, now| message(call, now, MessageType::StatusEnquiry, &[])),
    ("STATUS 98, same state", |call, now| {
        let state = call.state as u8;
        status(call, now, 98, state)
    }),
    ("STATUS 98, state 0", |call, now| status(call, now, 98, 0)),
    ("STATUS 98, state 10", |call, now| status(call, now, 98, 10)),
    ("STATUS 98, state 4", |call, now| status(call, now, 98, 4)),
    ("STATUS 98, state 7", |call, now| status(call, now, 98, 7)),
    ("STATUS 98, state 19", |call, now| status(call, now, 98, 19)),
    ("enquired, STATUS 30, same state", |call, now| {
        ask(call, now, Request::Enquire)?;
        let state = call.state as u8;
        status(call, now, 30, state)
    }),
    ("enquired, STATUS 30, state 3", |call, now| {
        ask(call, now, Request::Enquire)?;
        status(call, now, 30, 3)
    }),
    ("enquired, STATUS 30, state 9", |call, now| {
        ask(call, now, Request::Enquire)?;
        status(call, now, 30, 9)
    }),
    ("STATUS without state", |call, now| message(call, now, MessageType::Status, &[BUSY])),
    ("SEGMENT", |call, now| message(call, now, MessageType::Other(0x60), &[])),
    ("asked: digits", |call, now| {
        ask(call, now, Request::Digits { digits: "12".into(), complete: false })
    }),
    ("asked: more digits", |call, now| ask(call, now, Request::MoreDigits { dial_tone: true })),
    ("asked: proceeding", |call, now| ask(call, now, Request::Proceeding)),
    ("asked: progress", |call, now| ask(call, now, Request::Progress)),
    ("asked: alerting", |call, now| ask(call, now, Request::Alerting { in_band: true })),
    ("asked: connect", |call, now| ask(call, now, Request::Connect)),
    ("asked: notify", |call, now| ask(call, now, Request::Notify { description: 0 })),
    ("asked: enquire", |call, now| ask(call, now, Request::Enquire)),
    ("asked: disconnect", |call, now| {
        ask(call, now, Request::Disconnect { cause: 17, in_band: false })
    }),
    ("asked: disconnect with tone", |call, now| {
        ask(call, now, Request::Disconnect { cause: 17, in_band: true })
    }),
    ("its timer", |call, _| expire(call)),
    ("its timer, twice", |call, _| {
        call.repeated = true;
        expire(call)
    }),
    ("T322 for the last time", |call, now| {
        ask(call, now, Request::Enquire)?;
        call.enquiries = 3;
        let at = call.next_deadline()?;
        // It runs out before the timer of the state.
        call.running.stop();
        Some(call.timeout(at.max(now + call.rules.timers.t322)))
    }),
    ("link down", |call, now| Some(call.link_down(now))),
    ("link up", |call, now| Some(call.link_up(now))),
    ("link down, then up", |call, now| {
        call.link_down(now);
        (call.state != CallState::Null).then(|| call.link_up(now))
    }),
    ("link down, asked: disconnect", |call, now| {
        call.link_down(now);
        let is_there = call.state != CallState::Null;
        is_there.then(|| ask(call, now, Request::Disconnect { cause: 17, in_band: false }))?
    }),
    ("link down, T309", |call, now| {
        call.link_down(now);
        call.running.stop();
        Some(call.timeout(call.next_deadline()?))
    }),
    ("channel restarted", |call, _| Some(call.restarted(false))),
    ("channel yielded", |call, now| call.is_seizing(1).then(|| call.yield_channel(now))),
];

const IN_BAND: Element = Element::ProgressIndicator(Progress {
    description: Progress::IN_BAND,
    location: Location::PublicLocal,
});

const BUSY: Element = Element::Cause(Cause { value: 17, location: Location::PublicRemote });

fn message(
    call: &mut Call,
    now: Instant,
    message_type: MessageType,
    elements: &[Element],
) -> Option<Step> {
    let elements = elements.to_vec();
    Some(call.message(now, &Message { reference: call.reference, message_type, elements }))
}

fn status(call: &mut Call, now: Instant, value: u8, state: u8) -> Option<Step> {
    let cause = Element::Cause(Cause { value, location: Location::PublicLocal });
    message(call, now, MessageType::Status, &[cause, Element::CallState(state)])
}

fn ask(call: &mut Call, now: Instant, request: Request) -> Option<Step> {
    call.request(now, request, &Accompanying::default()).ok()
}

fn expire(call: &mut Call) -> Option<Step> {
    let at = call.next_deadline()?;
    Some(call.timeout(at))
}

/// A call in a state, with the timer that runs in it.
fn call_in(side: Side, outgoing: bool, state: CallState, now: Instant) -> Call {
    let rules = Rules { side, variant: Variant::EURO_ISDN, timers: Timers::new(side) };
    let setup = Setup { channel: 1, ..Setup::default() };
    let mut call = if outgoing {
        Call::outgoing(now, CallId(1), 1, rules, &setup).0
    } else {
        Call::incoming(CallId(1), 1, rules, setup).0
    };
    call.state = state;
    call.channel_named = state != call.initial();
    call.running.stop();
    let timer = match state {
        _ if outgoing && state == call.initial() => Some(Timer::T303),
        _ if outgoing && state == call.overlap() => Some(Timer::T304),
        _ if outgoing && state == call.proceeding() => Some(Timer::T310),
        _ if outgoing && state == call.alerting() => Some(Timer::T301),
        _ if !outgoing && state == call.overlap() => Some(Timer::T302),
        CallState::ConnectRequest => Some(Timer::T313),
        CallState::ReleaseRequest => Some(Timer::T308),
        _ if state == call.disconnecting(true) => Some(Timer::T305),
        _ => None,
    };
    if let Some(timer) = timer {
        call.start(now, timer);
    }
    call
}

fn describe(step: &Step) -> String {
    let mut parts = Vec::new();
    for (message_type, elements) in &step.messages {
        let mut part = format!("{message_type:?}");
        for element in elements {
            match element {
                Element::Cause(cause) => write!(part, " {}", cause.value).unwrap(),
                Element::Diagnosed(cause, diagnostic) => {
                    write!(part, " {} {diagnostic:02x?}", cause.value).unwrap();
                }
                Element::ProgressIndicator(progress) => {
                    write!(part, " progress={}", progress.description).unwrap();
                }
                _ => {}
            }
        }
        parts.push(part);
    }
    for indication in &step.indications {
        parts.push(match indication {
            Indication::Disconnect { cause, by_us: true, .. } => {
                format!("(Disconnect {} by us)", cause.value)
            }
            Indication::Disconnect { cause, .. } => format!("(Disconnect {})", cause.value),
            Indication::Released { cause, by_us: true } => {
                format!("(Released {} by us)", cause.value)
            }
            Indication::Released { cause, .. } => format!("(Released {})", cause.value),
            other => {
                let name = format!("{other:?}");
                let end = name.find([' ', '(', '{']).unwrap_or(name.len());
                format!("({})", &name[..end])
            }
        });
    }
    parts.join(", ")
}

#[test]
fn every_event_in_every_state_does_what_the_table_says() {
    use CallState::{
        Active, CallDelivered, CallInitiated, CallPresent, CallReceived, ConnectRequest,
        DisconnectIndication, DisconnectRequest, IncomingCallProceeding, OutgoingCallProceeding,
        OverlapReceiving, OverlapSending, ReleaseRequest,
    };
    let from_user = [CallInitiated, OverlapSending, OutgoingCallProceeding, CallDelivered, Active];
    let to_user = [
        CallPresent,
        OverlapReceiving,
        IncomingCallProceeding,
        CallReceived,
        ConnectRequest,
        Active,
    ];
    let clearing = [DisconnectRequest, DisconnectIndication, ReleaseRequest];
    let mut table = String::from(
        "A call of Q.931: event, state after it, timer of the state, messages sent, (what the\n\
         owner is told). Channel 1 is preferred; channel 9 is another one.\n",
    );
    for (side, outgoing, title) in [
        (Side::User, true, "user, call from the user"),
        (Side::Network, false, "network, call from the user"),
        (Side::Network, true, "network, call to the user"),
        (Side::User, false, "user, call to the user"),
    ] {
        let is_from_user = (side == Side::User) == outgoing;
        let setting_up: &[CallState] = if is_from_user { &from_user } else { &to_user };
        for state in setting_up.iter().chain(&clearing).copied() {
            // The network does not wait for an acknowledgement.
            if state == ConnectRequest && side == Side::Network {
                continue;
            }
            writeln!(table, "\n{}{}: {state:?}, {title}", &format!("{side:?}")[..1], state as u8)
                .unwrap();
            for (name, event) in EVENTS {
                let now = Instant::now();
                let mut call = call_in(side, outgoing, state, now);
                let line = match event(&mut call, now) {
                    Some(step) => {
                        let timer = call.running.of_state();
                        let timer = match timer {
                            Some(timer) => format!("{timer:?}"),
                            None => "-".into(),
                        };
                        let after = call.state as u8;
                        format!("  {name:<31} {after:>2} {timer:<4} {}", describe(&step))
                    }
                    None => format!("  {name:<31} refused"),
                };
                writeln!(table, "{}", line.trim_end()).unwrap();
            }
        }
    }
    crate::snapshot::compare("q931_call.txt", &table);
}
