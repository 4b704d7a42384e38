//! Requests that come in: to the leg they belong to, to a new leg, or answered here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rsipstack::dialog::DialogId;
use rsipstack::sip::headers::make_header;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{self, Header, Method, Request, StatusCode};
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::key::TransactionRole;
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transport::SipConnection;

use crate::address::Address;
use crate::counters::Counters;
use crate::endpoint::Shared;
use crate::event::{Event, IncomingInvite, Party, Sdp, Transport};
use crate::leg::{self, ALLOW, Command, Incoming, body, session_answer, value_of};
use crate::reason;
use crate::registrar::{Outcome, Registration};
use crate::session::{self, Wish};
use crate::uri::Uri;

/// Seconds after which a caller refused for overload may try again, at the least and at the most:
/// not all at the same time.
const RETRY_AFTER_S: std::ops::RangeInclusive<u64> = 5..=15;

/// Q.850 42: switching equipment congestion.
const CONGESTION: u8 = 42;

/// Takes what comes until the endpoint ends.
pub(crate) async fn run(shared: Arc<Shared>, mut incoming: TransactionReceiver) {
    loop {
        let transaction = tokio::select! {
            () = shared.end.cancelled() => return,
            transaction = incoming.recv() => match transaction {
                Some(transaction) => transaction,
                None => return,
            },
        };
        if transaction.original.method == Method::Invite && our_tag(&transaction.original).is_none()
        {
            invite(&shared, transaction);
        } else {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { other(&shared, transaction).await });
        }
    }
}

/// A new call.
fn invite(shared: &Arc<Shared>, transaction: Transaction) {
    Counters::add(&shared.counters.invites_received);
    if let Err(refusal) = try_invite(shared, transaction) {
        let (transaction, status, headers) = *refusal;
        tokio::spawn(refuse_invite(transaction, status, headers));
    }
}

type Refusal = Box<(Transaction, u16, Vec<Header>)>;

fn try_invite(shared: &Arc<Shared>, transaction: Transaction) -> Result<(), Refusal> {
    let no = |transaction: Transaction, status: u16| Box::new((transaction, status, Vec::new()));
    let request = &transaction.original;
    let unsupported: Vec<&str> = request
        .headers
        .iter()
        .filter(|header| header.name().eq_ignore_ascii_case("Require"))
        .flat_map(|header| header.value().split(','))
        .map(str::trim)
        .filter(|option| !option.is_empty() && !option.eq_ignore_ascii_case("timer"))
        .collect();
    if !unsupported.is_empty() {
        // RFC 3261 §8.2.2.3.
        let headers = vec![make_header("Unsupported", unsupported.join(", "))];
        return Err(Box::new((transaction, 420, headers)));
    }
    if let Some(kind) = value_of(&request.headers, "Content-Type")
        && !request.body.is_empty()
        && !kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .eq_ignore_ascii_case("application/sdp")
    {
        let headers = vec![make_header("Accept", "application/sdp".to_owned())];
        return Err(Box::new((transaction, 415, headers)));
    }
    let Ok(request_uri) = request.uri.to_string().parse::<Uri>() else {
        return Err(no(transaction, 416));
    };
    let Some(described) = describe(request) else {
        return Err(no(transaction, 400));
    };
    let id = match DialogId::try_from((request, TransactionRole::Server)) {
        Ok(id) => id,
        Err(_) => return Err(no(transaction, 400)),
    };
    if shared.legs.has_call_of(id.call_id.clone(), id.remote_tag.clone()) {
        // RFC 3261 §8.2.2.2: the same call has come another way.
        return Err(no(transaction, 482));
    }
    let wish =
        Wish { interval_s: shared.config.session_expires_s, min_se_s: shared.config.min_se_s };
    let answer_session = session_answer(request, wish);
    if let session::Answer::TooSmall { min_se_s } = answer_session {
        let headers = vec![make_header("Min-SE", min_se_s.to_string())];
        return Err(Box::new((transaction, 422, headers)));
    }
    let (Some(connection), Some(source)) = (transaction.connection.clone(), source(&transaction))
    else {
        return Err(no(transaction, 500));
    };
    let busy = |transaction| {
        let before = shared.counters.overload_refused.fetch_add(1, Ordering::Relaxed);
        let (least_s, most_s) = RETRY_AFTER_S.into_inner();
        let retry_after_s = least_s + before % (most_s - least_s + 1);
        let headers = vec![
            make_header("Retry-After", retry_after_s.to_string()),
            Header::Reason(reason::value(CONGESTION).into()),
        ];
        Box::new((transaction, 503, headers))
    };
    let Ok(permit) = shared.events.clone().try_reserve_owned() else {
        return Err(busy(transaction));
    };
    let Ok((leg, commands)) = shared.new_leg() else {
        return Err(busy(transaction));
    };
    let transport = transport_of(&connection);
    let contact = shared.contact(transport, Some(connection.get_addr()));
    let (state_sender, states) = shared.dialogs.new_dialog_state_channel();
    let dialog = match shared.dialogs.get_or_create_server_invite(
        &transaction,
        state_sender,
        None,
        Some(contact),
    ) {
        Ok(dialog) => dialog,
        // A Contact that is missing, most likely (RFC 3261 §8.1.1.8).
        Err(_) => {
            shared.legs.remove(leg);
            return Err(no(transaction, 400));
        }
    };
    shared.legs.set_dialog(leg, &dialog, id.remote_tag);
    permit.send(Event::Invite(Box::new(IncomingInvite {
        leg,
        call_id: id.call_id,
        from: described.from,
        to: described.to,
        request_uri,
        source,
        transport,
        sdp: body(&request.body).map(Sdp),
        asserted_identity: described.asserted_identity,
        privacy: described.privacy,
        diversion: described.diversion,
        history_info: described.history_info,
        user_agent: described.user_agent,
        max_forwards: described.max_forwards,
    })));
    let responses = transaction.tu_sender.clone();
    let over = shared.legs.commands(leg);
    let incoming =
        Incoming { leg, dialog: dialog.clone(), states, commands, responses, answer_session };
    tokio::spawn(leg::receive(Arc::clone(shared), incoming));
    tokio::spawn(drive(transaction, dialog, over));
    Ok(())
}

