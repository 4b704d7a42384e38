//! A server under load: started on the numbers, its processor time, and what dnsperf says of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use super::numbers::{APEX, reversed};

/// Why a server has no figures.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A file cannot be written, or a program not be started.
    #[error("{what}: {error}")]
    Io {
        /// Which.
        what: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// It did not answer in time.
    #[error("did not answer within {0} s")]
    Silent(u64),
    /// It answered otherwise than it has to.
    #[error("answered otherwise: {0}")]
    Answers(String),
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Our directory.
    Directory,
    /// Only our sockets.
    Echo,
    /// NSD.
    Nsd,
    /// Knot DNS.
    Knot,
    /// PowerDNS with its bind backend.
    PowerDns,
}

/// What dnsperf shall have been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Numbers that are there.
    Hits,
    /// Numbers that are not.
    Misses,
}

/// One run of dnsperf.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// Queries that were answered.
    pub answered: u64,
    /// Queries that were not.
    pub lost: u64,
    /// Processor time of the server for a query, in microseconds.
    pub cpu_us: f64,
    /// The kernel's part of it.
    pub kernel_us: f64,
}

impl Kind {
    /// All, ours first.
    pub const ALL: [Self; 5] = [Self::Directory, Self::Echo, Self::Nsd, Self::Knot, Self::PowerDns];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "trunkline-directory",
            Self::Echo => "bare UDP echo, same sockets",
            Self::Nsd => "NSD",
            Self::Knot => "Knot",
            Self::PowerDns => "PowerDNS",
        }
    }

    /// Whether it is somebody else's name server.
    pub fn is_peer(self) -> bool {
        !matches!(self, Self::Directory | Self::Echo)
    }

    fn port(self) -> u16 {
        25_300 + self as u16
    }
}

/// A running server; ended when dropped.
#[derive(Debug)]
pub struct Server {
    /// Which.
    pub kind: Kind,
    /// From its start until it answered.
    pub loaded: Duration,
    child: Child,
}

