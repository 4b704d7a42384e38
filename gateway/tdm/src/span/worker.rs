//! The span's thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

use tracing::info;

use super::{Bearer, Command, Shared, SpanConfig, SpanCounters, SpanEvent, real_time};
use crate::alarm::{AlarmMonitor, AlarmState};
use crate::error::TdmError;
use crate::hdlc;
use crate::line::{Block, DChannel, Line, Shape, TIMESLOT_MAX, Tick};

/// Octets of a D channel that carries nothing: neither flag nor frame.
const NO_SIGNAL: u8 = 0xff;

/// Runs a span until it is stopped or its line ends.
pub(super) fn run(config: SpanConfig, line: Box<dyn Line>, shared: &Shared) {
    let mut worker = Box::new(Worker::new(config, line, shared));
    worker.become_punctual();
    // Catching costs nothing as long as nothing unwinds: once around the loop, not once a block.
    let error = loop {
        match catch_unwind(AssertUnwindSafe(|| worker.run())) {
            Ok(Ok(())) => break None,
            Ok(Err(error)) => break Some(error),
            Err(_) => {
                if !worker.detach_at_fault() {
                    break Some(TdmError::Line(io::Error::other("the line panicked")));
                }
            }
        }
    };
    worker.end(error);
}

struct Worker<'a> {
    config: SpanConfig,
    line: Box<dyn Line>,
    shape: Shape,
    shared: &'a Shared,
    received: Block,
    sent: Block,
    bearers: [Option<Box<dyn Bearer>>; TIMESLOT_MAX as usize + 1],
    /// Timeslot whose bearer runs, or ran when it panicked.
    exchanging: Option<u8>,
    encoder: hdlc::Encoder,
    decoder: hdlc::Decoder,
    alarm: AlarmMonitor,
    counters: SpanCounters,
    frame: [u8; hdlc::FRAME_SIZE_OCTETS_MAX],
    /// Frame that a line with its own HDLC had no room for.
    unsent: Option<Vec<u8>>,
}

impl<'a> Worker<'a> {
    fn new(config: SpanConfig, line: Box<dyn Line>, shared: &'a Shared) -> Self {
        let alarm = AlarmMonitor::new(Instant::now(), config.alarm_times);
        shared.counters.set_alarms(alarm.state());
        Self {
            shape: line.shape(),
            config,
            line,
            shared,
            received: Block::new(8),
            sent: Block::new(8),
            bearers: [const { None }; _],
            exchanging: None,
            encoder: hdlc::Encoder::default(),
            decoder: hdlc::Decoder::default(),
            alarm,
            counters: SpanCounters::default(),
            frame: [0; _],
            unsent: None,
        }
    }

    /// Takes what the system grants and says once what that was.
    fn become_punctual(&self) {
        let outcome = |result: io::Result<()>| match result {
            Ok(()) => "yes".to_owned(),
            Err(error) => format!("no: {error}"),
        };
        let pinned = self.config.core.map(|core| outcome(real_time::pin(core)));
        let fifo = self.config.real_time.then(|| outcome(real_time::schedule_fifo()));
        let timers = outcome(real_time::sharpen_timers());
        let locked = real_time::lock_memory(self)
            .and_then(|()| real_time::lock_memory(self.received.timeslots()))
            .and_then(|()| real_time::lock_memory(self.sent.timeslots()));
        info!(
            span = %self.config.name,
            core = ?self.config.core,
            pinned = pinned.as_deref().unwrap_or("not asked for"),
            sched_fifo = fifo.as_deref().unwrap_or("not asked for"),
            exact_timers = %timers,
            memory_locked = %outcome(locked),
            "span started",
        );
    }

    fn run(&mut self) -> Result<(), TdmError> {
        if let Some(timeslot) = self.exchanging.take() {
            // The bearer before was thrown out in the middle of a block.
            self.exchange_from(timeslot + 1)?;
        }
        while !self.shared.stop.load(Ordering::Acquire) {
            let tick = self.line.receive(&mut self.received)?;
            self.obey_commands();
            let now = Instant::now();
            let change = match tick {
                Tick::Block { late_us } => {
                    self.counters.blocks_received += 1;
                    self.counters.lateness_max_us = self.counters.lateness_max_us.max(late_us);
                    let Block { yellow, red, blue, .. } = self.received;
                    self.alarm.block_received(now, yellow, red, blue)
                }
                Tick::Missing => {
                    self.counters.blocks_missing += 1;
                    self.alarm.block_missing(now)
                }
                Tick::Quiet => self.alarm.block_missing(now),
            };
            if let Some(state) = change {
                self.report_alarms(state);
            }
            if tick != Tick::Quiet {
                self.run_d_channel(tick)?;
                self.exchange_from(1)?;
            }
            self.publish();
        }
        Ok(())
    }

    /// Runs the bearers from this timeslot on and sends the block.
    fn exchange_from(&mut self, first: u8) -> Result<(), TdmError> {
        self.sent.set_samples(self.received.samples());
        for timeslot in first..=self.shape.timeslots {
            if Some(timeslot) == self.config.d_channel && self.shape.d_channel == DChannel::Octets {
                continue;
            }
            let to_line = self.sent.timeslot_mut(timeslot);
            match &mut self.bearers[usize::from(timeslot)] {
                Some(bearer) => {
                    self.exchanging = Some(timeslot);
                    bearer.exchange(self.received.timeslot(timeslot), to_line);
                }
                None => to_line.fill(self.config.idle),
            }
        }
        self.exchanging = None;
        // I.431 §5.9.1: remote alarm indication as long as this end receives nothing usable.
        self.sent.yellow = self.alarm.state().red;
        self.line.transmit(&self.sent)?;
        self.counters.blocks_sent += 1;
        Ok(())
    }

