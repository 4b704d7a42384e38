//! The programs of a run, from the start to the end of the last call.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::echo::Echo;
use super::files::{CALLER, ECHO, EXCHANGE, GATEWAY};
use super::{Load, files};
use crate::load::cpu::{Snapshot, Watch, Watched, resident_kib};

/// How long the programs may take to be ready, and the last calls to end.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How often the gateway is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system refused something.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What went wrong.
        error: io::Error,
    },
    /// A program does not answer as it should.
    #[error("{0}")]
    Program(String),
}

/// What a run was like.
#[derive(Debug)]
pub struct Figures {
    /// Busy B channels, second by second, while calls were begun.
    pub busy: Vec<u64>,
    /// Load of the busiest media worker, second by second, 0.0 to 1.0.
    pub worker_load: Vec<f64>,
    /// The gateway's /status behind the last call.
    pub status: Value,
    /// The exchange's spans behind the last call.
    pub spans: Value,
    /// Calls that the exchange has not ended.
    pub open_at_exchange: usize,
    /// Call records by Q.850 cause.
    pub records: BTreeMap<u64, u64>,
    /// RTP packets that the echo received, and sent back.
    pub echoed: (u64, u64),
    /// How SIPp ended: all calls as its scenario says.
    pub callers_content: bool,
    /// From the first call to the last one's end.
    pub measured: Duration,
    /// Processor time and memory of gateway, exchange and SIPp, and of this program.
    pub watched: Vec<Watched>,
    /// The gateway's own memory before the first call, KiB.
    pub idle_kib: u64,
    /// The most that the gateway had, KiB.
    pub most_kib: u64,
    /// The whole machine, in cores.
    pub machine_cores: f64,
}

/// A program that is killed with its owner.
struct Program(Child);