impl Server {
    /// Starts it on the `zone` or `table.yaml` of `folder`, and waits until it answers for `digits`.
    ///
    /// # Errors
    /// It cannot be started, or does not answer within `limit`.
    pub fn start(
        kind: Kind,
        programs: &Path,
        folder: &Path,
        digits: &str,
        limit: Duration,
    ) -> Result<Self, ServerError> {
        let own = folder.join(format!("{kind:?}"));
        fs::create_dir_all(&own).map_err(|error| io_error(&own, error))?;
        let mut command = command(kind, programs, folder, &own)?;
        let log = fs::File::create(own.join("log")).map_err(|error| io_error(&own, error))?;
        let errors = log.try_clone().map_err(|error| io_error(&own, error))?;
        let began = Instant::now();
        // A group of its own: some serve from children.
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        let child = command.spawn().map_err(|error| ServerError::Io {
            what: format!("{} (scripts/set-up directory)", kind.name()),
            error,
        })?;
        let mut server = Self { kind, loaded: Duration::ZERO, child };
        while !server.answers(digits) {
            let has_ended = server.child.try_wait().ok().flatten().is_some();
            if began.elapsed() > limit || has_ended {
                return Err(ServerError::Silent(began.elapsed().as_secs()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        server.loaded = began.elapsed();
        Ok(server)
    }

    /// What `dig` gets for a number.
    pub fn dig(&self, digits: &str) -> String {
        let port = self.kind.port().to_string();
        let name = format!("{}.{APEX}", reversed(digits));
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &port, "+short", "+tries=1", "+timeout=1", "NAPTR", &name])
            .output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    }

    /// Puts it under load, as much as it takes.
    ///
    /// # Errors
    /// dnsperf does not run, or the answers are not what they have to be.
    pub fn run(&self, load: Load, queries: &Path, seconds: u64) -> Result<Run, ServerError> {
        let (user, kernel) = self.cpu_s();
        let output = Command::new("dnsperf")
            .args(["-s", "127.0.0.1", "-p", &self.kind.port().to_string()])
            .args(["-l", &seconds.to_string(), "-c", "8", "-q", "200", "-d"])
            .arg(queries)
            .output()
            .map_err(|error| ServerError::Io { what: "dnsperf".to_owned(), error })?;
        let (user_after, kernel_after) = self.cpu_s();
        let text = String::from_utf8_lossy(&output.stdout);
        let (answered, lost) =
            (figure(&text, "Queries completed:"), figure(&text, "Queries lost:"));
        let code = match load {
            Load::Hits => "NOERROR",
            Load::Misses => "NXDOMAIN",
        };
        let is_right = self.kind == Kind::Echo || text.contains(&format!("{code} {answered} ("));
        if answered == 0 || !is_right {
            let codes = text.lines().find(|line| line.contains("Response codes"));
            return Err(ServerError::Answers(codes.unwrap_or("nothing").trim().to_owned()));
        }
        let a_query = |seconds: f64| seconds * 1e6 / answered as f64;
        let kernel = kernel_after - kernel;
        let cpu_us = a_query(user_after - user + kernel);
        Ok(Run { answered, lost, cpu_us, kernel_us: a_query(kernel) })
    }

    /// Resident memory of its processes in octets, what they share counted once.
    pub fn memory_octets(&self) -> u64 {
        let kib = |pid: u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            figure(&text, "Pss:")
        };
        self.processes().iter().map(|stat| kib(stat.pid)).sum::<u64>() * 1_024
    }

    fn answers(&self, digits: &str) -> bool {
        self.kind == Kind::Echo || self.dig(digits).contains("E2U+sip")
    }

    fn cpu_s(&self) -> (f64, f64) {
        let all = self.processes();
        let sum = |ticks: fn(&Stat) -> u64| all.iter().map(ticks).sum::<u64>() as f64;
        (sum(|stat| stat.user) / TICKS_PER_S, sum(|stat| stat.kernel) / TICKS_PER_S)
    }

    fn processes(&self) -> Vec<Stat> {
        let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
        let texts = folder
            .filter_map(Result::ok)
            .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
        texts.filter_map(|text| stat(&text)).filter(|stat| stat.group == self.child.id()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for stat in self.processes() {
            let _ = Command::new("kill").args(["-9", &stat.pid.to_string()]).status();
        }
        let _ = self.child.wait();
    }
}

#[derive(Debug, PartialEq)]
struct Stat {
    pid: u32,
    group: u32,
    user: u64,
    kernel: u64,
}

/// A line of `/proc/PID/stat` (proc(5)); the name may have spaces and brackets in it.
fn stat(text: &str) -> Option<Stat> {
    let (before, after) = text.rsplit_once(')')?;
    let pid = before.split(' ').next()?.parse().ok()?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let group = fields.get(2)?.parse().ok()?;
    let user = fields.get(11)?.parse().ok()?;
    Some(Stat { pid, group, user, kernel: fields.get(12)?.parse().ok()? })
}

/// The number behind a label.
fn figure(text: &str, label: &str) -> u64 {
    let rest = text.split_once(label).map(|(_, rest)| rest.split_whitespace().next());
    rest.flatten().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn command(kind: Kind, programs: &Path, folder: &Path, own: &Path) -> Result<Command, ServerError> {
    let port = kind.port();
    let (zone, at) = (folder.join("zone"), own.display());
    let zone = zone.display();
    let write = |name: &str, text: String| -> Result<PathBuf, ServerError> {
        let path = own.join(name);
        fs::write(&path, text).map_err(|error| io_error(&path, error))?;
        Ok(path)
    };
    let command = match kind {
        Kind::Directory => {
            let table = folder.join("table.yaml");
            let text = format!(
                "listen: [\"127.0.0.1:{port}\"]\nhttp: 127.0.0.1:{}\napexes: [{APEX}]\nudp_workers: 1\n\
                 response_rate: {{ per_second: 0, burst: 1 }}\ntable: {}\n",
                port + 50,
                table.display()
            );
            let mut command = Command::new(programs.join("trunkline-directory"));
            command.arg("run").arg(write("directory.yaml", text)?);
            command
        }
        Kind::Echo => {
            let mut command = Command::new(programs.join("examples/udp_echo"));
            command.arg(format!("127.0.0.1:{port}"));
            command
        }
        Kind::Nsd => {
            let text = format!(
                "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n\
                 \x20 zonesdir: \"\"\n  database: \"\"\n  pidfile: {at}/pid\n  rrl-ratelimit: 0\n\
                 \x20 xfrdfile: {at}/xfrd\n  zonelistfile: {at}/list\n  xfrdir: {at}\n\
                 remote-control:\n  control-enable: no\n\
                 zone:\n  name: {APEX}\n  zonefile: {zone}\n"
            );
            let mut command = Command::new("/usr/sbin/nsd");
            command.arg("-d").arg("-c").arg(write("nsd.conf", text)?);
            command
        }
        Kind::Knot => {
            let text = format!(
                "server:\n  listen: 127.0.0.1@{port}\n  rundir: {at}\n  udp-workers: 1\n\
                 \x20 tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: {at}\n\
                 log:\n- target: stderr\n  any: warning\n\
                 template:\n- id: default\n  zonefile-load: whole\n  journal-content: none\n\
                 zone:\n- domain: {APEX}\n  file: {zone}\n"
            );
            let mut command = Command::new("/usr/sbin/knotd");
            command.arg("-c").arg(write("knot.conf", text)?);
            command
        }
        Kind::PowerDns => {
            let named = format!("zone \"{APEX}\" {{ type master; file \"{zone}\"; }};\n");
            let named = write("named.conf", named)?;
            let text = format!(
                "launch=bind\nbind-config={}\nlocal-address=127.0.0.1\nlocal-port={port}\n\
                 socket-dir={at}\nreceiver-threads=1\ndistributor-threads=1\n\
                 security-poll-suffix=\nguardian=no\ndaemon=no\ndisable-syslog=yes\n",
                named.display()
            );
            write("pdns.conf", text)?;
            let mut command = Command::new("/usr/sbin/pdns_server");
            command.arg(format!("--config-dir={at}"));
            command
        }
    };
    Ok(command)
}

fn io_error(path: &Path, error: std::io::Error) -> ServerError {
    ServerError::Io { what: path.display().to_string(), error }
}

/// What Linux counts processor time in for programs, on every machine (proc(5), `USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let text = "42 (a b) c) S 1 40 40 0 -1 0 1 2 3 4 70 80 9 9 20 0";
        assert_eq!(stat(text), Some(Stat { pid: 42, group: 40, user: 70, kernel: 80 }));
        assert_eq!(stat("42 (a"), None);
    }

    #[test]
    fn figures_of_dnsperf_are_read() {
        let text = "  Queries completed:    1999 (99.95%)\n  Queries lost: 1 (0.05%)\n";
        assert_eq!(figure(text, "Queries completed:"), 1999);
        assert_eq!(figure(text, "Queries lost:"), 1);
        assert_eq!(figure(text, "Queries sent:"), 0);
    }
}
