//! The task that keeps a node's copy: it follows etcd by a watch, takes over what changes, and gives
//! etcd what this node is told.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::rows::{Head, Keys, Said, Vouch};
use super::vouching::{Tell, Vouching};
use super::{Heard, Inbox, Replica, ReplicaError, ReplicaSettings, peers};
use crate::DirectoryError;
use crate::etcd::{Compare, Etcd, EtcdError, Event, KeyValue, Operation, Outcome, Watch};
use crate::state::State;
use crate::store::{Base, Job, Position, Row, RowChange, StoreError, to_row};

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
    /// Somebody else was first: they are tried once more. Earlier attempts may still be on their way,
    /// so they are not forgotten.
    was_overtaken: bool,
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
                let text = format!("{error}; it is not known whether this one was stored");
                sent.refuse(|| StoreError::Unreachable(text.clone()));
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
        self.replica.set_peer_key(told);
        self.vouching.untold();
        Ok(())
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
            self.replica.set_peer_key(String::from_utf8_lossy(&key.value).into_owned());
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
                Said::PeerKey(key) => self.replica.set_peer_key(key),
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
        let key = self.replica.peer_key().unwrap_or_default();
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
        let is_known = |sent: &mut Sent| sent.known_at.is_some_and(|at| at <= here);
        let Some(mut sent) = self.sent.take_if(is_known) else {
            return;
        };
        match sent.done {
            Some(place) => {
                for ((job, _), number) in sent.jobs.into_iter().zip(&sent.attempts[place].1) {
                    // Who asked may have gone.
                    let _ = job.done.send(Ok(*number));
                }
            }
            None => {
                sent.was_overtaken = true;
                self.sent = Some(sent);
            }
        }
    }

    /// Gives etcd what waits, if nothing is on its way.
    async fn send(&mut self) -> Result<(), ReplicaError> {
        self.acknowledge();
        loop {
            match self.sent.take_if(|sent| sent.was_overtaken) {
                Some(sent) => self.commit(sent).await?,
                None if self.sent.is_none() && !self.waiting.is_empty() => {
                    let jobs = self.next_jobs();
                    self.commit(Sent::new(jobs)).await?;
                }
                None => return Ok(()),
            }
        }
    }

    /// Those that can go together.
    fn next_jobs(&mut self) -> Vec<(Job, Instant)> {
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
        jobs
    }

    async fn commit(&mut self, mut sent: Sent) -> Result<(), ReplicaError> {
        let store = self.state.need_store().map_err(DirectoryError::from)?;
        let bases: Vec<u64> = store.bases()?.iter().map(|base| base.number).collect();
        let expects = sent.jobs.first().and_then(|(job, _)| job.expects);
        if expects.is_some_and(|version| version != self.version) {
            sent.refuse(|| StoreError::Moved);
            return Ok(());
        }
        let attempt = rand::random();
        let (head, revision) = self.head;
        let jobs = sent.jobs.iter().map(|(job, _)| job);
        let (operations, numbers) = self.keys.operations(head, attempt, jobs, &bases);
        let mut compare = vec![Compare::Revision(self.keys.head(), revision)];
        compare.extend(expects.map(|version| match version {
            0 => Compare::Revision(self.keys.version(), 0),
            version => Compare::Value(self.keys.version(), version.to_string().into_bytes()),
        }));
        sent.attempts.push((attempt, numbers));
        (sent.known_at, sent.was_overtaken) = (None, false);
        self.sent = Some(sent);
        let (head, version) = (self.keys.head(), self.keys.version());
        match self.etcd.commit(&compare, &operations, &[&head, &version]).await {
            Ok(Outcome::Done(revision)) => self.is_known_at(revision),
            Ok(Outcome::Otherwise(keys)) => {
                self.know(keys)?;
                self.is_known_at(self.head.1);
            }
            Err(error @ EtcdError::Refused { .. }) => {
                if let Some(sent) = self.sent.take() {
                    sent.refuse(|| StoreError::Unreachable(error.to_string()));
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.acknowledge();
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
                        Operation::Put(self.keys.live(node, &gateway), to_row(&vouch), self.lease)
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

impl Sent {
    fn new(jobs: Vec<(Job, Instant)>) -> Self {
        Self { jobs, attempts: Vec::new(), done: None, known_at: None, was_overtaken: false }
    }

    fn refuse(self, error: impl Fn() -> StoreError) {
        for (job, _) in self.jobs {
            // Who asked may have gone.
            let _ = job.done.send(Err(error()));
        }
    }
}
