//! Medians and ratios.

use super::measure::{Cell, Measured, Point};
use super::peer::Peer;
use crate::load::latency::median;
use crate::load::report::Report;

/// A figure of several rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    fn of(figures: &[f64]) -> Option<Self> {
        let min = figures.iter().copied().reduce(f64::min)?;
        let max = figures.iter().copied().reduce(f64::max)?;
        Some(Self { median: median(figures)?, min, max })
    }
}

/// One row of the table: a relay under a load.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which relay.
    pub peer: Peer,
    /// What was measured, or why nothing was.
    pub outcome: Result<Figures, String>,
}

/// The figures of a relay under a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Processor time of the relay's process, user and system, µs a relayed packet.
    pub process_us: Spread,
    /// Time of the soft interrupts in which packets came to the relay, µs a packet.
    pub arriving_us: Spread,
    /// Both together.
    pub cost_us: Spread,
    /// [`cost_us`](Self::cost_us) over that of rtpengine; none if that was not measured.
    pub ratio: Option<f64>,
    /// [`process_us`](Self::process_us) over that of rtpengine.
    pub process_ratio: Option<f64>,
    /// Packets sent in all rounds.
    pub sent: u64,
    /// Of these, lost.
    pub lost: u64,
    /// Packets doubled, reordered, changed, or gone wrong in any other way.
    pub faults: u64,
    /// Latency, µs; medians of the rounds' percentiles.
    pub p50_us: f64,
    /// Latency, µs; medians of the rounds' percentiles.
    pub p99_us: f64,
    /// How late the flooder was, 99th percentile, µs; median.
    pub flooder_late_p99_us: f64,
    /// Resident memory a call, KiB.
    pub call_kib: Option<f64>,
    /// Cores that were busy with other work, at most.
    pub other_cores: f64,
}

/// The rows of each load, in order of the plan.
pub fn rows(measured: &Measured) -> Vec<(Point, Vec<Row>)> {
    let point_rows = |(point, dropped): &(Point, Vec<Report>)| {
        let cells = measured.cells.iter().filter(|cell| cell.point == *point);
        let mut rows: Vec<Row> = cells
            .map(|cell| {
                let none = || "nothing was relayed".to_owned();
                let outcome =
                    figures(cell, dropped).ok_or_else(|| cell.failure.clone().unwrap_or_else(none));
                Row { peer: cell.peer, outcome }
            })
            .collect();
        let rtpengine = rows.iter().find_map(|row| match (row.peer, &row.outcome) {
            (Peer::Rtpengine, Ok(figures)) => Some(*figures),
            _ => None,
        });
        if let Some(base) = rtpengine {
            for figures in rows.iter_mut().filter_map(|row| row.outcome.as_mut().ok()) {
                figures.ratio = Some(figures.cost_us.median / base.cost_us.median);
                figures.process_ratio = Some(figures.process_us.median / base.process_us.median);
            }
        }
        (*point, rows)
    };
    measured.dropped.iter().map(point_rows).collect()
}

