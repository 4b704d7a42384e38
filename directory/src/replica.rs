//! A store that several nodes share through etcd. Any node takes a change, all nodes show it.
//!
//! etcd holds every row of the store; each node has a copy on its disk and answers from memory, so
//! that look-ups do not need etcd at all. A change goes to etcd upon the last one that this node
//! knows ([`rows`]: compare and swap of the head), comes back to every node by a watch, and is
//! acknowledged when the node that took it has taken it over itself. Big tables are files that the
//! nodes fetch from each other ([`peers`]); etcd has their names and checksums. Gateways that are
//! heard at one node are alive at all ([`vouching`]); what a node says of them ends with its lease.

mod peers;
mod rows;
mod vouching;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as StdInstant};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::DirectoryError;
use crate::etcd::{
    Compare, Etcd, EtcdError, EtcdSettings, Event, KeyValue, Operation, Outcome, Watch,
};
use crate::fleet::{LeaseId, Report};
use crate::state::State;
use crate::store::{Base, Job, Position, Row, RowChange, StoreError};
use rows::{Head, Keys, Said, Vouch, json};
use vouching::{Tell, Vouching};

pub(crate) use peers::serve_base;

/// How a node shares its store.
#[derive(Clone, Debug)]
pub struct ReplicaSettings {
    /// Where etcd is.
    pub etcd: EtcdSettings,
    /// What all keys begin with.
    pub prefix: String,
    /// This node's name; no other has it.
    pub node: String,
    /// Where the other nodes reach this one's HTTP: `http://192.0.2.1:9153`.
    pub advertise: String,
}

/// What the rest of a directory says to and asks of its replica.
#[derive(Debug)]
pub(crate) struct Replica {
    heard: mpsc::UnboundedSender<Heard>,
    confirmed: Mutex<Confirmed>,
    is_first_copy_there: watch::Sender<bool>,
    /// What other nodes show when they fetch a file.
    peer_key: Mutex<Option<String>>,
}

/// A gateway was heard of here.
#[derive(Debug)]
enum Heard {
    Alive { name: String, lease: LeaseId, report: Report, lasts: Duration },
    Left { name: String },
}

/// When etcd last answered, and whether it does.
#[derive(Clone, Copy, Debug)]
struct Confirmed {
    at: Instant,
    is_connected: bool,
}

/// The ends of the channels that the task has.
#[derive(Debug)]
pub(crate) struct Inbox {
    heard: mpsc::UnboundedReceiver<Heard>,
    jobs: mpsc::Receiver<Job>,
}

impl Replica {
    /// A replica whose task is still to be run.
    pub(crate) fn new(jobs: mpsc::Receiver<Job>) -> (Self, Inbox) {
        let (sender, heard) = mpsc::unbounded_channel();
        let confirmed = Confirmed { at: Instant::now(), is_connected: false };
        let replica = Self {
            heard: sender,
            confirmed: Mutex::new(confirmed),
            is_first_copy_there: watch::Sender::new(false),
            peer_key: Mutex::default(),
        };
        (replica, Inbox { heard, jobs })
    }

    /// A gateway that is registered has spoken here.
    pub(crate) fn alive(&self, name: String, lease: LeaseId, report: Report, lasts: Duration) {
        // The task is gone only when the directory ends.
        let _ = self.heard.send(Heard::Alive { name, lease, report, lasts });
    }

    /// A gateway has left here.
    pub(crate) fn left(&self, name: String) {
        let _ = self.heard.send(Heard::Left { name });
    }

    /// How long ago etcd last confirmed that what is answered from is what it has.
    pub(crate) fn age(&self) -> Duration {
        self.confirmed().at.elapsed()
    }

    /// Whether etcd answers.
    pub(crate) fn is_connected(&self) -> bool {
        self.confirmed().is_connected
    }

    /// Waits until this node has taken over what etcd has, for the first time since its start.
    pub(crate) async fn first_copy(&self) {
        let mut there = self.is_first_copy_there.subscribe();
        // The sender lives as long as this.
        let _ = there.wait_for(|is| *is).await;
    }

