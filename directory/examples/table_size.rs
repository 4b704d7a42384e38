//! What a table of millions of numbers takes: time to build, to write and to read, memory, and time
//! of a look-up, checked against what was put in.
//!
//! ```text
//! cargo run --release -p trunkline-directory --example table_size -- 100000000 dense
//! ```
//!
//! `dense` are numbers in a row below +81, `spread` ones drawn from all of nine digits below it. One
//! number in three hundred is a shorter prefix, as carriers' tables have them.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use trunkline_directory::table::{Choice, Digits, Found, Route, SnapshotBuilder, Table, file};

const ROUTES: u64 = 200;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.first().and_then(|text| text.parse::<u64>().ok());
    let (Some(count @ 1..=900_000_000), Some(kind @ ("dense" | "spread"))) =
        (count, arguments.get(1).map(String::as_str))
    else {
        eprintln!("usage: table_size COUNT dense|spread");
        return ExitCode::from(2);
    };
    let is_dense = kind == "dense";

    let began = Instant::now();
    let mut builder = SnapshotBuilder::default();
    let routes: Vec<u32> = (0..ROUTES)
        .map(|place| builder.route(Route::new(vec![Choice::new(place as u32, 10, 10)])))
        .collect();
    for prefix in 1..=(count / 300).min(99_999) {
        builder.add(below_81(prefix, 5), routes[(prefix % ROUTES) as usize]);
    }
    // Steps of one over a random start, or of a constant fraction: each number once, in order.
    let step = if is_dense { 1 } else { 1_000_000_000 / count };
    for place in 0..count {
        let number = place * step;
        builder.add(below_81(number, 9), routes[(route_of(number)) as usize]);
    }
    let snapshot = match builder.build() {
        Ok(snapshot) => snapshot,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let built = began.elapsed();
    let entries = snapshot.entries();
    let octets = snapshot.size_octets();
    println!("{entries} entries, {kind}");
    println!(
        "memory    {:.1} MB, {:.2} octets an entry; most while building {} MB",
        octets as f64 / 1e6,
        octets as f64 / entries as f64,
        most_memory_mb()
    );
    println!("build     {:.2} s", built.as_secs_f64());

    let began = Instant::now();
    let mut written = Vec::new();
    if let Err(error) = file::write(&snapshot, |route| route.choices()[0].gateway, &mut written) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    println!(
        "write     {:.2} s, {:.1} MB",
        began.elapsed().as_secs_f64(),
        written.len() as f64 / 1e6
    );
    drop(snapshot);
    let began = Instant::now();
    let read =
        file::read(&written, |gateway: u32| Ok(Route::new(vec![Choice::new(gateway, 10, 10)])));
    let table = match read {
        Ok((snapshot, _)) => Table::new(snapshot),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("read      {:.2} s", began.elapsed().as_secs_f64());
    drop(written);

    let mut draw = 1_u64;
    let mut next = || {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        draw >> 33
    };
    let lookups = 2_000_000;
    let hits: Vec<u64> = (0..lookups).map(|_| next() % count * step).collect();
    for (what, numbers) in
        [("hit", hits.clone()), ("miss", hits.iter().map(|number| number ^ 1 << 35).collect())]
    {
        let queries: Vec<Digits> = numbers
            .iter()
            .map(|&number| if what == "hit" { below_81(number, 9) } else { elsewhere(number) })
            .collect();
        let began = Instant::now();
        for &query in &queries {
            black_box(table.find(black_box(query)));
        }
        let ns = began.elapsed().as_nanos() as f64 / lookups as f64;
        println!("{what:9} {ns:.0} ns");
    }
    // What is in the table leads where it was said; what lies between does not.
    for &number in &hits {
        let digits = below_81(number, 9);
        let Found::Routes(matched) = table.find(digits) else {
            eprintln!("+{digits} is not found");
            return ExitCode::FAILURE;
        };
        let gateway = matched.choices().next().map(|choice| u64::from(choice.gateway));
        if matched.prefix != digits || gateway != Some(route_of(number)) {
            eprintln!("+{digits} leads to {gateway:?}");
            return ExitCode::FAILURE;
        }
    }
    println!("checked   {lookups} numbers");
    ExitCode::SUCCESS
}

/// Neighbours go the same way, in blocks of uneven length.
fn route_of(number: u64) -> u64 {
    (number / 700 + number / 10_000) % ROUTES
}

fn below_81(value: u64, digits: usize) -> Digits {
    Digits::read(&format!("81{value:0digits$}")).unwrap_or_default()
}

fn elsewhere(value: u64) -> Digits {
    Digits::read(&format!("44{:09}", value % 1_000_000_000)).unwrap_or_default()
}

/// The most memory that this process had.
fn most_memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kb.unwrap_or(0) / 1_000
}
