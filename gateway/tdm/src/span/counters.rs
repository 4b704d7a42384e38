//! What a span counts, written by its thread alone and read by anyone.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::alarm::AlarmState;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a span has counted since it started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct SpanCounters {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// [`SpanCounters`] that the span's thread writes and anyone reads.
        #[derive(Debug, Default)]
        pub(super) struct SharedCounters {
            $($name: AtomicU64,)*
            alarms: AtomicU64,
        }

        impl SharedCounters {
            /// Publishes what the thread has counted; only the span's thread does.
            pub fn publish(&self, counters: &SpanCounters) {
                $(self.$name.store(counters.$name, Ordering::Relaxed);)*
            }

            /// Reads all counters; each is right, but they may be of neighbouring blocks.
            pub fn snapshot(&self) -> SpanCounters {
                SpanCounters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Blocks received from the line.
    blocks_received,
    /// Blocks that were due but did not come.
    blocks_missing,
    /// Blocks given to the line.
    blocks_sent,
    /// Blocks that the system refused to send.
    blocks_not_sent,
    /// Blocks lost on the way, by their sequence numbers.
    sequence_gaps,
    /// Blocks that came twice or too late.
    blocks_out_of_order,
    /// Blocks dropped or left out because the clocks of both ends went apart.
    slips,
    /// Frames of the line that were malformed.
    malformed,
    /// Frames of the line from or to another address.
    wrong_address,
    /// D-channel frames received.
    d_channel_frames_received,
    /// D-channel frames sent.
    d_channel_frames_sent,
    /// D-channel frames with a bad FCS.
    hdlc_bad_fcs,
    /// D-channel frames that were aborted.
    hdlc_aborts,
    /// D-channel frames that were too long, too short or no whole octets.
    hdlc_malformed,
    /// Events dropped because the owner did not take them.
    events_dropped,
    /// Bearers that panicked.
    bearer_faults,
    /// Times that the alarms changed.
    alarm_changes,
    /// By how much the latest of all blocks was late, in µs.
    lateness_max_us,
}

impl SharedCounters {
    /// Publishes the alarms.
    pub fn set_alarms(&self, state: AlarmState) {
        let bits = u64::from(state.red) | u64::from(state.yellow) << 1 | u64::from(state.blue) << 2;
        // One more bit tells a span that never said anything from one without alarms.
        self.alarms.store(bits | 8, Ordering::Relaxed);
    }

    /// The alarms; RED before the span's thread has begun.
    pub fn alarms(&self) -> AlarmState {
        let bits = self.alarms.load(Ordering::Relaxed);
        AlarmState { red: bits & 1 != 0 || bits == 0, yellow: bits & 2 != 0, blue: bits & 4 != 0 }
    }
}
