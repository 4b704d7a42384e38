use proptest::prelude::*;

use super::*;
use crate::level::level_of;
use SampleRate::{Hz8000, Hz16000, Hz48000};

/// A vowel: harmonics of 150 Hz that fall by 12 dB an octave.
fn vowel(rate: SampleRate, samples: usize) -> Vec<i16> {
    let harmonic = |n: usize, k: usize| {
        let turns = n as f32 * 150.0 * k as f32 / rate.hz() as f32;
        (turns.fract() * std::f32::consts::TAU).sin() / (k * k) as f32
    };
    (0..samples).map(|n| (5_000.0 * (1..=6).map(|k| harmonic(n, k)).sum::<f32>()) as i16).collect()
}

/// Noise and a sawtooth of all levels up to full scale, by integers alone.
fn noise(samples: usize) -> Vec<i16> {
    let mut state = 1_u32;
    (0..samples)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 16) as i16 >> (n / 1_000 % 8);
            let sawtooth = (n * 531 % 16_384) as i16 - 8_192;
            noise.saturating_add(sawtooth >> (n / 3_000 % 5))
        })
        .collect()
}

fn encoded(samples: &[i16], rate: SampleRate) -> Vec<u8> {
    let mut octets = vec![0; samples.len() * 8_000 / rate.hz() as usize];
    let written = G722Encoder::new(rate).unwrap().encode(samples, &mut octets);
    assert_eq!(written, octets.len());
    octets
}

fn decoded(octets: &[u8], rate: SampleRate) -> Vec<i16> {
    let mut samples = vec![0; octets.len() * rate.hz() as usize / 8_000];
    let written = G722Decoder::new(rate).unwrap().decode(octets, &mut samples);
    assert_eq!(written, samples.len());
    samples
}

