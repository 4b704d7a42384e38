//! The echo canceller after the procedures of G.168, over A-law, with its echo paths where they are
//! installed and made-up ones of the same shape.

use trunkline_dsp::echo::{BLOCK, EchoBank, Measurement, Switches, Tail};
use trunkline_dsp::lanes::{LANES, Row, Width};

use crate::path::EchoPath;
use crate::signal::{
    Noise, SECOND, at_level, css, level_dbm0, speech_or_vowels, through_a_law, tones,
};

/// What is sent to a line and what comes back, for each channel.
#[derive(Clone)]
struct Lines {
    far: Vec<Vec<f32>>,
    echo: Vec<Vec<f32>>,
    talker: Vec<Vec<f32>>,
}

impl Lines {
    /// The same is sent to all lines; each has its echo path.
    fn new(far: &[f32], paths: &[Vec<f32>]) -> Self {
        let far: Vec<f32> = far.iter().map(|&sample| through_a_law(sample)).collect();
        let mut lines = Self { far: vec![], echo: vec![], talker: vec![] };
        for lane in 0..LANES {
            lines.echo.push(echo_of(&far, &paths[lane % paths.len()]));
            lines.talker.push(vec![0.0; far.len()]);
            lines.far.push(far.clone());
        }
        lines
    }

    /// A line is sent something else.
    fn send(&mut self, lane: usize, far: &[f32], path: &[f32]) {
        self.far[lane] = far.iter().map(|&sample| through_a_law(sample)).collect();
        self.echo[lane] = echo_of(&self.far[lane], path);
    }

    /// Someone talks at the near end of a line, from a sample on.
    fn talk(&mut self, lane: usize, from: usize, samples: &[f32]) {
        for (sum, sample) in self.talker[lane][from..].iter_mut().zip(samples) {
            *sum += sample;
        }
    }

    fn near(&self) -> Vec<Vec<f32>> {
        let sum = |(echo, talker): (&f32, &f32)| through_a_law(echo + talker);
        let line =
            |(echo, talker): (&Vec<f32>, &Vec<f32>)| echo.iter().zip(talker).map(sum).collect();
        self.echo.iter().zip(&self.talker).map(line).collect()
    }

    /// What the bank leaves of it all.
    fn cancelled_by(&self, bank: &mut EchoBank) -> Vec<Vec<f32>> {
        let (far, mut near) = (blocks(&self.far), blocks(&self.near()));
        bank.process(&far, &mut near);
        (0..LANES).map(|lane| near.iter().flatten().map(|row| row.0[lane]).collect()).collect()
    }
}

fn echo_of(far: &[f32], path: &[f32]) -> Vec<f32> {
    let first = path.iter().position(|&tap| tap != 0.0).unwrap_or(path.len());
    let sample = |n: usize| {
        let taps = path.iter().enumerate().take(n + 1).skip(first);
        taps.map(|(delay, tap)| tap * far[n - delay]).sum::<f32>()
    };
    (0..far.len()).map(sample).collect()
}

fn blocks(lines: &[Vec<f32>]) -> Vec<[Row; BLOCK]> {
    let row = |n: usize| Row(std::array::from_fn(|lane| lines[lane][n]));
    (0..lines[0].len() / BLOCK).map(|b| std::array::from_fn(|n| row(b * BLOCK + n))).collect()
}

/// Echo return loss enhancement of a window.
fn erle_db(lines: &Lines, out: &[Vec<f32>], lane: usize, from: usize, samples: usize) -> f32 {
    let window = from..from + samples;
    level_dbm0(&lines.echo[lane][window.clone()]) - level_dbm0(&out[lane][window])
}

/// Mean and least of some channels.
fn mean_and_least(values: impl Iterator<Item = f32>) -> (f32, f32) {
    let values: Vec<f32> = values.collect();
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    (mean, values.into_iter().fold(f32::MAX, f32::min))
}

/// Nothing but the filters.
fn linear(tail: Tail) -> EchoBank {
    let mut bank = EchoBank::new(tail);
    (0..LANES).for_each(|lane| bank.switch(lane, Switches { cancel: true, suppress: false }));
    bank
}

