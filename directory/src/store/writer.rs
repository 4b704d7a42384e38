//! The one thread that writes: what waits is written in one transaction, in the order it came.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use redb::{Database, ReadableTable};
use tokio::sync::oneshot;

use super::{
    BASES, BASES_KEPT, Base, Entry, GATEWAYS, LOG, StoreError, StoredGateway, StoredToken, TOKENS,
    to_row,
};

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

/// The thread and the way to it.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<SyncSender<Job>>,
    failure: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Job {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<u64, StoreError>>,
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
        Ok(Self { jobs: Some(sender), failure, thread: Some(thread) })
    }

    pub(super) fn write(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + use<> {
        let done = self.send(changes);
        async move { done.await.unwrap_or_else(|_| Err(ended())) }
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn send(&self, changes: Vec<Change>) -> oneshot::Receiver<Result<u64, StoreError>> {
        let (done, receiver) = oneshot::channel();
        if let Some(jobs) = &self.jobs {
            // When the thread is gone, the receiver learns it.
            let _ = jobs.send(Job { changes, done });
        }
        receiver
    }
}

impl Drop for Writer {
    /// What was handed over is written.
    fn drop(&mut self) {
        self.jobs = None;
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
        let mut log = transaction.open_table(LOG)?;
        let mut bases = transaction.open_table(BASES)?;
        let mut gateways = transaction.open_table(GATEWAYS)?;
        let mut tokens = transaction.open_table(TOKENS)?;
        let mut last = log.last()?.map_or(0, |(number, _)| number.value());
        for job in jobs {
            for change in &job.changes {
                match change {
                    Change::Log(entry) => {
                        last += 1;
                        let entry = Entry { number: last, ..entry.clone() };
                        log.insert(last, to_row(&entry).as_slice())?;
                    }
                    Change::Base(base) => {
                        let base = Base { number: last, ..base.clone() };
                        bases.insert(last, to_row(&base).as_slice())?;
                    }
                    Change::BaseAt(version, base) => {
                        let base = Base { number: *version, ..base.clone() };
                        bases.insert(*version, to_row(&base).as_slice())?;
                    }
                    Change::Gateway(gateway) => {
                        let key = gateway.name.to_ascii_lowercase();
                        gateways.insert(key.as_str(), to_row(gateway).as_slice())?;
                    }
                    Change::NoGateway(name) => {
                        gateways.remove(name.as_str())?;
                    }
                    Change::Token(token) => {
                        tokens.insert(token.name.as_str(), to_row(token).as_slice())?;
                    }
                    Change::NoToken(name) => {
                        tokens.remove(name.as_str())?;
                    }
                }
            }
            numbers.push(last);
        }
        prune(&mut log, &mut bases, last)?;
    }
    transaction.commit()?;
    Ok(numbers)
}

/// Leaves out the oldest tables, and the entries of the log that nobody can go back to.
fn prune(
    log: &mut redb::Table<'_, u64, &'static [u8]>,
    bases: &mut redb::Table<'_, u64, &'static [u8]>,
    last: u64,
) -> Result<(), redb::Error> {
    let mut numbers = Vec::new();
    for row in bases.iter()? {
        numbers.push(row?.0.value());
    }
    let surplus = numbers.len().saturating_sub(BASES_KEPT);
    for number in &numbers[..surplus] {
        bases.remove(number)?;
    }
    // Without a table in a file every entry since the first is needed.
    let Some(oldest) = numbers.get(surplus) else {
        return Ok(());
    };
    let unneeded = last.saturating_sub(LOG_KEPT).min(*oldest);
    log.retain_in(..unneeded, |_, _| false)?;
    Ok(())
}