/// FNV-1a.
fn digest(octets: impl IntoIterator<Item = u8>) -> u64 {
    octets.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// How far the difference of two signals lies below the first, at the best shift, in dB.
fn likeness_db(sent: &[i16], heard: &[i16], shift_max: usize) -> f32 {
    let length = sent.len().min(heard.len()) - shift_max;
    (0..shift_max)
        .map(|shift| {
            let error: Vec<i16> = sent[..length]
                .iter()
                .zip(&heard[shift..])
                .map(|(a, b)| a.saturating_sub(*b))
                .collect();
            level_of(&sent[..length]) - level_of(&error)
        })
        .fold(f32::MIN, f32::max)
}

#[test]
fn octets_and_samples_are_those_of_the_reference_program() {
    // What encg722 and decg722 of the ITU-T Software Tool Library (G.191) make of the same.
    let octets = encoded(&noise(32_000), Hz16000);
    assert_eq!(digest(octets.iter().copied()), 0xd066_2ee3_1014_a2f7);
    let samples = decoded(&octets, Hz16000);
    assert_eq!(digest(samples.into_iter().flat_map(i16::to_le_bytes)), 0x073e_8695_928e_0401);
    // Octets of all values, which no encoder sends.
    let octets: Vec<u8> = noise(16_000).into_iter().map(|sample| (sample >> 3) as u8).collect();
    let samples = decoded(&octets, Hz16000);
    assert_eq!(digest(samples.into_iter().flat_map(i16::to_le_bytes)), 0x2680_5ce2_8494_6b27);
}

#[test]
fn a_voice_comes_through_whichever_rate_either_end_has() {
    let (narrow, wide) = (vowel(Hz8000, 8_000), vowel(Hz16000, 16_000));
    for (from, sent) in [(Hz8000, &narrow), (Hz16000, &wide)] {
        for (to, expected) in [(Hz8000, &narrow), (Hz16000, &wide)] {
            let heard = decoded(&encoded(sent, from), to);
            assert_eq!(heard.len(), expected.len());
            let like = likeness_db(&expected[4_000..], &heard[4_000..], 64);
            let change = level_of(&heard[4_000..]) - level_of(&expected[4_000..]);
            assert!(like > 20.0 && change.abs() < 0.2, "{from} to {to}: {like} dB, {change} dB");
        }
    }
}

#[test]
fn at_16_khz_sounds_above_4_khz_come_through_and_at_8_khz_do_not_fold_back() {
    let hiss: Vec<i16> = (0..16_000)
        .map(|n| (4_000.0 * (n as f32 * 5_500.0 / 16_000.0 * std::f32::consts::TAU).sin()) as i16)
        .collect();
    let octets = encoded(&hiss, Hz16000);
    let change = level_of(&decoded(&octets, Hz16000)[4_000..]) - level_of(&hiss);
    assert!(change.abs() < 1.5, "{change} dB");
    let folded = level_of(&decoded(&octets, Hz8000)[4_000..]) - level_of(&hiss);
    assert!(folded < -40.0, "{folded} dB");
}

#[test]
fn a_lost_packet_is_concealed_and_what_follows_is_soon_right() {
    for rate in [Hz8000, Hz16000] {
        let sent = vowel(rate, rate.hz() as usize);
        let octets = encoded(&sent, rate);
        let whole = decoded(&octets, rate);
        let packet = rate.hz() as usize / 50;
        let mut decoder = G722Decoder::new(rate).unwrap();
        let mut heard = vec![0; sent.len()];
        let packets = octets.chunks(160).zip(heard.chunks_mut(packet));
        for (number, (octets, samples)) in packets.enumerate() {
            if number == 30 {
                decoder.conceal(samples);
            } else {
                assert_eq!(decoder.decode(octets, samples), samples.len());
            }
        }
        let like = |packets: std::ops::Range<usize>| {
            let span = packets.start * packet..packets.end * packet;
            let error: Vec<i16> =
                whole[span.clone()].iter().zip(&heard[span.clone()]).map(|(a, b)| a - b).collect();
            level_of(&whole[span]) - level_of(&error)
        };
        assert_eq!(whole[..30 * packet], heard[..30 * packet]);
        let (lost, next, later) = (like(30..31), like(31..32), like(32..34));
        assert!(lost > 12.0 && next > 10.0 && later > 15.0, "{rate}: {lost}, {next}, {later} dB");
    }
}

#[test]
fn a_long_loss_fades_into_silence_and_a_decoder_can_begin_anew() {
    let octets = encoded(&vowel(Hz16000, 16_000), Hz16000);
    let mut decoder = G722Decoder::new(Hz16000).unwrap();
    let mut heard = vec![0; 16_000];
    decoder.decode(&octets, &mut heard);
    decoder.conceal(&mut heard);
    assert!(
        heard[1_200..].iter().all(|sample| sample.abs() <= 1),
        "{:?}",
        heard[1_200..].iter().max()
    );
    decoder.reset();
    decoder.decode(&octets, &mut heard);
    assert_eq!(heard, decoded(&octets, Hz16000));
}

#[test]
fn losses_in_the_loudest_noise_overload_nothing() {
    for rate in [Hz8000, Hz16000] {
        let mut decoder = G722Decoder::new(rate).unwrap();
        let octets: Vec<u8> = noise(16_000).into_iter().map(|sample| (sample >> 3) as u8).collect();
        let mut samples = vec![0; rate.hz() as usize / 8_000 * 40];
        for (number, octets) in octets.chunks(40).enumerate() {
            if number % 3 == 2 {
                decoder.conceal(&mut samples);
            } else {
                decoder.decode(octets, &mut samples);
            }
        }
    }
}

#[test]
fn other_rates_are_refused() {
    let error = G722Encoder::new(Hz48000).unwrap_err().to_string();
    assert_eq!(error, "G.722 has no samples at 48000 Hz");
    assert!(G722Decoder::new(Hz48000).is_err());
}

proptest! {
    #[test]
    fn any_octets_decode_and_the_lengths_of_blocks_do_not_matter(
        octets in proptest::collection::vec(any::<u8>(), 0..700),
        cut in 1..300_usize,
        wide in any::<bool>(),
        missing in 0..300_usize,
    ) {
        let (rate, per_octet) = if wide { (Hz16000, 2) } else { (Hz8000, 1) };
        let mut decoder = G722Decoder::new(rate).unwrap();
        let mut heard = vec![0; per_octet * octets.len()];
        for (octets, samples) in octets.chunks(cut).zip(heard.chunks_mut(per_octet * cut)) {
            prop_assert_eq!(decoder.decode(octets, samples), samples.len());
        }
        prop_assert_eq!(&heard, &decoded(&octets, rate));
        // Too little room and odd lengths are survived.
        decoder.conceal(&mut vec![0; missing]);
        prop_assert!(decoder.decode(&octets, &mut vec![0; missing]) <= missing);
    }

    #[test]
    fn any_samples_encode_whatever_the_lengths_of_blocks(
        samples in proptest::collection::vec(any::<i16>(), 0..700),
        cut in 1..300_usize,
        wide in any::<bool>(),
    ) {
        let (rate, per_octet) = if wide { (Hz16000, 2) } else { (Hz8000, 1) };
        let samples = &samples[..samples.len() / per_octet * per_octet];
        let mut encoder = G722Encoder::new(rate).unwrap();
        let mut octets = vec![0; samples.len() / per_octet];
        for (samples, octets) in samples.chunks(per_octet * cut).zip(octets.chunks_mut(cut)) {
            prop_assert_eq!(encoder.encode(samples, octets), octets.len());
        }
        prop_assert_eq!(octets, encoded(samples, rate));
        prop_assert_eq!(encoder.encode(samples, &mut [0; 3]), 3.min(samples.len() / per_octet));
    }
}