    fn confirmed(&self) -> Confirmed {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn confirm(&self) {
        let confirmed = Confirmed { at: Instant::now(), is_connected: true };
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = confirmed;
    }

    fn disconnect(&self) {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).is_connected = false;
    }
}

/// Why the copy does not follow etcd now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplicaError {
    /// etcd's.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The copy's.
    #[error(transparent)]
    Copy(#[from] DirectoryError),
    /// A row or key that cannot be read.
    #[error("in etcd, {0}")]
    Row(String),
    /// A big table that no node has.
    #[error("the file of the big table of version {version} is at no node that answers: {cause}")]
    Base {
        /// Its version.
        version: u64,
        /// What the last one said.
        cause: String,
    },
    /// The folder is not this etcd's.
    #[error(
        "{0}; nothing is taken over. To begin with what etcd has, give an empty folder as store; \
         to begin with what this one has, export it and import it there"
    )]
    Foreign(String),
}

impl From<StoreError> for ReplicaError {
    fn from(error: StoreError) -> Self {
        Self::Copy(error.into())
    }
}

/// Lease of what a node says of itself and its gateways. It outlasts the election of a leader.
const LEASE_S: u32 = 10;

/// How often etcd is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Between attempts to reach etcd.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// How long a change waits for etcd before it is refused. It outlasts the election of a leader.
const PATIENCE: Duration = Duration::from_secs(8);

/// Operations in a transaction; etcd refuses more than 128.
const OPERATIONS_MAX: usize = 100;

/// The task that keeps the copy.
#[derive(Debug)]
pub(crate) struct Task {
    settings: ReplicaSettings,
    keys: Keys,
    state: Arc<State>,
    replica: Arc<Replica>,
    inbox: Inbox,
    /// Of commands; a watch has its own.
    etcd: Etcd,
    position: Option<Position>,
    head: (Head, u64),
    version: u64,
    lease: u64,
    nodes: HashMap<String, String>,
    vouching: Vouching,
    /// What other nodes say of the gateways that they hear.
    vouched: HashMap<(String, String), Vouch>,
    waiting: VecDeque<(Job, Instant)>,
    sent: Option<Sent>,
    was_told: bool,
}

/// Changes that etcd was given.
#[derive(Debug)]
struct Sent {
    jobs: Vec<(Job, Instant)>,
    /// Attempts, and the numbers that each gives to the jobs.
    attempts: Vec<(u64, Vec<u64>)>,
    /// One of the attempts was seen.
    done: Option<usize>,
    /// When the copy is so far, it is known whether they were done.
    known_at: Option<u64>,
}

impl Task {
    /// The task of `replica`.
    pub(crate) fn new(
        settings: ReplicaSettings,
        state: Arc<State>,
        replica: Arc<Replica>,
        inbox: Inbox,
    ) -> Self {
        Self {
            keys: Keys::new(&settings.prefix),
            etcd: Etcd::new(Arc::new(settings.etcd.clone())),
            settings,
            state,
            replica,
            inbox,
            position: None,
            head: Default::default(),
            version: 0,
            lease: 0,
            nodes: HashMap::new(),
            vouching: Vouching::default(),
            vouched: HashMap::new(),
            waiting: VecDeque::new(),
            sent: None,
            was_told: false,
        }
    }

    /// Follows etcd for ever.
    pub(crate) async fn run(mut self) {
        loop {
            let error = match self.follow().await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            self.replica.disconnect();
            if !std::mem::replace(&mut self.was_told, true) {
                tracing::error!(
                    "the shared store is not followed now, answers are from this node's copy: {error}"
                );
            }
            self.wait(Instant::now() + TRY_EVERY, &error).await;
        }
    }