    fn run_d_channel(&mut self, tick: Tick) -> Result<(), TdmError> {
        let Some(timeslot) = self.config.d_channel else { return Ok(()) };
        if self.shape.d_channel == DChannel::Frames {
            return self.run_framed_d_channel();
        }
        let Self { received, sent, decoder, encoder, shared, counters, .. } = self;
        if !matches!(tick, Tick::Block { .. }) {
            received.timeslot_mut(timeslot).fill(NO_SIGNAL);
        }
        decoder.feed(received.timeslot(timeslot), |frame| {
            if !shared.events.push(SpanEvent::Frame(frame.to_vec())) {
                counters.events_dropped += 1;
            }
        });
        sent.set_samples(received.samples());
        encoder.fill(sent.timeslot_mut(timeslot), || shared.frames.pop());
        Ok(())
    }

    fn run_framed_d_channel(&mut self) -> Result<(), TdmError> {
        while let Some(size_octets) = self.line.receive_frame(&mut self.frame)? {
            self.counters.d_channel_frames_received += 1;
            self.push_event(SpanEvent::Frame(self.frame[..size_octets].to_vec()));
        }
        // A frame that the line has no room for goes first next time: Q.921 needs their order.
        while let Some(frame) = self.unsent.take().or_else(|| self.shared.frames.pop()) {
            if !self.line.send_frame(&frame)? {
                self.unsent = Some(frame);
                break;
            }
            self.counters.d_channel_frames_sent += 1;
        }
        Ok(())
    }

    fn obey_commands(&mut self) {
        while let Some(command) = self.shared.commands.pop() {
            let (timeslot, bearer) = match command {
                Command::Attach(timeslot, bearer) => (timeslot, Some(bearer)),
                Command::Detach(timeslot) => (timeslot, None),
            };
            self.line.carries(timeslot, bearer.as_ref().map(|bearer| bearer.load()));
            let before = std::mem::replace(&mut self.bearers[usize::from(timeslot)], bearer);
            if let Some(bearer) = before {
                self.push_event(SpanEvent::Detached { timeslot, bearer, fault: false });
            }
        }
    }

    /// Throws out the bearer that panicked; false if it was none.
    fn detach_at_fault(&mut self) -> bool {
        let Some(timeslot) = self.exchanging else { return false };
        self.counters.bearer_faults += 1;
        self.sent.timeslot_mut(timeslot).fill(self.config.idle);
        if let Some(bearer) = self.bearers[usize::from(timeslot)].take() {
            self.line.carries(timeslot, None);
            self.push_event(SpanEvent::Detached { timeslot, bearer, fault: true });
        }
        true
    }

    fn report_alarms(&mut self, state: AlarmState) {
        self.counters.alarm_changes += 1;
        self.shared.counters.set_alarms(state);
        self.push_event(SpanEvent::Alarm(state));
    }

    fn push_event(&mut self, event: SpanEvent) {
        if !self.shared.events.push(event) {
            self.counters.events_dropped += 1;
        }
    }

    fn publish(&mut self) {
        let line = self.line.counters();
        let counters = &mut self.counters;
        counters.blocks_not_sent = line.not_sent;
        counters.sequence_gaps = line.sequence_gaps;
        counters.blocks_out_of_order = line.out_of_order;
        counters.slips = line.slips;
        counters.malformed = line.malformed;
        counters.wrong_address = line.wrong_address;
        counters.events = line.events;
        counters.read_overruns = line.read_overruns;
        counters.write_underruns = line.write_underruns;
        counters.answer_tones = line.answer_tones;
        counters.echo_cancellers_on = line.echo_cancellers_on;
        counters.echo_cancellers_off_by_tone = line.echo_cancellers_off_by_tone;
        counters.echo_cancellers_refused = line.echo_cancellers_refused;
        counters.bipolar_violations = line.bipolar_violations;
        counters.crc4_errors = line.crc4_errors;
        counters.e_bits = line.e_bits;
        counters.frame_alignment_errors = line.frame_alignment_errors;
        counters.errored_s = line.errored_s;
        counters.interrupts_missed = line.interrupts_missed;
        counters.hdlc_overruns = line.hdlc_overruns;
        if self.shape.d_channel == DChannel::Octets {
            let hdlc = self.decoder.counters();
            counters.d_channel_frames_received = hdlc.frames;
            counters.d_channel_frames_sent = self.encoder.frames();
            counters.hdlc_bad_fcs = hdlc.bad_fcs;
            counters.hdlc_aborts = hdlc.aborts;
            counters.hdlc_malformed = hdlc.too_long + hdlc.too_short + hdlc.not_aligned;
        } else {
            counters.hdlc_bad_fcs = line.hdlc_bad_fcs;
            counters.hdlc_aborts = line.hdlc_aborts;
        }
        self.shared.counters.publish(counters);
    }

    fn end(&mut self, error: Option<TdmError>) {
        self.obey_commands();
        for timeslot in 1..=TIMESLOT_MAX {
            if let Some(bearer) = self.bearers[usize::from(timeslot)].take() {
                self.push_event(SpanEvent::Detached { timeslot, bearer, fault: false });
            }
        }
        if error.is_some() && !self.alarm.state().red {
            self.report_alarms(AlarmState { red: true, ..AlarmState::default() });
        }
        self.push_event(SpanEvent::Ended(error));
        self.publish();
        self.shared.events.close();
    }
}
