//! Two ends of a line joined in memory.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use crate::error::TdmError;
use crate::line::{Block, DChannel, Line, LineCounters, Shape, TIMESLOT_MAX, Tick};
use crate::pace::{Pace, PaceSettings, Turn};

/// Samples a timeslot in a block: 1 ms.
const SAMPLES: usize = 8;
/// Blocks under way each way.
const BLOCKS_MAX: usize = 256;
/// The owner looks after commands and alarms at least so often.
const QUIET_MAX: Duration = Duration::from_millis(5);

/// One end of a line held in memory.
#[derive(Debug)]
pub struct MemoryLine {
    sender: Sender<Carried>,
    receiver: Receiver<Carried>,
    /// Taken from the receiver, but not yet handed on.
    waiting: Option<Carried>,
    pace: Pace,
    counters: LineCounters,
    dropped: u64,
}

/// A block under way.
#[derive(Clone, Copy, Debug)]
struct Carried {
    octets: [[u8; SAMPLES]; TIMESLOT_MAX as usize + 1],
    cas: [u8; TIMESLOT_MAX as usize + 1],
    yellow: bool,
}

impl MemoryLine {
    /// The two ends of an E1 in real time: the first paces, one block a millisecond, the second
    /// follows.
    pub fn pair() -> (Self, Self) {
        Self::pair_with_interval(Duration::from_millis(1))
    }

    /// The two ends of an E1 on which a millisecond of the line takes `interval`; with zero it
    /// runs as fast as both ends can.
    pub fn pair_with_interval(interval: Duration) -> (Self, Self) {
        let (to_second, from_first) = bounded(BLOCKS_MAX);
        let (to_first, from_second) = bounded(BLOCKS_MAX);
        let now = Instant::now();
        let end = |sender, receiver, paces| {
            let hold = Duration::from_millis(if paces { 100 } else { 250 });
            let ahead = if paces { 4 } else { 0 };
            let pace = Pace::new(now, PaceSettings { paces, interval, ahead, hold });
            let counters = LineCounters::default();
            Self { sender, receiver, waiting: None, pace, counters, dropped: 0 }
        };
        (end(to_second, from_second, true), end(to_first, from_first, false))
    }

    fn take(&mut self) -> Option<Carried> {
        self.waiting.take().or_else(|| self.receiver.try_recv().ok())
    }
}

impl Line for MemoryLine {
    fn shape(&self) -> Shape {
        Shape { timeslots: TIMESLOT_MAX, d_channel: DChannel::Octets }
    }

    fn receive(&mut self, block: &mut Block) -> Result<Tick, TdmError> {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            let depth = self.receiver.len() + usize::from(self.waiting.is_some());
            match self.pace.turn(now, depth) {
                Turn::Take { drop, late } => {
                    for _ in 0..drop {
                        self.take();
                        self.dropped += 1;
                    }
                    let Some(carried) = self.take() else { continue };
                    block.set_samples(SAMPLES);
                    for timeslot in 1..=TIMESLOT_MAX {
                        let octets = &carried.octets[usize::from(timeslot)];
                        block.timeslot_mut(timeslot).copy_from_slice(octets);
                    }
                    block.cas = carried.cas;
                    block.yellow = carried.yellow;
                    return Ok(Tick::Block { late_us: late.as_micros() as u64 });
                }
                Turn::Missing => {
                    block.set_missing(SAMPLES, crate::IDLE_A_LAW);
                    return Ok(Tick::Missing);
                }
                Turn::Sleep(until) => std::thread::sleep(until - now),
                Turn::Await(until) => {
                    let quiet = begun + QUIET_MAX;
                    if now >= quiet {
                        return Ok(Tick::Quiet);
                    }
                    match self.receiver.recv_deadline(until.min(quiet)) {
                        Ok(carried) => self.waiting = Some(carried),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return Err(TdmError::Gone),
                    }
                }
            }
        }
    }

    fn transmit(&mut self, block: &Block) -> Result<(), TdmError> {
        let mut carried =
            Carried { octets: [[crate::IDLE_A_LAW; _]; _], cas: block.cas, yellow: block.yellow };
        for timeslot in 1..=TIMESLOT_MAX {
            carried.octets[usize::from(timeslot)].copy_from_slice(block.timeslot(timeslot));
        }
        match self.sender.try_send(carried) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.counters.not_sent += 1,
            Err(TrySendError::Disconnected(_)) => return Err(TdmError::Gone),
        }
        Ok(())
    }

    fn counters(&self) -> LineCounters {
        LineCounters { slips: self.dropped + self.pace.skipped_ticks(), ..self.counters }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(block: &mut Block, number: u8) {
        for timeslot in 1..=TIMESLOT_MAX {
            block.timeslot_mut(timeslot).fill(number.wrapping_add(timeslot));
        }
    }

    #[test]
    fn blocks_arrive_in_order_both_ways() {
        let (mut pacing, mut following) = MemoryLine::pair_with_interval(Duration::ZERO);
        let far = std::thread::spawn(move || {
            let mut block = Block::new(SAMPLES);
            let mut expected = 0_u8;
            while expected < 200 {
                if let Tick::Block { .. } = following.receive(&mut block).unwrap() {
                    assert_eq!(block.timeslot(5), [expected + 5; SAMPLES]);
                    expected += 1;
                    // Echo.
                    following.transmit(&block).unwrap();
                }
            }
            following
        });
        let mut block = Block::new(SAMPLES);
        let mut sent = 0_u8;
        let mut echoed = 0_u8;
        while echoed < 200 {
            match pacing.receive(&mut block).unwrap() {
                Tick::Block { .. } => {
                    assert_eq!(block.timeslot(31), [echoed.wrapping_add(31); SAMPLES]);
                    echoed += 1;
                }
                Tick::Missing => {}
                Tick::Quiet => continue,
            }
            if sent < 200 {
                numbered(&mut block, sent);
                sent += 1;
                pacing.transmit(&block).unwrap();
            }
        }
        far.join().unwrap();
    }

    #[test]
    fn an_end_that_is_dropped_ends_the_line() {
        let (mut pacing, following) = MemoryLine::pair_with_interval(Duration::ZERO);
        drop(following);
        assert!(matches!(pacing.transmit(&Block::new(SAMPLES)), Err(TdmError::Gone)));
    }
}
