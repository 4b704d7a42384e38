//! What is known of each SSRC: the highest index and which of those before it were seen.
#![forbid(unsafe_code)]

/// Indices before the highest that can still come (RFC 3711 §3.3.2 asks for at least 64).
pub(super) const WINDOW_PACKETS: u64 = 128;

/// SSRCs a direction knows at most. One that could push others out would make their packets
/// acceptable again.
pub(super) const MAXIMUM_STREAMS: usize = 32;

/// A replay window over packet indices.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    highest: u64,
    /// Bit n: `highest - n` was seen. Zero: nothing was. The halves of a 128-bit number, which would be
    /// aligned to twice the room.
    seen: [u64; 2],
}

impl Window {
    /// The highest index seen.
    pub fn highest(&self) -> Option<u64> {
        (self.seen() != 0).then_some(self.highest)
    }

    /// The index of a packet from its sequence number (RFC 3711 §3.3.1, appendix A): with the roll-over
    /// counter that puts it closest to the highest.
    #[inline]
    pub fn estimate(&self, sequence: u16) -> u64 {
        self.highest().map_or(u64::from(sequence), |highest| closest(highest, sequence))
    }

    /// Whether a packet of that index may still come.
    #[inline]
    pub fn is_open(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) => self.seen() == 0 || (age < WINDOW_PACKETS && self.seen() >> age & 1 == 0),
        }
    }

    /// Notes an index that is open.
    #[inline]
    pub fn note(&mut self, index: u64) {
        let (highest, seen) = match index.checked_sub(self.highest) {
            _ if self.seen() == 0 => (index, 1),
            Some(ahead) if ahead < WINDOW_PACKETS => (index, self.seen() << ahead | 1),
            Some(_) => (index, 1),
            None => (self.highest, self.seen() | self.bit_of(index)),
        };
        *self = Self { highest, seen: [(seen >> 64) as u64, seen as u64] };
    }

    fn seen(&self) -> u128 {
        u128::from(self.seen[0]) << 64 | u128::from(self.seen[1])
    }

    /// Of an index below the highest; none if it is below the window, too.
    fn bit_of(&self, index: u64) -> u128 {
        let age = self.highest.abs_diff(index);
        if age < WINDOW_PACKETS { 1 << age } else { 0 }
    }
}

/// The index of that sequence number closest to `highest`.
#[inline]
fn closest(highest: u64, sequence: u16) -> u64 {
    let (roll_over, last) = (highest & !0xffff, highest as u16);
    let index = roll_over | u64::from(sequence);
    if sequence.abs_diff(last) <= 1 << 15 {
        index
    } else if sequence < last {
        index + (1 << 16)
    } else {
        // Before the first roll-over there is nothing earlier: then it can only lie far ahead.
        index.checked_sub(1 << 16).unwrap_or(index)
    }
}

/// The windows of one SSRC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    ssrc: u32,
    pub rtp: Window,
    pub rtcp: Window,
}

/// The SSRCs of one direction. Its memory is taken when it is made.
#[derive(Debug)]
pub(super) struct Streams {
    streams: Vec<Stream>,
    /// Where the last packet's was found.
    last: usize,
    succession: Option<Succession>,
}

/// A stream that goes on under a new key. RFC 3711 §3.3.1 keeps its roll-over counter, many senders begin
/// again with zero. What this one does shows at its first packet that is authentic, for which those with
/// even sequence numbers are taken for the former, those with odd ones for the latter: packets of others
/// have no say in it.
#[derive(Debug, Clone, Copy)]
struct Succession {
    ssrc: u32,
    /// The highest index under the key before.
    highest: u64,
}

impl Streams {
    pub fn new() -> Self {
        Self { streams: Vec::with_capacity(MAXIMUM_STREAMS), last: 0, succession: None }
    }

    /// The stream that was heard last under the key before may go on under this one.
    pub fn follow(&mut self, before: &Self) {
        let of = |stream: &Stream| {
            let highest = stream.rtp.highest()?;
            Some(Succession { ssrc: stream.ssrc, highest })
        };
        self.succession = before.streams.get(before.last).and_then(of).or(before.succession);
    }

