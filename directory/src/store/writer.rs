//! The one thread that writes: what waits is written in one transaction, in the order it came.

use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use redb::{Database, ReadableTable};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::rows::{Row, RowChange, Tables};
use super::{BASES_KEPT, Base, Entry, StoreError, StoredGateway, StoredToken, to_row};

/// A change of the store.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A new entry of the log, which gets its number here.
    Log(Entry),
    /// The prefixes are in this file as of the entry before it.
    Base(Base),
    /// The prefixes as they are up to this version are in this file too.
    BaseAt(u64, Base),
    /// A gateway is so.
    Gateway(StoredGateway),
    /// A gateway is gone; its name in lower case.
    NoGateway(String),
    /// A token is so.
    Token(StoredToken),
    /// A token is gone.
    NoToken(String),
}

impl Change {
    /// What it does to the rows of a store whose log ends with entry `last`, which an entry of the log
    /// moves on.
    pub(crate) fn row(&self, last: &mut u64) -> RowChange {
        let put = |row, value| RowChange { row, value: Some(value) };
        match self {
            Self::Log(entry) => {
                *last += 1;
                put(Row::Log(*last), to_row(&Entry { number: *last, ..entry.clone() }))
            }
            Self::Base(base) => {
                put(Row::Base(*last), to_row(&Base { number: *last, ..base.clone() }))
            }
            Self::BaseAt(version, base) => {
                put(Row::Base(*version), to_row(&Base { number: *version, ..base.clone() }))
            }
            Self::Gateway(gateway) => {
                put(Row::Gateway(gateway.name.to_ascii_lowercase()), to_row(gateway))
            }
            Self::NoGateway(name) => RowChange { row: Row::Gateway(name.clone()), value: None },
            Self::Token(token) => put(Row::Token(token.name.clone()), to_row(token)),
            Self::NoToken(name) => RowChange { row: Row::Token(name.clone()), value: None },
        }
    }
}

/// The way to what writes: the thread, or the replica of a shared store.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Jobs,
    failure: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Jobs {
    Own(SyncSender<Job>),
    Shared(mpsc::Sender<Job>),
    Ended,
}

/// Changes that belong together, and who waits for them.
#[derive(Debug)]
pub(crate) struct Job {
    /// All of them or none.
    pub(crate) changes: Vec<Change>,
    /// The version of the prefixes that they are made for, where that matters.
    pub(crate) expects: Option<u64>,
    /// Learns the number of the last entry of the log.
    pub(crate) done: oneshot::Sender<Result<u64, StoreError>>,
}

/// Changes that may wait; who brings more waits itself.
const WAITING_MAX: usize = 1_024;

/// Changes that are written together at most.
const TOGETHER_MAX: usize = 4_096;

/// Entries of the log that are not needed to go back to a version are kept up to this number.
const LOG_KEPT: u64 = 100_000;