/// None if no round brought a packet through.
fn figures(cell: &Cell, dropped: &[Report]) -> Option<Figures> {
    let each = |figure: &dyn Fn(&Report) -> Option<f64>| -> Vec<f64> {
        cell.reports.iter().filter_map(figure).collect()
    };
    let process: Vec<f64> = each(&Report::watched_us_per_packet);
    let arriving: Vec<f64> = cell
        .reports
        .iter()
        .zip(dropped)
        .filter_map(|(run, base)| {
            Some(run.arriving_us_per_packet()? - base.arriving_us_per_packet()?)
        })
        .collect();
    let cost: Vec<f64> = process.iter().zip(&arriving).map(|(a, b)| a + b).collect();
    let count = |figure: fn(&Report) -> u64| cell.reports.iter().map(figure).sum();
    let call_kib = cell.idle_kib.filter(|_| cell.point.calls > 1).and_then(|idle| {
        let resident = median(&each(&|r| r.watched.first().map(|p| p.resident_kib as f64)))?;
        Some((resident - idle as f64) / (cell.point.calls - 1) as f64)
    });
    Some(Figures {
        process_us: Spread::of(&process)?,
        arriving_us: Spread::of(&arriving)?,
        cost_us: Spread::of(&cost)?,
        ratio: None,
        process_ratio: None,
        sent: count(|report| report.sent),
        lost: count(|report| report.counts.lost),
        faults: count(|report| report.counts.faults()),
        p50_us: median(&each(&|report| Some(report.latency?.p50_us)))?,
        p99_us: median(&each(&|report| Some(report.latency?.p99_us)))?,
        flooder_late_p99_us: median(&each(&|report| Some(report.lateness?.p99_us)))?,
        call_kib,
        other_cores: each(&|report| Some(report.other_cores())).into_iter().fold(0.0, f64::max),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::load::cpu::Watched;
    use crate::load::latency::Percentiles;
    use crate::load::ledger::Counts;
    use crate::load::report::FlooderTime;

    /// A run of 1000 packets that took the relay and the send calls so many µs each.
    pub fn report(process_us: u64, send_us: u64) -> Report {
        let times = Percentiles { p50_us: 50.0, p99_us: 100.0, ..Percentiles::default() };
        Report {
            calls: 10,
            rate: 50.0,
            payload_octets: 160,
            seconds: 1.0,
            wire: "packet socket".to_owned(),
            scheduling: "ordinary".to_owned(),
            sent: 1000,
            refused: 0,
            overrun: 0,
            counts: Counts { received: 1000, ..Counts::default() },
            latency: Some(times),
            lateness: Some(times),
            measured_ns: 1_000_000_000,
            watched: vec![Watched {
                pid: 1,
                name: "relay".to_owned(),
                cpu_ns: process_us * 1_000_000,
                resident_kib: 1090,
            }],
            flooder: FlooderTime { send_ns: send_us * 1_000_000, ..FlooderTime::default() },
            softirq_ns: 0,
            busy_ns: 0,
            load_average: String::new(),
        }
    }

    /// rtpengine at 10 + 2 µs, the bare relay at 5 + 1 µs, mio not there.
    pub fn measured() -> Measured {
        let point = Point { calls: 10, rate: 50.0 };
        let cell = |peer, reports, failure: Option<&str>| Cell {
            point,
            peer,
            reports,
            idle_kib: Some(1000),
            failure: failure.map(str::to_owned),
        };
        let runs = |process: [u64; 3], send: u64| process.map(|us| report(us, send)).to_vec();
        Measured {
            cells: vec![
                cell(Peer::Rtpengine, runs([10, 9, 14], 5), None),
                cell(Peer::Bare, runs([5, 5, 5], 4), None),
                cell(Peer::Mio, Vec::new(), Some("trunkline-media-relay is not built")),
            ],
            dropped: vec![(point, vec![report(0, 3); 3])],
        }
    }

    #[test]
    fn cost_is_the_process_and_what_arrival_takes_over_a_dropped_run() {
        let (_, rows) = &rows(&measured())[0];
        let figures = rows[0].outcome.as_ref().unwrap();
        assert_eq!(figures.process_us, Spread { median: 10.0, min: 9.0, max: 14.0 });
        assert_eq!(figures.arriving_us.median, 2.0);
        assert_eq!(figures.cost_us.median, 12.0);
        assert_eq!(figures.call_kib, Some(10.0));
        assert_eq!((figures.sent, figures.lost, figures.faults), (3000, 0, 0));
    }

    #[test]
    fn ratios_are_to_rtpengine_under_the_same_load() {
        let (_, rows) = &rows(&measured())[0];
        assert_eq!(rows[1].outcome.as_ref().unwrap().ratio, Some(0.5));
        assert_eq!(rows[0].outcome.as_ref().unwrap().ratio, Some(1.0));
    }

    #[test]
    fn a_relay_that_did_not_run_says_why() {
        let (_, rows) = &rows(&measured())[0];
        let reason = rows[2].outcome.as_ref().unwrap_err();
        assert_eq!(reason, "trunkline-media-relay is not built");
    }
}
