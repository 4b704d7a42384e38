//! The foreign end: a process that speaks libpri, and our interface wired to it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use trunkline_isdn::{
    Accompanying, CallId, Configuration, Indication, Output, PrimaryRate, Request, Setup, Side,
    Variant,
};

/// Both ends answer at once; what takes longer than this never comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Every variant with the switch type of libpri that is meant to be the same. libpri has no INS1500;
/// EuroISDN on a T1 is what comes nearest.
pub const SWITCH_TYPES: [(Variant, &str); 7] = [
    (Variant::EURO_ISDN, "euroisdn_e1"),
    (Variant::INS_1500, "euroisdn_t1"),
    (Variant::NI_2, "ni2"),
    (Variant::DMS_100, "dms100"),
    (Variant::ESS_4, "4ess"),
    (Variant::ESS_5, "5ess"),
    (Variant::QSIG, "qsig"),
];

/// Either side of every variant, each with a peer of its own.
pub fn on_every_interface(test: impl Fn(&mut Line)) {
    on_interfaces(|_| true, &[], test);
}

/// The same for those variants that have something, with options for libpri.
pub fn on_interfaces(has: fn(&Variant) -> bool, options: &[&str], test: impl Fn(&mut Line)) {
    for (variant, switch_type) in SWITCH_TYPES {
        if !has(&variant) {
            continue;
        }
        for side in [Side::User, Side::Network] {
            let Some(mut line) = Line::up(side, variant, switch_type, options) else { return };
            test(&mut line);
        }
    }
}

/// Octets where the FCS is (libpri writes filler and ignores what it reads).
const FCS_SIZE_OCTETS: usize = 2;

/// What came from the peer's process.
enum Received {
    Frame(Vec<u8>),
    Event(String),
    Complaint(String),
    Ended,
}

/// libpri in a process of its own.
pub struct Peer {
    process: Child,
    d_channel: UnixDatagram,
    commands: UnixStream,
    received: Receiver<Received>,
    complaints: Vec<String>,
}

impl Peer {
    /// Starts libpri as `side` of an interface. `None`, with a word about it, where it cannot be
    /// built; in CI that is a failure.
    pub fn start(side: Side, switch_type: &str, options: &[&str]) -> Option<Self> {
        static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let program = match PROGRAM.get_or_init(build) {
            Ok(program) => program,
            Err(why) => {
                assert!(std::env::var_os("CI").is_none(), "the libpri peer cannot be built: {why}");
                eprintln!("SKIPPED, the libpri peer cannot be built: {why}");
                return None;
            }
        };
        let (d_channel, its_d_channel) = UnixDatagram::pair().expect("a pair of sockets");
        let (commands, its_commands) = UnixStream::pair().expect("a pair of sockets");
        let mut process = Command::new(program)
            .arg(match side {
                Side::User => "user",
                Side::Network => "network",
            })
            .arg(switch_type)
            .args(options)
            .stdin(Stdio::from(OwnedFd::from(its_d_channel)))
            .stdout(Stdio::from(OwnedFd::from(its_commands)))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let (sender, received) = mpsc::channel();
        let frames = d_channel.try_clone().expect("a socket");
        let from_d_channel = sender.clone();
        std::thread::spawn(move || read_frames(&frames, &from_d_channel));
        let events = commands.try_clone().expect("a socket");
        let from_events = sender.clone();
        std::thread::spawn(move || {
            read_lines(events, |line| from_events.send(Received::Event(line)).is_ok());
            let _ = from_events.send(Received::Ended);
        });
        let complaints = process.stderr.take().expect("its standard error");
        std::thread::spawn(move || {
            read_lines(complaints, |line| sender.send(Received::Complaint(line)).is_ok());
        });
        Some(Self { process, d_channel, commands, received, complaints: Vec::new() })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its commands is its end; the readers end with it.
        let _ = self.commands.shutdown(Shutdown::Both);
        let _ = self.d_channel.shutdown(Shutdown::Both);
        if std::thread::panicking() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

fn read_frames(d_channel: &UnixDatagram, to: &Sender<Received>) {
    let mut octets = [0; 1_024];
    while let Ok(size @ 1..) = d_channel.recv(&mut octets) {
        let frame = octets[..size.saturating_sub(FCS_SIZE_OCTETS)].to_vec();
        if to.send(Received::Frame(frame)).is_err() {
            return;
        }
    }
}

fn read_lines(from: impl std::io::Read, mut take: impl FnMut(String) -> bool) {
    for line in BufReader::new(from).lines() {
        let Ok(line) = line else { return };
        if !take(line) {
            return;
        }
    }
}

/// Compiles the peer into the target folder.
fn build() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer/libpri_peer.c");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let made = folder.join(format!("libpri_peer.{}", std::process::id()));
    let program = folder.join("libpri_peer");
    let output = Command::new("cc")
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&made)
        .arg(&source)
        .arg("-lpri")
        .output()
        .map_err(|error| format!("cc: {error} (Debian: gcc)"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{why} (Debian: libpri-dev)"));
    }
    // Another run of the tests may be about to start the same file.
    std::fs::rename(&made, &program).map_err(|error| error.to_string())?;
    Ok(program)
}

/// An event of the peer: a verb and its figures.
#[derive(Clone, Debug)]
pub struct Event {
    line: String,
}

impl Event {
    /// What happened.
    pub fn verb(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// What follows `name=`.
    pub fn text(&self, name: &str) -> &str {
        self.line
            .split(' ')
            .filter_map(|part| part.split_once('='))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
            .unwrap_or_else(|| panic!("no {name} in {}", self.line))
    }

    /// The same as a number.
    pub fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_else(|_| panic!("no number {name} in {}", self.line))
    }
}

/// Our interface and the peer at the other end of it.
pub struct Line {
    pub ours: PrimaryRate,
    /// The side that we are.
    pub side: Side,
    /// What is spoken.
    pub variant: Variant,
    peer: Peer,
    /// How far our clock is ahead of the peer's, which is the real one.
    ahead: Duration,
    seen: VecDeque<(CallId, Indication)>,
    others: VecDeque<Output>,
    events: VecDeque<Event>,
    last_call: i64,
    /// What was seen and said, for the report of a failure.
    log: Vec<String>,
}

impl Line {
    /// The data link is up.
    pub fn up(side: Side, variant: Variant, switch_type: &str, options: &[&str]) -> Option<Self> {
        Self::with(Configuration::new(side, variant), switch_type, options)
    }

