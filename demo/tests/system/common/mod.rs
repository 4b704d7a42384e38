//! What the system tests share.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use trunkline_demo::network::{Layout, Network, get};
use trunkline_demo::speech;

pub mod baresip;
#[allow(dead_code, reason = "the tests of `tests/browser` use the rest of it")]
pub mod chromium;
pub mod machine;
pub mod sipp;
pub mod stranger;

/// Folder of the programs under test: that of this test program's profile.
pub fn programs() -> PathBuf {
    let mut folder = std::env::current_exe().expect("this program has a path");
    folder.pop(); // deps
    folder.pop();
    let gateway = folder.join("trunkline-gateway");
    assert!(gateway.exists(), "{} is missing: cargo build --workspace --bins", gateway.display());
    folder
}

/// Who has the machine: one test that judges speech, or several that do not.
static MACHINE: RwLock<()> = RwLock::new(());

/// A test's share of [`MACHINE`].
enum Share {
    Whole { _held: RwLockWriteGuard<'static, ()> },
    Part { _held: RwLockReadGuard<'static, ()> },
}

thread_local! {
    /// Keeps the share to the end of the test, which is a thread of its own.
    static SHARE: RefCell<Option<Share>> = const { RefCell::new(None) };
}

/// A system of its own for one test, on the loopback network `number`, beside other tests.
pub fn system(number: u8, adjust: impl FnOnce(&mut Layout)) -> (Network, tempfile::TempDir) {
    share_machine();
    start(number, adjust)
}

/// Waits until the machine is not one test's alone, and has a part of it until the test's end.
pub fn share_machine() {
    let share = || Share::Part { _held: MACHINE.read().unwrap_or_else(PoisonError::into_inner) };
    SHARE.with_borrow_mut(|held| _ = held.get_or_insert_with(share));
}

/// The same while no other test runs: a second system would take its time from the media.
pub fn system_alone(number: u8, adjust: impl FnOnce(&mut Layout)) -> (Network, tempfile::TempDir) {
    let share = || Share::Whole { _held: MACHINE.write().unwrap_or_else(PoisonError::into_inner) };
    SHARE.with_borrow_mut(|held| _ = held.get_or_insert_with(share));
    start(number, adjust)
}

fn start(number: u8, adjust: impl FnOnce(&mut Layout)) -> (Network, tempfile::TempDir) {
    let mut folder = tempfile::tempdir().expect("a folder");
    folder.disable_cleanup(std::env::var_os("KEEP").is_some());
    let mut layout = Layout::apart(folder.path(), &programs(), number);
    layout.speech_s = 6;
    adjust(&mut layout);
    let network = match Network::start(layout) {
        Ok(network) => network,
        Err(error) => panic!("{error}"),
    };
    (network, folder)
}

/// Whether a foreign program is here. A machine without it skips the test aloud; CI must not.
pub fn has(program: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    });
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed, and this is CI");
        println!("skipped: {program} is not installed");
    }
    found
}

/// Waits until `condition` gives something; fails with `what` after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Status of a gateway.
pub fn status(address: std::net::Ipv4Addr) -> Value {
    get(&format!("http://{address}:9100/status")).expect("the gateway's status")
}

/// Waits until nothing of a call is left in a gateway.
pub fn wait_idle(address: std::net::Ipv4Addr) {
    wait_for("the gateway is idle", Duration::from_secs(10), || {
        let status = status(address);
        let calls = ["inquiring", "dialling", "alerting", "answered", "clearing"];
        let idle = calls.iter().all(|phase| status["calls"][phase] == 0)
            && status["media"]["legs"] == 0
            && status["sip"]["open_legs"] == 0
            && status["spans"][0]["channels"]["busy"] == 0;
        idle.then_some(())
    });
}

/// The calls that the exchange has seen.
pub fn exchange_calls(network: &Network) -> Vec<Value> {
    let calls = get(&format!("{}/calls", network.layout.exchange_http())).expect("calls");
    calls.as_array().cloned().unwrap_or_default()
}

