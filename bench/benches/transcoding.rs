//! What a transcoded packet of 20 ms takes, and how much of it libopus does:
//! `cargo bench -p trunkline-bench --bench transcoding`.
//!
//! The share is measured by itself, in turns, so that whatever else the machine does falls on both.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use trunkline_dsp::SampleRate;
use trunkline_dsp::opus::{OpusDecoder, OpusEncoder, OpusSettings};
use trunkline_rtp::codec::Codec;

mod hot;

use hot::transcoding::Direction;
use hot::{BLOCK, sound};

/// Turns of both sides from which the share is taken, and packets in each.
const TURNS: usize = 200;
const PACKETS: usize = 50;

/// Time of `PACKETS` calls.
fn time(mut packet: impl FnMut()) -> Duration {
    let began = Instant::now();
    (0..PACKETS).for_each(|_| packet());
    began.elapsed()
}

/// Time of the whole and of libopus alone, in turns: the least of each.
fn share(name: &str, mut whole: impl FnMut(), mut libopus: impl FnMut()) {
    let mut least = [Duration::MAX; 2];
    for _ in 0..TURNS {
        least[0] = least[0].min(time(&mut whole));
        least[1] = least[1].min(time(&mut libopus));
    }
    let [whole, libopus] = least.map(|time| time.as_secs_f64() * 1e6 / PACKETS as f64);
    println!(
        "{name}: {whole:.2} us a packet, libopus alone {libopus:.2} us: {:.1} %",
        100.0 * libopus / whole
    );
}

fn transcoding(criterion: &mut Criterion) {
    let opus = Codec::opus_telephony();
    for (name, from, to) in [
        ("opus_to_pcma_20_ms", opus, Codec::Pcma),
        ("pcma_to_opus_20_ms", Codec::Pcma, opus),
        ("pcma_to_g722_20_ms", Codec::Pcma, Codec::G722),
        ("g722_to_opus_20_ms", Codec::G722, opus),
    ] {
        let mut direction = Direction::new(from, to);
        criterion.bench_function(name, |bencher| bencher.iter(|| direction.packet()));
    }

    let mut direction = Direction::new(opus, Codec::Pcma);
    let payloads = direction.payloads.clone();
    let mut decoder = OpusDecoder::new(SampleRate::Hz8000).expect("a decoder");
    let (mut number, mut samples) = (0, [0; BLOCK]);
    let decode = || {
        number += 1;
        black_box(decoder.decode(&payloads[number % payloads.len()], &mut samples).is_ok());
    };
    share("Opus to A-law", || direction.packet(), decode);

    let mut direction = Direction::new(Codec::Pcma, opus);
    let samples = sound::speech();
    let settings = OpusSettings::new(SampleRate::Hz8000);
    let mut encoder = OpusEncoder::new(settings).expect("an encoder");
    let (mut number, mut payload) = (0, [0; 1000]);
    let encode = || {
        number = (number + 1) % (samples.len() / BLOCK);
        let block = &samples[number * BLOCK..(number + 1) * BLOCK];
        black_box(encoder.encode(block, &mut payload).is_ok());
    };
    share("A-law to Opus", || direction.packet(), encode);
}

criterion_group!(benches, transcoding);
criterion_main!(benches);
