//! HDLC on a timeslot: flags, zero-bit insertion, frame check sequence, abort (Q.921 §2, ISO/IEC
//! 13239). Bits of a frame go LSB first into the octets of the timeslot, which go MSB first onto
//! the line, as DAHDI and cards with an HDLC controller do it.

#[cfg(test)]
mod tests;

/// Longest frame without flags and FCS: N201 (260, Q.921 §5.9.3) and its header fit with room.
pub const FRAME_SIZE_OCTETS_MAX: usize = 512;

/// Shortest frame counted as one: an address octet and a control octet before the FCS.
const FRAME_SIZE_OCTETS_MIN: usize = 2;
const FCS_SIZE_OCTETS: usize = 2;
const FLAG: u8 = 0x7e;

/// The frame check sequence of Q.921 §2.7 (CRC-16/X.25).
pub fn fcs(octets: &[u8]) -> u16 {
    !octets.iter().fold(FCS_INITIAL, |register, &octet| fcs_step(register, octet))
}

const FCS_INITIAL: u16 = 0xffff;
/// What the register holds after a whole frame with a good FCS.
const FCS_GOOD: u16 = 0xf0b8;

const fn fcs_step(register: u16, octet: u8) -> u16 {
    (register >> 8) ^ FCS_TABLE[((register ^ octet as u16) & 0xff) as usize]
}

static FCS_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut register = at as u16;
        let mut bit = 0;
        while bit < 8 {
            // x^16 + x^12 + x^5 + 1, reflected.
            register = if register & 1 == 1 { (register >> 1) ^ 0x8408 } else { register >> 1 };
            bit += 1;
        }
        table[at] = register;
        at += 1;
    }
    table
};

/// Turns frames into the octets of a timeslot; sends flags when there is no frame.
#[derive(Debug)]
pub struct Encoder {
    frame: Vec<u8>,
    unit: Unit,
    /// Bits not yet in an octet, the next one at the top of the `pending` lowest.
    bits: u32,
    pending: u32,
    /// Ones sent in a row inside the frame.
    ones: u8,
    frames: u64,
}

/// What goes out next.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Flag,
    Octet { at: usize, register: u16 },
    Fcs { octets: [u8; 2], at: usize },
}

impl Default for Encoder {
    fn default() -> Self {
        Self { frame: Vec::new(), unit: Unit::Flag, bits: 0, pending: 0, ones: 0, frames: 0 }
    }
}

impl Encoder {
    /// Fills a block of the timeslot. `next_frame` is asked whenever a new frame may begin; the
    /// frame is without flags and FCS.
    pub fn fill(&mut self, timeslot: &mut [u8], mut next_frame: impl FnMut() -> Option<Vec<u8>>) {
        for octet in timeslot {
            while self.pending < 8 {
                self.push_unit(&mut next_frame);
            }
            self.pending -= 8;
            *octet = (self.bits >> self.pending) as u8;
        }
    }

    /// Frames whose last bit has been handed out.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    fn push_unit(&mut self, next_frame: &mut impl FnMut() -> Option<Vec<u8>>) {
        match self.unit {
            Unit::Flag => {
                self.push_bits(FLAG.into(), 8);
                self.ones = 0;
                if let Some(frame) = next_frame()
                    && !frame.is_empty()
                {
                    self.frame = frame;
                    self.unit = Unit::Octet { at: 0, register: FCS_INITIAL };
                }
            }
            Unit::Octet { at, register } => {
                let octet = self.frame[at];
                let register = fcs_step(register, octet);
                self.push_stuffed(octet);
                self.unit = if at + 1 < self.frame.len() {
                    Unit::Octet { at: at + 1, register }
                } else {
                    Unit::Fcs { octets: (!register).to_le_bytes(), at: 0 }
                };
            }
            Unit::Fcs { octets, at } => {
                self.push_stuffed(octets[at]);
                if at == 0 {
                    self.unit = Unit::Fcs { octets, at: 1 };
                } else {
                    self.frames += 1;
                    self.unit = Unit::Flag;
                }
            }
        }
    }

    fn push_stuffed(&mut self, octet: u8) {
        let stuffed = STUFFED[usize::from(self.ones)][usize::from(octet)];
        self.push_bits(stuffed.bits.into(), stuffed.count.into());
        self.ones = stuffed.ones;
    }

    fn push_bits(&mut self, bits: u32, count: u32) {
        self.bits = (self.bits << count) | bits;
        self.pending += count;
    }
}

