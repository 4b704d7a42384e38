//! A person's browsers, driven from outside: Chromium by chromedriver (W3C WebDriver), Firefox by
//! Marionette. Both open a file or link with what the desktop has registered for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::desk::{Desk, Program, wait_for};

/// Longest time for a browser to do what it was asked.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// How an element is named in WebDriver's answers (W3C WebDriver §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with a page.
pub trait Browser {
    /// Goes to a page.
    fn go(&mut self, url: &str);
    /// Clicks the first element that a CSS selector finds.
    fn click(&mut self, selector: &str);
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Chromium, whose person has said "always open files of this type".
pub struct Chromium {
    session: String,
    agent: ureq::Agent,
    // Ended after the session.
    _driver: Program,
}

impl Chromium {
    pub fn open(desk: &Desk, origin: &str) -> Self {
        let profile = desk.file("chromium");
        std::fs::create_dir_all(profile.join("Default")).expect("a profile");
        std::fs::create_dir_all(desk.file("Downloads")).expect("a folder");
        let preferences = json!({
            "download": {
                "default_directory": desk.file("Downloads"),
                "extensions_to_open": "vlf",
                "prompt_for_download": false,
            },
            "protocol_handler": { "allowed_origin_protocol_pairs": { origin: { "tel": true } } },
        });
        std::fs::write(profile.join("Default/Preferences"), preferences.to_string())
            .expect("written");
        let mut driver = desk
            .command("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver");
        let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let port: u16 = loop {
            let line = lines.next().expect("chromedriver tells its port").expect("text");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').parse().expect("a port");
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_MAX))
            .build()
            .into();
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": arguments },
        }}});
        let mut browser = Self {
            session: format!("http://127.0.0.1:{port}/session"),
            agent,
            _driver: Program(driver),
        };
        let answer = browser.ask("", &wanted);
        let id = answer["sessionId"].as_str().expect("a session");
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    fn ask(&self, what: &str, body: &Value) -> Value {
        let url = format!("{}{what}", self.session);
        let request = self.agent.post(&url).header("content-type", "application/json");
        let mut response = request.send(body.to_string()).expect("chromedriver answers");
        let text = response.body_mut().read_to_string().expect("text");
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        assert!(response.status().is_success(), "{url}: {text}");
        answer["value"].take()
    }
}

impl Browser for Chromium {
    fn go(&mut self, url: &str) {
        self.ask("/url", &json!({ "url": url }));
    }

    fn click(&mut self, selector: &str) {
        let wanted = json!({ "using": "css selector", "value": selector });
        let answer = self.ask("/element", &wanted);
        let element = answer[ELEMENT].as_str().unwrap_or_else(|| panic!("no {selector}: {answer}"));
        self.ask(&format!("/element/{element}/click"), &json!({}));
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // chromedriver ends the browser with the session.
        let _ = self.agent.delete(&self.session).call();
    }
}

/// Firefox, whose person has said "open with the system's application" of the MIME type.
pub struct Firefox {
    stream: TcpStream,
    asked: u64,
    _program: Program,
}

impl Firefox {
    pub fn open(desk: &Desk) -> Self {
        let profile = desk.file("firefox");
        std::fs::create_dir_all(&profile).expect("a profile");
        std::fs::create_dir_all(desk.file("Downloads")).expect("a folder");
        // 4: the system's default application.
        let handlers = json!({
            "defaultHandlersVersion": {},
            "mimeTypes": { "application/x-vlf": { "action": 4, "ask": false, "extensions": ["vlf"] } },
            "schemes": {},
        });
        std::fs::write(profile.join("handlers.json"), handlers.to_string()).expect("written");
        let port = free_port();
        let preferences = [
            ("marionette.port", port.to_string()),
            ("browser.download.dir", json!(desk.file("Downloads")).to_string()),
            ("browser.download.folderList", "2".to_owned()),
            ("browser.shell.checkDefaultBrowser", "false".to_owned()),
            ("datareporting.policy.dataSubmissionEnabled", "false".to_owned()),
            ("app.update.enabled", "false".to_owned()),
            ("browser.aboutwelcome.enabled", "false".to_owned()),
        ];
        let text: String = preferences
            .iter()
            .map(|(name, value)| format!("user_pref(\"{name}\", {value});\n"))
            .collect();
        std::fs::write(profile.join("user.js"), text).expect("written");
        let program = desk
            .command("firefox-esr")
            .args(["--headless", "--no-remote", "--marionette", "--profile"])
            .arg(&profile)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("firefox-esr");
        let program = Program(program);
        let stream = wait_for("Firefox listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout");
        let mut browser = Self { stream, asked: 0, _program: program };
        browser.read();
        browser.ask("WebDriver:NewSession", &json!({}));
        browser
    }

    /// A message: its length in decimal, a colon, JSON.
    fn read(&mut self) -> Value {
        let mut length = 0;
        let mut octet = [0];
        loop {
            self.stream.read_exact(&mut octet).expect("Firefox answers");
            match octet[0] {
                b':' => break,
                digit => length = length * 10 + usize::from(digit - b'0'),
            }
        }
        let mut message = vec![0; length];
        self.stream.read_exact(&mut message).expect("a whole message");
        serde_json::from_slice(&message).expect("JSON")
    }

    /// `[0, id, command, parameters]`, answered by `[1, id, error, result]`.
    fn ask(&mut self, command: &str, parameters: &Value) -> Value {
        self.asked += 1;
        let message = json!([0, self.asked, command, parameters]).to_string();
        write!(self.stream, "{}:{message}", message.len()).expect("Firefox listens");
        loop {
            let mut answer = self.read();
            if answer[0] == 1 && answer[1] == self.asked {
                assert!(answer[2].is_null(), "{command}: {}", answer[2]);
                return answer[3].take();
            }
        }
    }
}

impl Browser for Firefox {
    fn go(&mut self, url: &str) {
        self.ask("WebDriver:Navigate", &json!({ "url": url }));
    }

    fn click(&mut self, selector: &str) {
        let wanted = json!({ "using": "css selector", "value": selector });
        let answer = self.ask("WebDriver:FindElement", &wanted);
        let element = answer["value"][ELEMENT].as_str().expect("an element").to_owned();
        self.ask("WebDriver:ElementClick", &json!({ "id": element }));
    }
}
