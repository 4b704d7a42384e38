//! What the workers count, for the scrape.
//!
//! A worker counts in plain numbers of its own and publishes them once a tick; a reader on another
//! core never makes it wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::load::Reading;
use crate::packet_io::Backend;

/// Upper bounds of the tick lateness histogram, µs; the last bucket has none.
pub const TICK_LATENESS_BOUNDS_US: [u64; 9] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000];

/// Buckets of the tick lateness histogram.
pub const TICK_LATENESS_BUCKETS: usize = TICK_LATENESS_BOUNDS_US.len() + 1;

/// Upper bounds of the tick work histogram, µs; the last bucket has none.
pub const TICK_WORK_BOUNDS_US: [u64; 9] = [50, 100, 200, 500, 1_000, 2_000, 4_000, 5_000, 10_000];

/// Buckets of the tick work histogram.
pub const TICK_WORK_BUCKETS: usize = TICK_WORK_BOUNDS_US.len() + 1;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The counters of one worker since its start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct WorkerCounters {
            $($(#[doc = $doc])+ pub $name: u64,)+
            /// Ticks by lateness: see [`TICK_LATENESS_BOUNDS_US`].
            pub tick_lateness: [u64; TICK_LATENESS_BUCKETS],
            /// Ticks by how long it took to serve the legs: see [`TICK_WORK_BOUNDS_US`].
            pub tick_work: [u64; TICK_WORK_BUCKETS],
        }

        /// The same where other threads can read it.
        #[derive(Debug, Default)]
        struct Published {
            $($name: AtomicU64,)+
            tick_lateness: [AtomicU64; TICK_LATENESS_BUCKETS],
            tick_work: [AtomicU64; TICK_WORK_BUCKETS],
        }

        impl Published {
            fn store(&self, counters: &WorkerCounters) {
                $(self.$name.store(counters.$name, Ordering::Relaxed);)+
                for (bucket, count) in self.tick_lateness.iter().zip(counters.tick_lateness) {
                    bucket.store(count, Ordering::Relaxed);
                }
                for (bucket, count) in self.tick_work.iter().zip(counters.tick_work) {
                    bucket.store(count, Ordering::Relaxed);
                }
            }

            fn load(&self) -> WorkerCounters {
                WorkerCounters {
                    $($name: self.$name.load(Ordering::Relaxed),)+
                    tick_lateness: std::array::from_fn(|bucket| {
                        self.tick_lateness[bucket].load(Ordering::Relaxed)
                    }),
                    tick_work: std::array::from_fn(|bucket| {
                        self.tick_work[bucket].load(Ordering::Relaxed)
                    }),
                }
            }
        }

        impl WorkerCounters {
            /// Every counter but the histograms, with its name and what it counts.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),+), self.$name),)+].into_iter()
            }

            /// Adds another worker's counters.
            fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
                for (sum, count) in self.tick_lateness.iter_mut().zip(other.tick_lateness) {
                    *sum += count;
                }
                for (sum, count) in self.tick_work.iter_mut().zip(other.tick_work) {
                    *sum += count;
                }
            }
        }
    };
}

counters! {
    /// RTP packets accepted.
    packets_received,
    /// Their payload octets.
    octets_received,
    /// RTP packets sent.
    packets_sent,
    /// Their payload octets.
    octets_sent,
    /// RTCP compounds accepted.
    rtcp_received,
    /// RTCP compounds sent.
    rtcp_sent,
    /// Dropped: neither RTP nor RTCP, or broken.
    dropped_malformed,
    /// Dropped: from a source that is not the other side's, or not proven yet.
    dropped_source,
    /// Dropped: more than the source may send in the time.
    dropped_rate,
    /// Dropped: a payload type that was not agreed on.
    dropped_payload_type,
    /// Dropped: the sequence number had come before.
    dropped_duplicate,
    /// Dropped: a wild jump of the sequence number.
    dropped_jump,
    /// Dropped: its turn at the playout was over, or its sequence number of our stream was given.
    dropped_late,
    /// Dropped: never taken by the playout, a newer packet took its slot.
    dropped_overwritten,
    /// Dropped: the payload is longer than a slot of the jitter buffer.
    dropped_too_long,
    /// Dropped: the other side is on hold.
    dropped_on_hold,
    /// Dropped: the other leg of the pair is closed, or its side has no address yet.
    dropped_nowhere,
    /// Dropped: the side of the other leg of the pair takes no such payload.
    dropped_untranslated,
    /// Dropped: more packets to be transcoded came in a tick than a call can have.
    dropped_overrun,
    /// Dropped: an SRTP or SRTCP packet with a wrong tag: another key, or changed on the way.
    dropped_authentication,
    /// Dropped: an SRTP or SRTCP packet that came before, or is too old to tell.
    dropped_replay,
    /// Dropped: an SRTP packet of one SSRC too many, or under a key that is used up.
    dropped_exhausted,
    /// Dropped: longer than any packet a leg can have.
    dropped_oversized,
    /// Of the packets received and sent, those that were relayed on their way and never came here.
    packets_relayed_below,
    /// Streams that were given away to be relayed on their way.
    streams_given_below,
    /// Of these, the ones that were brought back.
    streams_recalled,
    /// Received past the kernel.
    received_fast,
    /// Sent past the kernel.
    sent_fast,
    /// Packets the kernel refused to send, or for which there was no room.
    send_failed,
    /// Packets not sent because they could not be protected: the key is used up.
    srtp_unsent,
    /// Receive errors, and times the receive buffers ran out.
    receive_failed,
    /// Samples of concealment played.
    concealed_samples,
    /// Samples added by the playout to raise the delay.
    lengthened_samples,
    /// Samples removed by the playout to lower the delay.
    shortened_samples,
    /// Packets dropped by the playout for having passed their time.
    playout_discarded,
    /// Samples from timeslots lost because the worker did not take them in time.
    line_overflow_samples,
    /// Digits received as RFC 4733 events.
    digits_from_rtp,
    /// Digits heard as tones from timeslots.
    digits_from_line,
    /// Legs opened.
    legs_opened,
    /// Legs closed.
    legs_closed,
    /// Legs released because their code failed.
    legs_failed,
    /// Events nobody fetched in time.
    events_lost,
    /// Ticks served.
    ticks,
    /// How late they were, µs together.
    ticks_late_us,
    /// How long serving took, µs together.
    ticks_work_us,
}

