//! A run, from start to figures.

use super::call_list::CallList;
use super::clock::{self, SECOND_NS};
use super::codecs::Codecs;
use super::cpu::{self, Snapshot, Watch};
use super::error::LoadError;
use super::latency::Times;
use super::ledger::{Content, Ledger};
use super::packet::{Mark, PAYLOAD_MAX_OCTETS, PAYLOAD_MIN_OCTETS, Shape};
use super::protection::Protection;
use super::report::{FlooderTime, Report};
use super::schedule::Schedule;
use super::speech::Speech;
use super::wire::{Arrival, BATCH, Wire};

/// How long stragglers are waited for at the end.
const DRAIN_NS: u64 = 400_000_000;
/// How long before the first packet the run is set up, so that no page is touched late.
const LEAD_NS: u64 = 20_000_000;
/// Packets a run may have: 4 octets and a bit are kept of each.
const PACKETS_MAX: f64 = 100e6;

/// What is sent, how fast and how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// Packets a second of each party.
    #[arg(long, default_value_t = 50.0)]
    pub rate: f64,
    /// Octets of RTP payload.
    #[arg(long, default_value_t = 160)]
    pub payload_octets: usize,
    /// RTP payload type; 8 is A-law.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(0..=127))]
    pub payload_type: u8,
    /// Clock rate of RTP.
    #[arg(long, default_value_t = 8000)]
    pub clock_hz: u32,
    /// Where the two differ, speech is sent instead of marked packets, 50 a second, and what comes is
    /// known by its sequence numbers: `--rate`, `--payload-octets`, `--payload-type` and `--clock-hz`
    /// say nothing then.
    #[command(flatten)]
    pub codecs: Codecs,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 8.0)]
    pub seconds: f64,
    /// Seconds of the same load before that.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up_seconds: f64,
    /// Packets due within this time are sent together.
    #[arg(long, default_value_t = 200)]
    pub slot_us: u64,
    /// SCHED_FIFO priority of the flooder; 0 for an ordinary thread.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u8).range(0..=99))]
    pub priority: u8,
    /// The core the flooder stays on.
    #[arg(long)]
    pub core: Option<usize>,
    /// Processes whose processor time is taken.
    #[arg(long = "watch", value_name = "PID")]
    pub watch: Vec<u32>,
}

impl Load {
    /// Refuses what cannot be sent.
    ///
    /// # Errors
    /// The first argument that is out of range.
    pub fn check(&self) -> Result<(), LoadError> {
        let wrong =
            |name, value: String, allowed| Err(LoadError::Argument { name, value, allowed });
        if !(0.1..=10_000.0).contains(&self.rate) {
            return wrong("--rate", self.rate.to_string(), "0.1 to 10000 packets a second");
        }
        if !(PAYLOAD_MIN_OCTETS..=PAYLOAD_MAX_OCTETS).contains(&self.payload_octets) {
            return wrong("--payload-octets", self.payload_octets.to_string(), "16 to 1400");
        }
        if self.slot_us == 0 || self.slot_us > 1_000_000 {
            return wrong("--slot-us", self.slot_us.to_string(), "1 to 1000000");
        }
        for (name, seconds) in
            [("--seconds", self.seconds), ("--warm-up-seconds", self.warm_up_seconds)]
        {
            if !(0.0..=86_400.0).contains(&seconds) {
                return wrong(name, seconds.to_string(), "0 to 86400");
            }
        }
        Ok(())
    }

    /// Octets of each packet, without protection.
    pub fn octets(&self) -> usize {
        if self.codecs.differ() { Speech::octets() } else { self.shape().octets() }
    }

    /// How marked packets look.
    pub fn shape(&self) -> Shape {
        Shape {
            payload_type: self.payload_type,
            payload_octets: self.payload_octets,
            timestamp_step: (f64::from(self.clock_hz) / self.rate).round() as u32,
        }
    }
}

/// Floods the relay and reports.
///
/// # Errors
/// If the load is out of range or a watched process ends.
pub fn run(list: &CallList, load: &Load, wire: &mut dyn Wire) -> Result<Report, LoadError> {
    load.check()?;
    let packets = |seconds: f64| (seconds * load.rate).round();
    let warm_up_each = packets(load.warm_up_seconds);
    let all = (warm_up_each + packets(load.seconds)) * list.parties() as f64;
    if packets(load.seconds) < 1.0 || all > PACKETS_MAX {
        return Err(LoadError::Argument {
            name: "--seconds",
            value: load.seconds.to_string(),
            allowed: "a run has at least a packet a party and at most 100 million",
        });
    }
    let warm_up_each = warm_up_each as u32;
    let schedule = Schedule {
        parties: list.parties() as u32,
        packets_each: warm_up_each + packets(load.seconds) as u32,
        packet_time_ns: (SECOND_NS as f64 / load.rate).round() as u64,
        slot_ns: load.slot_us * 1000,
    };
    let content = if load.codecs.differ() {
        Content::Speech(Box::new(Speech::new(load.codecs, list, schedule.packets_each)))
    } else {
        Content::Marked(load.shape())
    };
    let mut run = Run {
        schedule,
        ledger: Ledger::new(content, list.clone(), schedule.packets_each, warm_up_each),
        protection: Protection::of(list)?,
        octets: load.octets(),
        lateness: Times::with_capacity(schedule.packets() as usize / 4),
        refused: 0,
        send_cpu_ns: 0,
        wire,
    };
    let scheduling = clock::keep_time(load.priority, load.core);
    let watch = Watch::new(&load.watch);
    let measured_from = u64::from(warm_up_each) * list.parties() as u64;
    let start = run.flood(0..measured_from, clock::monotonic_ns() + LEAD_NS, &watch)?;
    let end = run.flood(measured_from..schedule.packets(), start.started_ns, &watch)?;
    run.wait_for_stragglers();

    let overrun = run.wire.overrun();
    let (counts, latency) = run.ledger.close();
    Ok(Report {
        calls: list.calls.len(),
        rate: load.rate,
        payload_octets: load.payload_octets,
        seconds: load.seconds,
        wire: run.wire.name().to_owned(),
        scheduling,
        sent: u64::from(schedule.packets_each - warm_up_each) * list.parties() as u64,
        refused: run.refused,
        overrun,
        counts,
        latency,
        lateness: run.lateness.percentiles(),
        measured_ns: end.after.at_ns - start.after.at_ns,
        watched: watch.between(&start.after, &end.after),
        flooder: FlooderTime {
            cpu_ns: end.thread_ns - start.thread_ns,
            send_ns: end.send_ns - start.send_ns,
            ksoftirqd_ns: end.after.ksoftirqd_ns - start.after.ksoftirqd_ns,
        },
        softirq_ns: end.after.softirq_ns.saturating_sub(start.after.softirq_ns),
        busy_ns: end.after.busy_ns.saturating_sub(start.after.busy_ns),
        load_average: cpu::load_average(),
    })
}