/// An octet after zero-bit insertion, in the order of the line.
#[derive(Clone, Copy)]
struct Stuffed {
    bits: u16,
    count: u8,
    /// Ones at its end.
    ones: u8,
}

/// By ones already sent (0..=4) and octet: after five ones a zero is inserted (Q.921 §2.6).
static STUFFED: [[Stuffed; 256]; 5] = {
    let mut table = [[Stuffed { bits: 0, count: 0, ones: 0 }; 256]; 5];
    let mut ones_before = 0;
    while ones_before < 5 {
        let mut octet = 0;
        while octet < 256 {
            let mut entry = Stuffed { bits: 0, count: 0, ones: ones_before as u8 };
            let mut bit = 0;
            while bit < 8 {
                let one = (octet >> bit) & 1 == 1;
                entry.bits = (entry.bits << 1) | one as u16;
                entry.count += 1;
                entry.ones = if one { entry.ones + 1 } else { 0 };
                if entry.ones == 5 {
                    entry.bits <<= 1;
                    entry.count += 1;
                    entry.ones = 0;
                }
                bit += 1;
            }
            table[ones_before][octet] = entry;
            octet += 1;
        }
        ones_before += 1;
    }
    table
};

/// Finds frames in the octets of a timeslot.
#[derive(Debug)]
pub struct Decoder {
    /// The octets since the last flag, with the FCS.
    frame: Box<[u8; FRAME_SIZE_OCTETS_MAX + FCS_SIZE_OCTETS]>,
    size_octets: usize,
    /// Bits of the octet in progress, the first one lowest.
    bits: u32,
    pending: u32,
    /// Ones in a row on the line, up to 7.
    ones: u8,
    /// A flag was seen and nothing has spoilt the frame since.
    in_frame: bool,
    counters: DecoderCounters,
}

/// What a [`Decoder`] has met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderCounters {
    /// Good frames.
    pub frames: u64,
    /// Frames whose FCS did not match.
    pub bad_fcs: u64,
    /// Frames ended by seven ones (Q.921 §2.11).
    pub aborts: u64,
    /// Frames longer than [`FRAME_SIZE_OCTETS_MAX`].
    pub too_long: u64,
    /// Frames too short to hold address, control and FCS (Q.921 §2.9).
    pub too_short: u64,
    /// Frames that were no whole number of octets (Q.921 §2.9).
    pub not_aligned: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            frame: Box::new([0; FRAME_SIZE_OCTETS_MAX + FCS_SIZE_OCTETS]),
            size_octets: 0,
            bits: 0,
            pending: 0,
            ones: 7,
            in_frame: false,
            counters: DecoderCounters::default(),
        }
    }
}

impl Decoder {
    /// Takes a block of the timeslot; `frame` gets each good frame, without flags and FCS.
    pub fn feed(&mut self, timeslot: &[u8], mut frame: impl FnMut(&[u8])) {
        for &octet in timeslot {
            // Neither flag nor abort ends in most octets of a frame: those go in one step.
            if self.in_frame
                && let plain = PLAIN[usize::from(self.ones)][usize::from(octet)]
                && plain.count != ENDS_INSIDE
            {
                self.ones = plain.ones;
                self.push_bits(plain.bits.into(), plain.count.into());
            } else {
                for bit in (0..8).rev() {
                    self.feed_bit((octet >> bit) & 1 == 1, &mut frame);
                }
            }
        }
    }

    /// What was met so far.
    pub fn counters(&self) -> DecoderCounters {
        self.counters
    }