    /// The same with more to choose.
    pub fn with(configuration: Configuration, switch_type: &str, options: &[&str]) -> Option<Self> {
        let Configuration { side, variant, .. } = configuration;
        let mut line = Self {
            side,
            variant,
            peer: Peer::start(side.other(), switch_type, options)?,
            ours: PrimaryRate::new(Configuration::new(side, variant)),
            ahead: Duration::ZERO,
            seen: VecDeque::new(),
            others: VecDeque::new(),
            events: VecDeque::new(),
            last_call: -1,
            log: Vec::new(),
        };
        let now = line.now();
        line.ours.line_up(now);
        line.event("up");
        line.run_until("our link", |line| line.ours.is_up().then_some(()));
        Some(line)
    }

    /// Our time.
    pub fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    /// Time passes for us, not for the peer.
    pub fn pass(&mut self, duration: Duration) {
        self.ahead += duration;
        let now = self.now();
        self.ours.timeout(now);
        self.drain();
    }

    /// Tells the peer what to do.
    pub fn command(&mut self, command: &str) {
        self.log.push(format!("ask   {command}"));
        writeln!(self.peer.commands, "{command}").expect("the peer listens");
    }

    /// Makes a call.
    pub fn setup(&mut self, setup: &Setup) -> CallId {
        let now = self.now();
        let call = self.ours.setup(now, setup).expect("a call can be made");
        self.drain();
        call
    }

    /// Asks something of a call of ours.
    pub fn ask(&mut self, call: CallId, request: Request) {
        self.log.push(format!("ours  ask {request:?}"));
        let now = self.now();
        self.ours.request(now, call, request).expect("the request fits");
        self.drain();
    }

    /// The same with more to send along.
    pub fn ask_with(&mut self, call: CallId, request: Request, accompanying: &Accompanying) {
        self.log.push(format!("ours  ask {request:?} with {accompanying:?}"));
        let now = self.now();
        self.ours.request_with(now, call, request, accompanying).expect("the request fits");
        self.drain();
    }

    /// Frames go to and fro until it is so.
    pub fn quiet_until(&mut self, mut is_so: impl FnMut(&Self) -> bool) {
        self.run_until("such a state", |line| is_so(line).then_some(()));
    }

    /// The next event of the peer, whatever it is.
    pub fn next_event(&mut self) -> Event {
        self.run_until("an event", |line| line.events.pop_front())
    }

