//! Between the network and the stack: the screen on both transports, and what the stack's
//! messages lack on the way out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::platform::CancellationToken;
use rsipstack::platform::net::UdpSocket as StackSocket;
use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{Header, Method, SipMessage, StatusCode};
use rsipstack::transaction::endpoint::{
    EndpointInnerRef, MessageInspector, TransportEventInspector,
};
use rsipstack::transport::stream::StreamConnection;
use rsipstack::transport::tcp::TcpConnection;
use rsipstack::transport::{SipAddr, SipConnection, TransportEvent};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

use crate::counters::Counters;
use crate::event::LegId;
use crate::leg::Command;
use crate::reason;
use crate::screen::{self, Fault, Verdict};

/// Longest message taken from a stream in octets; the stack closes the connection beyond.
pub(crate) const MAX_STREAM_MESSAGE_OCTETS: usize = 65_535;

/// A UDP socket that gives the stack only what passes the screen, and answers the rest itself.
pub(crate) struct ScreenedSocket {
    pub socket: UdpSocket,
    pub counters: Arc<Counters>,
}

#[async_trait]
impl StackSocket for ScreenedSocket {
    async fn recv_from(&self, buf: &mut [u8]) -> rsipstack::Result<(usize, SocketAddr)> {
        loop {
            let (octets, from) = match self.socket.recv_from(buf).await {
                Ok(received) => received,
                Err(_) => {
                    // An error of an earlier send reported here; nothing to read, nothing to
                    // say. The pause keeps a broken interface from spinning this task.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            if buf[..octets].iter().all(u8::is_ascii_whitespace) {
                // A keep-alive (RFC 5626 §3.5.1): the stack's business.
                return Ok((octets, from));
            }
            Counters::add(&self.counters.messages_received);
            let verdict = if octets > screen::MAX_DATAGRAM_OCTETS {
                Verdict::Refuse { fault: Fault::Oversized, reply: None }
            } else {
                screen::screen(&buf[..octets])
            };
            match verdict {
                Verdict::Pass => return Ok((octets, from)),
                Verdict::PassWithLength { at, line } if octets + line.len() <= buf.len() => {
                    buf.copy_within(at..octets, at + line.len());
                    buf[at..at + line.len()].copy_from_slice(line.as_bytes());
                    return Ok((octets + line.len(), from));
                }
                Verdict::PassWithLength { .. } => self.counters.refused(Fault::Oversized),
                Verdict::Refuse { fault, reply } => {
                    self.counters.refused(fault);
                    if let Some(reply) = reply {
                        // To where it came from: the Via of a malformed request proves nothing.
                        let _ = self.socket.send_to(&reply, from).await;
                    }
                }
            }
        }
    }

    async fn send_to(&self, buf: &[u8], addr: SocketAddr) -> rsipstack::Result<usize> {
        Ok(self.socket.send_to(buf, addr).await?)
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }
}

/// The screen on streams. Framing is the stack's there (it closes the connection on a bad
/// Content-Length or on text that is no message); everything else is judged on what it parsed.
pub(crate) struct StreamScreen {
    pub counters: Arc<Counters>,
}

#[async_trait]
impl TransportEventInspector for StreamScreen {
    async fn handle(&self, event: TransportEvent) -> Option<TransportEvent> {
        let TransportEvent::Incoming(message, SipConnection::Tcp(stream), _) = &event else {
            return Some(event);
        };
        Counters::add(&self.counters.messages_received);
        let Verdict::Refuse { fault, reply } = screen::screen(&message.to_bytes()) else {
            return Some(event);
        };
        self.counters.refused(fault);
        if let Some(reply) = reply {
            let _ = stream.send_raw(&reply).await;
        }
        None
    }
}

/// A leg as messages find it.
pub(crate) struct Entry {
    pub commands: mpsc::Sender<Command>,
    pub dialog: Option<InviteDialog>,
    /// Call-ID and our tag.
    dialog_key: Option<(String, String)>,
    /// Call-ID and tag of the caller, of either direction.
    caller_key: Option<(String, String)>,
    /// Q.850 cause for a CANCEL: ours on the way out, the caller's when it came in.
    pub cancel_cause: Option<u8>,
}

#[derive(Default)]
struct Legs {
    entries: HashMap<LegId, Entry>,
    by_dialog: HashMap<(String, String), LegId>,
    by_caller: HashMap<(String, String), LegId>,
}

/// All legs of an endpoint.
#[derive(Default)]
pub(crate) struct LegTable {
    legs: Mutex<Legs>,
    /// No new legs.
    pub closed: AtomicBool,
}

impl LegTable {
    fn lock(&self) -> MutexGuard<'_, Legs> {
        // Nothing panics while it is held; and if it did, the table would still be whole.
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().entries.len()
    }

    pub(crate) fn insert(&self, leg: LegId, commands: mpsc::Sender<Command>) {
        let entry = Entry {
            commands,
            dialog: None,
            dialog_key: None,
            caller_key: None,
            cancel_cause: None,
        };
        self.lock().entries.insert(leg, entry);
    }

