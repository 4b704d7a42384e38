//! The journal of calls: one JSON object a line, appended to a file by a thread of its own.
//!
//! Call control hands a line over and goes on; the thread writes with io_uring (tokio-uring) and
//! with plain writes where the kernel does not let it. Lines that do not fit the queue any more
//! (a disk that hangs) are counted as lost, never waited for.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

/// Records that wait for the disk before new ones are lost.
const QUEUE_RECORDS: usize = 4_096;

/// What became of the lines handed over.
#[derive(Debug, Default)]
pub struct JournalCounters {
    /// Lines on the disk's way.
    pub written: AtomicU64,
    /// Lines lost to a full queue or a write that failed.
    pub lost: AtomicU64,
}

/// A journal that is open.
#[derive(Debug)]
pub struct Journal {
    entries: Option<mpsc::Sender<Entry>>,
    writer: Option<JoinHandle<()>>,
    counters: Arc<JournalCounters>,
}

#[derive(Debug)]
enum Entry {
    Line(String),
    Reopen,
}

fn open_for_appending(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

impl Journal {
    /// Opens the file for appending, making it where it is not there, and starts the writer.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = open_for_appending(path)?;
        let (entries, queue) = mpsc::channel(QUEUE_RECORDS);
        let counters = Arc::new(JournalCounters::default());
        let writer = std::thread::Builder::new().name("journal".into()).spawn({
            let (counters, path) = (Arc::clone(&counters), path.to_owned());
            move || write_lines(file, &path, queue, &counters)
        })?;
        Ok(Self { entries: Some(entries), writer: Some(writer), counters })
    }

    /// Hands over a line, without its line end. Never waits.
    pub fn append(&self, mut line: String) {
        line.push('\n');
        let Some(entries) = &self.entries else { return };
        if entries.try_send(Entry::Line(line)).is_err() {
            self.counters.lost.fetch_add(1, Relaxed);
        }
    }

    /// Opens the file by its name again, behind the lines that wait: it was moved away (logrotate).
    pub fn reopen(&self) {
        if let Some(entries) = &self.entries
            && entries.try_send(Entry::Reopen).is_err()
        {
            tracing::error!("the journal is too far behind to be reopened: send SIGHUP again");
        }
    }

    /// What became of the lines so far.
    pub fn counters(&self) -> &JournalCounters {
        &self.counters
    }
}

impl Drop for Journal {
    /// Writes what is left and closes the file.
    fn drop(&mut self) {
        self.entries = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write_lines(
    file: File,
    path: &Path,
    mut queue: mpsc::Receiver<Entry>,
    counters: &JournalCounters,
) {
    let count = |outcome: io::Result<()>| match outcome {
        Ok(()) => {
            counters.written.fetch_add(1, Relaxed);
        }
        Err(error) => {
            counters.lost.fetch_add(1, Relaxed);
            tracing::error!(path = %path.display(), %error, "a call record could not be written");
        }
    };
    if let Err(error) = io_uring_works() {
        tracing::info!(%error, "journal without io_uring: plain writes");
        let mut file = file;
        while let Some(entry) = queue.blocking_recv() {
            match entry {
                Entry::Line(line) => count(file.write_all(line.as_bytes())),
                Entry::Reopen => {
                    if let Some(new) = reopened(path) {
                        file = new;
                    }
                }
            }
        }
        return;
    }
    tokio_uring::start(async move {
        let mut file = tokio_uring::fs::File::from_std(file);
        while let Some(entry) = queue.recv().await {
            match entry {
                Entry::Line(line) => {
                    // The file is open for appending: the offset does not count.
                    let (outcome, _) = file.write_all_at(line.into_bytes(), 0).await;
                    count(outcome);
                }
                Entry::Reopen => {
                    if let Some(new) = reopened(path) {
                        let old =
                            std::mem::replace(&mut file, tokio_uring::fs::File::from_std(new));
                        count_close(old.close().await, path);
                    }
                }
            }
        }
        count_close(file.close().await, path);
    });
}

/// The file of this name now; where it cannot be opened the journal goes on in the old one.
fn reopened(path: &Path) -> Option<File> {
    open_for_appending(path)
        .inspect_err(|error| {
            tracing::error!(path = %path.display(), %error, "the journal could not be reopened");
        })
        .ok()
}

fn count_close(outcome: io::Result<()>, path: &Path) {
    if let Err(error) = outcome {
        tracing::error!(path = %path.display(), %error, "the journal could not be closed");
    }
}

/// Whether the kernel lets this process have a ring; tokio-uring would panic where it does not.
fn io_uring_works() -> io::Result<()> {
    io_uring::IoUring::new(2).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_in_the_file_when_the_journal_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        for round in 0..2 {
            let journal = Journal::open(&path).unwrap();
            for line in 0..500 {
                journal.append(format!("{round} {line}"));
            }
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let expected: Vec<String> =
            (0..2).flat_map(|round| (0..500).map(move |line| format!("{round} {line}"))).collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn lines_after_a_rotation_are_in_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        let rotated = folder.path().join("records.jsonl.1");
        let journal = Journal::open(&path).unwrap();
        journal.append("before".to_owned());
        std::fs::rename(&path, &rotated).unwrap();
        journal.reopen();
        journal.append("after".to_owned());
        drop(journal);
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "before\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_at_start() {
        assert!(Journal::open(Path::new("/nonexistent/records.jsonl")).is_err());
    }
}
