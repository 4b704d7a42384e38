//! What the workers count, for the scrape.
//!
//! A worker counts in plain numbers of its own and publishes them once a tick; a reader on another
//! core never makes it wait.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::packet_io::Backend;

/// Upper bounds of the tick lateness histogram, µs; the last bucket has none.
pub const TICK_LATENESS_BOUNDS_US: [u64; 9] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000];

/// Buckets of the tick lateness histogram.
pub const TICK_LATENESS_BUCKETS: usize = TICK_LATENESS_BOUNDS_US.len() + 1;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The counters of one worker since its start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct WorkerCounters {
            $($(#[doc = $doc])+ pub $name: u64,)+
            /// Ticks by lateness: see [`TICK_LATENESS_BOUNDS_US`].
            pub tick_lateness: [u64; TICK_LATENESS_BUCKETS],
        }

        /// The same where other threads can read it.
        #[derive(Debug, Default)]
        struct Published {
            $($name: AtomicU64,)+
            tick_lateness: [AtomicU64; TICK_LATENESS_BUCKETS],
        }

        impl Published {
            fn store(&self, counters: &WorkerCounters) {
                $(self.$name.store(counters.$name, Ordering::Relaxed);)+
                for (bucket, count) in self.tick_lateness.iter().zip(counters.tick_lateness) {
                    bucket.store(count, Ordering::Relaxed);
                }
            }

            fn load(&self) -> WorkerCounters {
                WorkerCounters {
                    $($name: self.$name.load(Ordering::Relaxed),)+
                    tick_lateness: std::array::from_fn(|bucket| {
                        self.tick_lateness[bucket].load(Ordering::Relaxed)
                    }),
                }
            }
        }

        impl WorkerCounters {
            /// Every counter but the histogram, with its name and what it counts.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($doc),+), self.$name),)+].into_iter()
            }

            /// Adds another worker's counters.
            fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
                for (sum, count) in self.tick_lateness.iter_mut().zip(other.tick_lateness) {
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
}

/// The counters of all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaCounters {
    /// One entry a worker.
    pub workers: Vec<WorkerCounters>,
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

/// Where a worker publishes its counters, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Board(Published);

impl Board {
    pub(crate) fn publish(&self, counters: &WorkerCounters) {
        self.0.store(counters);
    }

    pub(crate) fn read(&self) -> WorkerCounters {
        self.0.load()
    }
}

impl WorkerCounters {
    pub(crate) fn count_tick(&mut self, lateness_us: u64) {
        let bucket = TICK_LATENESS_BOUNDS_US.partition_point(|bound| *bound < lateness_us);
        self.tick_lateness[bucket] += 1;
        self.ticks += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_counters_are_read_whole_and_summed() {
        let mut counters = WorkerCounters { packets_received: 7, ..WorkerCounters::default() };
        counters.count_tick(50);
        counters.count_tick(51);
        counters.count_tick(1_000_000);
        let board = Board::default();
        board.publish(&counters);
        assert_eq!(board.read(), counters);
        let media = MediaCounters {
            workers: vec![counters, board.read()],
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
    }
}
