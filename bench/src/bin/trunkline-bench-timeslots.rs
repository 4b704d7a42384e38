//! `trunkline-bench-timeslots`: what RTP to timeslots costs, with every B channel of many E1 in use.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use trunkline_bench::load::descriptors;
use trunkline_dsp::g711::Law;
use trunkline_media::packet_io::Backend;
use trunkline_media::{Media, MediaConfig, OpenedLeg, Remote, RtpLegSpec, RtpLegUpdate};

/// Samples of a line's block, 1 ms.
const BLOCK: usize = 8;
const TICK: Duration = Duration::from_millis(1);

/// Joins timeslots in pairs by RTP over the loopback and turns all of them with a line clock of 1 ms.
/// Tells the processor time of the media worker and of the line's thread, both with the kernel's work
/// for them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// B channels; 480 are those of 16 E1.
    #[arg(long, default_value_t = 480, value_parser = clap::value_parser!(u16).range(2..=4000))]
    channels: u16,
    /// What carries the packets.
    #[arg(long, value_enum, default_value = "io_uring")]
    backend: Carrier,
    /// Measured seconds, after two to settle.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where to write the table too.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Carrier {
    /// Sockets behind epoll.
    Mio,
    /// Sockets behind io_uring.
    #[value(name = "io_uring")]
    IoUring,
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
    let backend = match arguments.backend {
        Carrier::Mio => Backend::Mio,
        Carrier::IoUring => Backend::IoUring,
    };
    let media = Media::start(MediaConfig {
        cores: vec![0],
        backend: Some(backend),
        rtp_ports: 20_000..=39_999,
        ..MediaConfig::default()
    })?;
    // Nobody listens to the legs.
    drop(media.events());
    let mut legs = open(&media, usize::from(arguments.channels) / 2 * 2)?;

    let blocks = |duration: Duration| duration.as_millis() as u64;
    turn(&mut legs, blocks(Duration::from_secs(2)));
    let before = (media.counters().total(), processor_time(libc::RUSAGE_SELF));
    let line_before = processor_time(libc::RUSAGE_THREAD);
    let began = Instant::now();
    turn(&mut legs, blocks(Duration::from_secs(arguments.seconds)));
    let seconds = began.elapsed().as_secs_f64();
    let line = (processor_time(libc::RUSAGE_THREAD) - line_before).as_secs_f64() / seconds;
    let all = (processor_time(libc::RUSAGE_SELF) - before.1).as_secs_f64() / seconds;
    let after = media.counters().total();
    let packets = after.packets_received - before.0.packets_received;
    let concealed = after.concealed_samples - before.0.concealed_samples;

    let table = format!(
        "| channels | back end | packets/s in | concealed samples/s | worker, cores | line, cores | all, cores |\n\
         |---|---|---|---|---|---|---|\n\
         | {} | {backend} | {:.0} | {:.1} | {:.3} | {line:.3} | {all:.3} |\n",
        legs.len(),
        packets as f64 / seconds,
        concealed as f64 / seconds,
        all - line,
    );
    print!("{table}");
    if let Some(path) = &arguments.out {
        std::fs::write(path, &table)?;
    }
    Ok(())
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

/// Turns every timeslot by so many blocks, one a millisecond.
fn turn(legs: &mut [OpenedLeg], blocks: u64) {
    let begin = Instant::now();
    let mut to_line = [0; BLOCK];
    for block in 0..blocks {
        for (number, leg) in legs.iter_mut().enumerate() {
            // Speech of a kind: no two blocks are alike, none is silence.
            let from_line: [u8; BLOCK] =
                std::array::from_fn(|n| (block as u8).wrapping_mul(31) ^ (number + 7 * n) as u8);
            leg.timeslot.exchange(&from_line, &mut to_line);
        }
        let next = begin + TICK * (block as u32 + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
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
