//! The relays, started and given calls.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use trunkline_rtp::srtp::Suite;

use super::measure::CompareError;
use super::network::{FIRST_A, FIRST_B, Network, RELAY_ADDRESS, RELAY_DEVICE};
use crate::load::call_list::CallList;
use crate::load::codecs::Codecs;
use crate::load::cpu;

/// How long a relay may take to open its calls.
const START: Duration = Duration::from_secs(60);

/// rtpengine's control port, within its namespace.
const CONTROL: &str = "127.0.0.1:2223";

/// A relay to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Peer {
    /// Debian's rtpengine in user space: what all others are measured by.
    Rtpengine,
    /// A relay that does nothing but relay: the floor for a socket a leg.
    Bare,
    /// Trunkline's media plane with mio.
    Mio,
    /// Trunkline's media plane with `io_uring`.
    IoUring,
    /// Trunkline's media plane past the kernel's sockets.
    AfXdp,
    /// The same with a worker on each of two cores.
    AfXdpTwo,
    /// Trunkline's relay in the kernel.
    Kernel,
    /// rtpengine between legs of SRTP, in the suite that everybody has, which is the dearest one.
    /// (Debian's offers none with GCM.)
    RtpengineSrtp,
    /// Trunkline's media plane with mio between legs of SRTP.
    MioSrtp,
    /// Trunkline's media plane past the kernel's sockets between legs of SRTP.
    AfXdpSrtp,
    /// The same with AES-GCM.
    AfXdpGcm,
}

impl Peer {
    /// All, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Rtpengine,
        Self::Bare,
        Self::Mio,
        Self::IoUring,
        Self::AfXdp,
        Self::AfXdpTwo,
        Self::Kernel,
    ];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtpengine => "rtpengine",
            Self::Bare => "bare socket relay",
            Self::Mio => "Trunkline, mio",
            Self::IoUring => "Trunkline, io_uring",
            Self::AfXdp => "Trunkline, AF_XDP",
            Self::AfXdpTwo => "Trunkline, AF_XDP, two workers",
            Self::Kernel => "Trunkline, kernel relay",
            Self::RtpengineSrtp => "rtpengine, SRTP",
            Self::MioSrtp => "Trunkline, mio, SRTP",
            Self::AfXdpSrtp => "Trunkline, AF_XDP, SRTP",
            Self::AfXdpGcm => "Trunkline, AF_XDP, SRTP with GCM",
        }
    }

    /// Whether it sends from within the kernel.
    pub fn sends_in_kernel(self) -> bool {
        self == Self::Kernel
    }

    /// The suite of its legs, if they are SRTP.
    pub fn suite(self) -> Option<Suite> {
        match self {
            Self::RtpengineSrtp | Self::MioSrtp | Self::AfXdpSrtp => {
                Some(Suite::AesCm128HmacSha1_80)
            }
            Self::AfXdpGcm => Some(Suite::AeadAes128Gcm),
            _ => None,
        }
    }

    /// Those that transcode, of the same in the same order.
    pub const TRANSCODING: [Self; 4] = [Self::Rtpengine, Self::Mio, Self::IoUring, Self::AfXdp];

    /// Starts it with calls between the parties of [`Network`].
    ///
    /// # Errors
    /// Why it cannot run here.
    pub fn start(
        self,
        network: &Network,
        programs: &Path,
        calls: usize,
        codecs: Codecs,
    ) -> Result<Running, CompareError> {
        let mut speech = codecs.arguments().to_vec();
        if let Some(suite) = self.suite() {
            speech.extend(["--srtp", suite.name()]);
        }
        match self {
            Self::Rtpengine | Self::RtpengineSrtp => {
                start_rtpengine(network, programs, calls, &speech)
            }
            Self::Bare => {
                let address = RELAY_ADDRESS.to_string();
                let program = program(programs, "trunkline-bare-relay")?;
                own(network, &program, &["--address", &address], calls)
            }
            _ => {
                let (backend, workers) = match self {
                    Self::Mio | Self::MioSrtp => ("mio", "1"),
                    Self::IoUring => ("io_uring", "1"),
                    Self::AfXdpTwo => ("af_xdp", "2"),
                    Self::Kernel => ("kernel", "1"),
                    _ => ("af_xdp", "1"),
                };
                let address = RELAY_ADDRESS.to_string();
                let program = program(programs, "trunkline-media-relay")?;
                let device = RELAY_DEVICE.0;
                let arguments = ["--backend", backend, "--workers", workers];
                let place = ["--address", &address, "--device", device];
                let arguments = [&arguments[..], &place, &speech].concat();
                own(network, &program, &arguments, calls)
            }
        }
    }
}