    /// Gives a leg its dialog; a second call replaces the first (an INVITE sent again).
    pub(crate) fn set_dialog(&self, leg: LegId, dialog: &InviteDialog, caller_tag: String) {
        let id = dialog.id();
        let mut legs = self.lock();
        let Some(entry) = legs.entries.get_mut(&leg) else { return };
        let dialog_key = (id.call_id.clone(), id.local_tag);
        let caller_key = (id.call_id, caller_tag);
        entry.dialog = Some(dialog.clone());
        let old_dialog = entry.dialog_key.replace(dialog_key.clone());
        let old_caller = entry.caller_key.replace(caller_key.clone());
        if let Some(key) = old_dialog {
            legs.by_dialog.remove(&key);
        }
        if let Some(key) = old_caller {
            legs.by_caller.remove(&key);
        }
        legs.by_dialog.insert(dialog_key, leg);
        legs.by_caller.insert(caller_key, leg);
    }

    pub(crate) fn remove(&self, leg: LegId) {
        let mut legs = self.lock();
        if let Some(entry) = legs.entries.remove(&leg) {
            if let Some(key) = entry.dialog_key {
                legs.by_dialog.remove(&key);
            }
            if let Some(key) = entry.caller_key {
                legs.by_caller.remove(&key);
            }
        }
    }

    pub(crate) fn commands(&self, leg: LegId) -> Option<mpsc::Sender<Command>> {
        self.lock().entries.get(&leg).map(|entry| entry.commands.clone())
    }

    pub(crate) fn all(&self) -> Vec<mpsc::Sender<Command>> {
        self.lock().entries.values().map(|entry| entry.commands.clone()).collect()
    }

    /// The leg an in-dialog request belongs to.
    pub(crate) fn by_dialog(
        &self,
        call_id: String,
        our_tag: String,
    ) -> Option<(InviteDialog, mpsc::Sender<Command>)> {
        let legs = self.lock();
        let entry = legs.entries.get(legs.by_dialog.get(&(call_id, our_tag))?)?;
        Some((entry.dialog.clone()?, entry.commands.clone()))
    }

    /// Whether a call with this Call-ID and caller's tag is here already.
    pub(crate) fn has_call_of(&self, call_id: String, caller_tag: String) -> bool {
        self.lock().by_caller.contains_key(&(call_id, caller_tag))
    }

    pub(crate) fn with_entry<R>(&self, leg: LegId, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.lock().entries.get_mut(&leg).map(f)
    }

    fn with_call<R>(&self, message: &SipMessage, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let call_id = message.call_id_header().ok()?.value().to_owned();
        let tag = message.from_header().ok()?.tag().ok()??.value().to_owned();
        let mut legs = self.lock();
        let leg = *legs.by_caller.get(&(call_id, tag))?;
        legs.entries.get_mut(&leg).map(f)
    }
}

/// What the stack's CANCEL and 487 lack.
pub(crate) struct Finish {
    pub legs: Arc<LegTable>,
}

impl MessageInspector for Finish {
    fn before_send(&self, mut message: SipMessage, _to: Option<&SipAddr>) -> SipMessage {
        match &message {
            SipMessage::Request(request) if request.method == Method::Cancel => {
                // RFC 3326 §2: the cause of a call given up, for whoever rings the telephone.
                if let Some(Some(cause)) = self.legs.with_call(&message, |entry| entry.cancel_cause)
                    && let SipMessage::Request(request) = &mut message
                {
                    request.headers.unique_push(Header::Reason(reason::value(cause).into()));
                }
            }
            SipMessage::Response(response)
                if response.status_code == StatusCode::RequestTerminated =>
            {
                // RFC 3261 §8.2.6.2: all responses to one INVITE carry the same tag; the stack
                // makes a new one for its 487.
                let tag = self.legs.with_call(&message, |entry| {
                    entry.dialog.as_ref().map(|dialog| dialog.id().local_tag)
                });
                if let (Some(Some(tag)), SipMessage::Response(response)) = (tag, &mut message) {
                    for header in response.headers.iter_mut() {
                        if let Header::To(to) = header {
                            let _ = to.mut_tag(tag.as_str().into());
                        }
                    }
                }
            }
            _ => {}
        }
        message
    }

    fn after_received(&self, message: SipMessage, _from: Option<&SipAddr>) -> SipMessage {
        if let SipMessage::Request(request) = &message
            && request.method == Method::Cancel
            && let Some(cause) = reason::of(&request.headers)
        {
            self.legs.with_call(&message, |entry| entry.cancel_cause = Some(cause));
        }
        message
    }
}

/// Takes TCP connections until the endpoint ends.
pub(crate) async fn accept(
    listener: TcpListener,
    local: SipAddr,
    stack: EndpointInnerRef,
    max_connections: usize,
    end: CancellationToken,
) {
    loop {
        let stream = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Out of descriptors, most likely: others have to close first.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        if stack.transport_layer.connections_count() >= max_connections {
            continue;
        }
        let _ = stream.set_nodelay(true);
        if let Ok(stream) =
            TcpConnection::from_stream(stream, local.clone(), Some(end.child_token()))
        {
            stack.transport_layer.add_connection(SipConnection::Tcp(stream));
        }
    }
}