/// The load of one worker, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Legs opened or about to be.
    pub legs: usize,
    /// Share of its time that it serves them, averaged over a second, in millionths.
    pub busy_ppm: u64,
    /// Of a hundred ticks one takes longer than this, µs, as of the last minute or so.
    pub tick_work_p99_us: u64,
    /// It is given no new legs: its load was above the limit and is not clearly below it yet.
    pub refuses: bool,
}

/// The counters of all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaCounters {
    /// One entry a worker.
    pub workers: Vec<WorkerCounters>,
    /// One entry a worker.
    pub loads: Vec<WorkerLoad>,
    /// What carries the packets.
    pub backend: Backend,
    /// Port pairs that are free.
    pub port_pairs_free: usize,
}

impl MediaCounters {
    /// All workers together.
    pub fn total(&self) -> WorkerCounters {
        let mut total = WorkerCounters::default();
        for worker in &self.workers {
            total.add(worker);
        }
        total
    }
}

/// Where a worker publishes its counters and its load, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Board {
    counters: Published,
    busy_ppm: AtomicU64,
    idle_ppm: AtomicU64,
    legs_ppm: AtomicU64,
    work_p99_us: AtomicU64,
}

impl Board {
    pub(crate) fn publish(&self, counters: &WorkerCounters, load: Reading) {
        self.counters.store(counters);
        self.busy_ppm.store(load.busy_ppm, Ordering::Relaxed);
        self.idle_ppm.store(load.idle_ppm, Ordering::Relaxed);
        self.legs_ppm.store(load.legs_ppm, Ordering::Relaxed);
        self.work_p99_us.store(load.work_p99_us, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> WorkerCounters {
        self.counters.load()
    }

    /// The averages of one tick may come with those of the next: they differ by little.
    pub(crate) fn load(&self) -> Reading {
        Reading {
            busy_ppm: self.busy_ppm.load(Ordering::Relaxed),
            idle_ppm: self.idle_ppm.load(Ordering::Relaxed),
            legs_ppm: self.legs_ppm.load(Ordering::Relaxed),
            work_p99_us: self.work_p99_us.load(Ordering::Relaxed),
        }
    }
}

impl WorkerCounters {
    /// A tick was late and took so long.
    pub(crate) fn count_tick(&mut self, lateness: Duration, work: Duration) {
        let (lateness_us, work_us) = (lateness.as_micros() as u64, work.as_micros() as u64);
        let bucket = TICK_LATENESS_BOUNDS_US.partition_point(|bound| *bound < lateness_us);
        self.tick_lateness[bucket] += 1;
        let bucket = TICK_WORK_BOUNDS_US.partition_point(|bound| *bound < work_us);
        self.tick_work[bucket] += 1;
        self.ticks += 1;
        self.ticks_late_us += lateness_us;
        self.ticks_work_us += work_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_counters_are_read_whole_and_summed() {
        let mut counters = WorkerCounters { packets_received: 7, ..WorkerCounters::default() };
        for (lateness_us, work_us) in [(50, 4_000), (51, 4_001), (1_000_000, 20_000)] {
            let us = Duration::from_micros;
            counters.count_tick(us(lateness_us), us(work_us));
        }
        let board = Board::default();
        let load = Reading { busy_ppm: 1, idle_ppm: 2, legs_ppm: 3, work_p99_us: 4 };
        board.publish(&counters, load);
        assert_eq!((board.read(), board.load()), (counters, load));
        let media = MediaCounters {
            workers: vec![counters, board.read()],
            loads: Vec::new(),
            backend: Backend::Mio,
            port_pairs_free: 0,
        };
        let total = media.total();
        let named = total.named().find(|(name, ..)| *name == "packets_received");
        assert_eq!(
            named.map(|(_, help, count)| (help.trim(), count)),
            Some(("RTP packets accepted.", 14))
        );
        assert_eq!((total.packets_received, total.ticks), (14, 6));
        assert_eq!(total.tick_lateness[0], 2);
        assert_eq!(total.tick_lateness[1], 2);
        assert_eq!(total.tick_lateness[TICK_LATENESS_BUCKETS - 1], 2);
        assert_eq!(total.tick_work[5..], [0, 2, 2, 0, 2]);
        assert_eq!((total.ticks_late_us, total.ticks_work_us), (2_000_202, 56_002));
    }
}
