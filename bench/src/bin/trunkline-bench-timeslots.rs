//! `trunkline-bench-timeslots`: what timeslots cost, with every B channel of many E1 in use.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use trunkline_bench::compare::results;
use trunkline_bench::load::descriptors;
use trunkline_dsp::g711::Law;
use trunkline_media::packet_io::{Backend, probe};
use trunkline_media::{
    CrossEnd, Media, MediaConfig, OpenedLeg, Remote, RtpLegSpec, RtpLegUpdate, cross,
};

/// Samples of a line's block, 1 ms.
const BLOCK: usize = 8;
const TICK: Duration = Duration::from_millis(1);
/// Time to settle, not measured.
const SETTLING: Duration = Duration::from_secs(2);

/// Joins timeslots in pairs, by RTP over the loopback and directly, and turns all of them with a line
/// clock of 1 ms. Writes the processor time of the media worker and of the line's thread, both with
/// the kernel's work for them, as a table.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// B channels; 480 are those of 16 E1.
    #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u16).range(2..=4000))]
    channels: u16,
    /// Measured seconds of each way.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where to write the table too.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline-bench-timeslots: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    descriptors::allow_all()?;
    let began = SystemTime::now();
    let channels = usize::from(arguments.channels) / 2 * 2;
    let measured = Duration::from_secs(arguments.seconds);
    let mut rows = String::new();
    for backend in [Backend::Mio, Backend::IoUring] {
        if backend != Backend::Mio && probe(None).backend != backend {
            let _ = writeln!(rows, "| RTP, {backend} | not measured: this host has none |||||");
            continue;
        }
        rows += &by_rtp(backend, channels, measured)?;
    }
    rows += &crossed(channels, measured);
    let table = table(arguments, began, channels, &rows);
    print!("{table}");
    if let Some(path) = &arguments.out {
        std::fs::write(path, &table)?;
    }
    Ok(())
}