    /// The index of an RTP packet of `stream`: that of [`Window::estimate`], but for a stream that goes on.
    #[inline]
    pub fn estimate(&self, stream: &Stream, sequence: u16) -> u64 {
        match &self.succession {
            Some(earlier)
                if earlier.ssrc == stream.ssrc
                    && stream.rtp.highest().is_none()
                    && sequence.is_multiple_of(2) =>
            {
                closest(earlier.highest, sequence)
            }
            _ => stream.rtp.estimate(sequence),
        }
    }

    /// What is known of `ssrc`, fresh if that is nothing yet; nothing if there is no room for one more.
    #[inline]
    pub fn find(&mut self, ssrc: u32) -> Option<Stream> {
        if let Some(stream) = self.streams.get(self.last).filter(|stream| stream.ssrc == ssrc) {
            return Some(*stream);
        }
        if let Some(place) = self.streams.iter().position(|stream| stream.ssrc == ssrc) {
            self.last = place;
            return Some(self.streams[place]);
        }
        let fresh = Stream { ssrc, rtp: Window::default(), rtcp: Window::default() };
        (self.streams.len() < MAXIMUM_STREAMS).then_some(fresh)
    }

    /// Keeps what [`Self::find`] gave, after it has changed.
    #[inline]
    pub fn keep(&mut self, changed: Stream) {
        match self.streams.get_mut(self.last).filter(|stream| stream.ssrc == changed.ssrc) {
            Some(stream) => *stream = changed,
            // `find` moves to the SSRC's place if it has one, and gives none beyond the limit.
            None => {
                self.last = self.streams.len();
                self.streams.push(changed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(index: u64) -> Window {
        let mut window = Window::default();
        window.note(index);
        window
    }

    #[test]
    fn roll_over_counter_is_the_one_that_puts_the_packet_closest() {
        assert_eq!(Window::default().estimate(65_535), 65_535);
        assert_eq!(at(65_535).estimate(0), 65_536);
        assert_eq!(at(65_536).estimate(65_535), 65_535);
        assert_eq!(at(65_536 + 100).estimate(32_868), 65_536 + 32_868);
        assert_eq!(at(65_536 + 100).estimate(32_869), 32_869);
        assert_eq!(at(65_536 + 40_000).estimate(7_232), 65_536 + 7_232);
        assert_eq!(at(65_536 + 40_000).estimate(7_231), 2 * 65_536 + 7_231);
        assert_eq!(at(10).estimate(65_000), 65_000);
    }

    #[test]
    fn window_takes_each_of_the_last_128_once() {
        let mut window = at(1_000);
        assert!(!window.is_open(1_000) && window.is_open(999) && window.is_open(873));
        assert!(!window.is_open(872));
        window.note(873);
        assert!(!window.is_open(873) && window.is_open(874));
        window.note(1_127);
        assert!(!window.is_open(1_000) && window.is_open(1_001));
        window.note(10_000);
        assert!(window.is_open(9_999) && !window.is_open(1_127));
    }

    proptest! {
        #[test]
        fn packets_pass_once_each_whatever_their_order(
            first in 0..200_000_u64,
            steps in proptest::collection::vec(-300..400_i64, 1..300),
        ) {
            let mut window = Window::default();
            let mut noted = std::collections::BTreeSet::new();
            let mut index = first & 0xffff;
            for step in steps {
                let newest = noted.last().copied();
                prop_assert_eq!(window.highest(), newest);
                prop_assert_eq!(window.estimate(index as u16), index);
                let is_new = !noted.contains(&index)
                    && newest.is_none_or(|newest| index + WINDOW_PACKETS > newest);
                prop_assert_eq!(window.is_open(index), is_new);
                if is_new {
                    window.note(index);
                    noted.insert(index);
                }
                index = index.saturating_add_signed(step);
            }
        }
    }
}