/// Eight made-up paths, and those of G.168 if they are here.
fn path_sets() -> Vec<Vec<EchoPath>> {
    let made_up = EchoPath::made_up();
    match EchoPath::of_g168() {
        Ok(models) => vec![made_up, models],
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "{why}, and this is CI");
            println!("G.168's own paths skipped: {why}");
            vec![made_up]
        }
    }
}

/// Flat delay in front of a path.
fn delay(tail: Tail) -> usize {
    if tail == Tail::Ms32 { 40 } else { 160 }
}

/// Figures of a tail over a set of paths.
#[derive(Debug)]
struct Figures {
    /// CSS: after 0.25, 0.5, 1 and 5 s, mean and least.
    css_db: [(f32, f32); 4],
    /// Speech, 5 to 8 s.
    speech_db: (f32, f32),
    /// Half a second right after 3 s of double talk.
    after_double_talk_db: (f32, f32),
    measured: Measurement,
}

/// CSS on the first eight channels; on the others speech, with 3 s of another talker, 7 dB above the
/// echo, from 8 s on.
fn figures(tail: Tail, paths: &[EchoPath]) -> Figures {
    let paths: Vec<_> = paths.iter().map(|path| path.behind(delay(tail), 10.0)).collect();
    let samples = 12 * SECOND;
    let voice = at_level(speech_or_vowels("en_US_f_Allison", 3, samples), -14.0);
    let talker = at_level(speech_or_vowels("it_IT_m_Carlo", 5, 3 * SECOND), -17.0);
    let mut lines = Lines::new(&at_level(css(samples, 1), -10.0), &paths);
    for lane in 8..LANES {
        lines.send(lane, &voice, &paths[lane - 8]);
        lines.talk(lane, 8 * SECOND, &talker);
    }
    let mut bank = linear(tail);
    let out = lines.cancelled_by(&mut bank);
    let erle = |lanes: std::ops::Range<usize>, from, samples| {
        mean_and_least(lanes.map(|lane| erle_db(&lines, &out, lane, from, samples)))
    };
    Figures {
        css_db: [2_000, 4_000, 8_000, 40_000].map(|from| erle(0..8, from, 2_800)),
        speech_db: erle(8..16, 5 * SECOND, 3 * SECOND),
        after_double_talk_db: erle(8..16, 11 * SECOND, SECOND / 2),
        measured: bank.measurement(2),
    }
}

#[test]
fn echo_goes_down_to_the_noise_of_a_law_quickly_and_a_talker_spoils_nothing() {
    for paths in path_sets() {
        let name = &paths[0].name;
        let found = figures(Tail::Ms64, &paths);
        println!("{name}: {found:?}");
        let [quarter, _, second, five] = found.css_db;
        assert!(quarter.0 > 23.0 && quarter.1 > 18.0, "{name} 0.25 s: {quarter:?}");
        assert!(second.1 > 30.0, "{name} 1 s: {second:?}");
        assert!(five.0 > 35.0 && five.1 > 34.0, "{name} 5 s: {five:?}");
        assert!(found.speech_db.0 > 30.0, "{name} speech: {:?}", found.speech_db);
        let after = found.after_double_talk_db;
        assert!(after.0 > 26.0 && after.1 > 22.0, "{name} after double talk: {after:?}");
        let Measurement { erl_db, erle_db, converged, .. } = found.measured;
        assert!((erl_db - 10.0).abs() < 3.0 && erle_db > 30.0 && converged, "{erl_db} {erle_db}");
    }
}

/// For tuning, and to see all tails: `cargo test --release -p trunkline-dsp --test line -- --ignored
/// --nocapture table`.
#[test]
#[ignore = "prints a table"]
fn table_of_all_tails() {
    for paths in path_sets() {
        for tail in [Tail::Ms32, Tail::Ms64, Tail::Ms128] {
            println!("{} {tail:?} {:.1?}", paths[0].name, figures(tail, &paths));
        }
    }
}

