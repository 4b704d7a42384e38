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
    lines: Option<mpsc::Sender<String>>,
    writer: Option<JoinHandle<()>>,
    counters: Arc<JournalCounters>,
}

impl Journal {
    /// Opens the file for appending, making it where it is not there, and starts the writer.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let (lines, queue) = mpsc::channel(QUEUE_RECORDS);
        let counters = Arc::new(JournalCounters::default());
        let writer = std::thread::Builder::new().name("journal".into()).spawn({
            let (counters, path) = (Arc::clone(&counters), path.to_owned());
            move || write_lines(file, &path, queue, &counters)
        })?;
        Ok(Self { lines: Some(lines), writer: Some(writer), counters })
    }

    /// Hands over a line, without its line end. Never waits.
    pub fn append(&self, mut line: String) {
        line.push('\n');
        let Some(lines) = &self.lines else { return };
        if lines.try_send(line).is_err() {
            self.counters.lost.fetch_add(1, Relaxed);
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
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write_lines(
    file: File,
    path: &Path,
    mut queue: mpsc::Receiver<String>,
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
        while let Some(line) = queue.blocking_recv() {
            count(file.write_all(line.as_bytes()));
        }
        return;
    }
    tokio_uring::start(async move {
        let file = tokio_uring::fs::File::from_std(file);
        while let Some(line) = queue.recv().await {
            // The file is open for appending: the offset does not count.
            let (outcome, _) = file.write_all_at(line.into_bytes(), 0).await;
            count(outcome);
        }
        count_close(file.close().await, path);
    });
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
    fn a_folder_that_is_not_there_is_an_error_at_start() {
        assert!(Journal::open(Path::new("/nonexistent/records.jsonl")).is_err());
    }
}
