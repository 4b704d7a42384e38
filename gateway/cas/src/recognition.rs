//! Bits count once they have stood for a while: a line's errors flip them for a frame or two.

use std::time::{Duration, Instant};

use crate::Bits;

/// The bits of the other end.
#[derive(Clone, Debug)]
pub(crate) struct Recognition {
    time: Duration,
    standing: Bits,
    changing: Option<(Bits, Instant)>,
}

impl Recognition {
    pub(crate) fn new(time: Duration, standing: Bits) -> Self {
        Self { time, standing, changing: None }
    }

    /// These bits came.
    pub(crate) fn bits(&mut self, now: Instant, bits: Bits) {
        match self.changing {
            Some((changing, _)) if changing == bits => {}
            _ if bits == self.standing => self.changing = None,
            _ => self.changing = Some((bits, now + self.time)),
        }
    }

    /// The bits that have stood long enough by now, if they are new.
    pub(crate) fn recognised(&mut self, now: Instant) -> Option<Bits> {
        let (bits, _) = self.changing.filter(|(_, at)| *at <= now)?;
        self.standing = bits;
        self.changing = None;
        Some(bits)
    }

    pub(crate) fn standing(&self) -> Bits {
        self.standing
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.changing.map(|(_, at)| at)
    }
}