#[test]
fn another_path_is_learned_within_a_second() {
    for paths in path_sets() {
        let name = &paths[0].name;
        let behind = |n: usize| paths[n % 8].behind(160, 10.0);
        let (first, then): (Vec<_>, Vec<_>) =
            (0..LANES).map(|lane| (behind(lane), behind(lane + 7))).unzip();
        let sent = at_level(css(7 * SECOND, 1), -10.0);
        let mut lines = Lines::new(&sent, &first);
        let other = Lines::new(&sent, &then);
        for (echo, other) in lines.echo.iter_mut().zip(&other.echo) {
            echo[4 * SECOND..].copy_from_slice(&other[4 * SECOND..]);
        }
        let out = lines.cancelled_by(&mut linear(Tail::Ms64));
        let after = |seconds: f32| {
            let from = 4 * SECOND + (seconds * SECOND as f32) as usize;
            mean_and_least((0..LANES).map(|lane| erle_db(&lines, &out, lane, from, 2_800)))
        };
        println!("{name}: {:?} {:?} {:?}", after(0.35), after(1.0), after(2.0));
        assert!(after(1.0).1 > 24.0, "{name} after 1 s: {:?}", after(1.0));
        assert!(after(2.0).1 > 30.0, "{name} after 2 s: {:?}", after(2.0));
    }
}

/// Digits of a telephone, 100 ms each with as long a pause.
fn digits(samples: usize) -> Vec<f32> {
    use trunkline_dsp::dtmf::{Generator, Levels};
    let mut keys = Generator::new(Levels::default());
    let mut out = vec![0; samples];
    for (block, digit) in out.chunks_mut(1_600).zip("0123456789*#ABCD".chars().cycle()) {
        keys.send(digit, 100, 100).unwrap();
        keys.fill(block);
    }
    out.into_iter().map(f32::from).collect()
}

/// Data of a modem: 300 bit/s, frequency shift.
fn keyed(samples: usize) -> Vec<f32> {
    let (mut noise, mut phase, mut hz) = (Noise::new(8), 0.0_f32, 1_650.0);
    let sample = |n: usize| {
        if n.is_multiple_of(27) {
            hz = if noise.next() > 0.0 { 1_650.0 } else { 1_850.0 };
        }
        phase = (phase + hz / SECOND as f32).fract();
        5_000.0 * (std::f32::consts::TAU * phase).sin()
    };
    (0..samples).map(sample).collect()
}

#[test]
fn tones_digits_and_modems_unteach_nothing() {
    let paths = path_sets().pop().unwrap();
    let (learn, tone, check) = (3 * SECOND, 8 * SECOND, SECOND);
    let begin = at_level(css(learn, 1), -10.0);
    let end = at_level(css(check, 2), -10.0);
    let single = |hz| tones(&[hz], -10.0, tone);
    let middles = [
        single(400.0),
        single(1_004.0),
        single(2_100.0),
        single(3_000.0),
        tones(&[350.0, 440.0], -10.0, tone),
        tones(&[697.0, 1_209.0], -10.0, tone),
        digits(tone),
        keyed(tone),
    ];
    let path = |lane: usize| paths[lane % 8].behind(160, 10.0);
    let mut lines = Lines::new(&vec![0.0; learn + tone + check], &[path(0)]);
    for lane in 0..LANES {
        let sent = [&begin[..], &middles[lane % 8], &end].concat();
        lines.send(lane, &sent, &path(lane + lane / 8));
        // A quiet line, not a dead one.
        let mut noise = Noise::new(lane as u64);
        let hiss: Vec<f32> = (0..sent.len()).map(|_| 20.0 * noise.next()).collect();
        lines.talk(lane, 0, &hiss);
    }
    let out = lines.cancelled_by(&mut linear(Tail::Ms64));
    for lane in 0..LANES {
        let after = erle_db(&lines, &out, lane, learn + tone, 2_800);
        let before = erle_db(&lines, &out, lane, learn - 2_800, 2_800);
        println!("{lane}: {before:.1} then {after:.1} dB");
        assert!(after > 25.0 && after > before - 6.0, "{lane}: {before} then {after} dB");
    }
}