impl Writer {
    pub(super) fn start(database: Arc<Database>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let failure = Arc::new(Mutex::new(None));
        let own = Arc::clone(&failure);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(&database, &receiver, &own))?;
        Ok(Self { jobs: Jobs::Own(sender), failure, thread: Some(thread) })
    }

    /// For a store that is shared with others; what shall be written comes out of the receiver.
    pub(super) fn shared() -> (Self, mpsc::Receiver<Job>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self { jobs: Jobs::Shared(sender), failure: Arc::default(), thread: None }, receiver)
    }

    pub(super) fn is_shared(&self) -> bool {
        matches!(self.jobs, Jobs::Shared(_))
    }

    pub(super) fn write(
        &self,
        changes: Vec<Change>,
        expects: Option<u64>,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + use<> {
        let done = self.send(changes, expects);
        async move { done.await.unwrap_or_else(|_| Err(ended())) }
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn send(
        &self,
        changes: Vec<Change>,
        expects: Option<u64>,
    ) -> oneshot::Receiver<Result<u64, StoreError>> {
        let (done, receiver) = oneshot::channel();
        let job = Job { changes, expects, done };
        // When what writes is gone, the receiver learns it.
        match &self.jobs {
            Jobs::Own(jobs) => drop(jobs.send(job)),
            Jobs::Shared(jobs) => match jobs.try_send(job) {
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                Err(TrySendError::Full(job)) => {
                    let error = format!("{WAITING_MAX} changes wait already");
                    let _ = job.done.send(Err(StoreError::Unreachable(error)));
                }
            },
            Jobs::Ended => {}
        }
        receiver
    }
}

impl Drop for Writer {
    /// What was handed over is written.
    fn drop(&mut self) {
        self.jobs = Jobs::Ended;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ended() -> StoreError {
    StoreError::Failed("its thread has ended".to_owned())
}

fn run(database: &Database, jobs: &Receiver<Job>, failure: &Mutex<Option<String>>) {
    while let Ok(first) = jobs.recv() {
        let mut together = vec![first];
        let mut changes = together[0].changes.len();
        while changes < TOGETHER_MAX
            && let Ok(next) = jobs.try_recv()
        {
            changes += next.changes.len();
            together.push(next);
        }
        let failed = failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let written = match failed {
            Some(failed) => Err(failed),
            None => write(database, &together).map_err(|error| {
                let text = error.to_string();
                tracing::error!(
                    "the store cannot be written, and takes no changes from now on: {text}"
                );
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.clone());
                text
            }),
        };
        match written {
            Ok(numbers) => {
                for (job, number) in together.into_iter().zip(numbers) {
                    // Who asked may have gone.
                    let _ = job.done.send(Ok(number));
                }
            }
            Err(text) => {
                for job in together {
                    let _ = job.done.send(Err(StoreError::Failed(text.clone())));
                }
            }
        }
    }
}

/// Writes all jobs in one transaction; the result is the number of the last entry of the log after
/// each.
fn write(database: &Database, jobs: &[Job]) -> Result<Vec<u64>, redb::Error> {
    let transaction = database.begin_write()?;
    let mut numbers = Vec::with_capacity(jobs.len());
    {
        let mut tables = Tables::open(&transaction)?;
        let before = tables.log.last()?.map_or(0, |(number, _)| number.value());
        let mut last = before;
        for job in jobs {
            for change in &job.changes {
                tables.set(&change.row(&mut last))?;
            }
            numbers.push(last);
        }
        prune(&mut tables.log, &mut tables.bases, before..last, LOG_KEPT)?;
    }
    transaction.commit()?;
    Ok(numbers)
}

/// Leaves out the oldest tables, and the entries of the log that nobody can go back to. `new` are
/// entries up to the last.
fn prune(
    log: &mut redb::Table<'_, u64, &'static [u8]>,
    bases: &mut redb::Table<'_, u64, &'static [u8]>,
    new: Range<u64>,
    kept: u64,
) -> Result<(), redb::Error> {
    let mut numbers = Vec::new();
    for row in bases.iter()? {
        numbers.push(row?.0.value());
    }
    let surplus = numbers.len().saturating_sub(BASES_KEPT);
    for number in &numbers[..surplus] {
        bases.remove(number)?;
    }
    let unneeded = new.end.saturating_sub(kept);
    match numbers.get(surplus) {
        Some(oldest) => log.retain_in(..unneeded.min(*oldest), |_, _| false)?,
        // Without a table in a file every change of prefixes since the first is needed; the rest is
        // looked through now and then.
        None if new.start / PRUNE_EVERY != new.end / PRUNE_EVERY => {
            log.retain_in(..unneeded, |number, row| {
                Entry::read(number, row).map_or(true, |entry| entry.action.is_version())
            })?;
        }
        None => {}
    }
    Ok(())
}

const PRUNE_EVERY: u64 = 1_000;

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::store::{Action, BASES, LOG, PrefixChange};

    fn entry(number: u64, action: Action) -> Vec<u8> {
        to_row(&Entry { number, at_s: 0, who: "a".into(), action })
    }

    #[test]
    fn log_keeps_what_prefixes_are_made_of_and_the_rest_for_a_while() {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let left = || Action::Left { gateway: "g".into() };
        let change = PrefixChange { prefix: "+81".into(), before: None, after: None };
        let prefixes = || Action::Prefixes { changes: vec![change.clone()] };
        let write = database.begin_write().unwrap();
        let mut log = write.open_table(LOG).unwrap();
        for number in 1..=2_000 {
            let action = if number == 7 { prefixes() } else { left() };
            log.insert(number, entry(number, action).as_slice()).unwrap();
        }
        let mut bases = write.open_table(BASES).unwrap();
        let numbers = |log: &redb::Table<'_, u64, &[u8]>| -> Vec<u64> {
            log.iter().unwrap().map(|row| row.unwrap().0.value()).collect()
        };
        prune(&mut log, &mut bases, 1_997..1_999, 3).unwrap();
        assert_eq!(numbers(&log).len(), 2_000);
        prune(&mut log, &mut bases, 1_999..2_000, 3).unwrap();
        assert_eq!(numbers(&log), [7, 1_997, 1_998, 1_999, 2_000]);
        // A table in a file has them all in it; ten of them are kept.
        for number in 1_990..=2_000 {
            bases.insert(number, b"".as_slice()).unwrap();
        }
        prune(&mut log, &mut bases, 2_000..2_000, 3).unwrap();
        assert_eq!(numbers(&log), [1_997, 1_998, 1_999, 2_000]);
        assert_eq!(numbers(&bases), (1_991..=2_000).collect::<Vec<u64>>());
    }
}
