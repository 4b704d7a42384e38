//! Events of the driver. They stand in the way of what is read and written, so they are taken out
//! first, and counted.

use std::io;

use super::device::{Channel, EVENT_WAITS};
use crate::line::LineCounters;

// `DAHDI_EVENT_…`
const ABORT: i32 = 6;
const OVERRUN: i32 = 7;
const BAD_FCS: i32 = 8;
const EC_DISABLED: i32 = 19;
const REMOVED: i32 = 20;
const TX_CED_DETECTED: i32 = 23;
const RX_CED_DETECTED: i32 = 24;
const READ_OVERRUN: i32 = 29;
const WRITE_UNDERRUN: i32 = 30;

/// What the events of a channel came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Buffers ran full or empty: what is under way is no longer what it was.
    pub buffers_out_of_step: bool,
}

/// Reads or writes, after the events that stand in the way; `None` if the driver has nothing, or no
/// room. A channel whose card is gone is an error.
pub(super) fn drained(
    channel: &Channel,
    counters: &mut LineCounters,
    seen: &mut Seen,
    mut transfer: impl FnMut() -> io::Result<usize>,
) -> io::Result<Option<usize>> {
    loop {
        match transfer() {
            Ok(size_octets) => return Ok(Some(size_octets)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(EVENT_WAITS) => {
                while let Some(event) = channel.event()? {
                    count(event, counters, seen)?;
                }
            }
            Err(error) => return Err(error),
        }
    }
}

fn count(event: i32, counters: &mut LineCounters, seen: &mut Seen) -> io::Result<()> {
    counters.events += 1;
    match event {
        ABORT => counters.hdlc_aborts += 1,
        OVERRUN => counters.hdlc_overruns += 1,
        BAD_FCS => counters.hdlc_bad_fcs += 1,
        EC_DISABLED | TX_CED_DETECTED | RX_CED_DETECTED => counters.answer_tones += 1,
        READ_OVERRUN => {
            counters.read_overruns += 1;
            seen.buffers_out_of_step = true;
        }
        WRITE_UNDERRUN => {
            counters.write_underruns += 1;
            seen.buffers_out_of_step = true;
        }
        REMOVED => return Err(io::Error::new(io::ErrorKind::NotConnected, "the card was removed")),
        // Alarms are asked for by themselves.
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_counted_and_a_removed_card_ends_the_line() {
        let (mut counters, mut seen) = (LineCounters::default(), Seen::default());
        for event in [4, ABORT, OVERRUN, BAD_FCS, BAD_FCS, RX_CED_DETECTED, 5] {
            count(event, &mut counters, &mut seen).unwrap();
        }
        assert_eq!((counters.events, counters.hdlc_bad_fcs, counters.hdlc_aborts), (7, 2, 1));
        assert_eq!((counters.answer_tones, seen.buffers_out_of_step), (1, false));
        count(WRITE_UNDERRUN, &mut counters, &mut seen).unwrap();
        assert!(seen.buffers_out_of_step);
        assert!(count(REMOVED, &mut counters, &mut seen).is_err());
    }
}
