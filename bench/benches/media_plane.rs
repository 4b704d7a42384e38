//! How long the hot functions take: `cargo bench -p trunkline-bench --bench media_plane`.
//!
//! Those on a timeslot run once each few milliseconds, as in a call: their times are those of cold
//! caches.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};

mod hot;

fn media_plane(criterion: &mut Criterion) {
    for function in hot::ALL {
        let mut work = (function.make)();
        criterion.bench_function(function.name, |bencher| {
            if !work.needs_preparation() {
                return bencher.iter(|| work.run());
            }
            bencher.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    work.prepare();
                    let begun = Instant::now();
                    work.run();
                    spent += begun.elapsed();
                }
                spent
            });
        });
    }
}

criterion_group!(benches, media_plane);
criterion_main!(benches);