    /// Waits for the next attempt; changes that have waited too long are refused.
    async fn wait(&mut self, until: Instant, error: &ReplicaError) {
        loop {
            let now = Instant::now();
            while self.waiting.front().is_some_and(|(_, since)| *since + PATIENCE <= now) {
                if let Some((job, _)) = self.waiting.pop_front() {
                    let _ = job.done.send(Err(StoreError::Unreachable(error.to_string())));
                }
            }
            let is_late = |sent: &Sent| sent.jobs.iter().all(|(_, since)| *since + PATIENCE <= now);
            if let Some(sent) = self.sent.take_if(|sent| is_late(sent)) {
                for (job, _) in sent.jobs {
                    let text = format!("{error}; it is not known whether this one was stored");
                    let _ = job.done.send(Err(StoreError::Unreachable(text)));
                }
            }
            match timeout_at(until, self.next_message()).await {
                Ok(()) => {}
                Err(_) => return,
            }
        }
    }

    /// Takes in what the directory says, without doing anything about it.
    async fn next_message(&mut self) {
        tokio::select! {
            job = self.inbox.jobs.recv() => match job {
                Some(job) => self.waiting.push_back((job, Instant::now())),
                None => std::future::pending().await,
            },
            heard = self.inbox.heard.recv() => match heard {
                Some(heard) => self.hear(heard),
                None => std::future::pending().await,
            },
        }
    }

