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
mod task;
mod vouching;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::DirectoryError;
use crate::etcd::{EtcdError, EtcdSettings};
use crate::fleet::{LeaseId, Report};
use crate::store::{Job, StoreError};

pub(crate) use peers::serve_base;
pub(crate) use task::Task;

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

    fn peer_key(&self) -> Option<String> {
        self.peer_key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_peer_key(&self, key: String) {
        let own = Some(key).filter(|key| !key.is_empty());
        *self.peer_key.lock().unwrap_or_else(PoisonError::into_inner) = own;
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