    /// The next event of the peer; it has to be this one.
    pub fn event(&mut self, verb: &str) -> Event {
        let event = self.run_until(verb, |line| line.events.pop_front());
        if event.verb() != verb {
            self.fail(&format!("the peer said {:?}, not {verb}", event.line));
        }
        event
    }

    /// The highest B channel.
    pub fn last_channel(&self) -> u8 {
        *self.variant.b_channels.last().expect("B channels")
    }

    /// The peer's number of the call that it began or was offered last.
    pub fn last_call(&self) -> i64 {
        self.last_call
    }

    /// The next indication of ours.
    pub fn indication(&mut self) -> (CallId, Indication) {
        self.run_until("an indication", |line| line.seen.pop_front())
    }

    /// The peer has dealt with all that we have sent. What it says of the end of a call that it
    /// was told to hang up depends on the cause, and is passed over.
    pub fn settle(&mut self) {
        self.command("sync");
        loop {
            let event = self.next_event();
            match event.verb() {
                "synced" => return,
                "hangup" | "hangup_ack" => {}
                _ => self.fail(&format!("the peer said {:?} at the end", event.line)),
            }
        }
    }

    /// The same, and whatever the peer has said until then is forgotten.
    pub fn settle_all(&mut self) {
        self.command("sync");
        while self.next_event().verb() != "synced" {}
    }

    /// Nothing is under way any more and neither end has said a thing too much.
    pub fn is_at_rest(&mut self) -> bool {
        self.ours.calls() == 0 && self.seen.is_empty() && self.events.is_empty()
    }

    /// Carries frames until `done` gives something.
    pub fn run_until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let give_up_at = Instant::now() + PATIENCE;
        loop {
            self.drain();
            if let Some(result) = done(self) {
                return result;
            }
            let now = Instant::now();
            if now >= give_up_at {
                self.fail(&format!("no {what}"));
            }
            let deadline =
                self.ours.next_deadline().map(|at| at.saturating_duration_since(self.now()));
            let wait = deadline.unwrap_or(PATIENCE).min(give_up_at - now);
            match self.peer.received.recv_timeout(wait) {
                Ok(received) => self.take(received),
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.now();
                    self.ours.timeout(now);
                }
                Err(RecvTimeoutError::Disconnected) => self.fail("the peer is gone"),
            }
        }
    }

    fn take(&mut self, received: Received) {
        match received {
            Received::Frame(octets) => {
                let now = self.now();
                if octets.len() > 3 {
                    self.log.push(format!("peer  {octets:02x?}"));
                }
                self.ours.frame(now, &octets);
            }
            Received::Event(line) => {
                self.log.push(format!("event {line}"));
                let event = Event { line };
                if matches!(event.verb(), "ring" | "calling") {
                    self.last_call = event.number("call");
                }
                self.events.push_back(event);
            }
            Received::Complaint(line) => self.peer.complaints.push(line),
            Received::Ended => self.fail("the peer ended"),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.ours.poll_output() {
            match output {
                Output::Frame(mut octets) => {
                    if octets.len() > 4 {
                        self.log.push(format!("ours  {octets:02x?}"));
                    }
                    octets.extend([0; FCS_SIZE_OCTETS]);
                    self.peer.d_channel.send(&octets).expect("the D channel takes a frame");
                }
                Output::Call { call, indication } => {
                    self.log.push(format!("ours  {indication:?}"));
                    self.seen.push_back((call, indication));
                }
                other => self.others.push_back(other),
            }
        }
    }

    /// What else our interface has given out: the channels that were restarted.
    pub fn other(&mut self) -> Output {
        self.run_until("an output", |line| line.others.pop_front())
    }

    fn fail(&mut self, why: &str) -> ! {
        panic!("{why}");
    }
}

impl Drop for Line {
    /// A test that fails is told what went over the line.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        while let Ok(received) = self.peer.received.recv_timeout(Duration::from_millis(50)) {
            match received {
                Received::Complaint(line) => self.peer.complaints.push(line),
                Received::Event(line) => self.log.push(format!("event {line}")),
                _ => {}
            }
        }
        eprintln!("--- we are the {:?} of {}", self.side, self.variant.name);
        let latest = &self.log[self.log.len().saturating_sub(40)..];
        eprintln!("--- what happened\n{}", latest.join("\n"));
        eprintln!("--- libpri says\n{}", self.peer.complaints.join("\n"));
    }
}