/// Waits until call `number` of the exchange is over.
pub fn ended_call(network: &Network, number: u64) -> Value {
    wait_for("the exchange's call is over", Duration::from_secs(30), || {
        exchange_calls(network)
            .into_iter()
            .find(|call| call["call"] == number && call["state"] == "ended")
    })
}

/// The call records that a gateway has written.
pub fn records(network: &Network, gateway: char) -> Vec<Value> {
    let path = network.layout.file(&format!("records-{gateway}.jsonl"));
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a record is JSON"))
        .collect()
}

/// What baresip says: the caller's speech with silence behind it, since baresip hangs up when its
/// file ends and the telephone shall have said all by then.
pub fn speech_with_silence(layout: &Layout) -> PathBuf {
    let mut samples = speech::read(&layout.file("caller.wav")).expect("the caller's speech");
    samples.extend(std::iter::repeat_n(0, 2 * 8_000));
    let path = layout.file("baresip-says.wav");
    speech::write(&path, &samples).expect("it is written");
    path
}

/// A foreign program that is ended when the test ends.
#[derive(Debug)]
pub struct Peer(pub Child);

impl Peer {
    /// Starts it; what it prints goes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = std::fs::File::create(log).expect("a log file");
        let both = file.try_clone().expect("a second handle");
        Self(command.stdin(Stdio::null()).stdout(file).stderr(both).spawn().expect("it starts"))
    }

    /// Waits for its end; true if it ended well.
    pub fn succeeds(&mut self, limit: Duration) -> bool {
        wait_for("the foreign program ends", limit, || self.0.try_wait().expect("a child"))
            .success()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// PESQ (ITU-T P.862.1, narrow band) of what was heard against what was said; both are WAV files.
/// The part of `heard` that belongs to `said` begins at `delay_ms`.
pub fn pesq(said: &Path, heard: &Path, delay_ms: f64) -> Option<f64> {
    let Some(python) = std::env::var_os("PESQ_PYTHON") else {
        assert!(std::env::var_os("CI").is_none(), "PESQ_PYTHON is not set, and this is CI");
        println!("skipped: PESQ_PYTHON is not set (make test sets it)");
        return None;
    };
    const SCORE: &str = "
import sys, wave, numpy
from pesq import pesq
def samples(path):
    with wave.open(path) as file:
        return numpy.frombuffer(file.readframes(file.getnframes()), dtype='<i2')
said, heard = samples(sys.argv[1]), samples(sys.argv[2])
heard = heard[int(float(sys.argv[3]) * 8):][:len(said)]
print(pesq(8000, said, heard, 'nb'))
";
    let output = Command::new(python)
        .args(["-c", SCORE])
        .args([said, heard])
        .arg(delay_ms.max(0.0).to_string())
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).trim().parse().expect("a score"))
}

/// Where `said` begins in `heard`, in ms, both at 8 kHz: by the first half second of it that is
/// found again, since a playout adjustment may fall into one.
///
/// For paths on which somebody else's encoder, another law or Opus changes every sample, so
/// that no block is found bit for bit.
pub fn begins_at_ms(said: &[i16], heard: &[i16]) -> f64 {
    const HALF_SECOND: usize = 4_000;
    let mut best = 0.0;
    for (piece, said) in said.chunks_exact(HALF_SECOND).enumerate().take(4) {
        let (place, agreement) = heard
            .windows(HALF_SECOND)
            .map(|window| correlation(said, window))
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .expect("something was heard");
        if agreement > 0.9 {
            return (place as f64 - (piece * HALF_SECOND) as f64) / 8.0;
        }
        best = agreement.max(best);
    }
    panic!("what was heard is not what was said: correlation {best:.2}");
}

/// Normalised correlation of two recordings over the shorter one.
fn correlation(said: &[i16], heard: &[i16]) -> f64 {
    let sums = said.iter().zip(heard).fold((0.0, 0.0, 0.0), |(both, a, b), (&x, &y)| {
        let (x, y) = (f64::from(x), f64::from(y));
        (both + x * y, a + x * x, b + y * y)
    });
    if sums.1 == 0.0 || sums.2 == 0.0 { 0.0 } else { sums.0 / (sums.1 * sums.2).sqrt() }
}
