//! What carries a span: the octets of its timeslots each way, at the pace of the line's clock.

use crate::error::TdmError;

/// Most samples of a timeslot in one block: 20 ms.
pub const BLOCK_SAMPLES_MAX: usize = 160;

/// Highest number of a timeslot.
pub const TIMESLOT_MAX: u8 = 31;

/// A line: DAHDI device, TDM over Ethernet, a pair in memory.
///
/// The owner's thread calls [`receive`](Self::receive) for ever; after each [`Tick::Block`] and
/// [`Tick::Missing`] it calls [`transmit`](Self::transmit) once, with as many samples as it got.
/// An error ends the line; what the line survives it counts.
pub trait Line: Send {
    /// What the line looks like; does not change.
    fn shape(&self) -> Shape;

    /// Waits for the line's clock, at most some 10 ms, and fills `block`.
    fn receive(&mut self, block: &mut Block) -> Result<Tick, TdmError>;

    /// Sends a block in answer to the one received.
    fn transmit(&mut self, block: &Block) -> Result<(), TdmError>;

    /// Takes a frame that the line's own HDLC received ([`DChannel::Frames`]), without FCS;
    /// `None` when there is none. Returns how many octets of `frame` it filled.
    fn receive_frame(&mut self, frame: &mut [u8]) -> Result<Option<usize>, TdmError> {
        let _ = frame;
        Ok(None)
    }

    /// Gives a frame to the line's own HDLC ([`DChannel::Frames`]); `false` when it has no room
    /// now.
    fn send_frame(&mut self, frame: &[u8]) -> Result<bool, TdmError> {
        let _ = frame;
        Ok(false)
    }

    /// A call begins on this timeslot and carries that, or is over: a line may have an echo canceller
    /// for it.
    fn carries(&mut self, timeslot: u8, load: Option<Load>) {
        let _ = (timeslot, load);
    }

    /// What the line has met so far.
    fn counters(&self) -> LineCounters;
}

/// What a call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Speech, or tones of machines.
    Speech,
    /// 64 kbit/s in which no bit may be changed.
    Data,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Timeslots 1..=this: 31 on an E1, 24 on a T1.
    pub timeslots: u8,
    /// How the D channel is carried.
    pub d_channel: DChannel,
}

/// How a line carries the D channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DChannel {
    /// As octets of its timeslot like any other; the span does HDLC.
    Octets,
    /// As frames; the line does HDLC.
    Frames,
}

/// What a wait for the line brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// A block came, and one is due in answer.
    Block {
        /// By how much it was later than the clock asked for, in µs.
        late_us: u64,
    },
    /// A block is due, but none came: `block` holds idle octets.
    Missing,
    /// Nothing is due: time to look after commands and alarms.
    Quiet,
}

/// Octets of all timeslots for the same stretch of time, in one direction.
#[derive(Clone, Debug)]
pub struct Block {
    samples: usize,
    octets: Box<[[u8; BLOCK_SAMPLES_MAX]; TIMESLOT_MAX as usize + 1]>,
    /// ABCD bits by timeslot (A 8, B 4, C 2, D 1), as the line carried them.
    pub cas: [u8; TIMESLOT_MAX as usize + 1],
    /// The sender says that it is in RED alarm.
    pub yellow: bool,
    /// The line itself reports loss of signal or of frame alignment; received blocks only.
    pub red: bool,
    /// The line itself reports an alarm indication signal; received blocks only.
    pub blue: bool,
}

impl Block {
    /// An idle block of `samples` octets a timeslot (at most [`BLOCK_SAMPLES_MAX`]).
    pub fn new(samples: usize) -> Self {
        Self {
            samples: samples.min(BLOCK_SAMPLES_MAX),
            octets: Box::new([[crate::IDLE_A_LAW; _]; _]),
            cas: [0; _],
            yellow: false,
            red: false,
            blue: false,
        }
    }

    /// Samples a timeslot.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Sets the number of samples a timeslot, at most [`BLOCK_SAMPLES_MAX`].
    pub fn set_samples(&mut self, samples: usize) {
        self.samples = samples.min(BLOCK_SAMPLES_MAX);
    }

    /// The octets of a timeslot.
    ///
    /// # Panics
    /// If `timeslot` is over [`TIMESLOT_MAX`].
    pub fn timeslot(&self, timeslot: u8) -> &[u8] {
        &self.octets[usize::from(timeslot)][..self.samples]
    }

    /// The octets of a timeslot, to be written.
    ///
    /// # Panics
    /// If `timeslot` is over [`TIMESLOT_MAX`].
    pub fn timeslot_mut(&mut self, timeslot: u8) -> &mut [u8] {
        &mut self.octets[usize::from(timeslot)][..self.samples]
    }

    /// Memory of all timeslots.
    pub(crate) fn timeslots(&self) -> &[[u8; BLOCK_SAMPLES_MAX]] {
        &self.octets[..]
    }

    /// Makes it the block that stands for one that did not come: idle octets, no flags.
    pub fn set_missing(&mut self, samples: usize, idle: u8) {
        self.set_samples(samples);
        for timeslot in &mut self.octets[..] {
            timeslot[..samples].fill(idle);
        }
        self.yellow = false;
        self.red = false;
        self.blue = false;
    }
}

/// What a line has met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounters {
    /// Blocks lost on the way, known by their sequence numbers.
    pub sequence_gaps: u64,
    /// Blocks that came twice or too late, dropped.
    pub out_of_order: u64,
    /// Blocks dropped or ticks left out because the clocks of both ends went apart.
    pub slips: u64,
    /// Frames of a wrong length or form, dropped.
    pub malformed: u64,
    /// Frames from or to another address, dropped.
    pub wrong_address: u64,
    /// Blocks that the system refused to send.
    pub not_sent: u64,
    /// Frames of the line's own HDLC with a bad FCS.
    pub hdlc_bad_fcs: u64,
    /// Frames that it saw aborted.
    pub hdlc_aborts: u64,
    /// Frames that it had no room for.
    pub hdlc_overruns: u64,
    /// Events of the driver that were taken out of its queues.
    pub events: u64,
    /// Times that the driver had no room for what came: the span's thread was late.
    pub read_overruns: u64,
    /// Times that the driver had nothing to play: the span's thread was late.
    pub write_underruns: u64,
    /// Answer tones that the driver's echo canceller heard.
    pub answer_tones: u64,
    /// Echo cancellers switched on, call by call.
    pub echo_cancellers_on: u64,
    /// Echo cancellers switched off, or to what suits a fax, for tones of machines.
    pub echo_cancellers_off_by_tone: u64,
    /// Times that the driver did not switch an echo canceller as it was told.
    pub echo_cancellers_refused: u64,
    /// Bipolar violations, as counted by a card.
    pub bipolar_violations: u64,
    /// CRC-4 errors, as counted by a card.
    pub crc4_errors: u64,
    /// CRC-4 errors that the far end reports by E bits.
    pub e_bits: u64,
    /// Frame alignment errors, as counted by a card.
    pub frame_alignment_errors: u64,
    /// Errored seconds, as counted by a card.
    pub errored_s: u64,
    /// Interrupts that a card missed.
    pub interrupts_missed: u64,
}
