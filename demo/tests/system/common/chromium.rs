//! Headless Chromium, driven through chromedriver by plain WebDriver requests (W3C WebDriver).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::{Peer, wait_for};

/// Longest time for the browser to do what it was asked.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How an element is named in WebDriver's answers (W3C WebDriver §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The same of a shadow tree.
const SHADOW: &str = "shadow-6066-11e4-a52e-4f735466cecf";

/// The person at the browser: a home of their own, so that nothing of the machine's user is
/// touched.
#[derive(Debug)]
pub struct Person {
    home: PathBuf,
}

impl Person {
    /// Makes the home.
    pub fn new(home: PathBuf) -> Self {
        for folder in ["data", "config", "cache", "run", "Downloads"] {
            std::fs::create_dir_all(home.join(folder)).expect("a folder");
        }
        Self { home }
    }

    /// A program that this person starts. The desktop is GNOME, whose programs ask the MIME
    /// database what opens a file.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.home)
            .env("HOME", &self.home)
            .env("XDG_DATA_HOME", self.home.join("data"))
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env("XDG_RUNTIME_DIR", self.home.join("run"))
            .env("XDG_CURRENT_DESKTOP", "GNOME")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY");
        command
    }

    /// Writes what Chromium remembers of this person's "Always open files of this type" and
    /// "Always allow … to open links of this type".
    fn remember(&self, origin: &str) {
        let profile = self.home.join("chromium/Default");
        std::fs::create_dir_all(&profile).expect("a profile");
        let preferences = json!({
            "download": {
                "default_directory": self.home.join("Downloads"),
                "extensions_to_open": "vlf",
                "prompt_for_download": false,
            },
            "protocol_handler": { "allowed_origin_protocol_pairs": { origin: { "tel": true } } },
        });
        std::fs::write(profile.join("Preferences"), preferences.to_string()).expect("written");
    }
}

/// A browser window.
#[derive(Debug)]
pub struct Browser {
    session: String,
    agent: ureq::Agent,
    // Ended after the session.
    _driver: Peer,
}

impl Browser {
    /// Opens a browser for `person`, who allows pages of `origin` to open the telephone.
    pub fn open(person: &Person, origin: &str, log: &Path) -> Self {
        Self::open_with(person, origin, log, &[])
    }

    /// The same with further arguments for Chromium.
    pub fn open_with(person: &Person, origin: &str, log: &Path, more: &[&str]) -> Self {
        person.remember(origin);
        let driver = Peer::start(person.command("chromedriver").arg("--port=0"), log);
        let port = wait_for("chromedriver listens", ANSWER_MAX, || {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let (_, rest) = text.split_once("started successfully on port ")?;
            rest.split_once('.')?.0.parse::<u16>().ok()
        });
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_MAX))
            .build()
            .into();
        let profile = format!("--user-data-dir={}", person.home.join("chromium").display());
        let mut arguments = vec![
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1000,1000",
            &profile,
        ];
        arguments.extend(more);
        let wanted = json!({
            "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": arguments },
            }}
        });
        let base = format!("http://127.0.0.1:{port}/session");
        let answer = asked(&agent, &base, Some(&wanted));
        let id = answer["sessionId"].as_str().expect("a session");
        Self { session: format!("{base}/{id}"), agent, _driver: driver }
    }

    /// Goes to a page.
    pub fn go(&self, url: &str) {
        self.ask("url", Some(&json!({ "url": url })));
    }

    /// The text that a person sees of an element.
    pub fn text(&self, selector: &str) -> String {
        let element = self.element(selector);
        let answer = self.ask(&format!("element/{element}/text"), None);
        answer.as_str().expect("text").to_owned()
    }

    /// Clicks the first element that a CSS selector finds.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.ask(&format!("element/{element}/click"), Some(&json!({})));
    }

    /// Takes a picture of the window as PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        let answer = self.ask("screenshot", None);
        let text = answer.as_str().expect("a picture");
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    }

    /// The same of what a CSS selector finds.
    pub fn picture_of(&self, selector: &str) -> Vec<u8> {
        let element = self.element(selector);
        let answer = self.ask(&format!("element/{element}/screenshot"), None);
        let text = answer.as_str().expect("a picture");
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    }

    /// Runs a script in every page before its own ones.
    pub fn before_pages(&self, script: &str) {
        let command = json!({
            "cmd": "Page.addScriptToEvaluateOnNewDocument",
            "params": { "source": script },
        });
        self.ask("goog/cdp/execute", Some(&command));
    }

    /// What a function body returns in the page.
    pub fn run(&self, script: &str) -> Value {
        self.ask("execute/sync", Some(&json!({ "script": script, "args": [] })))
    }

    /// Clicks what a CSS selector finds in the shadow tree of an element.
    pub fn click_within(&self, host: &str, selector: &str) {
        let host = self.element(host);
        let root = self.ask(&format!("element/{host}/shadow"), None);
        let root = root[SHADOW].as_str().unwrap_or_else(|| panic!("no shadow tree: {root}"));
        let wanted = json!({ "using": "css selector", "value": selector });
        let answer = self.ask(&format!("shadow/{root}/element"), Some(&wanted));
        let element = answer[ELEMENT].as_str().unwrap_or_else(|| panic!("no {selector}: {answer}"));
        self.ask(&format!("element/{element}/click"), Some(&json!({})));
    }

    /// Types into whatever has the focus.
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                let key = key.to_string();
                [
                    json!({ "type": "keyDown", "value": key }),
                    json!({ "type": "keyUp", "value": key }),
                ]
            })
            .collect();
        let device = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.ask("actions", Some(&json!({ "actions": [device] })));
    }

    fn element(&self, selector: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": selector });
        let answer = self.ask("element", Some(&wanted));
        answer[ELEMENT].as_str().unwrap_or_else(|| panic!("no {selector}: {answer}")).to_owned()
    }

    fn ask(&self, what: &str, body: Option<&Value>) -> Value {
        asked(&self.agent, &format!("{}/{what}", self.session), body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // chromedriver ends the browser with the session.
        let _ = self.agent.delete(&self.session).call();
    }
}

/// The value that chromedriver answers.
fn asked(agent: &ureq::Agent, url: &str, body: Option<&Value>) -> Value {
    let response = match body {
        Some(body) => {
            agent.post(url).header("content-type", "application/json").send(body.to_string())
        }
        None => agent.get(url).call(),
    };
    let mut response = response.unwrap_or_else(|error| panic!("{url}: {error}"));
    let text = response.body_mut().with_config().limit(64 << 20).read_to_string().expect("text");
    let mut answer: Value = serde_json::from_str(&text).expect("JSON");
    assert!(response.status().is_success(), "{url}: {text}");
    answer["value"].take()
}
