//! A desktop for the phone: a screen (Xvfb) as large as the window, a sound server (PulseAudio) with
//! devices that other programs play into and record from, and a person's keys (xdotool).

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time for a program to do what is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// A program that ends with the test.
pub struct Program(pub Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// The desktop of one person.
pub struct Desk {
    pub home: tempfile::TempDir,
    display: String,
    // Ended before the home goes.
    _programs: Vec<Program>,
}

impl Desk {
    /// A screen and a sound server with a microphone and two loudspeakers.
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(home.path().join("run")).expect("a folder");
        let mut screen = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "360x620x24",
                "-nolisten",
                "tcp",
                "-dpi",
                "96",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb");
        let mut display = String::from(":");
        let mut digit = [0];
        let mut number = screen.stdout.take().expect("piped");
        while number.read_exact(&mut digit).is_ok() && digit[0] != b'\n' {
            display.push(char::from(digit[0]));
        }
        let mut desk = Self { home, display, _programs: vec![Program(screen)] };
        let sinks = ["microphone", "loudspeaker", "headphones"].map(|name| {
            format!("--load=module-null-sink sink_name={name} rate=48000 channels=2 sink_properties=device.description={name}")
        });
        let sound = desk
            .command("pulseaudio")
            .args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"])
            .arg("--load=module-native-protocol-unix auth-anonymous=1")
            .args(sinks)
            .stderr(Stdio::null())
            .spawn()
            .expect("pulseaudio");
        desk._programs.push(Program(sound));
        wait_for("the sound server", || desk.run("pactl", &["info"]));
        desk.run("pactl", &["set-default-sink", "loudspeaker"]).expect("a loudspeaker");
        desk.run("pactl", &["set-default-source", "microphone.monitor"]).expect("a microphone");
        desk
    }

    /// A program that the person starts on this desktop.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path().join("run"))
            .env("XDG_CONFIG_HOME", self.home.path().join(".config"))
            .env("XDG_DATA_HOME", self.home.path().join(".local/share"))
            .env("XDG_CURRENT_DESKTOP", "GNOME")
            .env("DISPLAY", &self.display)
            .env("LANG", "C.UTF-8")
            .current_dir(self.home.path())
            .env_remove("LC_ALL")
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::null());
        command
    }

    /// What a program says; `None` when it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = self.command(program).args(arguments).output().expect(program);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A file of the person's.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The titles of the windows.
    pub fn titles(&self) -> Vec<String> {
        let windows = self.run("xdotool", &["search", "--name", "Trunkline"]).unwrap_or_default();
        let title = |id: &str| self.run("xdotool", &["getwindowname", id]);
        windows.lines().filter_map(title).collect()
    }

    /// Waits until the phone's window says something, and keeps a picture of it in the folder that
    /// the variable DESKTOP_PICTURES names.
    pub fn sees(&self, words: &str, picture: &str) {
        wait_for(&format!("a window that says {words:?}"), || {
            self.titles().iter().any(|title| title.contains(words)).then_some(())
        });
        if let Some(folder) = std::env::var_os("DESKTOP_PICTURES")
            && !picture.is_empty()
        {
            std::thread::sleep(Duration::from_millis(400));
            let path = Path::new(&folder).join(format!("{picture}.png"));
            let _ = std::fs::remove_file(&path);
            self.run("scrot", &[&path.to_string_lossy()]).expect("a picture");
        }
    }

    /// Presses keys in the phone's window.
    pub fn press(&self, keys: &[&str]) {
        let window = self.run("xdotool", &["search", "--name", "Trunkline"]).expect("a window");
        let window = window.lines().next().expect("a window").to_owned();
        self.run("xdotool", &["windowfocus", "--sync", &window]).expect("a focus");
        let arguments: Vec<&str> = [&["key", "--delay", "60"], keys].concat();
        self.run("xdotool", &arguments).expect("keys");
    }

    /// Presses a key where the window may be gone by then.
    pub fn press_if_open(&self, key: &str) {
        if !self.titles().is_empty() {
            self.run("xdotool", &["key", key]);
        }
    }

    /// Answers a question that has stood long enough to be read.
    pub fn answer(&self, key: &str) {
        std::thread::sleep(Duration::from_millis(900));
        self.press(&[key]);
    }

    /// Clicks a place of the window.
    pub fn click(&self, x: u32, y: u32) {
        let (x, y) = (x.to_string(), y.to_string());
        self.run("xdotool", &["mousemove", &x, &y, "click", "1"]).expect("a click");
    }

    /// Says a WAV file into the microphone until the program is dropped.
    pub fn say(&self, file: &Path) -> Program {
        let child = self
            .command("paplay")
            .args(["--latency-msec=60", "--device=microphone"])
            .arg(file)
            .spawn();
        Program(child.expect("paplay"))
    }

    /// What a loudspeaker plays in so many ms, 8 kHz.
    pub fn listen(&self, loudspeaker: &str, ms: u64) -> Vec<i16> {
        let file = self.file("heard.raw");
        let mut recorder = Program(
            self.command("parec")
                .args(["--rate=8000", "--channels=1", "--format=s16le", "--latency-msec=20"])
                .arg(format!("--device={loudspeaker}.monitor"))
                .stdout(std::fs::File::create(&file).expect("a file"))
                .spawn()
                .expect("parec"),
        );
        std::thread::sleep(Duration::from_millis(ms));
        let _ = recorder.0.kill();
        let octets = std::fs::read(&file).expect("a recording");
        octets.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
    }
}

/// A tone of 8 kHz samples, at a quarter of the full scale, in bursts of 400 ms and pauses of 100.
pub fn bursts(frequency_hz: f64, seconds: f64) -> Vec<i16> {
    (0..(seconds * 8_000.0) as usize)
        .map(|index| {
            let phase = std::f64::consts::TAU * frequency_hz * index as f64 / 8_000.0;
            if index % 4_000 < 3_200 { (phase.sin() * 8_000.0) as i16 } else { 0 }
        })
        .collect()
}

/// The share of a recording's power that is at a frequency, by blocks of 50 ms (Goertzel): 0 to 1.
pub fn share(samples: &[i16], frequency_hz: f64) -> f64 {
    let coefficient = 2.0 * (std::f64::consts::TAU * frequency_hz / 8_000.0).cos();
    let (mut at, mut all) = (0.0, 1.0);
    for block in samples.chunks_exact(400) {
        let (mut one, mut two) = (0.0, 0.0);
        for &sample in block {
            let next = f64::from(sample) + coefficient * one - two;
            (two, one) = (one, next);
            all += f64::from(sample).powi(2);
        }
        at += (one * one + two * two - coefficient * one * two) * 2.0 / 400.0;
    }
    at / all
}
