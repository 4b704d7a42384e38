//! The table of the comparison.

use std::fmt::Write;
use std::time::Duration;

use super::server::{Kind, Load, Run};

/// All that was measured of one server.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub kind: Kind,
    /// From its start until it answered, with what it took of memory then.
    pub loaded: Option<(Duration, u64)>,
    /// Of the wildcard case, how many it answers right.
    pub right: Option<usize>,
    /// Its runs.
    pub runs: Vec<(Load, Run)>,
    /// Why figures are missing.
    pub failure: Option<String>,
}

impl Row {
    /// The median processor time of a query in microseconds, whole and the kernel's part.
    pub fn cpu_us(&self, load: Load) -> Option<(f64, f64)> {
        let runs = || self.runs.iter().filter(|(of, _)| *of == load);
        let whole = median(runs().map(|(_, run)| run.cpu_us).collect())?;
        Some((whole, median(runs().map(|(_, run)| run.kernel_us).collect())?))
    }
}

/// The table in Markdown.
pub fn table(rows: &[Row], entries: u64, asked: usize) -> String {
    let best = |load| {
        let peers = rows.iter().filter(|row| row.kind.is_peer());
        peers.filter_map(|row| row.cpu_us(load)).map(|(whole, _)| whole).min_by(f64::total_cmp)
    };
    let mut out = String::from(
        "| | hits, µs of CPU a query (kernel) | / best peer | misses, µs (kernel) | / best peer | \
         lost | answering after, s | memory, MB (octets an entry) | wildcard case right |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = write!(out, "| {} ", row.kind.name());
        for load in [Load::Hits, Load::Misses] {
            let _ = match (row.cpu_us(load), best(load)) {
                (Some((whole, kernel)), Some(best)) => {
                    write!(out, "| {whole:.2} ({kernel:.2}) | {:.2} ", whole / best)
                }
                (Some((whole, kernel)), None) => write!(out, "| {whole:.2} ({kernel:.2}) | - "),
                (None, _) => write!(out, "| - | - "),
            };
        }
        let lost: u64 = row.runs.iter().map(|(_, run)| run.lost).sum();
        let _ = write!(out, "| {lost} ");
        let _ = match row.loaded {
            Some((loaded, octets)) if row.kind != Kind::Echo => write!(
                out,
                "| {:.1} | {:.0} ({:.0}) ",
                loaded.as_secs_f64(),
                octets as f64 / 1e6,
                octets as f64 / entries as f64
            ),
            _ => write!(out, "| - | - "),
        };
        let _ = match (row.right, &row.failure) {
            (_, Some(failure)) => writeln!(out, "| {failure} |"),
            (Some(right), None) => writeln!(out, "| {right} of {asked} |"),
            (None, None) => writeln!(out, "| - |"),
        };
    }
    out
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { (values[middle - 1] + upper) / 2.0 } else { upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: Kind, cpu_us: &[f64]) -> Row {
        let run = |&cpu_us: &f64| Run { answered: 1, lost: 0, cpu_us, kernel_us: 1.0 };
        let runs = cpu_us.iter().map(|cpu_us| (Load::Hits, run(cpu_us))).collect();
        Row { kind, loaded: None, right: None, runs, failure: None }
    }

    #[test]
    fn ours_is_compared_with_the_median_of_the_best_peer() {
        let rows = [
            row(Kind::Directory, &[3.0, 5.0, 99.0]),
            row(Kind::Nsd, &[20.0]),
            row(Kind::Knot, &[9.0, 11.0]),
        ];
        let table = table(&rows, 1, 5);
        assert!(table.contains("| trunkline-directory | 5.00 (1.00) | 0.50 |"), "{table}");
        assert!(table.contains("| NSD | 20.00 (1.00) | 2.00 |"), "{table}");
    }
}