/// A run under way.
struct Run<'a> {
    schedule: Schedule,
    ledger: Ledger,
    protection: Option<Protection>,
    /// Of each packet, before it is protected.
    octets: usize,
    lateness: Times,
    refused: u64,
    send_cpu_ns: u64,
    wire: &'a mut dyn Wire,
}

/// Where a part of a run left off.
struct Part {
    /// When packet 0 of the whole run was due to be due.
    started_ns: u64,
    after: Snapshot,
    thread_ns: u64,
    send_ns: u64,
}

impl Run<'_> {
    /// Sends these packets of the schedule, and takes what arrives meanwhile.
    fn flood(
        &mut self,
        packets: std::ops::Range<u64>,
        started_ns: u64,
        watch: &Watch,
    ) -> Result<Part, LoadError> {
        let mut nth = packets.start;
        while nth < packets.end {
            let slot_ns = self.schedule.slot_end_ns(nth);
            clock::sleep_until(started_ns + slot_ns);
            let late_ns = clock::monotonic_ns().saturating_sub(started_ns + slot_ns);
            self.lateness.push(late_ns);
            while nth < packets.end && self.schedule.slot_end_ns(nth) <= slot_ns {
                nth = self.send_batch(nth, packets.end, slot_ns);
            }
            self.take_arrivals();
        }
        Ok(Part {
            started_ns,
            after: watch.snapshot()?,
            thread_ns: clock::thread_cpu_ns(),
            send_ns: self.send_cpu_ns,
        })
    }

    /// Sends from `nth` on what belongs to the slot, up to a batch; gives the next.
    fn send_batch(&mut self, mut nth: u64, end: u64, slot_ns: u64) -> u64 {
        let sent_ns = clock::wall_ns();
        for _ in 0..BATCH {
            if nth >= end || self.schedule.slot_end_ns(nth) > slot_ns {
                break;
            }
            let Some(due) = self.schedule.due(nth) else { break };
            let mark = Mark { sender: due.sender, index: due.index, sent_ns };
            let room = self.wire.stage(due.sender as usize);
            match &mut self.protection {
                Some(protection) => {
                    self.ledger.write(mark, &mut room[..self.octets]);
                    protection.seal(due.sender as usize, room);
                }
                None => self.ledger.write(mark, room),
            }
            nth += 1;
        }
        let before = clock::thread_cpu_ns();
        self.refused += self.wire.flush();
        self.send_cpu_ns += clock::thread_cpu_ns() - before;
        nth
    }

    fn wait_for_stragglers(&mut self) {
        let end = clock::monotonic_ns() + DRAIN_NS;
        while clock::monotonic_ns() < end && self.ledger.arrived() < self.schedule.packets() {
            clock::sleep_until(clock::monotonic_ns() + 10_000_000);
            self.take_arrivals();
        }
        // A doubled packet would come right behind the last.
        clock::sleep_until(clock::monotonic_ns() + 20_000_000);
        self.take_arrivals();
    }

    /// Enters what has arrived.
    fn take_arrivals(&mut self) {
        let (ledger, protection) = (&mut self.ledger, &mut self.protection);
        self.wire.drain(&mut |arrival| match protection {
            Some(protection) if arrival.checksum_right => match protection.open(arrival) {
                Ok(packet) => ledger.enter(&Arrival { packet, ..*arrival }),
                Err(fault) => ledger.enter_fault(fault),
            },
            _ => ledger.enter(arrival),
        });
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        load: Load,
    }

    fn load(arguments: &[&str]) -> Load {
        Line::parse_from([&["test"], arguments].concat()).load
    }

    #[test]
    fn the_defaults_are_g711_of_20_ms() {
        let shape = load(&[]).shape();
        assert_eq!((shape.payload_octets, shape.timestamp_step), (160, 160));
        assert!(load(&[]).check().is_ok());
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_name() {
        for arguments in [
            ["--rate", "0"],
            ["--rate", "NaN"],
            ["--payload-octets", "15"],
            ["--slot-us", "0"],
            ["--seconds", "inf"],
        ] {
            let error = load(&arguments).check().unwrap_err().to_string();
            assert!(error.starts_with(arguments[0]), "{error}");
        }
    }
}
