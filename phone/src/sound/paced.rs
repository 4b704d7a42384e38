//! A thread that moves the line on by 10 ms each 10 ms, where no sound card does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::SoundError;
use super::line::Line;

/// Time of a block.
const BLOCK: Duration = Duration::from_millis(10);
/// After a longer stall of the machine the clock starts anew: nobody wants to hear it caught up.
const STALL_MAX: Duration = Duration::from_millis(500);

/// What is done in each block, and at the end.
pub trait Work: Send + 'static {
    /// One block of [`BLOCK_SAMPLES`](super::line::BLOCK_SAMPLES).
    fn block(&mut self);

    /// The sound ends; the line goes on elsewhere.
    fn finish(self) -> (Line, Result<(), SoundError>);
}

/// A running thread.
#[derive(Debug)]
pub struct Paced {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<(Line, Result<(), SoundError>)>>,
}

impl Paced {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(mut work: impl Work) -> Result<Self, SoundError> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("sound".to_owned())
            .spawn(move || {
                // Absolute deadlines: what one sleep oversleeps the next makes good.
                let mut deadline = Instant::now();
                while !told.load(Ordering::Relaxed) {
                    work.block();
                    deadline += BLOCK;
                    let now = Instant::now();
                    match deadline.checked_duration_since(now) {
                        Some(left) => std::thread::sleep(left),
                        None if now - deadline > STALL_MAX => deadline = now,
                        None => {}
                    }
                }
                work.finish()
            })
            .map_err(SoundError::Thread)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends it and waits for its end.
    ///
    /// # Errors
    /// What [`Work::finish`] says.
    pub fn stop(mut self) -> Result<(), SoundError> {
        self.end().map_or(Ok(()), |(_, result)| result)
    }

    /// Ends it and gives the line back.
    pub fn into_line(mut self) -> Option<Line> {
        self.end().map(|(line, _)| line)
    }

    fn end(&mut self) -> Option<(Line, Result<(), SoundError>)> {
        self.stop.store(true, Ordering::Relaxed);
        // A panic has been reported where it happened.
        self.thread.take().and_then(|thread| thread.join().ok())
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        if let Some((_, Err(error))) = self.end() {
            tracing::warn!(%error, "the sound did not end well");
        }
    }
}
