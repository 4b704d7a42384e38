//! One program of the system as a child process: its log is read as it comes, and it does not
//! outlive us.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest time that a program is given to end after SIGTERM.
const END_MAX: Duration = Duration::from_secs(10);

/// A line of a program's log.
#[derive(Clone, Debug)]
pub struct LogEvent {
    /// Name of the program that wrote it.
    pub program: String,
    /// When it was read.
    pub at: Instant,
    /// The line's fields.
    pub fields: Value,
}

impl LogEvent {
    /// Text of a field, empty where it is not there.
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// A program that was started.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    reader: Option<JoinHandle<()>>,
}

impl Program {
    /// Starts a program; its standard error, one JSON object a line, goes to `NAME.log` in
    /// `folder` and as events to `events`.
    pub fn start(
        name: &str,
        mut command: Command,
        folder: &Path,
        events: Sender<LogEvent>,
    ) -> io::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let mut file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C reaches a terminal's whole process group: the programs are to be ended one after
        // the other, by whoever started them.
        command.process_group(0);
        // SAFETY: prctl is async-signal-safe and touches no memory of this process.
        unsafe {
            // A demonstration that is killed must not leave programs behind.
            command.pre_exec(|| {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stderr.take().expect("piped above"));
        let reader = std::thread::spawn({
            let name = name.to_owned();
            move || {
                for line in lines.lines().map_while(Result::ok) {
                    // The log is for reading afterwards; a full disk must not stop the program.
                    let _ = writeln!(file, "{line}");
                    let Ok(fields) = serde_json::from_str(&line) else { continue };
                    let event = LogEvent { program: name.clone(), at: Instant::now(), fields };
                    let _ = events.send(event);
                }
            }
        });
        Ok(Self { name: name.to_owned(), child, log, reader: Some(reader) })
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The end of its log, for a message about what went wrong.
    pub fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: the child is not reaped before wait, so its number is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    /// Waits for it to end by itself; `None` when it did not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                if let Some(reader) = self.reader.take() {
                    let _ = reader.join();
                }
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it with SIGTERM and waits; kills it where that does not help. The status is `None`
    /// when it had to be killed.
    pub fn end(&mut self) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(Some(status));
        }
        self.signal(libc::SIGTERM);
        let ended = self.wait(END_MAX)?;
        if ended.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(ended)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_at_the_terminal_does_not_reach_the_programs_themselves() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("60");
        let (events, _) = std::sync::mpsc::channel();
        let mut program = Program::start("sleep", command, folder.path(), events).unwrap();
        let pid = program.child.id() as libc::pid_t;
        // SAFETY: getpgid and getpgrp take and give numbers only.
        let (theirs, ours) = unsafe { (libc::getpgid(pid), libc::getpgrp()) };
        program.child.kill().unwrap();
        program.child.wait().unwrap();
        assert!(theirs == pid && theirs != ours, "group {theirs}, ours {ours}");
    }
}
