//! A span: one thread on the clock of its line, with bearers on its timeslots.

mod counters;
mod events;
mod real_time;
#[cfg(test)]
mod tests;
mod worker;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam::queue::ArrayQueue;

use crate::alarm::{AlarmState, AlarmTimes};
use crate::error::TdmError;
use crate::hdlc;
use crate::line::{Line, Load, Shape};
use counters::SharedCounters;
pub use counters::SpanCounters;
use events::EventQueue;
pub use events::SpanEvents;

/// Bearers to be attached or detached that the span has not yet looked at.
const COMMANDS_MAX: usize = 256;
/// D-channel frames waiting to be sent. At 64 kbit/s the longest ones take 33 ms each.
const FRAMES_MAX: usize = 256;
/// Events that the owner has not yet taken.
const EVENTS_MAX: usize = 1024;

/// What sits on a B channel: one block each way, on the span's thread. No allocation, lock or
/// system call. An owner that gets a bearer back ([`SpanEvent::Detached`]) knows it again by its
/// type.
pub trait Bearer: Any + Send {
    /// Takes the octets from the line and gives as many for the line. `from_line` and `to_line`
    /// have the same length, 1..=160; `to_line` holds nothing of use before.
    fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]);

    /// What it carries: echo is taken out of speech only.
    fn load(&self) -> Load {
        Load::Speech
    }
}

/// How a span is run.
#[derive(Clone, Debug)]
pub struct SpanConfig {
    /// Name in logs.
    pub name: String,
    /// Number in the thread's name, `span-N`.
    pub number: u16,
    /// Core that the thread is pinned to.
    pub core: Option<usize>,
    /// Ask for SCHED_FIFO; without the right to it the span runs like any other thread.
    pub real_time: bool,
    /// Timeslot of the D channel: 16 on an E1, 24 on a T1 with a primary rate interface.
    pub d_channel: Option<u8>,
    /// Octet sent on timeslots without a bearer.
    pub idle: u8,
    /// Times of the alarms.
    pub alarm_times: AlarmTimes,
}

impl SpanConfig {
    /// An E1 with a primary rate interface.
    pub fn e1(name: impl Into<String>, number: u16) -> Self {
        Self {
            name: name.into(),
            number,
            core: None,
            real_time: true,
            d_channel: Some(16),
            idle: crate::IDLE_A_LAW,
            alarm_times: AlarmTimes::default(),
        }
    }
}

/// What a span tells its owner.
#[non_exhaustive]
pub enum SpanEvent {
    /// A good frame of the D channel, without flags and FCS.
    Frame(Vec<u8>),
    /// The alarms changed. A span starts in RED and says so only once that changes.
    Alarm(AlarmState),
    /// A bearer left its timeslot: detached, replaced by another, or it panicked.
    Detached {
        /// Where it was.
        timeslot: u8,
        /// The bearer, to be looked at or dropped.
        bearer: Box<dyn Bearer>,
        /// It panicked.
        fault: bool,
    },
    /// The span has ended: without an error because it was stopped.
    Ended(Option<TdmError>),
}

impl fmt::Debug for SpanEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(frame) => f.debug_tuple("Frame").field(frame).finish(),
            Self::Alarm(state) => f.debug_tuple("Alarm").field(state).finish(),
            Self::Detached { timeslot, fault, .. } => f
                .debug_struct("Detached")
                .field("timeslot", timeslot)
                .field("fault", fault)
                .finish_non_exhaustive(),
            Self::Ended(error) => f.debug_tuple("Ended").field(error).finish(),
        }
    }
}

/// A running span. Dropping it stops it.
#[derive(Debug)]
pub struct Span {
    shape: Shape,
    d_channel: Option<u8>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the span's thread and its owner share.
struct Shared {
    commands: ArrayQueue<Command>,
    frames: ArrayQueue<Vec<u8>>,
    events: EventQueue,
    counters: SharedCounters,
    stop: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

enum Command {
    Attach(u8, Box<dyn Bearer>),
    Detach(u8),
}

impl Span {
    /// Starts the thread of a span and returns the span with its events.
    pub fn start(config: SpanConfig, line: Box<dyn Line>) -> Result<(Self, SpanEvents), TdmError> {
        let shape = line.shape();
        if let Some(timeslot) = config.d_channel
            && !(1..=shape.timeslots).contains(&timeslot)
        {
            return Err(TdmError::Timeslot(timeslot));
        }
        let d_channel = config.d_channel;
        let shared = Arc::new(Shared {
            commands: ArrayQueue::new(COMMANDS_MAX),
            frames: ArrayQueue::new(FRAMES_MAX),
            events: EventQueue::new(EVENTS_MAX),
            counters: SharedCounters::default(),
            stop: AtomicBool::new(false),
        });
        let name = config.name.clone();
        let thread = std::thread::Builder::new()
            .name(format!("span-{}", config.number))
            .spawn({
                let shared = Arc::clone(&shared);
                move || worker::run(config, line, &shared)
            })
            .map_err(|source| TdmError::Thread { name, source })?;
        let events = SpanEvents::new(Arc::clone(&shared));
        Ok((Self { shape, d_channel, shared, thread: Mutex::new(Some(thread)) }, events))
    }

    /// Timeslots that can carry a bearer.
    pub fn bearer_timeslots(&self) -> impl Iterator<Item = u8> + use<> {
        let d_channel = self.d_channel;
        (1..=self.shape.timeslots).filter(move |timeslot| Some(*timeslot) != d_channel)
    }

    /// Puts a bearer on a timeslot with the next block. One that is there already leaves with
    /// [`SpanEvent::Detached`].
    pub fn attach(&self, timeslot: u8, bearer: Box<dyn Bearer>) -> Result<(), TdmError> {
        self.check(timeslot)?;
        self.shared
            .commands
            .push(Command::Attach(timeslot, bearer))
            .map_err(|_| TdmError::QueueFull)
    }

    /// Takes the bearer off a timeslot with the next block; it leaves with
    /// [`SpanEvent::Detached`]. Without a bearer there nothing happens.
    pub fn detach(&self, timeslot: u8) -> Result<(), TdmError> {
        self.check(timeslot)?;
        self.shared.commands.push(Command::Detach(timeslot)).map_err(|_| TdmError::QueueFull)
    }

    /// Sends a frame, without flags and FCS, on the D channel behind those already waiting.
    pub fn send_frame(&self, frame: Vec<u8>) -> Result<(), TdmError> {
        if self.d_channel.is_none() {
            return Err(TdmError::NoDChannel);
        }
        if !(1..=hdlc::FRAME_SIZE_OCTETS_MAX).contains(&frame.len()) {
            return Err(TdmError::FrameSize { size_octets: frame.len() });
        }
        self.shared.frames.push(frame).map_err(|_| TdmError::QueueFull)
    }

    /// What the span has counted.
    pub fn counters(&self) -> SpanCounters {
        self.shared.counters.snapshot()
    }

    /// The alarms now.
    pub fn alarms(&self) -> AlarmState {
        self.shared.counters.alarms()
    }

    /// Ends the span and waits for its thread, some 10 ms. Bearers leave with
    /// [`SpanEvent::Detached`].
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        if let Some(thread) = thread {
            // The thread catches what bearers and lines panic with.
            let _ = thread.join();
        }
    }

    fn check(&self, timeslot: u8) -> Result<(), TdmError> {
        let possible =
            (1..=self.shape.timeslots).contains(&timeslot) && Some(timeslot) != self.d_channel;
        possible.then_some(()).ok_or(TdmError::Timeslot(timeslot))
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.stop();
    }
}
