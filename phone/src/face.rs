//! Where the phone meets the person: the terminal it was started in, or a window.

use std::io;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::callee::Callee;
use crate::sound::devices::Choice;
use crate::sound::line::Controls;
use crate::state::{CallState, Key};
use crate::terminal::Terminal;
use crate::window::{Remote, Show};
use crate::words::{self, Language};

/// The phone's face.
#[derive(Debug)]
pub struct Face {
    language: Language,
    terminal: Terminal,
    window: Option<Remote>,
    /// What the person asks for; a terminal is read from its first use on.
    keys: Option<mpsc::Receiver<Key>>,
    /// The link or file that was opened during a call, to be asked about after it.
    pending: Option<String>,
    /// The person has closed the window.
    is_closed: bool,
}

impl Face {
    /// Text.
    pub fn terminal(language: Language) -> Self {
        let terminal = Terminal::new(language);
        Self { language, terminal, window: None, keys: None, pending: None, is_closed: false }
    }

    /// A window, that is shown things by `remote` and sends `keys`. Every line is written to the
    /// standard output as well.
    pub fn window(language: Language, remote: Remote, keys: mpsc::Receiver<Key>) -> Self {
        Self { window: Some(remote), keys: Some(keys), ..Self::terminal(language) }
    }

    /// The language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Whether there is a window.
    pub fn is_window(&self) -> bool {
        self.window.is_some()
    }

    /// What the person asks for.
    pub fn keys(&mut self) -> &mut mpsc::Receiver<Key> {
        self.keys.get_or_insert_with(|| self.terminal.read_keys())
    }

    /// Asks before dialling.
    ///
    /// # Errors
    /// When nobody can be asked.
    pub async fn ask(&mut self, callee: &Callee) -> io::Result<bool> {
        if let Some(gateway) = &callee.untrusted_gateway {
            let warning = words::untrusted_gateway(gateway, self.language);
            self.terminal.show(&format!("{}: {warning}", self.language.pick("Note", "注意")));
        }
        if !self.is_window() {
            let (terminal, question) =
                (self.terminal, words::question(&callee.written, self.language));
            // Off this thread, so that a signal is still obeyed.
            let answer = tokio::task::spawn_blocking(move || terminal.ask(&question)).await;
            return answer.map_err(io::Error::other)?;
        }
        self.tell(Show::Question(callee.clone()));
        loop {
            match self.keys().recv().await {
                Some(Key::Yes) => return Ok(true),
                Some(Key::No | Key::Close) | None => {
                    self.is_closed = true;
                    return Ok(false);
                }
                // The person has clicked something else.
                Some(Key::Open(target)) => {
                    self.pending = Some(target);
                    return Ok(false);
                }
                Some(_) => {}
            }
        }
    }

    /// Shows how far the call is.
    pub fn state(&self, state: CallState) {
        self.terminal.show(&words::line(&state, self.language));
        self.tell(Show::State(state));
    }

    /// Shows the talking time in place.
    pub fn show_timer(&self, talking: Duration, muted: bool) {
        // A window has its own clock.
        if !self.is_window() {
            self.terminal.show_timer(talking, muted);
        }
    }

    /// Shows a line that stays.
    pub fn show(&self, text: &str) {
        self.terminal.show(text);
        self.tell(Show::Note(text.to_owned()));
    }

    /// Says something that the person should know, on the standard error and in the window.
    pub fn warn(&self, text: &str) {
        self.warner()(text);
    }

    /// [`Face::warn`] for another thread.
    pub fn warner(&self) -> impl Fn(&str) + Send + use<> {
        let window = self.window.clone();
        move |text| {
            eprintln!("{text}");
            if let Some(window) = &window {
                window.show(Show::Note(text.to_owned()));
            }
        }
    }

    /// Says why nobody is called: to the standard error, for scripts, and in the window.
    pub fn refuse(&self, written: &str, why: &str) {
        let not_called = self.language.pick("Not called", "発信しません");
        eprintln!("{not_called}: {why}");
        self.tell(Show::Refused { written: written.to_owned(), why: why.to_owned() });
    }

    /// Shows why there was no call.
    pub fn failed(&self, why: &str) {
        let failed = self.language.pick("Call failed", "通話できませんでした");
        self.terminal.show(&format!("{failed}: {why}"));
        self.tell(Show::Failed(why.to_owned()));
    }

    /// Lets the window read mute and levels of a call.
    pub fn controls(&self, controls: &Controls) {
        self.tell(Show::Controls(controls.clone()));
    }

    /// Lets the window offer microphones and loudspeakers.
    pub fn devices(&self, choice: Choice) {
        self.tell(Show::Devices(choice));
    }

    /// Keeps what was opened during a call until its end.
    pub fn wait(&mut self, target: String) {
        self.tell(Show::Waiting);
        self.pending = Some(target);
    }

    /// What was opened meanwhile.
    pub fn take_pending(&mut self) -> Option<String> {
        self.pending.take()
    }

    /// Remembers that the person has closed the window.
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether the person has closed the window.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Ends the window.
    pub fn end(&self) {
        self.tell(Show::End);
    }

    fn tell(&self, show: Show) {
        if let Some(window) = &self.window {
            window.show(show);
        }
    }
}