impl Program {
    fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self, RunError> {
        let failed = |error| RunError::System { what: name.to_owned(), error };
        let log = File::create(folder.join(format!("{name}.log"))).map_err(failed)?;
        let also = log.try_clone().map_err(failed)?;
        let command = command.current_dir(folder).stdin(Stdio::null()).stdout(log).stderr(also);
        command.spawn().map(Self).map_err(failed)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a load; files and logs go into a folder.
pub fn run(load: &Load, programs: &Path, folder: &Path) -> Result<Figures, RunError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error| RunError::System { what, error }
    };
    files::write(folder, load).map_err(failed("files of the run"))?;
    let records = folder.join("calls.jsonl");
    let _ = std::fs::remove_file(&records);
    let ours = |name: &str, configuration: &str| -> Result<Program, RunError> {
        let mut command = Command::new(programs.join(name));
        command.args(["--log", "json", "run", configuration]).env("RUST_LOG", "warn");
        Program::start(name, &mut command, folder)
    };
    let exchange = ours("trunkline-exchange", "exchange.yaml")?;
    let gateway = ours("trunkline-gateway", "gateway.yaml")?;
    let echo = Echo::start(ECHO).map_err(failed("echo"))?;
    wait_for("every span is in service", || {
        let status = status()?;
        let spans = status["spans"].as_array()?;
        let is_up = |span: &Value| span["in_service"] == true;
        (spans.len() == usize::from(load.spans) && spans.iter().all(is_up)).then_some(())
    })?;
    let idle_kib = resident_kib(gateway.0.id()).unwrap_or_default();
    let mut sipp = Command::new("sipp");
    sipp.arg(format!("{GATEWAY}:5060"))
        .args(["-sf", "scale.xml", "-s", "0333331234", "-i", CALLER, "-p", "5060", "-nostdin"])
        .args(["-r", &load.calls_per_s.to_string(), "-m", &load.calls().to_string()])
        .args(["-l", &(2 * load.channels()).to_string(), "-trace_err"])
        .env("TERM", "dumb");
    let mut callers = Program::start("sipp", &mut sipp, folder)?;
    let pids = [gateway.0.id(), exchange.0.id(), callers.0.id(), std::process::id()];
    let watch = Watch::new(&pids);
    let snapshot = || -> Result<Snapshot, RunError> {
        watch.snapshot().map_err(|error| RunError::Program(error.to_string()))
    };
    let (begun, before) = (Instant::now(), snapshot()?);
    let mut last = before.clone();
    let (mut busy, mut worker_load, mut most_kib) = (Vec::new(), Vec::new(), idle_kib);
    let calling = Duration::from_secs(load.seconds.into());
    let callers_content = loop {
        std::thread::sleep(LOOK_EVERY);
        if let Some(ended) = callers.0.try_wait().map_err(failed("SIPp"))? {
            break ended.success();
        }
        if begun.elapsed() > calling + WAIT_MAX {
            return Err(RunError::Program("SIPp does not end".to_owned()));
        }
        // SIPp's time can be read while it is there only.
        last = snapshot()?;
        most_kib = most_kib.max(resident_kib(gateway.0.id()).unwrap_or_default());
        if let Some(status) = status().filter(|_| begun.elapsed() < calling) {
            busy.push(sum(&status["spans"], |span| span["channels"]["busy"].as_u64()));
            let workers = status["media"]["workers"].as_array().into_iter().flatten();
            let loads = workers.filter_map(|worker| worker["load"].as_f64());
            worker_load.push(loads.fold(0.0, f64::max));
        }
    };
    let measured = Duration::from_nanos(last.at_ns - before.at_ns);
    // What is not gone by then is stuck: the report says how much.
    let _ = wait_for("the last call is over", || {
        let status = status()?;
        let calls = &status["calls"];
        let phases = ["inquiring", "dialling", "alerting", "answered", "clearing"];
        phases.iter().all(|phase| calls[phase] == 0).then_some(())
    });
    let open = || {
        let calls = get(&format!("http://{EXCHANGE}:9200/calls"))?;
        let calls = calls.as_array()?.iter();
        Some(calls.filter(|call| call["state"] != "ended").count())
    };
    let _ = wait_for("the exchange has ended its calls", || open().filter(|open| *open == 0));
    let written = |records: &PathBuf| count_records(records).ok();
    let _ = wait_for("the call records", || {
        let count: u64 = written(&records)?.values().sum();
        (count == u64::from(load.calls())).then_some(())
    });
    let silent = || RunError::Program("gateway or exchange does not answer".to_owned());
    Ok(Figures {
        busy,
        worker_load,
        status: status().ok_or_else(silent)?,
        spans: get(&format!("http://{EXCHANGE}:9200/spans")).ok_or_else(silent)?,
        open_at_exchange: open().ok_or_else(silent)?,
        records: written(&records).unwrap_or_default(),
        echoed: echo.counts(),
        callers_content,
        measured,
        watched: watch.between(&before, &last),
        idle_kib,
        most_kib,
        machine_cores: (last.busy_ns - before.busy_ns) as f64 / measured.as_nanos() as f64,
    })
}

/// The sum of a figure of each span.
pub fn sum(spans: &Value, figure: impl Fn(&Value) -> Option<u64>) -> u64 {
    spans.as_array().into_iter().flatten().filter_map(figure).sum()
}

fn status() -> Option<Value> {
    get(&format!("http://{GATEWAY}:9100/status"))
}

fn get(url: &str) -> Option<Value> {
    let request = ureq::get(url).config().timeout_global(Some(Duration::from_secs(5))).build();
    let text = request.call().ok()?.body_mut().with_config().limit(64 << 20).read_to_string();
    serde_json::from_str(&text.ok()?).ok()
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, RunError> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(RunError::Program(format!("not within {} s: {what}", WAIT_MAX.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The records of a file by their cause.
fn count_records(path: &Path) -> io::Result<BTreeMap<u64, u64>> {
    let mut by_cause = BTreeMap::new();
    for line in BufReader::new(File::open(path)?).lines() {
        let record: Value = serde_json::from_str(&line?).unwrap_or_default();
        *by_cause.entry(record["cause"].as_u64().unwrap_or_default()).or_default() += 1;
    }
    Ok(by_cause)
}
