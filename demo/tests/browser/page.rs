//! A person at the page: Chromium with a microphone that says a file, and a recorder at its loudspeaker.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use trunkline_demo::network::{Layout, Network};
use trunkline_demo::speech;

use crate::common::chromium::{Browser, Person};
use crate::common::{self, has, wait_for};

/// Before the person speaks, s: the call has come up by then.
const SILENCE_S: usize = 4;

/// Switches the browser's own processing of the microphone off, so that what is measured is ours.
const PLAIN_MICROPHONE: &str = "
const ask = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
if (ask) navigator.mediaDevices.getUserMedia = () => ask({ audio: {
  echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
";

/// Records what the page's loudspeaker plays, 8 kHz, through WebAudio.
const RECORDER: &str = "
const audio = document.querySelector('call-button').shadowRoot.querySelector('audio');
const context = new AudioContext({ sampleRate: 8000 });
const source = context.createMediaStreamSource(audio.srcObject);
const tap = context.createScriptProcessor(1024, 1, 1);
window.heard = [];
tap.onaudioprocess = ({ inputBuffer }) => heard.push(inputBuffer.getChannelData(0).slice());
source.connect(tap);
tap.connect(context.destination);
";

/// What it has recorded, as base64 of 16-bit samples.
const RECORDING: &str = "
let octets = '';
for (const block of window.heard) for (const sample of block) {
  const value = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
  octets += String.fromCharCode(value & 255, (value >> 8) & 255);
}
return btoa(octets);
";

/// Whether the tools are here.
pub fn everything_is_here() -> bool {
    ["chromium", "chromedriver"].into_iter().all(has)
}

/// A system whose page calls, for one test.
pub fn system(number: u8, adjust: impl FnOnce(&mut Layout)) -> (Network, tempfile::TempDir) {
    common::system_alone(number, |layout| {
        layout.calls_in_page = true;
        adjust(layout);
    })
}

/// The page with a person at it.
pub struct Page {
    pub browser: Browser,
    folder: PathBuf,
}

impl Page {
    /// Opens the company's page.
    pub fn open(layout: &Layout) -> Self {
        Self::open_with(layout, "en", &["--use-fake-ui-for-media-stream"])
    }

    /// The same in a language, with a browser that is told more.
    pub fn open_with(layout: &Layout, language: &str, more: &[&str]) -> Self {
        let said = microphone(layout);
        let file = format!("--use-file-for-fake-audio-capture={}%noloop", said.display());
        let mut arguments = vec![
            "--use-fake-device-for-media-stream",
            // All of the panel is in the pictures.
            "--window-size=1000,1600",
            "--autoplay-policy=no-user-gesture-required",
            // Here everybody is on the loopback network.
            "--allow-loopback-in-peer-connection",
            &file,
        ];
        arguments.extend(more);
        let person = Person::new(layout.file("home"));
        let log = layout.file("chromedriver.log");
        let browser = Browser::open_with(&person, &layout.web(), &log, &arguments);
        browser.before_pages(PLAIN_MICROPHONE);
        browser.go(&format!("{}/{language}", layout.web()));
        Self { browser, folder: layout.folder.clone() }
    }

    /// Clicks the number.
    pub fn click_number(&self) {
        self.browser.click("call-button a.number");
    }

    /// State of the call, and why it ended.
    pub fn state(&self) -> (String, String) {
        let both = self.browser.run(
            "const b = document.querySelector('call-button');
             return [b.getAttribute('state') ?? '', b.getAttribute('reason') ?? ''];",
        );
        let text = |at: usize| both[at].as_str().unwrap_or_default().to_owned();
        (text(0), text(1))
    }

    /// Waits for a state; why, if it is the end.
    pub fn wait_for(&self, wanted: &str, limit: Duration) -> String {
        wait_for(&format!("the page is {wanted}, but {:?}", self.state()), limit, || {
            let (state, reason) = self.state();
            (state == wanted).then_some(reason)
        })
    }

    /// What the person reads.
    pub fn words(&self) -> String {
        let words = self.browser.run(
            "return document.querySelector('call-button').shadowRoot.querySelector('.state').textContent",
        );
        words.as_str().unwrap_or_default().to_owned()
    }

    /// Has the page call another number than the one it shows.
    pub fn set_number(&self, number: &str) {
        self.browser.run(&format!(
            "document.querySelector('call-button').setAttribute('number', '{number}')"
        ));
    }

    /// The class of what has the focus in the panel.
    pub fn focus(&self) -> String {
        let class = self.browser.run(
            "return document.querySelector('call-button').shadowRoot.activeElement?.className ?? ''",
        );
        class.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks something in the panel.
    pub fn click_in_panel(&self, selector: &str) {
        self.browser.click_within("call-button", selector);
    }

    /// Takes the picture of a state for the README, if pictures are asked for.
    pub fn picture(&self, name: &str) {
        let picture = self.browser.picture_of("li.card");
        assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"));
        if let Some(folder) = std::env::var_os("PICTURES") {
            let folder = PathBuf::from(folder);
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join(format!("{name}.png")), picture).expect("written");
        }
    }

    /// Begins to record the loudspeaker.
    pub fn record(&self) {
        self.browser.run(RECORDER);
    }

    /// What was recorded, as a WAV file.
    pub fn recording(&self) -> PathBuf {
        let octets = match self.browser.run(RECORDING) {
            Value::String(text) => {
                base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
            }
            other => panic!("no recording: {other}"),
        };
        let samples: Vec<i16> =
            octets.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let path = self.folder.join("page-heard.wav");
        speech::write(&path, &samples).expect("written");
        path
    }
}

/// What the microphone says: silence while the call comes up, then the caller's speech.
fn microphone(layout: &Layout) -> PathBuf {
    let mut samples = vec![0; SILENCE_S * 8_000];
    samples.extend(speech::read(&layout.file("caller.wav")).expect("the caller's speech"));
    samples.extend(std::iter::repeat_n(0, 8_000));
    let path = layout.file("microphone.wav");
    speech::write(&path, &samples).expect("written");
    path
}

/// PESQ of a part of `heard` against all of `said`, and where it begins.
pub fn score(said: &Path, heard: &Path) -> Option<f64> {
    let (original, recorded) =
        (speech::read(said).expect("said"), speech::read(heard).expect("heard"));
    let begins_at_ms = common::begins_at_ms(&original, &recorded);
    common::pesq(said, heard, begins_at_ms)
}
