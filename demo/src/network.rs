//! The whole system on one machine: the directory, gateways A and B, the telephone exchange and
//! the web server, each a process of its own, on addresses of the loopback network.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{LogEvent, Program};
use crate::speech::{self, SpeechError};

/// The telephone of network A.
pub const TELEPHONE_A: &str = "03-3333-1234";

/// The telephone of network B.
pub const TELEPHONE_B: &str = "0469-59-5678";

/// How long a program may take to answer a question.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long the system may take until it can carry calls.
const START_MAX: Duration = Duration::from_secs(30);

/// Why the system is not up, or a call could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The system refused something.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What went wrong.
        error: io::Error,
    },
    /// There is no recorded speech.
    #[error(transparent)]
    Speech(#[from] SpeechError),
    /// A program ended by itself.
    #[error("{name} ended ({status}); its last lines:\n{last_lines}")]
    Ended {
        /// The program.
        name: String,
        /// How it ended.
        status: String,
        /// The end of its log.
        last_lines: String,
    },
    /// A program does not become ready.
    #[error("{name} is not ready after {} s; its last lines:\n{last_lines}", START_MAX.as_secs())]
    NotReady {
        /// The program.
        name: String,
        /// The end of its log.
        last_lines: String,
    },
    /// A program's HTTP side answered something else than expected.
    #[error("{url}: {problem}")]
    Http {
        /// What was asked.
        url: String,
        /// What was wrong.
        problem: String,
    },
}

/// How a system is laid out.
#[derive(Clone, Debug)]
pub struct Layout {
    /// First two octets and third of the loopback network that it lives in: `127.x.y`.
    pub network: [u8; 3],
    /// Port of the web server on 127.0.0.1; its own network's .1 without one.
    pub web_port: Option<u16>,
    /// Folder for configurations, logs and recordings.
    pub folder: PathBuf,
    /// Folder of the programs.
    pub programs: PathBuf,
    /// What the telephones say, in s.
    pub speech_s: usize,
    /// Telephones hang up so long after the answer, in ms.
    pub hang_up_after_ms: Option<u64>,
    /// Further telephones: YAML entries of the exchange's configuration.
    pub more_telephones: String,
    /// Further lines of gateway A's configuration.
    pub more_of_gateway_a: String,
    /// Last octets of further hosts that gateway A trusts (RFC 3325).
    pub more_trusted_by_gateway_a: Vec<u8>,
    /// Further routes of gateway A: YAML entries.
    pub more_routes_of_gateway_a: String,
    /// Variant on the line of gateway A, by its name; EuroISDN without it.
    pub variant_a: Option<&'static str>,
    /// Further keys of the span of gateway B: YAML lines.
    pub more_of_span_b: String,
    /// The exchange asks for further digits on the line of gateway B.
    pub asks_for_digits_b: bool,
    /// Gateway A registers itself at the directory, for area 06.
    pub gateway_a_registers: bool,
    /// Numbers of the page are called from within it, through gateway A.
    pub calls_in_page: bool,
}

impl Layout {
    /// The addresses that the README names.
    pub fn demonstration(folder: &Path, programs: &Path) -> Self {
        Self {
            network: [127, 0, 0],
            web_port: Some(8080),
            folder: folder.to_owned(),
            programs: programs.to_owned(),
            speech_s: 10,
            hang_up_after_ms: None,
            more_telephones: String::new(),
            more_of_gateway_a: String::new(),
            more_trusted_by_gateway_a: Vec::new(),
            more_routes_of_gateway_a: String::new(),
            variant_a: None,
            more_of_span_b: String::new(),
            asks_for_digits_b: false,
            gateway_a_registers: false,
            calls_in_page: false,
        }
    }

    /// Addresses of its own, so that systems do not meet.
    pub fn apart(folder: &Path, programs: &Path, number: u8) -> Self {
        let third = std::process::id().to_le_bytes()[0];
        Self {
            network: [127, 1 + number % 250, third],
            web_port: None,
            ..Self::demonstration(folder, programs)
        }
    }

