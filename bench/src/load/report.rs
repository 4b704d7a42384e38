//! The figures of a run.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cpu::Watched;
use super::latency::Percentiles;
use super::ledger::Counts;

/// All figures of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Calls at the same time.
    pub calls: usize,
    /// Packets a second of each party.
    pub rate: f64,
    /// Octets of RTP payload.
    pub payload_octets: usize,
    /// Seconds that were to be measured.
    pub seconds: f64,
    /// How packets were carried.
    pub wire: String,
    /// What the flooder's thread got.
    pub scheduling: String,
    /// Packets of the measured time.
    pub sent: u64,
    /// Packets that the kernel did not take from the flooder (lost, too), warm-up included.
    pub refused: u64,
    /// Packets that came and that the flooder had no room for (lost, too), warm-up included.
    pub overrun: u64,
    /// What became of the packets.
    pub counts: Counts,
    /// From the flooder's send call to the kernel's time stamp at the receiving party.
    pub latency: Option<Percentiles>,
    /// How late the flooder woke up for its slots: a check on the flooder, not on the relay.
    pub lateness: Option<Percentiles>,
    /// How long the measured time really was, ns.
    pub measured_ns: u64,
    /// Processor time of the watched processes in it.
    pub watched: Vec<Watched>,
    /// Processor time of the flooder in it.
    pub flooder: FlooderTime,
    /// The machine's time in soft interrupts, ns; sampled by the timer tick, hence coarse.
    pub softirq_ns: u64,
    /// The machine's time in anything but waiting, ns; sampled likewise.
    pub busy_ns: u64,
    /// The load averages at the end.
    pub load_average: String,
}

/// Where the flooder's processor time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlooderTime {
    /// All of its thread, ns.
    pub cpu_ns: u64,
    /// Of that, in the send calls, ns. On a veth pair the relay's receive soft interrupt runs
    /// there.
    pub send_ns: u64,
    /// The kernel's threads that do what soft interrupts left over, ns.
    pub ksoftirqd_ns: u64,
}

impl Report {
    /// Processor time of the watched processes a relayed packet, µs; none without packets.
    pub fn watched_us_per_packet(&self) -> Option<f64> {
        let cpu_ns: u64 = self.watched.iter().map(|process| process.cpu_ns).sum();
        self.us_per_packet(cpu_ns, self.counts.received)
    }

    /// Time in send calls and in `ksoftirqd` a sent packet, µs: what this run has over one in
    /// which the relay's packets are dropped early is the relay's receive soft interrupt.
    pub fn arriving_us_per_packet(&self) -> Option<f64> {
        self.us_per_packet(self.flooder.send_ns + self.flooder.ksoftirqd_ns, self.sent)
    }

    /// Cores that were busy with anything but the watched processes and the flooder.
    pub fn other_cores(&self) -> f64 {
        let watched: u64 = self.watched.iter().map(|process| process.cpu_ns).sum();
        let ours = watched + self.flooder.cpu_ns + self.flooder.ksoftirqd_ns;
        self.busy_ns.saturating_sub(ours) as f64 / self.measured_ns.max(1) as f64
    }

    fn us_per_packet(&self, cpu_ns: u64, packets: u64) -> Option<f64> {
        (packets > 0).then(|| cpu_ns as f64 / 1000.0 / packets as f64)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { received, lost, warm_up_lost, doubled, reordered, .. } = self.counts;
        writeln!(
            f,
            "{} calls, {} packets/s each way, {} octets, {} s, {}, {}",
            self.calls, self.rate, self.payload_octets, self.seconds, self.wire, self.scheduling
        )?;
        writeln!(
            f,
            "  sent {}  received {received}  lost {lost} ({} not taken, {} overrun)  \
             doubled {doubled}  reordered {reordered}  warm-up lost {warm_up_lost}",
            self.sent, self.refused, self.overrun
        )?;
        let counts = &self.counts;
        writeln!(
            f,
            "  wrong: payload {}  ssrc {}  numbering {}  source {}  party {}  checksum {}",
            counts.wrong_payload,
            counts.ssrc_changed,
            counts.numbering_changed,
            counts.wrong_source,
            counts.wrong_party,
            counts.wrong_checksum
        )?;
        for (name, times) in [("latency", self.latency), ("flooder late", self.lateness)] {
            if let Some(Percentiles { p50_us, p90_us, p99_us, p999_us, max_us }) = times {
                writeln!(
                    f,
                    "  {name:12} us  p50 {p50_us:.0}  p90 {p90_us:.0}  p99 {p99_us:.0}  \
                     p99.9 {p999_us:.0}  max {max_us:.0}"
                )?;
            }
        }
        for process in &self.watched {
            let us = self.us_per_packet(process.cpu_ns, received).unwrap_or(f64::NAN);
            writeln!(
                f,
                "  {} ({}): {us:.2} us a packet, {:.3} cores, {} KiB",
                process.name,
                process.pid,
                process.cpu_ns as f64 / self.measured_ns.max(1) as f64,
                process.resident_kib
            )?;
        }
        let per_sent = |ns| self.us_per_packet(ns, self.sent).unwrap_or(f64::NAN);
        write!(
            f,
            "  flooder: {:.2} us a packet, of it sending {:.2}; ksoftirqd {:.2}; \
             other work {:.2} cores; load {}",
            per_sent(self.flooder.cpu_ns),
            per_sent(self.flooder.send_ns),
            per_sent(self.flooder.ksoftirqd_ns),
            self.other_cores(),
            self.load_average
        )
    }
}