/// A relay under way; killed when dropped.
#[derive(Debug)]
pub struct Running {
    process: Child,
    /// Its calls.
    pub list: CallList,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its resident memory, KiB.
    pub fn resident_kib(&self) -> u64 {
        cpu::resident_kib(self.pid()).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

fn end(process: &mut Child) {
    let _ = process.kill();
    let _ = process.wait();
}

/// One of our programs, beside this one.
fn program(programs: &Path, name: &'static str) -> Result<PathBuf, CompareError> {
    let path = programs.join(name);
    if path.exists() { Ok(path) } else { Err(CompareError::NotBuilt(name)) }
}

fn parties(calls: usize) -> Vec<String> {
    let calls = calls.to_string();
    let (a, b) = (FIRST_A.to_string(), FIRST_B.to_string());
    ["--calls", &calls, "--first-a", &a, "--first-b", &b].map(str::to_owned).to_vec()
}

/// Starts one of our relays, which writes its call list as the first line.
fn own(
    network: &Network,
    program: &Path,
    arguments: &[&str],
    calls: usize,
) -> Result<Running, CompareError> {
    let mut command = network.at_relay(&program.display().to_string());
    command.args(arguments).args(parties(calls));
    let mut process = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    match first_line(&mut process).and_then(|line| Ok(CallList::parse(&line, "the relay's list")?))
    {
        Ok(list) => Ok(Running { process, list }),
        Err(error) => {
            end(&mut process);
            let mut said = String::new();
            if let Some(mut stderr) = process.stderr.take() {
                let _ = stderr.read_to_string(&mut said);
            }
            match said.lines().rfind(|line| !line.trim().is_empty()) {
                Some(reason) => Err(CompareError::Refused(reason.to_owned())),
                None => Err(error),
            }
        }
    }
}

fn start_rtpengine(
    network: &Network,
    programs: &Path,
    calls: usize,
    speech: &[&str],
) -> Result<Running, CompareError> {
    let driver = program(programs, "trunkline-rtpengine-calls")?;
    if Command::new("rtpengine").arg("--version").output().is_err() {
        return Err(CompareError::NotInstalled("rtpengine"));
    }
    let mut command = network.at_relay("rtpengine");
    command.args(["--config-file=none", "--foreground", "--log-stderr", "--log-level=3"]);
    // Table -1: user space only.
    command.args(["--table=-1", "--port-min=30000", "--port-max=60000", "--tos=184"]);
    command.arg(format!("--interface={RELAY_ADDRESS}")).arg(format!("--listen-ng={CONTROL}"));
    let process = spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let mut running = Running { process, list: CallList::default() };
    let outcome = network
        .at_relay(&driver.display().to_string())
        .args(["--control", CONTROL])
        .args(speech)
        .args(parties(calls))
        .output()
        .map_err(|error| CompareError::Refused(error.to_string()))?;
    if !outcome.status.success() {
        let reason = String::from_utf8_lossy(&outcome.stderr).trim().to_owned();
        return Err(CompareError::Refused(reason));
    }
    running.list = CallList::parse(&String::from_utf8_lossy(&outcome.stdout), "rtpengine's calls")?;
    Ok(running)
}

fn spawn(command: &mut Command) -> Result<Child, CompareError> {
    command.stdin(Stdio::null()).spawn().map_err(|error| CompareError::Command {
        command: format!("{:?}", command.get_program()),
        reason: error.to_string(),
    })
}

/// The first line that a program writes, if it writes one in time.
fn first_line(process: &mut Child) -> Result<String, CompareError> {
    let (tell, told) = mpsc::channel();
    let stdout = process.stdout.take();
    std::thread::spawn(move || {
        let mut line = String::new();
        if let Some(stdout) = stdout {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let _ = tell.send(line);
    });
    match told.recv_timeout(START) {
        Ok(line) if !line.is_empty() => Ok(line),
        _ => Err(CompareError::Refused("it ended or waited without opening its calls".to_owned())),
    }
}