    fn hear(&mut self, heard: Heard) {
        let now = StdInstant::now();
        match heard {
            Heard::Alive { name, lease, report, lasts } => {
                let name = name.to_ascii_lowercase();
                self.vouching.heard(now, name, Vouch::new(lease, &report), lasts);
            }
            Heard::Left { name } => self.vouching.left(now, &name.to_ascii_lowercase()),
        }
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, ReplicaError> {
        let mut watch = self.begin().await?;
        self.replica.confirm();
        self.replica.is_first_copy_there.send_replace(true);
        if std::mem::replace(&mut self.was_told, false) {
            tracing::info!(endpoint = %self.etcd.endpoint(), "the shared store is followed again");
        }
        let mut ask_at = Instant::now() + ASK_EVERY;
        let mut behind_since: Option<Instant> = None;
        loop {
            self.tell().await?;
            self.send().await?;
            let tell_at = self.vouching.next_deadline().map(Instant::from_std);
            let wake_at = tell_at.map_or(ask_at, |at| at.min(ask_at));
            tokio::select! {
                batch = watch.next() => {
                    self.take(batch?.events).await?;
                    self.replica.confirm();
                }
                () = self.next_message() => {}
                () = sleep_until(wake_at) => {}
            }
            if Instant::now() >= ask_at {
                ask_at = Instant::now() + ASK_EVERY;
                let is_behind = self.ask().await?;
                let since = is_behind.then(|| *behind_since.get_or_insert_with(Instant::now));
                behind_since = since;
                if since.is_some_and(|since| since.elapsed() > 2 * ASK_EVERY) {
                    let cause = "its watch tells nothing of changes that it has".to_owned();
                    let endpoint = self.etcd.endpoint().to_string();
                    return Err(EtcdError::Connection { endpoint, cause }.into());
                }
                self.replica.confirm();
            }
        }
    }

    /// Brings the copy to where etcd is, or near, and begins to watch.
    async fn begin(&mut self) -> Result<Watch, ReplicaError> {
        self.lease = 0;
        let store = Arc::clone(self.state.need_store().map_err(DirectoryError::from)?);
        if self.position.is_none() {
            self.position = store.position()?;
        }
        let found = self.etcd.range(&self.keys.head()).await?;
        let is_known = match &self.position {
            Some(_) if found.keys.is_empty() && !store.is_empty()? => {
                let text = format!("etcd has nothing below {}", self.keys.all());
                return Err(ReplicaError::Foreign(format!("{text}, this node has a copy of it")));
            }
            Some(here) if here.cluster != found.cluster => {
                let text = "the copy in the store's folder is of another etcd";
                return Err(ReplicaError::Foreign(text.to_owned()));
            }
            // Brought back from an older backup: what it has counts.
            Some(here) => here.revision <= found.revision,
            None if !store.is_empty()? => {
                let text = "the store's folder holds a table that was not shared before";
                return Err(ReplicaError::Foreign(text.to_owned()));
            }
            None => false,
        };
        // Nodes first: big tables come from them.
        self.take_nodes().await?;
        if !is_known {
            self.take_whole().await?;
        }
        let from = self.position.clone().unwrap_or_default().revision + 1;
        let mut watcher = self.etcd.beside();
        let watch = match watcher.watch(self.keys.all(), from).await {
            Err(EtcdError::Compacted { .. }) => {
                self.take_whole().await?;
                let from = self.position.clone().unwrap_or_default().revision + 1;
                watcher.watch(self.keys.all(), from).await?
            }
            result => result?,
        };
        self.take_head().await?;
        if let Some(sent) = &mut self.sent {
            // Whatever was on its way is in what the watch is going to tell by then.
            sent.known_at = Some(self.head.1);
        }
        self.introduce().await?;
        Ok(watch)
    }

    /// Makes this node known, and what it hears of.
    async fn introduce(&mut self) -> Result<(), ReplicaError> {
        self.lease = self.etcd.grant(LEASE_S).await?;
        let node = Operation::Put(
            self.keys.node(&self.settings.node),
            self.settings.advertise.clone().into_bytes(),
            self.lease,
        );
        self.etcd.commit(&[], &[node], &[]).await?;
        let key = self.keys.peer_key();
        let first = Compare::Revision(key.clone(), 0);
        let own = crate::store::hex(&rand::random::<[u8; 32]>());
        let put = Operation::Put(key.clone(), own.clone().into_bytes(), 0);
        let told = match self.etcd.commit(&[first], &[put], &[&key]).await? {
            Outcome::Done(_) => own,
            Outcome::Otherwise(keys) => keys
                .first()
                .map(|key| String::from_utf8_lossy(&key.value).into_owned())
                .unwrap_or_default(),
        };
        self.set_peer_key(told);
        self.vouching.untold();
        Ok(())
    }

    fn set_peer_key(&self, key: String) {
        let own = Some(key).filter(|key| !key.is_empty());
        *self.replica.peer_key.lock().unwrap_or_else(PoisonError::into_inner) = own;
    }

    fn peer_key(&self) -> Option<String> {
        self.replica.peer_key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over all that etcd has.
    async fn take_whole(&mut self) -> Result<(), ReplicaError> {
        let all = self.etcd.range(self.keys.all()).await?;
        let mut rows = Vec::new();
        for key in all.keys {
            let event = Event { key, is_gone: false };
            if let Said::Row(row) = self.keys.read(&event).map_err(ReplicaError::Row)? {
                rows.push(row);
            }
        }
        let position = Position { cluster: all.cluster, revision: all.revision };
        tracing::info!(
            rows = rows.len(),
            revision = position.revision,
            "the whole shared store is taken over"
        );
        self.take_over(rows, position, true).await
    }

    /// Which nodes there are, and whom they hear of.
    async fn take_nodes(&mut self) -> Result<(), ReplicaError> {
        let key = self.etcd.range(&self.keys.peer_key()).await?;
        if let Some(key) = key.keys.first() {
            self.set_peer_key(String::from_utf8_lossy(&key.value).into_owned());
        }
        let nodes = self.etcd.range(&self.keys.node("")).await?;
        let mut known = HashMap::new();
        for key in nodes.keys {
            let event = Event { key, is_gone: false };
            if let Said::Node(node, Some(url)) =
                self.keys.read(&event).map_err(ReplicaError::Row)?
            {
                known.insert(node, url);
            }
        }
        self.nodes = known;
        let live = self.etcd.range(&self.keys.all_live()).await?;
        let mut vouched = HashMap::new();
        for key in live.keys {
            let event = Event { key, is_gone: false };
            let said = self.keys.read(&event).map_err(ReplicaError::Row)?;
            if let Said::Live { node, gateway, vouch: Some(vouch) } = said {
                vouched.insert((node, gateway), vouch);
            }
        }
        // The nodes may be on their way back as this one is.
        let not_before = StdInstant::now() + Duration::from_secs(u64::from(LEASE_S));
        let before = std::mem::take(&mut self.vouched);
        for (node, gateway) in before.into_keys().filter(|own| !vouched.contains_key(own)) {
            self.state.fleet().unvouch(&node, &gateway, not_before);
        }
        for ((node, gateway), vouch) in vouched {
            self.live(node, gateway, Some(vouch));
        }
        Ok(())
    }

    async fn take_head(&mut self) -> Result<(), ReplicaError> {
        let head = self.etcd.range(&self.keys.head()).await?;
        let version = self.etcd.range(&self.keys.version()).await?;
        self.know(head.keys.into_iter().chain(version.keys).collect())
    }

    /// What etcd says of its head and version.
    fn know(&mut self, keys: Vec<KeyValue>) -> Result<(), ReplicaError> {
        for key in keys {
            let revision = key.mod_revision;
            match self.keys.read(&Event { key, is_gone: false }).map_err(ReplicaError::Row)? {
                Said::Head(Some(head)) if revision > self.head.1 => self.head = (head, revision),
                Said::Version(version) => self.version = version,
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes over what the watch tells.
    async fn take(&mut self, events: Vec<Event>) -> Result<(), ReplicaError> {
        let mut rows = Vec::new();
        let here = self.position.clone().unwrap_or_default();
        let mut revision = here.revision;
        for event in &events {
            let at = event.key.mod_revision;
            revision = revision.max(at);
            match self.keys.read(event).map_err(ReplicaError::Row)? {
                Said::Row(row) => rows.push(row),
                Said::Head(Some(head)) => {
                    self.see(head, at);
                }
                Said::Head(None) => {
                    let text = format!("{} was removed", self.keys.head());
                    return Err(ReplicaError::Foreign(text));
                }
                Said::Version(version) => self.version = self.version.max(version),
                Said::Node(node, Some(url)) => drop(self.nodes.insert(node, url)),
                Said::Node(node, None) => drop(self.nodes.remove(&node)),
                Said::Live { node, gateway, vouch } => self.live(node, gateway, vouch),
                Said::PeerKey(key) => self.set_peer_key(key),
                Said::Unknown => {}
            }
        }
        if !rows.is_empty() {
            self.take_over(rows, Position { revision, ..here }, false).await?;
        } else if let Some(position) = &mut self.position {
            // What is no row needs no word on the disk: it may be told again.
            position.revision = revision;
        }
        self.acknowledge();
        Ok(())
    }

    fn see(&mut self, head: Head, revision: u64) {
        if revision > self.head.1 {
            self.head = (head, revision);
        }
        if let Some(sent) = &mut self.sent {
            let own = sent.attempts.iter().position(|(attempt, _)| *attempt == head.attempt);
            sent.done = sent.done.or(own);
        }
    }

    fn live(&mut self, node: String, gateway: String, vouch: Option<Vouch>) {
        if node == self.settings.node {
            return;
        }
        let mut fleet = self.state.fleet();
        match vouch {
            Some(vouch) => {
                let (lease, report) = vouch.clone().read();
                fleet.vouch(&node, &gateway, lease, report);
                self.vouched.insert((node, gateway), vouch);
            }
            None => {
                fleet.unvouch(&node, &gateway, StdInstant::now());
                self.vouched.remove(&(node, gateway));
            }
        }
        drop(fleet);
        drop(self.state.publish_soon());
    }

    async fn take_over(
        &mut self,
        rows: Vec<RowChange>,
        position: Position,
        whole: bool,
    ) -> Result<(), ReplicaError> {
        let mut gateways = HashSet::new();
        for RowChange { row, value } in &rows {
            if let Row::Gateway(name) = row {
                gateways.insert(name.clone());
            }
            if let (Row::Base(version), Some(value)) = (row, value) {
                let base: Base = serde_json::from_slice(value)
                    .map_err(|error| ReplicaError::Row(format!("bases {version}: {error}")))?;
                self.fetch(base).await?;
            }
        }
        let (state, to) = (Arc::clone(&self.state), position.clone());
        let taken = tokio::task::spawn_blocking(move || state.take_over(&rows, &to, whole)).await;
        match taken {
            Ok(taken) => taken?,
            Err(panic) => return Err(StoreError::Failed(panic.to_string()).into()),
        }
        self.position = Some(position);
        // What was said of a lease before it came counts now.
        for ((node, gateway), vouch) in
            self.vouched.iter().filter(|own| gateways.contains(&own.0.1))
        {
            let (lease, report) = vouch.clone().read();
            self.state.fleet().vouch(node, gateway, lease, report);
        }
        Ok(())
    }

    /// Gets the file of a big table, if it is not here.
    async fn fetch(&self, base: Base) -> Result<(), ReplicaError> {
        let store = Arc::clone(self.state.need_store().map_err(DirectoryError::from)?);
        let version = base.number;
        let (own, wanted) = (Arc::clone(&store), base.clone());
        let is_here = tokio::task::spawn_blocking(move || own.has_base(&wanted)).await;
        if is_here.unwrap_or(false) {
            return Ok(());
        }
        let key = self.peer_key().unwrap_or_default();
        let mut cause = "there is no other node".to_owned();
        for (node, url) in self.nodes.iter().filter(|(node, _)| **node != self.settings.node) {
            let authorities = self.settings.etcd.authorities.as_ref();
            let fetched = peers::fetch_base(url, authorities, &key, &base.file).await;
            let (own, wanted) = (Arc::clone(&store), base.clone());
            let taken = match fetched {
                Ok(octets) => tokio::task::spawn_blocking(move || own.take_base(&wanted, &octets))
                    .await
                    .map_err(|panic| panic.to_string())
                    .and_then(|taken| taken.map_err(|error| error.to_string())),
                Err(error) => Err(error),
            };
            match taken {
                Ok(()) => {
                    tracing::info!(node, version, entries = base.entries, "big table fetched");
                    return Ok(());
                }
                Err(error) => cause = format!("node {node}: {error}"),
            }
        }
        Err(ReplicaError::Base { version, cause })
    }

    /// Tells those who wait for changes that the copy has.
    fn acknowledge(&mut self) {
        let here = self.position.as_ref().map_or(0, |position| position.revision);
        if self.sent.as_ref().and_then(|sent| sent.known_at).is_none_or(|at| at > here) {
            return;
        }
        let Some(sent) = self.sent.take() else {
            return;
        };
        match sent.done {
            Some(place) => {
                for ((job, _), number) in sent.jobs.into_iter().zip(&sent.attempts[place].1) {
                    // Who asked may have gone.
                    let _ = job.done.send(Ok(*number));
                }
            }
            // Somebody else was first: once more, upon what is known now.
            None => sent.jobs.into_iter().rev().for_each(|job| self.waiting.push_front(job)),
        }
    }

    /// Gives etcd what waits, if nothing is on its way.
    async fn send(&mut self) -> Result<(), ReplicaError> {
        self.acknowledge();
        while self.sent.is_none() && !self.waiting.is_empty() {
            let mut jobs = Vec::new();
            let mut operations = 0;
            while let Some((job, _)) = self.waiting.front() {
                operations += job.changes.len() + 1;
                let alone = job.expects.is_some();
                if !jobs.is_empty() && (alone || operations > OPERATIONS_MAX) {
                    break;
                }
                jobs.extend(self.waiting.pop_front());
                if alone {
                    break;
                }
            }
            self.commit(jobs).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, jobs: Vec<(Job, Instant)>) -> Result<(), ReplicaError> {
        let store = self.state.need_store().map_err(DirectoryError::from)?;
        let bases: Vec<u64> = store.bases()?.iter().map(|base| base.number).collect();
        let attempt = rand::random();
        let expects = jobs.first().and_then(|(job, _)| job.expects);
        if expects.is_some_and(|version| version != self.version) {
            return self.refuse_moved(jobs);
        }
        let (jobs, since): (Vec<Job>, Vec<Instant>) = jobs.into_iter().unzip();
        let (head, revision) = self.head;
        let (operations, numbers) = self.keys.operations(head, attempt, &jobs, &bases);
        let mut compare = vec![Compare::Revision(self.keys.head(), revision)];
        compare.extend(expects.map(|version| match version {
            0 => Compare::Revision(self.keys.version(), 0),
            version => Compare::Value(self.keys.version(), version.to_string().into_bytes()),
        }));
        self.sent = Some(Sent {
            jobs: jobs.into_iter().zip(since).collect(),
            attempts: vec![(attempt, numbers)],
            done: None,
            known_at: None,
        });
        let (head, version) = (self.keys.head(), self.keys.version());
        match self.etcd.commit(&compare, &operations, &[&head, &version]).await {
            Ok(Outcome::Done(revision)) => {
                self.is_known_at(revision);
                Ok(())
            }
            Ok(Outcome::Otherwise(keys)) => {
                self.know(keys)?;
                self.is_known_at(self.head.1);
                self.acknowledge();
                Ok(())
            }
            Err(EtcdError::Refused { endpoint, cause }) => {
                let error = EtcdError::Refused { endpoint, cause }.to_string();
                for (job, _) in self.sent.take().into_iter().flat_map(|sent| sent.jobs) {
                    let _ = job.done.send(Err(StoreError::Unreachable(error.clone())));
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn refuse_moved(&mut self, jobs: Vec<(Job, Instant)>) -> Result<(), ReplicaError> {
        for (job, _) in jobs {
            let _ = job.done.send(Err(StoreError::Moved));
        }
        Ok(())
    }

    fn is_known_at(&mut self, revision: u64) {
        if let Some(sent) = &mut self.sent {
            sent.known_at = Some(revision);
        }
    }

    /// Tells the others whom this node hears of.
    async fn tell(&mut self) -> Result<(), ReplicaError> {
        loop {
            let mut operations = Vec::new();
            while operations.len() < OPERATIONS_MAX
                && let Some(tell) = self.vouching.poll(StdInstant::now())
            {
                let node = &self.settings.node;
                operations.push(match tell {
                    Tell::Vouch(gateway, vouch) => {
                        Operation::Put(self.keys.live(node, &gateway), json(&vouch), self.lease)
                    }
                    Tell::Gone(gateway) => Operation::Delete(self.keys.live(node, &gateway)),
                });
            }
            if operations.is_empty() {
                return Ok(());
            }
            match self.etcd.commit(&[], &operations, &[]).await {
                // The lease is gone: all is said anew.
                Err(EtcdError::Refused { .. }) => self.introduce().await?,
                result => drop(result?),
            }
        }
    }

    /// Keeps the lease and asks how far etcd is; whether the copy is behind.
    async fn ask(&mut self) -> Result<bool, ReplicaError> {
        if !self.etcd.keep_alive(self.lease).await? {
            self.introduce().await?;
        }
        let head = self.etcd.range(&self.keys.head()).await?;
        let at = head.keys.first().map_or(0, |key| key.mod_revision);
        Ok(at > self.position.as_ref().map_or(0, |position| position.revision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn age_grows_for_as_long_as_etcd_is_gone() {
        let (_jobs, receiver) = mpsc::channel(1);
        let (replica, _inbox) = Replica::new(receiver);
        replica.confirm();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(replica.is_connected() && replica.age() == Duration::from_secs(1));
        replica.disconnect();
        tokio::time::advance(Duration::from_secs(3599)).await;
        assert_eq!((replica.is_connected(), replica.age()), (false, Duration::from_secs(3600)));
        replica.confirm();
        assert_eq!((replica.is_connected(), replica.age()), (true, Duration::ZERO));
    }
}
