//! Headless Chromium, driven through chromedriver by plain WebDriver requests (W3C WebDriver).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

/// How an element is named in WebDriver's answers (W3C WebDriver §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Longest time for the browser to do what it was asked.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A browser window; all of it ends with it.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// Opens a window with a home of its own. None, with the reason, where there is no Chromium; in
    /// CI that is a failure.
    pub fn open(home: &Path) -> Option<Self> {
        let started = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", home)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = match started {
            Ok(driver) => driver,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "chromedriver must run: {error}");
                println!("skipped: chromedriver: {error} (apt install chromium-driver)");
                return None;
            }
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        // It must not wait for a reader.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let mut browser = Self { driver, port: port.unwrap(), session: String::new() };
        let profile = format!("--user-data-dir={}", home.join("chromium").display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--window-size=1100,1000",
            &profile,
        ];
        let answer = browser.ask(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": arguments },
            }}}),
        );
        browser.session = format!("/session/{}", answer["sessionId"].as_str().unwrap());
        Some(browser)
    }

    /// Goes to a page.
    pub fn go(&self, url: &str) {
        self.tell("url", &json!({ "url": url }));
    }

    /// Types into a field, behind what it holds, and presses Enter.
    pub fn enter(&self, selector: &str, text: &str) {
        let path = format!("element/{}/value", self.element(selector));
        self.tell(&path, &json!({ "text": format!("{text}\u{e007}") }));
    }

    /// Waits until a person sees this text in an element.
    pub fn wait_for(&self, selector: &str, wanted: &str) {
        let began = Instant::now();
        loop {
            let path = format!("{}/element/{}/text", self.session, self.element(selector));
            let text = self.ask("GET", &path, &Value::Null);
            let text = text.as_str().unwrap();
            if text.contains(wanted) {
                return;
            }
            assert!(began.elapsed() < ANSWER_MAX, "{selector}: {wanted:?} is not in {text:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A picture of the window, PNG.
    pub fn picture(&self) -> Vec<u8> {
        let path = format!("{}/screenshot", self.session);
        let text = self.ask("GET", &path, &Value::Null);
        base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
    }

    fn element(&self, selector: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": selector });
        self.tell("element", &wanted)[ELEMENT].as_str().expect(selector).to_owned()
    }

    fn tell(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("{}/{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_ask(method, path, body).expect("chromedriver answers");
        assert!(status.contains(" 200 "), "{method} {path}: {answer}");
        answer["value"].clone()
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> io::Result<(String, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let status = head.lines().next().unwrap_or_default().to_owned();
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session, not with chromedriver.
        if !self.session.is_empty() {
            let _ = self.try_ask("DELETE", &self.session, &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