/// Keeps the transaction of a new INVITE going: 100 at once, responses, CANCEL, ACK.
async fn drive(
    mut transaction: Transaction,
    mut dialog: rsipstack::dialog::invite_dialog::InviteDialog,
    over: Option<tokio::sync::mpsc::Sender<Command>>,
) {
    let _ = dialog.handle(&mut transaction).await;
    if let Some(over) = over {
        let _ = over.send(Command::InviteOver).await;
    }
}

/// Refuses an INVITE and stays for its ACK.
async fn refuse_invite(mut transaction: Transaction, status: u16, headers: Vec<Header>) {
    if transaction.reply_with(StatusCode::from(status), headers, None).await.is_ok() {
        while transaction.receive().await.is_some() {}
    }
}

struct Described {
    from: Party,
    to: Party,
    asserted_identity: Vec<String>,
    privacy: Option<String>,
    diversion: Vec<String>,
    history_info: Vec<String>,
    user_agent: Option<String>,
    max_forwards: Option<u8>,
}

fn describe(request: &Request) -> Option<Described> {
    let all = |name: &str| -> Vec<String> {
        request
            .headers
            .iter()
            .filter(|header| header.name().eq_ignore_ascii_case(name))
            .map(|header| header.value().to_owned())
            .collect()
    };
    Some(Described {
        from: party(request.from_header().ok()?.value())?,
        to: party(request.to_header().ok()?.value())?,
        asserted_identity: all("P-Asserted-Identity"),
        privacy: value_of(&request.headers, "Privacy").map(str::to_owned),
        diversion: all("Diversion"),
        history_info: all("History-Info"),
        user_agent: value_of(&request.headers, "User-Agent").map(str::to_owned),
        max_forwards: value_of(&request.headers, "Max-Forwards")
            .and_then(|hops| hops.trim().parse().ok()),
    })
}

/// A party in a From or To header.
fn party(value: &str) -> Option<Party> {
    let Address { display, uri, .. } = Address::parse(value)?;
    Some(Party { display, uri })
}

/// Anything but a new call.
async fn other(shared: &Arc<Shared>, mut transaction: Transaction) {
    if let Some(tag) = our_tag(&transaction.original) {
        return in_dialog(shared, transaction, tag).await;
    }
    let allow = || make_header("Allow", ALLOW.to_owned());
    let (status, headers) = match transaction.original.method {
        Method::Options if shared.in_service.load(Ordering::Acquire) => {
            let accept = make_header("Accept", "application/sdp".to_owned());
            let supported = make_header("Supported", "timer".to_owned());
            (200, vec![allow(), accept, supported])
        }
        Method::Options => (503, vec![allow()]),
        Method::Register => register(shared, &transaction),
        Method::Bye | Method::Update | Method::Info | Method::PRack => (481, Vec::new()),
        Method::Ack | Method::Cancel => return,
        _ => (405, vec![allow()]),
    };
    let _ = transaction.reply_with(StatusCode::from(status), headers, None).await;
}