#[test]
fn a_talker_on_a_line_without_echo_passes() {
    let samples = 6 * SECOND;
    let far = at_level(speech_or_vowels("en_US_f_Allison", 3, samples), -14.0);
    let talker = at_level(speech_or_vowels("it_IT_m_Carlo", 5, samples), -17.0);
    let mut lines = Lines::new(&far, &[vec![0.0; 8]]);
    // On the second half of the channels nothing is sent at all.
    for lane in 8..LANES {
        lines.send(lane, &vec![0.0; samples], &[0.0]);
    }
    (0..LANES).for_each(|lane| lines.talk(lane, 0, &talker));
    let out = lines.cancelled_by(&mut EchoBank::new(Tail::Ms64));
    let near = lines.near();
    for lane in [0, 8] {
        let (sent, heard) = (&near[lane][SECOND..], &out[lane][SECOND..]);
        let changed: Vec<f32> = heard.iter().zip(sent).map(|(a, b)| a - b).collect();
        let loss = level_dbm0(sent) - level_dbm0(heard);
        let distortion = level_dbm0(&changed) - level_dbm0(sent);
        println!("lane {lane}: {loss:.2} dB less, {distortion:.1} dB of distortion");
        assert!(loss.abs() < 0.5, "lane {lane}: {loss} dB");
        assert!(distortion < if lane == 0 { -12.0 } else { -40.0 }, "lane {lane}: {distortion}");
    }
}

#[test]
fn what_is_left_of_an_echo_gives_way_to_noise_like_the_lines() {
    let samples = 8 * SECOND;
    let paths: Vec<_> = EchoPath::made_up().iter().map(|path| path.behind(160, 10.0)).collect();
    let mut far = at_level(css(samples, 1), -10.0);
    // A second of silence to hear the line.
    far[..SECOND].fill(0.0);
    let mut lines = Lines::new(&far, &paths);
    for lane in 0..LANES {
        let level_dbm0 = if lane < 8 { -55.0 } else { -45.0 };
        let mut noise = Noise::new(lane as u64 + 1);
        let hiss = (0..samples).map(|_| noise.next()).collect();
        lines.talk(lane, 0, &at_level(hiss, level_dbm0));
    }
    let mut bank = EchoBank::new(Tail::Ms64);
    let out = lines.cancelled_by(&mut bank);
    for (lane, out) in out.iter().enumerate() {
        let background = level_dbm0(&lines.talker[lane]);
        // G.168 test 9 wants the noise within 2 dB.
        let heard = level_dbm0(&out[4 * SECOND..]);
        assert!((heard - background).abs() < 2.0, "{lane}: {heard} for {background} dBm0");
        assert!((bank.measurement(lane).noise_dbm0 - background).abs() < 3.0);
    }
}

#[test]
fn a_talker_is_heard_over_the_suppressor_at_once() {
    let samples = 8 * SECOND;
    let paths: Vec<_> = EchoPath::made_up().iter().map(|path| path.behind(160, 10.0)).collect();
    let mut lines = Lines::new(&at_level(css(samples, 1), -12.0), &paths);
    let word = at_level(speech_or_vowels("it_IT_m_Carlo", 5, SECOND), -18.0);
    (0..LANES).for_each(|lane| lines.talk(lane, 6 * SECOND, &word));
    let mut bank = EchoBank::new(Tail::Ms64);
    let out = lines.cancelled_by(&mut bank);
    for (lane, out) in out.iter().enumerate() {
        let window = 6 * SECOND..7 * SECOND;
        let loss = level_dbm0(&word) - level_dbm0(&out[window]);
        assert!(loss.abs() < 1.5, "{lane}: {loss} dB");
        let talk_ms = bank.measurement(lane).double_talk_ms;
        assert!((800..1_100).contains(&talk_ms), "{lane}: {talk_ms} ms of double talk");
    }
}

/// 2100 Hz as a modem sends it.
fn answer_tone(samples: usize, with_reversals: bool) -> Vec<f32> {
    let sample = |n: usize| {
        let turned = if with_reversals { (n / 3_600) as f64 * 0.5 } else { 0.0 };
        let turns = 2_100.0 * n as f64 / SECOND as f64 + turned;
        5_000.0 * (turns.fract() * std::f64::consts::TAU).sin() as f32
    };
    (0..samples).map(sample).collect()
}

