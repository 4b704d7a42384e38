//! Where the phone meets the person: the terminal it was started in, else the desktop's windows.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::dialog::Dialog;
use crate::terminal::{Key, Terminal};

/// The phone's face.
#[derive(Debug)]
pub enum Face {
    /// Text.
    Terminal(Terminal),
    /// Windows; every line is written to the standard output as well.
    Desktop(Dialog, Terminal),
}

impl Face {
    /// The one that this process can have: windows where the phone `asks` before it dials, no
    /// terminal could give an answer and a desktop is there.
    pub fn new(asks: bool) -> Self {
        let desktop = ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        if asks && desktop && !io::stdin().is_terminal() {
            Self::Desktop(Dialog::default(), Terminal::new())
        } else {
            Self::Terminal(Terminal::new())
        }
    }

    /// Asks a question.
    ///
    /// # Errors
    /// When nobody can be asked.
    pub fn ask(&self, question: &str) -> io::Result<bool> {
        match self {
            Self::Terminal(terminal) => terminal.ask(question),
            Self::Desktop(dialog, _) => dialog.ask(question),
        }
    }

    /// What the person asks for during the call.
    pub fn read_keys(&self) -> mpsc::Receiver<Key> {
        match self {
            Self::Terminal(terminal) => terminal.read_keys(),
            Self::Desktop(dialog, _) => dialog.read_keys(),
        }
    }

    /// Shows a line that stays.
    pub fn show(&self, text: &str) {
        match self {
            Self::Terminal(terminal) => terminal.show(text),
            Self::Desktop(dialog, terminal) => {
                dialog.show(text);
                terminal.show(text);
            }
        }
    }

    /// Shows the talking time in place.
    pub fn show_timer(&self, talking: Duration, muted: bool) {
        match self {
            Self::Terminal(terminal) => terminal.show_timer(talking, muted),
            Self::Desktop(dialog, _) => dialog.show_timer(talking),
        }
    }

    /// Says why nobody is called: to the standard error, for scripts, and in a window.
    pub fn refuse(&self, text: &str) {
        eprintln!("{text}");
        if let Self::Desktop(dialog, _) = self {
            dialog.show_failure(text);
        }
    }

    /// Shows why there is no call, or no call any more.
    pub fn show_failure(&self, text: &str) {
        match self {
            Self::Terminal(terminal) => terminal.show(text),
            Self::Desktop(dialog, terminal) => {
                terminal.show(text);
                dialog.show_failure(text);
            }
        }
    }
}