    fn host(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, last)
    }

    /// Address and port of the ENUM server.
    pub fn directory(&self) -> String {
        format!("{}:5300", self.host(1))
    }

    /// Base URL of the directory's HTTP side.
    pub fn directory_http(&self) -> String {
        format!("http://{}:9153", self.host(1))
    }

    /// Address of gateway A.
    pub fn gateway_a(&self) -> Ipv4Addr {
        self.host(10)
    }

    /// Address of gateway B.
    pub fn gateway_b(&self) -> Ipv4Addr {
        self.host(20)
    }

    /// Where pages call gateway A.
    pub fn gateway_a_for_pages(&self) -> String {
        format!("http://{}:8443", self.gateway_a())
    }

    /// Base URL of the exchange's control interface.
    pub fn exchange_http(&self) -> String {
        format!("http://{}:9200", self.host(30))
    }

    /// Base URL of the web server.
    pub fn web(&self) -> String {
        match self.web_port {
            Some(port) => format!("http://localhost:{port}"),
            None => format!("http://{}:8080", self.host(1)),
        }
    }

    fn web_listen(&self) -> String {
        match self.web_port {
            Some(port) => format!("127.0.0.1:{port}"),
            None => format!("{}:8080", self.host(1)),
        }
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// A system that is up.
#[derive(Debug)]
pub struct Network {
    /// Where everything is.
    pub layout: Layout,
    programs: Vec<Program>,
    events: Receiver<LogEvent>,
    event_sender: Sender<LogEvent>,
}

impl Network {
    /// Writes the configurations, starts the programs and waits until calls can be made.
    pub fn start(layout: Layout) -> Result<Self, NetworkError> {
        write_files(&layout)?;
        let (event_sender, events) = channel();
        let mut network = Self { layout, programs: Vec::new(), events, event_sender };
        for (name, program, configuration) in [
            ("directory", "trunkline-directory", "directory.yaml"),
            ("exchange", "trunkline-exchange", "exchange.yaml"),
            ("gateway-a", "trunkline-gateway", "gateway-a.yaml"),
            ("gateway-b", "trunkline-gateway", "gateway-b.yaml"),
            ("web", "trunkline-web", "web.yaml"),
        ] {
            network.start_program(name, program, configuration)?;
        }
        network.wait_until_ready()?;
        Ok(network)
    }

    fn start_program(
        &mut self,
        name: &str,
        program: &str,
        configuration: &str,
    ) -> Result<(), NetworkError> {
        let mut command = Command::new(self.layout.program(program));
        command.args(["--log", "json", "run"]).arg(self.layout.file(configuration));
        let program = Program::start(name, command, &self.layout.folder, self.event_sender.clone())
            .map_err(|error| NetworkError::System { what: name.to_owned(), error })?;
        self.programs.push(program);
        Ok(())
    }

    /// Starts the phone with these arguments behind the options that every call needs.
    pub fn phone(&self, name: &str, arguments: &[&str]) -> Result<Program, NetworkError> {
        let mut command = Command::new(self.layout.program("trunkline-phone"));
        command.arg("--config").arg(self.layout.file("phone.yaml")).args(["--log", "json"]);
        command.args(arguments);
        Program::start(name, command, &self.layout.folder, self.event_sender.clone())
            .map_err(|error| NetworkError::System { what: name.to_owned(), error })
    }

    /// The next log line of any program, waiting at most `limit`.
    pub fn next_event(&self, limit: Duration) -> Option<LogEvent> {
        self.events.recv_timeout(limit).ok()
    }

    /// A started program by its name.
    pub fn program(&mut self, name: &str) -> Option<&mut Program> {
        self.programs.iter_mut().find(|program| program.name() == name)
    }

    /// The first program that ended by itself, if one did.
    pub fn check(&mut self) -> Result<(), NetworkError> {
        for program in &mut self.programs {
            let ended = program
                .ended()
                .map_err(|error| NetworkError::System { what: program.name().to_owned(), error })?;
            if let Some(status) = ended {
                return Err(NetworkError::Ended {
                    name: program.name().to_owned(),
                    status: status.to_string(),
                    last_lines: program.last_lines(),
                });
            }
        }
        Ok(())
    }

    /// Ends every program, the last one started first; the first that had to be killed or ended
    /// badly is an error.
    pub fn end(mut self) -> Result<(), NetworkError> {
        let mut outcome = Ok(());
        while let Some(mut program) = self.programs.pop() {
            let ended = program
                .end()
                .map_err(|error| NetworkError::System { what: program.name().to_owned(), error })?;
            if outcome.is_ok() && !ended.is_some_and(|status| status.success()) {
                outcome = Err(NetworkError::Ended {
                    name: program.name().to_owned(),
                    status: ended.map_or("killed".to_owned(), |status| status.to_string()),
                    last_lines: program.last_lines(),
                });
            }
        }
        outcome
    }

    fn wait_until_ready(&mut self) -> Result<(), NetworkError> {
        let deadline = Instant::now() + START_MAX;
        let a = self.layout.gateway_a();
        let b = self.layout.gateway_b();
        let checks: [(&str, String, IsReady); 5] = [
            ("directory", format!("{}/healthz", self.layout.directory_http()), |_| true),
            ("web", format!("{}/", self.layout.web()), |_| true),
            ("exchange", format!("{}/healthz", self.layout.exchange_http()), |_| true),
            ("gateway-a", format!("http://{a}:9100/status"), spans_in_service),
            ("gateway-b", format!("http://{b}:9100/status"), spans_in_service),
        ];
        for (name, url, is_ready) in checks {
            loop {
                self.check()?;
                if get(&url).is_ok_and(|body| is_ready(&body)) {
                    break;
                }
                if Instant::now() >= deadline {
                    let last_lines =
                        self.program(name).map(|program| program.last_lines()).unwrap_or_default();
                    return Err(NetworkError::NotReady { name: name.to_owned(), last_lines });
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

/// Whether what a program answers says that it is ready.
type IsReady = fn(&Value) -> bool;

fn spans_in_service(status: &Value) -> bool {
    status["spans"].as_array().is_some_and(|spans| {
        !spans.is_empty() && spans.iter().all(|span| span["in_service"] == Value::Bool(true))
    })
}

/// What a URL answers, as JSON where it is some, else as text.
pub fn get(url: &str) -> Result<Value, NetworkError> {
    let failed = |problem: String| NetworkError::Http { url: url.to_owned(), problem };
    let request = ureq::get(url).config().timeout_global(Some(ANSWER_MAX)).build();
    let mut response = request.call().map_err(|error| failed(error.to_string()))?;
    let text = response.body_mut().read_to_string().map_err(|error| failed(error.to_string()))?;
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Posts JSON to a URL; the answer as JSON where it is some, else as text.
pub fn post(url: &str, body: &Value) -> Result<Value, NetworkError> {
    let failed = |problem: String| NetworkError::Http { url: url.to_owned(), problem };
    let mut response = ureq::post(url)
        .config()
        .timeout_global(Some(ANSWER_MAX))
        .build()
        .header("content-type", "application/json")
        .send(body.to_string())
        .map_err(|error| failed(error.to_string()))?;
    let text = response.body_mut().read_to_string().map_err(|error| failed(error.to_string()))?;
    Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Writes the configurations, the speech and the web server's key into the layout's folder.
pub fn write_files(layout: &Layout) -> Result<(), NetworkError> {
    let system = |what: &Path| {
        let what = what.display().to_string();
        move |error| NetworkError::System { what, error }
    };
    let recordings = layout.file("recordings");
    std::fs::create_dir_all(&recordings).map_err(system(&recordings))?;
    for (name, recording) in [
        ("caller.wav", speech::CALLER),
        ("telephone-a.wav", speech::TELEPHONE_A),
        ("telephone-b.wav", speech::TELEPHONE_B),
    ] {
        let samples = speech::recording(recording, layout.speech_s)?;
        speech::write(&layout.file(name), &samples)?;
    }
    let key = layout.file("web-key.p8");
    let output = Command::new(layout.program("trunkline-web"))
        .args(["key", if key.exists() { "public" } else { "generate" }])
        .arg(&key)
        .output()
        .map_err(system(&key))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(system(&key)(std::io::Error::other(said)));
    }
    // The public key is what the phone is to trust.
    let public = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let path = layout.file("web-key.pub");
    std::fs::write(&path, public).map_err(system(&path))?;
    for (name, text) in [
        ("directory.yaml", directory(layout)),
        ("table.yaml", table(layout)),
        ("exchange.yaml", exchange(layout)),
        (
            "gateway-a.yaml",
            gateway(
                layout,
                "a",
                layout.gateway_a(),
                "03",
                &layout.more_routes_of_gateway_a,
                &format!("{}{}", pages(layout), layout.more_of_gateway_a),
            ),
        ),
        ("gateway-b.yaml", gateway(layout, "b", layout.gateway_b(), "0469", "", "")),
        ("registration-token", REGISTRATION_TOKEN.to_owned()),
        ("web.yaml", web(layout)),
        ("phone.yaml", phone(layout)),
    ] {
        let path = layout.file(name);
        std::fs::write(&path, text).map_err(system(&path))?;
    }
    Ok(())
}

fn directory(layout: &Layout) -> String {
    let tokens = if layout.gateway_a_registers {
        // SHA-256 of REGISTRATION_TOKEN.
        "tokens:\n  - name: gateway-a\n    scopes: [register]\n    gateway: gateway-a\n    \
           sha256: 89417484e4db8778f67b1168d638f442099c3a1e64272142cf8e1f960b6e969a\n"
    } else {
        ""
    };
    format!(
        "listen: [\"{}\"]\nhttp: \"{}:9153\"\ntable: table.yaml\n{tokens}",
        layout.directory(),
        layout.host(1)
    )
}

/// By which gateway A may register.
const REGISTRATION_TOKEN: &str = "tl_gateway_a";

/// The gateway address table of the patent: area code to gateway.
fn table(layout: &Layout) -> String {
    format!(
        "gateways:\n  \
           gateway-a: {{ sip: \"{}:5060\" }}\n  \
           gateway-b: {{ sip: \"{}:5060\" }}\n\
         prefixes:\n  \
           - prefix: \"03\"\n    gateways: [{{ name: gateway-a }}]\n  \
           - prefix: \"0469\"\n    gateways: [{{ name: gateway-b }}]\n",
        layout.gateway_a(),
        layout.gateway_b()
    )
}

fn exchange(layout: &Layout) -> String {
    let host = layout.host(30);
    let hang_up = layout
        .hang_up_after_ms
        .map(|ms| format!("    hang_up_after_ms: {ms}\n"))
        .unwrap_or_default();
    let telephone = |number: &str, network: &str, speech: &str| {
        format!(
            "  - number: \"{number}\"\n    network: {network}\n    \
             when_called: {{ answer_after_ms: 1500 }}\n    speak: {}\n{hang_up}",
            layout.file(speech).display()
        )
    };
    let variant = layout.variant_a.map(|name| format!(", variant: {name}")).unwrap_or_default();
    format!(
        "http: \"{host}:9200\"\nrecordings: {}\nnetworks:\n  \
           - name: A\n    spans:\n      \
               - {{ name: a-1, local: \"{host}:40010\", remote: \"{}:40010\"{variant} }}\n  \
           - name: B\n    spans:\n      \
               - {{ name: b-1, local: \"{host}:40020\", remote: \"{}:40020\", asks_for_digits: {} }}\n\
         telephones:\n{}{}{}",
        layout.file("recordings").display(),
        layout.gateway_a(),
        layout.gateway_b(),
        layout.asks_for_digits_b,
        telephone(TELEPHONE_A, "A", "telephone-a.wav"),
        telephone(TELEPHONE_B, "B", "telephone-b.wav"),
        layout.more_telephones,
    )
}

fn gateway(
    layout: &Layout,
    letter: &str,
    host: Ipv4Addr,
    area: &str,
    more_routes: &str,
    more: &str,
) -> String {
    let (port, more_of_span) = match letter {
        "a" => {
            let variant = |name| format!("    variant: {name}\n");
            (40010, layout.variant_a.map(variant).unwrap_or_default())
        }
        _ => (40020, layout.more_of_span_b.clone()),
    };
    let more_trusted: String = match letter {
        "a" => layout.more_trusted_by_gateway_a.iter(),
        _ => [].iter(),
    }
    .map(|host| format!(", \"{}\"", layout.host(*host)))
    .collect();
    let register = if letter == "a" && layout.gateway_a_registers {
        format!(
            "  register:\n    at: [\"{}\"]\n    token_file: registration-token\n    lease_s: 1\n    \
               prefixes: [{{ prefix: \"06\", trunk_group: network-a }}]\n",
            layout.directory_http()
        )
    } else {
        String::new()
    };
    format!(
        "name: gateway-{letter}\n\
         sip:\n  udp: [\"{host}:5060\"]\n  tcp: [\"{host}:5060\"]\n  trusted: [\"{}\", \"{}\"{more_trusted}]\n\
         http: \"{host}:9100\"\n\
         rtp:\n  address: \"{host}\"\n\
         directory:\n  servers: [\"{}\"]\n{register}\
         spans:\n  - name: e1-{letter}\n    line:\n      tdmoe:\n        \
           local: \"{host}:{port}\"\n        remote: \"{}:{port}\"\n        clock: line\n\
         {more_of_span}trunk_groups:\n  - name: network-{letter}\n    spans: [e1-{letter}]\n    hunting: down\n\
         routes:\n  - prefix: \"{area}\"\n    trunk_groups: [network-{letter}]\n\
         {more_routes}records: {}\n{more}",
        layout.gateway_a(),
        layout.gateway_b(),
        layout.directory(),
        layout.host(30),
        layout.file(&format!("records-{letter}.jsonl")).display(),
    )
}

/// What gateway A has to know of pages.
fn pages(layout: &Layout) -> String {
    if !layout.calls_in_page {
        return String::new();
    }
    let key = std::fs::read_to_string(layout.file("web-key.pub")).unwrap_or_default();
    format!(
        "browser:\n  listen: \"{}:8443\"\n  origins: [\"{}\"]\n  trusted_keys: [\"{}\"]\n",
        layout.gateway_a(),
        layout.web(),
        key.trim(),
    )
}

fn web(layout: &Layout) -> String {
    let calls = match layout.calls_in_page {
        true => format!(
            "calls:\n  origins: [\"{}\"]\n  directory: [\"{}\"]\n  \
             gateways: [{{ sip: \"{}\", at: \"{}\" }}]\n\
             prefixes: [{{ prefix: \"+813\" }}]\n",
            layout.web(),
            layout.directory(),
            layout.gateway_a(),
            layout.gateway_a_for_pages(),
        ),
        false => String::new(),
    };
    calls
        + &format!(
            "listen: \"{}\"\n\
         signing_key: web-key.p8\n\
         site:\n  name: {{ ja: \"青空電機株式会社\", en: \"Aozora Electric Co., Ltd.\" }}\n  \
           lead: {{ ja: \"電話番号をクリックすると、そのままお話しいただけます。\", \
                    en: \"Click a number and talk to us, right from this page.\" }}\n  \
           address: {{ ja: \"東京都千代田区\", en: \"Chiyoda, Tokyo\" }}\n\
         numbers:\n  \
           - number: \"{TELEPHONE_A}\"\n    \
             label: {{ ja: \"本社 代表\", en: \"Head office\" }}\n    gateway: \"{}\"\n  \
           - number: \"{TELEPHONE_B}\"\n    \
             label: {{ ja: \"葉山工場\", en: \"Hayama works\" }}\n    gateway: \"{}\"\n",
            layout.web_listen(),
            layout.gateway_a(),
            layout.gateway_b(),
        )
}

fn phone(layout: &Layout) -> String {
    let key = std::fs::read_to_string(layout.file("web-key.pub")).unwrap_or_default();
    format!(
        "directory: [\"{}\"]\naddress: \"{}\"\nidentity: web-phone\ntrusted_keys: [\"{}\"]\n",
        layout.directory(),
        layout.host(2),
        key.trim(),
    )
}