fn table(arguments: &Arguments, began: SystemTime, channels: usize, rows: &str) -> String {
    let mut out = format!(
        "# Timeslots in full use\n\n\
         {channels} B channels, two by two, G.711: by RTP of 20 ms over the loopback, and joined \
         directly (a call from line to line).\n`worker` is the media worker with the kernel's work \
         for its sockets, `line` the thread that turns every timeslot each\nmillisecond. The aim \
         with 480 channels, those of 16 E1, was half a core in all.\n\n| | |\n|---|---|\n"
    );
    let when = humantime::format_rfc3339_seconds(began);
    let command = format!(
        "trunkline-bench-timeslots --channels {} --seconds {}",
        arguments.channels, arguments.seconds
    );
    let _ = writeln!(out, "| when | {when} |\n| command | `{command}` |");
    for (name, value) in results::machine().into_iter().filter(|(name, _)| *name != "rtpengine") {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    if cfg!(debug_assertions) {
        out += "\n**A development build: good for trying, not for comparing.**\n";
    }
    out += "\n| way | packets/s in | concealed or slipped samples/s | worker, cores | line, cores \
            | all, cores |\n|---|---|---|---|---|---|\n";
    out + rows
}

/// A row of timeslots that hear one another by RTP.
fn by_rtp(
    backend: Backend,
    channels: usize,
    measured: Duration,
) -> Result<String, Box<dyn std::error::Error>> {
    let media = Media::start(MediaConfig {
        cores: vec![0],
        backend: Some(backend),
        rtp_ports: 20_000..=39_999,
        ..MediaConfig::default()
    })?;
    // Nobody listens to the legs.
    drop(media.events());
    let mut legs = open(&media, channels)?;
    turn(legs.iter_mut().map(|leg| &mut leg.timeslot), SETTLING, |timeslot, from, to| {
        timeslot.exchange(from, to);
    });
    let before = media.counters().total();
    let times =
        turn(legs.iter_mut().map(|leg| &mut leg.timeslot), measured, |timeslot, from, to| {
            timeslot.exchange(from, to);
        });
    let after = media.counters().total();
    let packets = (after.packets_received - before.packets_received) as f64 / times.seconds;
    let concealed = (after.concealed_samples - before.concealed_samples) as f64 / times.seconds;
    Ok(times.row(&format!("RTP, {backend}"), packets, concealed))
}

/// A row of timeslots that are joined without a packet.
fn crossed(channels: usize, measured: Duration) -> String {
    let mut boards = Vec::new();
    let mut ends: Vec<CrossEnd> = Vec::new();
    for _ in 0..channels / 2 {
        let (a, b, board) = cross(Law::A, Law::A);
        ends.extend([a, b]);
        boards.push(board);
    }
    turn(ends.iter_mut(), SETTLING, CrossEnd::exchange);
    let slipped = || -> u64 {
        let figures = boards.iter().flat_map(|board| board.figures());
        figures.map(|figures| figures.octets_inserted + figures.octets_dropped).sum()
    };
    let before = slipped();
    let times = turn(ends.iter_mut(), measured, CrossEnd::exchange);
    times.row("joined directly", 0.0, (slipped() - before) as f64 / times.seconds)
}

/// Legs that talk to each other two by two.
fn open(media: &Media, channels: usize) -> Result<Vec<OpenedLeg>, Box<dyn std::error::Error>> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut legs = (0..channels)
        .map(|_| media.open(RtpLegSpec::g711(here, None, Law::A)))
        .collect::<Result<Vec<_>, _>>()?;
    for two in legs.chunks_exact_mut(2) {
        for (from, to) in [(0, 1), (1, 0)] {
            let remote = Some(Remote::new(two[to].local));
            media.update(two[from].leg, RtpLegUpdate { remote, ..RtpLegUpdate::default() })?;
        }
        // The worker takes only so many commands at once.
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(legs)
}

/// What a time of turning took.
struct Times {
    seconds: f64,
    line: Duration,
    all: Duration,
}

impl Times {
    fn row(&self, way: &str, packets_per_s: f64, wrong_samples_per_s: f64) -> String {
        let cores = |time: Duration| time.as_secs_f64() / self.seconds;
        format!(
            "| {way} | {packets_per_s:.0} | {wrong_samples_per_s:.1} | {:.3} | {:.3} | {:.3} |\n",
            cores(self.all.saturating_sub(self.line)),
            cores(self.line),
            cores(self.all)
        )
    }
}

/// Turns every timeslot for so long, by a block a millisecond.
fn turn<'a, T: 'a>(
    timeslots: impl Iterator<Item = &'a mut T>,
    duration: Duration,
    exchange: impl Fn(&mut T, &[u8], &mut [u8]),
) -> Times {
    let mut timeslots: Vec<&mut T> = timeslots.collect();
    let before = (processor_time(libc::RUSAGE_THREAD), processor_time(libc::RUSAGE_SELF));
    let begin = Instant::now();
    let mut to_line = [0; BLOCK];
    for block in 0..duration.as_millis() as u32 {
        for (number, timeslot) in timeslots.iter_mut().enumerate() {
            // Speech of a kind: no two blocks are alike, none is silence.
            let from_line: [u8; BLOCK] =
                std::array::from_fn(|n| (block as u8).wrapping_mul(31) ^ (number + 7 * n) as u8);
            exchange(timeslot, &from_line, &mut to_line);
        }
        let next = begin + TICK * (block + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Times {
        seconds: begin.elapsed().as_secs_f64(),
        line: processor_time(libc::RUSAGE_THREAD) - before.0,
        all: processor_time(libc::RUSAGE_SELF) - before.1,
    }
}

/// User and system time of the process or of the calling thread.
fn processor_time(whose: i32) -> Duration {
    // SAFETY: all-zero is a value of this type.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one value of this type.
    unsafe { libc::getrusage(whose, &raw mut usage) };
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}
