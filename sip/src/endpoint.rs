//! The user agent: starts and ends the stack, and passes instructions to the legs.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use rsipstack::EndpointBuilder;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::platform::CancellationToken;
use rsipstack::sip;
use rsipstack::transaction::endpoint::{EndpointInnerRef, EndpointOption};
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{SipAddr, SipConnection, TcpListenerConnection, TransportLayer};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::{EndpointConfig, OutgoingInvite, Register, Rejection};
use crate::counters::{Counters, CountersSnapshot};
use crate::event::{Event, LegId, Transport};
use crate::leg::{self, Command};
use crate::registrar::{Binding, Registrar};
use crate::transport::{Finish, LegTable, ScreenedSocket, StreamScreen, accept};
use crate::uri::Scheme;
use crate::{SipError, dispatch, registration};

/// How many instructions may wait at one leg.
const COMMAND_QUEUE: usize = 32;
/// How long a stream may be silent before it is closed. A call over TCP is silent from answer
/// to hang-up, but for session refreshes.
const STREAM_IDLE: Duration = Duration::from_secs(4 * 3600);

/// One user agent on one or more local addresses. Cheap to clone; the last word is
/// [`shutdown`](Self::shutdown), which must be called for the sockets to be closed at once.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("udp", &self.shared.udp).finish_non_exhaustive()
    }
}

/// What happens on the legs of an [`Endpoint`].
pub struct Events {
    receiver: mpsc::Receiver<Event>,
    end: CancellationToken,
}

impl Events {
    /// The next event; `None` after the endpoint was shut down.
    pub async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            biased;
            event = self.receiver.recv() => event,
            // The owner may still hold an `Endpoint`, which keeps the queue open.
            () = self.end.cancelled() => None,
        }
    }
}

/// The TCP connection of ours to one place, as long as its token is not cancelled; locked while
/// it is made.
type Dialled = Arc<tokio::sync::Mutex<Option<CancellationToken>>>;

/// What the tasks of an endpoint have in common.
pub(crate) struct Shared {
    pub config: EndpointConfig,
    pub counters: Arc<Counters>,
    pub legs: Arc<LegTable>,
    pub events: mpsc::Sender<Event>,
    pub stack: EndpointInnerRef,
    pub dialogs: Arc<DialogLayer>,
    pub registrar: Mutex<Registrar>,
    pub in_service: AtomicBool,
    pub end: CancellationToken,
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    next_leg: AtomicU64,
    dialled: Mutex<HashMap<SocketAddr, Dialled>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    /// Our Contact as reached over a transport, on a local address.
    pub(crate) fn contact(&self, transport: Transport, local: Option<&SipAddr>) -> sip::Uri {
        let first = |addresses: &[SocketAddr]| addresses.first().copied();
        let address = match transport {
            Transport::Udp => first(&self.udp),
            Transport::Tcp => first(&self.tcp),
        }
        .or(first(&self.udp))
        .or(first(&self.tcp));
        let host_with_port = match (local, self.config.advertised, address) {
            (Some(local), ..) => local.addr.clone(),
            (None, Some(advertised), _) => advertised.into(),
            (None, None, Some(address)) => SipConnection::resolve_bind_address(address).into(),
            (None, None, None) => sip::HostWithPort::default(),
        };
        let params = match transport {
            Transport::Udp => Vec::new(),
            Transport::Tcp => vec![sip::Param::Transport(sip::Transport::Tcp)],
        };
        let user = self.config.contact_user.as_str();
        sip::Uri {
            scheme: Some(sip::Scheme::Sip),
            auth: (!user.is_empty()).then(|| sip::Auth { user: user.to_owned(), password: None }),
            host_with_port,
            params,
            headers: Vec::new(),
        }
    }

    pub(crate) fn has_udp(&self) -> bool {
        !self.udp.is_empty()
    }

