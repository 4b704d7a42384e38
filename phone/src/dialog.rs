//! The phone's face on a desktop without a terminal, as when a browser starts it: a question
//! before dialling, then a small window with what the call is doing and a button to hang up.
//!
//! The windows are zenity's, which every GTK desktop has or can install.

use std::io::{self, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::terminal::Key;

const PROGRAM: &str = "zenity";
const TITLE: &str = "--title=Trunkline";

/// The desktop's windows.
#[derive(Debug, Default)]
pub struct Dialog {
    /// The call's window listens here while it is open.
    window: Mutex<Option<ChildStdin>>,
}

impl Dialog {
    /// Asks a question.
    ///
    /// # Errors
    /// When no window can be shown; the text says what is missing.
    pub fn ask(&self, question: &str) -> io::Result<bool> {
        if std::env::var_os("DISPLAY").or_else(|| std::env::var_os("WAYLAND_DISPLAY")).is_none() {
            return Err(io::Error::other("there is neither a terminal nor a desktop"));
        }
        let mut command = Command::new(PROGRAM);
        command.args(["--question", "--no-markup", TITLE, &format!("--text={question}")]);
        let status = command.stdin(Stdio::null()).status().map_err(|error| {
            let missing = "install the Debian package zenity, or start the phone in a terminal";
            io::Error::new(error.kind(), format!("{PROGRAM}: {error}; {missing}"))
        })?;
        match status.code() {
            Some(0) => Ok(true),
            // The other button, and the window closed.
            Some(1) => Ok(false),
            _ => Err(io::Error::other(format!("{PROGRAM} ended with {status}"))),
        }
    }

    /// Opens the call's window. Its button hangs up.
    pub fn read_keys(&self) -> mpsc::Receiver<Key> {
        let (sender, keys) = mpsc::channel(1);
        let mut command = Command::new(PROGRAM);
        command.args(["--progress", "--pulsate", "--auto-close", TITLE, "--cancel-label=Hang up"]);
        command.arg("--text=").stdin(Stdio::piped());
        match command.spawn() {
            Ok(mut child) => {
                self.store(child.stdin.take());
                std::thread::spawn(move || {
                    if child.wait().is_ok_and(|status| !status.success()) {
                        // Nobody listens when the call is over already.
                        let _ = sender.blocking_send(Key::HangUp);
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "no window for the call"),
        }
        keys
    }

    /// Shows what the call is doing.
    pub fn show(&self, text: &str) {
        // A `#` begins a text for the window; the rest of the line is Pango markup.
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace(['\r', '\n'], " ");
        self.write(&format!("# {text}\n"));
    }

    /// Shows the talking time.
    pub fn show_timer(&self, talking: Duration) {
        let seconds = talking.as_secs();
        self.show(&format!("Talking {:02}:{:02}", seconds / 60, seconds % 60));
    }

    /// Shows why a call failed until the person has read it.
    pub fn show_failure(&self, text: &str) {
        self.close();
        let mut command = Command::new(PROGRAM);
        command.args(["--error", "--no-markup", TITLE, &format!("--text={text}")]);
        if let Err(error) = command.stdin(Stdio::null()).status() {
            tracing::warn!(%error, "the failure could not be shown");
        }
    }

    fn close(&self) {
        // 100 per cent: the window closes itself.
        self.write("100\n");
        self.store(None);
    }

    fn write(&self, line: &str) {
        if let Ok(mut window) = self.window.lock()
            && let Some(stdin) = &mut *window
            && stdin.write_all(line.as_bytes()).is_err()
        {
            *window = None;
        }
    }

    fn store(&self, stdin: Option<ChildStdin>) {
        if let Ok(mut window) = self.window.lock() {
            *window = stdin;
        }
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        self.close();
    }
}