#[test]
fn an_answer_tone_with_phase_reversals_turns_the_canceller_off_until_it_is_quiet() {
    let paths: Vec<_> = EchoPath::made_up().iter().map(|path| path.behind(160, 10.0)).collect();
    let data = at_level(keyed(2 * SECOND), -12.0);
    let speech = at_level(css(2 * SECOND, 3), -10.0);
    let call = |with_reversals| {
        let tone = answer_tone(2 * SECOND, with_reversals);
        [&speech[..], &tone, &data, &vec![0.0; SECOND], &speech].concat()
    };
    let samples = call(true).len();
    let mut lines = Lines::new(&vec![0.0; samples], &paths);
    for (lane, path) in paths.iter().enumerate() {
        lines.send(lane, &call(lane % 2 == 0), path);
        // And on the other channels the tone comes from the line.
        let tone = answer_tone(2 * SECOND, lane % 2 == 0);
        lines.send(lane + 8, &[&speech[..], &vec![0.0; 5 * SECOND], &speech].concat(), path);
        lines.talk(lane + 8, 2 * SECOND, &[&tone[..], &data].concat());
    }
    let out = lines.cancelled_by(&mut linear(Tail::Ms64));
    let near = lines.near();
    for lane in 0..LANES {
        // A second after the tone began, until the line was quiet.
        let off = 3 * SECOND..6 * SECOND;
        let is_passed = out[lane][off.clone()] == near[lane][off];
        assert_eq!(is_passed, lane % 2 == 0, "channel {lane}");
        let erle = erle_db(&lines, &out, lane, 8 * SECOND, 2_800);
        assert!(erle > 25.0, "channel {lane} on again: {erle} dB");
    }
}

#[test]
fn a_channel_that_is_switched_off_passes_unchanged_and_a_new_call_starts_anew() {
    let paths: Vec<_> = EchoPath::made_up().iter().map(|path| path.behind(160, 10.0)).collect();
    let lines = Lines::new(&at_level(css(2 * SECOND, 1), -10.0), &paths);
    let mut bank = linear(Tail::Ms64);
    bank.switch(5, Switches { cancel: false, suppress: true });
    let out = lines.cancelled_by(&mut bank);
    assert!(out[5] == lines.near()[5]);
    assert!(bank.measurement(4).converged && !bank.measurement(5).converged);
    bank.reset(4);
    let again = lines.cancelled_by(&mut bank);
    let first = |out: &[Vec<f32>], lane| erle_db(&lines, out, lane, 400, 800);
    assert!((first(&again, 4) - first(&out, 4)).abs() < 0.5);
    assert!(first(&again, 3) > first(&out, 3) + 10.0);
}

#[test]
fn every_width_cancels_alike_and_nothing_makes_a_filter_run_away() {
    let paths: Vec<_> = EchoPath::made_up().iter().map(|path| path.behind(60, 3.0)).collect();
    // Overload, a constant, a square wave, single clicks, silence in between.
    let mut noise = Noise::new(3);
    let far: Vec<f32> = (0..5 * SECOND)
        .map(|n| match n / 4_000 {
            0 | 5 => 40_000.0 * noise.next(),
            1 => 32_000.0,
            2 => f32::from(u8::from(n % 40 < 20)).mul_add(60_000.0, -30_000.0),
            3 => f32::from(u8::from(n % 1_000 == 0)) * 30_000.0,
            6.. => 3_000.0 * noise.next(),
            _ => 0.0,
        })
        .collect();
    let lines = Lines::new(&far, &paths);
    let out: Vec<_> = Width::all()
        .map(|width| {
            let mut bank = EchoBank::with(width, Tail::Ms32);
            for lane in 0..LANES {
                bank.switch(lane, Switches { cancel: true, suppress: false });
            }
            lines.cancelled_by(&mut bank)
        })
        .collect();
    for of_width in &out {
        for lane in 0..LANES {
            let heard = &of_width[lane];
            assert!(heard.iter().all(|sample| sample.abs() < 70_000.0), "channel {lane}");
            let end = erle_db(&lines, of_width, lane, 4 * SECOND, SECOND);
            assert!(end > 28.0, "channel {lane}: {end} dB");
            let first = erle_db(&lines, &out[0], lane, 4 * SECOND, SECOND);
            assert!((end - first).abs() < 1.0, "channel {lane}: {end} and {first} dB");
        }
    }
}
