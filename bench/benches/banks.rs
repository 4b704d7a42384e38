//! What line DSP in banks costs, a sample and channel: 10,000 channels one after the other, so that none
//! finds its state in a near cache.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use trunkline_dsp::dtmf::DetectorBank;
use trunkline_dsp::echo::{BLOCK, EchoBank, Tail};
use trunkline_dsp::lanes::{LANES, Row};

/// Banks that have 10,000 channels together.
const BANKS: usize = 10_000_usize.div_ceil(LANES);
/// Milliseconds that a bank is given at once: a tick of the media.
const BLOCKS: usize = 5;

/// Something that is neither silence nor a tone.
fn row(n: usize) -> Row {
    Row(std::array::from_fn(|lane| ((n * 7_919 + lane * 104_729) % 8_191) as f32 - 4_095.0))
}

fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    group.throughput(Throughput::Elements((BANKS * LANES * BLOCKS * BLOCK) as u64));
    for (name, tail) in [("32 ms", Tail::Ms32), ("64 ms", Tail::Ms64), ("128 ms", Tail::Ms128)] {
        let mut banks: Vec<EchoBank> = (0..BANKS).map(|_| EchoBank::new(tail)).collect();
        let far: [[Row; BLOCK]; BLOCKS] =
            std::array::from_fn(|block| std::array::from_fn(|n| row(block * BLOCK + n)));
        group.bench_function(name, |bencher| {
            let fresh = || far.map(|block| block.map(|row| Row(row.0.map(|sample| sample * 0.3))));
            bencher.iter_batched_ref(
                fresh,
                |near| banks.iter_mut().for_each(|bank| bank.process(&far, near)),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn dtmf(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dtmf");
    group.throughput(Throughput::Elements((BANKS * LANES * BLOCKS * BLOCK) as u64));
    let mut banks: Vec<DetectorBank> = (0..BANKS).map(|_| DetectorBank::new()).collect();
    let rows: [Row; BLOCKS * BLOCK] = std::array::from_fn(row);
    group.bench_function("detector", |bencher| {
        let mut heard = 0_u64;
        bencher.iter(|| {
            banks.iter_mut().for_each(|bank| bank.process(&rows, |_, _| heard += 1));
        });
        std::hint::black_box(heard);
    });
    group.finish();
}

criterion_group!(benches, echo, dtmf);
criterion_main!(benches);