    fn feed_bit(&mut self, one: bool, frame: &mut impl FnMut(&[u8])) {
        if one {
            self.ones = (self.ones + 1).min(7);
            if self.ones == 7 {
                self.abort();
            } else if self.in_frame {
                self.push_bits(1, 1);
            }
            return;
        }
        let ones = std::mem::take(&mut self.ones);
        match ones {
            // The inserted zero.
            5 => {}
            6 => self.end_frame(frame),
            7 => {}
            _ if self.in_frame => self.push_bits(0, 1),
            _ => {}
        }
    }

    fn abort(&mut self) {
        // Nothing but the ones of the abort behind a flag: idle line, no frame.
        if self.in_frame && self.size_octets > 0 {
            self.counters.aborts += 1;
        }
        self.in_frame = false;
    }

    fn end_frame(&mut self, frame: &mut impl FnMut(&[u8])) {
        // The flag's own first seven bits came in as data: a frame of whole octets has just
        // those left over.
        let whole_octets = self.pending == 7;
        let size_octets = std::mem::take(&mut self.size_octets);
        if std::mem::replace(&mut self.in_frame, true) && (size_octets > 0 || !whole_octets) {
            // Two flags may share a zero: then only six bits lie between them.
            let shared_zero = size_octets == 0 && self.pending == 6;
            if shared_zero {
            } else if !whole_octets {
                self.counters.not_aligned += 1;
            } else if size_octets < FRAME_SIZE_OCTETS_MIN + FCS_SIZE_OCTETS {
                self.counters.too_short += 1;
            } else if self.frame[..size_octets].iter().fold(FCS_INITIAL, |r, &o| fcs_step(r, o))
                != FCS_GOOD
            {
                self.counters.bad_fcs += 1;
            } else {
                self.counters.frames += 1;
                frame(&self.frame[..size_octets - FCS_SIZE_OCTETS]);
            }
        }
        self.bits = 0;
        self.pending = 0;
    }

    fn push_bits(&mut self, bits: u32, count: u32) {
        self.bits |= bits << self.pending;
        self.pending += count;
        if self.pending < 8 {
            return;
        }
        if self.size_octets == self.frame.len() {
            self.counters.too_long += 1;
            self.in_frame = false;
            self.size_octets = 0;
            self.bits = 0;
            self.pending = 0;
            return;
        }
        self.frame[self.size_octets] = self.bits as u8;
        self.size_octets += 1;
        self.bits >>= 8;
        self.pending -= 8;
    }
}

/// An octet of the line in which no flag and no abort ends, after zero-bit deletion.
#[derive(Clone, Copy)]
struct Plain {
    /// Data bits, the first one lowest.
    bits: u8,
    count: u8,
    ones: u8,
}

/// In place of the count: a flag or an abort ends in this octet.
const ENDS_INSIDE: u8 = u8::MAX;

/// By ones in a row before (0..=7) and octet.
static PLAIN: [[Plain; 256]; 8] = {
    let mut table = [[Plain { bits: 0, count: ENDS_INSIDE, ones: 0 }; 256]; 8];
    let mut ones_before = 0;
    while ones_before < 7 {
        let mut octet = 0;
        while octet < 256 {
            let mut entry = Plain { bits: 0, count: 0, ones: ones_before as u8 };
            let mut bit = 8;
            while bit > 0 && entry.count != ENDS_INSIDE {
                bit -= 1;
                let one = (octet >> bit) & 1 == 1;
                if (one && entry.ones == 6) || (!one && entry.ones == 6) {
                    entry.count = ENDS_INSIDE;
                } else if !one && entry.ones == 5 {
                    entry.ones = 0;
                } else {
                    entry.bits |= (one as u8) << entry.count;
                    entry.count += 1;
                    entry.ones = if one { entry.ones + 1 } else { 0 };
                }
            }
            table[ones_before][octet] = entry;
            octet += 1;
        }
        ones_before += 1;
    }
    table
};
