//! What a table of millions of numbers takes: time to build, to write and to read, memory, and time
//! of a look-up, checked against what was put in.
//!
//! ```text
//! cargo run --release -p trunkline-directory --example table_size -- 100000000 dense
//! ```
//!
//! `dense` are numbers in a row below +81, `spread` ones drawn at random from all of nine digits below
//! it. One number in three hundred is a shorter prefix, as carriers' tables have them.

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
    let prefixes = (count / 300).min(99_999);
    for prefix in 1..=prefixes {
        builder.add(below_81(prefix, 5), routes[(prefix % ROUTES) as usize]);
    }
    // One number of each part, so that what is in the table is known without another table.
    let part = if is_dense { 1 } else { 1_000_000_000 / count };
    let number_of = |place: u64| place * part + mixed(place) % part;
    for place in 0..count {
        let number = number_of(place);
        builder.add(below_81(number, 9), routes[route_of(number) as usize]);
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

    let lookups = 2_000_000;
    let hits: Vec<Digits> =
        (0..lookups).map(|draw| below_81(number_of(mixed(draw) % count), 9)).collect();
    let drawn = |draw: u64| mixed(draw + lookups) % 1_000_000_000;
    let misses: Vec<Digits> = (0..lookups).map(|draw| elsewhere(drawn(draw))).collect();
    for (what, queries) in [("hit", hits), ("miss", misses)] {
        let began = Instant::now();
        for &query in &queries {
            black_box(table.find(black_box(query)));
        }
        let ns = began.elapsed().as_nanos() as f64 / lookups as f64;
        println!("{what:9} {ns:.0} ns");
    }
    for draw in 0..lookups {
        // Half of them are in the table, if it is thin.
        let number = if draw % 2 == 0 { number_of(drawn(draw) % count) } else { drawn(draw) };
        let (place, prefix) = (number / part, number / 10_000);
        let wanted = if place < count && number_of(place) == number {
            Some((below_81(number, 9), route_of(number)))
        } else if (1..=prefixes).contains(&prefix) {
            Some((below_81(prefix, 5), prefix % ROUTES))
        } else {
            None
        };
        let found = match table.find(below_81(number, 9)) {
            Found::Routes(matched) => {
                let gateway = matched.choices().next().map(|choice| u64::from(choice.gateway));
                gateway.map(|gateway| (matched.prefix, gateway))
            }
            Found::Interior | Found::Nothing => None,
        };
        if found != wanted {
            eprintln!("+81{number:09} leads to {found:?} instead of {wanted:?}");
            return ExitCode::FAILURE;
        }
    }
    println!("checked   {lookups} numbers");
    ExitCode::SUCCESS
}

/// One step of splitmix64: the same for the same place, and as good as drawn.
fn mixed(place: u64) -> u64 {
    let mut mixed = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
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