    /// IP to which TCP connections of ours are bound, when the configuration names one.
    pub(crate) fn tcp_source(&self) -> Option<std::net::IpAddr> {
        self.tcp.first().or(self.udp.first()).map(SocketAddr::ip).filter(|ip| !ip.is_unspecified())
    }

    /// The connection of ours to a far end.
    pub(crate) fn dialled(&self, far: SocketAddr) -> Dialled {
        let mut dialled = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
        if dialled.len() >= self.config.max_connections {
            dialled.retain(|_, slot| match slot.try_lock() {
                Ok(slot) => slot.as_ref().is_some_and(|live| !live.is_cancelled()),
                Err(_) => true,
            });
        }
        Arc::clone(dialled.entry(far).or_default())
    }

    /// A new leg, with the queue its task reads.
    pub(crate) fn new_leg(&self) -> Result<(LegId, mpsc::Receiver<Command>), SipError> {
        if self.legs.closed.load(Ordering::Acquire) {
            return Err(SipError::ShuttingDown);
        }
        if self.legs.len() >= self.config.max_legs {
            return Err(SipError::Full(self.config.max_legs));
        }
        let leg = LegId(self.next_leg.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = mpsc::channel(COMMAND_QUEUE);
        self.legs.insert(leg, sender);
        Ok((leg, receiver))
    }

    pub(crate) fn keep(&self, task: JoinHandle<()>) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    pub(crate) fn registrar(&self) -> std::sync::MutexGuard<'_, Registrar> {
        self.registrar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    /// Opens the local addresses and starts the stack on the current tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be listened on, or no address at all.
    pub async fn start(config: EndpointConfig) -> Result<(Self, Events), SipError> {
        if config.udp.is_empty() && config.tcp.is_empty() {
            return Err(SipError::NoAddress);
        }
        let end = CancellationToken::new();
        let counters = Arc::new(Counters::default());
        let legs = Arc::new(LegTable::default());
        let transports = TransportLayer::new(end.clone());
        transports.set_stream_idle_timeout(STREAM_IDLE);

        let mut udp = Vec::new();
        for address in &config.udp {
            let listen =
                |source| SipError::Listen { transport: Transport::Udp, address: *address, source };
            let socket = UdpSocket::bind(address).await.map_err(listen)?;
            udp.push(socket.local_addr().map_err(listen)?);
            let socket = Arc::new(ScreenedSocket { socket, counters: Arc::clone(&counters) });
            let connection =
                UdpConnection::from_socket(socket, config.advertised, Some(end.child_token()))
                    .await
                    .map_err(|error| listen(std::io::Error::other(error.to_string())))?;
            transports.add_transport(connection.into());
        }
        let mut tcp = Vec::new();
        let mut listeners = Vec::new();
        for address in &config.tcp {
            let listen =
                |source| SipError::Listen { transport: Transport::Tcp, address: *address, source };
            let listener = TcpListener::bind(address).await.map_err(listen)?;
            tcp.push(listener.local_addr().map_err(listen)?);
            listeners.push(listener);
        }

        let mut builder = EndpointBuilder::new();
        builder
            .with_cancel_token(end.clone())
            .with_transport_layer(transports)
            .with_user_agent(&clean(&config.user_agent))
            .with_inspector(Box::new(Finish { legs: Arc::clone(&legs) }))
            .with_transport_inspector(Box::new(StreamScreen { counters: Arc::clone(&counters) }))
            .with_option(EndpointOption {
                t1: config.t1,
                t2: config.t1 * 8,
                t4: config.t1 * 10,
                t1x64: config.t1 * 64,
                timerc: config.ring_limit,
                ..EndpointOption::default()
            });
        let stack = builder.build();
        // Built once and taken once: the receiver is there.
        let Ok(incoming) = stack.incoming_transactions() else {
            return Err(SipError::ShuttingDown);
        };
        let stack = stack.inner;

        // The stack starts listening within its first poll. The TCP listeners are made known to
        // it after that, because they are ours: it would bind them again, and report a failure
        // to the log only.
        let mut serve = Box::pin({
            let stack = Arc::clone(&stack);
            async move {
                let _ = stack.serve().await;
            }
        });
        std::future::poll_fn(|context| {
            let _ = serve.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
        let mut tasks = vec![tokio::spawn(serve)];
        for (listener, address) in listeners.into_iter().zip(&tcp) {
            let shown =
                config.advertised.unwrap_or_else(|| SipConnection::resolve_bind_address(*address));
            let local = SipAddr::new(sip::Transport::Tcp, shown.into());
            if let Ok(known) = TcpListenerConnection::new(shown, None).await {
                stack.transport_layer.add_transport(SipConnection::TcpListener(known));
            }
            let (stack, end, most) = (Arc::clone(&stack), end.clone(), config.max_connections);
            tasks.push(tokio::spawn(accept(listener, local, stack, most, end)));
        }

        let (events, receiver) = mpsc::channel(config.event_queue.max(1));
        let shared = Arc::new(Shared {
            registrar: Mutex::new(Registrar::new(config.registrar_users.clone())),
            dialogs: Arc::new(DialogLayer::new(Arc::clone(&stack))),
            config,
            counters,
            legs,
            events,
            stack,
            in_service: AtomicBool::new(true),
            end,
            udp,
            tcp,
            next_leg: AtomicU64::new(1),
            dialled: Mutex::default(),
            tasks: Mutex::new(tasks),
        });
        shared.keep(tokio::spawn(dispatch::run(Arc::clone(&shared), incoming)));
        let events = Events { receiver, end: shared.end.clone() };
        Ok((Self { shared }, events))
    }

    /// The local UDP addresses, with the ports taken.
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        &self.shared.udp
    }

    /// The local TCP addresses, with the ports taken.
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        &self.shared.tcp
    }

    /// Calls somebody.
    ///
    /// # Errors
    /// A target that is no `sip:` URI, all legs in use, or an endpoint that is shutting down.
    pub fn invite(&self, invite: OutgoingInvite) -> Result<LegId, SipError> {
        if invite.target.scheme != Scheme::Sip {
            return Err(SipError::Uri(invite.target.to_string()));
        }
        let (leg, commands) = self.shared.new_leg()?;
        Counters::add(&self.shared.counters.invites_sent);
        tokio::spawn(leg::call(Arc::clone(&self.shared), leg, invite, commands));
        Ok(leg)
    }

    /// Tells the caller how far we are: 180 rings, 183 has media, both may carry the answer.
    ///
    /// # Errors
    /// The leg has ended, or has too many instructions waiting.
    pub fn provisional(
        &self,
        leg: LegId,
        status: u16,
        sdp: Option<Vec<u8>>,
    ) -> Result<(), SipError> {
        self.tell(leg, Command::Provisional { status: status.clamp(101, 199), sdp })
    }

    /// Answers the caller. Early media must have carried the same answer (RFC 3261 §13.2.1).
    ///
    /// # Errors
    /// The leg has ended, or has too many instructions waiting.
    pub fn answer(&self, leg: LegId, sdp: Vec<u8>) -> Result<(), SipError> {
        self.tell(leg, Command::Answer { sdp })
    }

    /// Turns the caller down; the leg is gone for the owner.
    ///
    /// # Errors
    /// The leg has ended, or has too many instructions waiting.
    pub fn reject(&self, leg: LegId, rejection: Rejection) -> Result<(), SipError> {
        self.tell(leg, Command::Reject(rejection))
    }

    /// Ends a leg in whatever state it is: CANCEL, BYE, or 480 to a caller not yet answered;
    /// with the Q.850 cause in a Reason header. The leg is gone for the owner.
    ///
    /// # Errors
    /// The leg has ended, or has too many instructions waiting.
    pub fn hangup(&self, leg: LegId, cause: Option<u8>) -> Result<(), SipError> {
        self.tell(leg, Command::Hangup { cause })
    }

    /// Offers the far end other media on an answered leg; it ends in
    /// [`Event::ReInviteAnswered`] or [`Event::ReInviteRefused`].
    ///
    /// # Errors
    /// The leg has ended, or has too many instructions waiting.
    pub fn reinvite(&self, leg: LegId, sdp: Vec<u8>) -> Result<(), SipError> {
        self.tell(leg, Command::ReInvite { sdp })
    }

    /// Answers [`Event::ReInvite`].
    ///
    /// # Errors
    /// The leg has ended, or has too many instructions waiting.
    pub fn answer_reinvite(&self, leg: LegId, sdp: Vec<u8>) -> Result<(), SipError> {
        self.tell(leg, Command::AnswerReInvite { sdp })
    }

    /// Refuses [`Event::ReInvite`]; the session stays as it was.
    ///
    /// # Errors
    /// The leg has ended, or has too many instructions waiting.
    pub fn reject_reinvite(&self, leg: LegId, status: u16) -> Result<(), SipError> {
        self.tell(leg, Command::RejectReInvite { status })
    }

    /// Registers us and keeps us registered until the endpoint ends.
    ///
    /// # Errors
    /// A registrar that is no `sip:` URI.
    pub fn register(&self, register: Register) -> Result<(), SipError> {
        if register.registrar.scheme != Scheme::Sip {
            return Err(SipError::Uri(register.registrar.to_string()));
        }
        let task = registration::keep(Arc::clone(&self.shared), register);
        self.shared.keep(tokio::spawn(task));
        Ok(())
    }

    /// Where a user registered here can be reached now.
    pub fn binding(&self, user: &str) -> Option<Binding> {
        self.shared.registrar().binding(user, std::time::Instant::now())
    }

    /// Whether OPTIONS are answered 200, or 503 while the owner takes no calls.
    pub fn set_in_service(&self, in_service: bool) {
        self.shared.in_service.store(in_service, Ordering::Release);
    }

    /// Legs that live now, those about to end included.
    pub fn open_legs(&self) -> usize {
        self.shared.legs.len()
    }

    /// Counters and sizes for the scrape.
    pub fn counters(&self) -> CountersSnapshot {
        let stack = self.shared.stack.get_stats();
        CountersSnapshot {
            open_legs: self.shared.legs.len(),
            dialogs: self.shared.dialogs.len(),
            transactions: stack.running_transactions,
            ended_transactions: stack.finished_transactions,
            connections: self.shared.stack.transport_layer.connections_count(),
            ..self.shared.counters.snapshot()
        }
    }

    /// Ends all legs (the far ends get BYE, CANCEL or 503), waits for them up to `patience`,
    /// then closes the sockets.
    pub async fn shutdown(self, patience: Duration) {
        let shared = self.shared;
        shared.legs.closed.store(true, Ordering::Release);
        for commands in shared.legs.all() {
            let _ = commands.try_send(Command::Hangup { cause: None });
        }
        let gone = async {
            while shared.legs.len() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(patience, gone).await;
        shared.end.cancel();
        let tasks =
            std::mem::take(&mut *shared.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            if tokio::time::timeout(Duration::from_secs(2), task).await.is_err() {
                tracing::warn!("a task of the SIP endpoint did not end in time");
            }
        }
    }

    fn tell(&self, leg: LegId, command: Command) -> Result<(), SipError> {
        let commands = self.shared.legs.commands(leg).ok_or(SipError::NoSuchLeg(leg))?;
        commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SipError::Busy(leg),
            mpsc::error::TrySendError::Closed(_) => SipError::NoSuchLeg(leg),
        })
    }
}

/// Text that may stand in a header: no control characters, no quotes to break out of.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && *c != '\\')
        .map(|c| if c == '"' { '\'' } else { c })
        .collect()
}
