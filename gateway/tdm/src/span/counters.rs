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
    /// D-channel frames that the line's own HDLC had no room for.
    hdlc_overruns,
    /// Events of the driver that were taken out of its queues.
    events,
    /// Times that the driver had no room for what came.
    read_overruns,
    /// Times that the driver had nothing to play.
    write_underruns,
    /// Answer tones that the driver's echo canceller heard.
    answer_tones,
    /// Echo cancellers switched on, call by call.
    echo_cancellers_on,
    /// Echo cancellers switched off, or to what suits a fax, for tones of machines.
    echo_cancellers_off_by_tone,
    /// Times that the driver did not switch an echo canceller as it was told.
    echo_cancellers_refused,
    /// Bipolar violations.
    bipolar_violations,
    /// CRC-4 errors.
    crc4_errors,
    /// CRC-4 errors that the far end reports.
    e_bits,
    /// Frame alignment errors.
    frame_alignment_errors,
    /// Errored seconds.
    errored_s,
    /// Interrupts that the card missed.
    interrupts_missed,
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