async fn in_dialog(shared: &Arc<Shared>, mut transaction: Transaction, tag: String) {
    let request = &transaction.original;
    let is_invite = request.method == Method::Invite;
    let found = request
        .call_id_header()
        .ok()
        .and_then(|call_id| shared.legs.by_dialog(call_id.value().to_owned(), tag));
    let known = found.filter(|(dialog, _)| {
        let theirs = request.from_header().ok().and_then(|from| from.tag().ok().flatten());
        let id = dialog.id();
        id.remote_tag.is_empty() || theirs.is_some_and(|tag| tag.value() == id.remote_tag)
    });
    let Some((mut dialog, commands)) = known else {
        if request.method != Method::Ack {
            let no_dialog = 481;
            if is_invite {
                return refuse_invite(transaction, no_dialog, Vec::new()).await;
            }
            let _ = transaction.reply_with(StatusCode::from(no_dialog), Vec::new(), None).await;
        }
        return;
    };
    if request.method == Method::Bye {
        let cause = reason::of(&request.headers);
        let _ = commands.send(Command::ByeReceived { cause }).await;
    }
    let _ = dialog.handle(&mut transaction).await;
    if transaction.last_response.is_none() && transaction.original.method != Method::Ack {
        // The stack leaves requests of a wrong order or state unanswered: RFC 3261 §12.2.2.
        if is_invite {
            return refuse_invite(transaction, 500, Vec::new()).await;
        }
        let _ = transaction.reply(StatusCode::ServerInternalError).await;
    }
}

/// REGISTER: answered by our own small registrar, for configured users only.
fn register(shared: &Shared, transaction: &Transaction) -> (u16, Vec<Header>) {
    let request = &transaction.original;
    let mut registrar = shared.registrar();
    if !registrar.is_open() {
        return (405, vec![make_header("Allow", ALLOW.to_owned())]);
    }
    let Some(registration) = registration(request, source(transaction)) else {
        return (400, Vec::new());
    };
    let user = registration.user.clone();
    let outcome = registrar.register(registration, Instant::now());
    drop(registrar);
    match outcome {
        Outcome::Unknown => (404, Vec::new()),
        Outcome::OutOfOrder => (500, Vec::new()),
        Outcome::TooBrief { least_s } => {
            (423, vec![make_header("Min-Expires", least_s.to_string())])
        }
        Outcome::Listed(bindings) => {
            let contacts = bindings.iter().map(|(contact, expires_s)| {
                make_header("Contact", format!("<{contact}>;expires={expires_s}"))
            });
            (200, contacts.collect())
        }
        Outcome::Bound { contact, expires_s } => {
            let header = make_header("Contact", format!("<{contact}>;expires={expires_s}"));
            // A full queue only delays what `binding` tells anyway.
            let _ = shared.events.try_send(Event::Registered { user, contact, expires_s });
            (200, vec![header])
        }
        Outcome::Removed => {
            let _ = shared.events.try_send(Event::Unregistered { user });
            (200, Vec::new())
        }
    }
}

fn registration(request: &Request, source: Option<SocketAddr>) -> Option<Registration> {
    let to = party(request.to_header().ok()?.value())?;
    let cseq = request.cseq_header().ok()?.seq().ok()?;
    let expires = value_of(&request.headers, "Expires").and_then(|value| value.trim().parse().ok());
    let contact = match value_of(&request.headers, "Contact") {
        None => None,
        Some(value) if value.trim() == "*" => Some((None, Some(expires?))),
        Some(value) => {
            let mut uri = party(value)?.uri;
            if let Some(source) = source
                && source.ip().to_string() != uri.host
                && uri.host.parse::<std::net::IpAddr>().is_ok()
            {
                // Behind an address translation the way back is where it came from.
                uri.host = source.ip().to_string();
                uri.port = Some(source.port());
            }
            let own = value.rsplit('>').next().unwrap_or_default().split(';').find_map(|part| {
                let (name, value) = part.split_once('=')?;
                name.trim().eq_ignore_ascii_case("expires").then(|| value.trim().parse().ok())?
            });
            Some((Some(uri), own.or(expires)))
        }
    };
    Some(Registration {
        user: to.uri.user,
        call_id: request.call_id_header().ok()?.value().to_owned(),
        cseq,
        contact,
    })
}

/// Our tag of an in-dialog request.
fn our_tag(request: &Request) -> Option<String> {
    let tag = request.to_header().ok()?.tag().ok()??;
    (!tag.value().is_empty()).then(|| tag.value().to_owned())
}

/// Where a request came from: the stack has written it into the Via (RFC 3261 §18.2.1).
fn source(transaction: &Transaction) -> Option<SocketAddr> {
    transaction.connection.as_ref()?.get_remote_addr()?.get_socketaddr().ok()
}

fn transport_of(connection: &SipConnection) -> Transport {
    match connection.transport() {
        sip::Transport::Udp => Transport::Udp,
        _ => Transport::Tcp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn party_is_read_in_all_its_forms() {
        let named = party(r#""A \"B\" <c>" <sip:+81333331234@gw:5060;user=phone>;tag=x"#).unwrap();
        assert_eq!(named.display.as_deref(), Some("A \"B\" <c>"));
        assert_eq!(named.uri.user, "+81333331234");
        let bare = party("sip:110@gw;tag=x").unwrap();
        assert_eq!((bare.display, bare.uri.params.len()), (None, 0));
        assert_eq!(
            party("Anonymous <sip:anonymous@anonymous.invalid>").unwrap().display.as_deref(),
            Some("Anonymous")
        );
        assert_eq!(party("\"never closed <sip:a@b>"), None);
    }
}
