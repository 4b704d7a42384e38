//! The phone's text interface: what it is doing, and keys typed into the terminal.
//!
//! Lines are read rather than single keys, so that the phone works over any terminal and in a
//! pipe: digits are sent as they are, `m` mutes, `h` hangs up.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::state::Key;
use crate::words::{Language, clock};

/// The keys in a line that was typed; unknown characters are given back.
fn keys(line: &str) -> Result<Vec<Key>, char> {
    line.trim()
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|character| match character {
            '0'..='9' | '*' | '#' | 'A'..='D' => Ok(Key::Digit(character)),
            'm' | 'M' => Ok(Key::Mute),
            'h' | 'H' | 'q' | 'Q' => Ok(Key::HangUp),
            'y' | 'Y' => Ok(Key::Yes),
            'n' | 'N' => Ok(Key::No),
            other => Err(other),
        })
        .collect()
}

/// The terminal.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    is_terminal: bool,
    language: Language,
}

impl Terminal {
    /// The terminal of this process.
    pub fn new(language: Language) -> Self {
        Self { is_terminal: io::stdout().is_terminal(), language }
    }

    /// Reads keys on a thread of its own until the input ends.
    pub fn read_keys(&self) -> mpsc::Receiver<Key> {
        let (sender, keys_read) = mpsc::channel(32);
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                match keys(&line) {
                    Ok(keys) => {
                        for key in keys {
                            if sender.blocking_send(key).is_err() {
                                return;
                            }
                        }
                    }
                    Err(other) => {
                        eprintln!("{other:?} is no key: digits * # are sent, m mutes, h hangs up");
                    }
                }
            }
        });
        keys_read
    }

    /// Asks a question.
    ///
    /// # Errors
    /// When nobody is there to answer.
    pub fn ask(&self, question: &str) -> io::Result<bool> {
        if !io::stdin().is_terminal() {
            let remedy = "give --yes, or write ask: false in the configuration";
            return Err(io::Error::other(format!("this is no terminal; {remedy}")));
        }
        print!("{question} [y/N] ");
        io::stdout().flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "はい"))
    }

    /// Shows a line that stays.
    pub fn show(&self, text: &str) {
        if self.is_terminal {
            // Clears what `show_timer` left.
            println!("\r\x1b[K{text}");
        } else {
            println!("{text}");
        }
    }

    /// Shows the talking time in place.
    pub fn show_timer(&self, talking: Duration, muted: bool) {
        if self.is_terminal {
            let what = self.language.pick("Talking", "通話中");
            let muted = if muted { self.language.pick("  (muted)", "  (消音中)") } else { "" };
            print!("\r\x1b[K{what} {}{muted}", clock(talking));
            let _ = io::stdout().flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_digits_mute_and_hang_up() {
        assert_eq!(
            keys("12# m h\n"),
            Ok(vec![Key::Digit('1'), Key::Digit('2'), Key::Digit('#'), Key::Mute, Key::HangUp])
        );
        assert_eq!(keys("1x"), Err('x'));
    }
}
