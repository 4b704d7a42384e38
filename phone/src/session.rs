//! What a phone does from its start to its end: one call in a terminal; in a window as many as are
//! clicked, one after another.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use trunkline_program::signal::{Request, Signals};

use crate::callee::{self, Callee, CalleeError};
use crate::configuration::Configuration;
use crate::engine::{self, CallError, Wishes};
use crate::face::Face;
use crate::state::Key;
use crate::words;

/// Whom a call is for, as the phone was told.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A number that a person typed.
    Typed(String),
    /// A link or file.
    Opened(String),
    /// Nobody yet: calls are waited for.
    Calls,
}

impl Wanted {
    fn text(&self) -> &str {
        match self {
            Self::Typed(text) | Self::Opened(text) => text,
            Self::Calls => "",
        }
    }

    fn callee(&self, configuration: &Configuration) -> Result<Callee, CalleeError> {
        match self {
            Self::Calls => callee::typed("", configuration),
            Self::Typed(number) => callee::typed(number, configuration),
            Self::Opened(target) => {
                let now_unix_s =
                    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
                callee::clicked(target, configuration, now_unix_s)
            }
        }
    }
}

/// What comes after a call.
enum Next {
    Open(String),
    Again,
    End,
}

/// Calls, and returns when the person is done. The status is that of the last call.
pub fn run(
    mut configuration: Configuration,
    wanted: Wanted,
    wishes: &Wishes,
    mut face: Face,
) -> ExitCode {
    let runtime = match engine::runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            face.failed(&words::failure(&error.into(), face.language()));
            face.end();
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(follow(&mut configuration, wanted, wishes, &mut face));
    face.end();
    // A thread may wait for an answer in the terminal that nobody will give.
    runtime.shutdown_background();
    status
}

async fn follow(
    configuration: &mut Configuration,
    mut wanted: Wanted,
    wishes: &Wishes,
    face: &mut Face,
) -> ExitCode {
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => {
            face.failed(&words::failure(&CallError::System(error), face.language()));
            return ExitCode::FAILURE;
        }
    };
    let waits = matches!(wanted, Wanted::Calls);
    loop {
        if matches!(wanted, Wanted::Calls) {
            match engine::wait(configuration, wishes, face, &mut signals).await {
                Ok(engine::Waited::Opened(target)) => wanted = Wanted::Opened(target),
                Ok(engine::Waited::Ended) => return ExitCode::SUCCESS,
                Ok(engine::Waited::Called) => {
                    if face.is_closed() {
                        return ExitCode::SUCCESS;
                    }
                    if let Some(target) = face.take_pending() {
                        wanted = Wanted::Opened(target);
                    }
                    continue;
                }
                Err(error) => {
                    face.failed(&words::failure(&error, face.language()));
                    return ExitCode::FAILURE;
                }
            }
        }
        let mut callee = None;
        let mut status = match wanted.callee(configuration) {
            Ok(found) => {
                let status = ask_and_call(configuration, &found, wishes, face, &mut signals).await;
                callee = Some(found);
                status
            }
            Err(error) => {
                if face.is_window() {
                    tracing::warn!(%error, "not called");
                }
                face.refuse(wanted.text(), &words::refusal(&error, face.language()));
                ExitCode::FAILURE
            }
        };
        if !face.is_window() {
            return status;
        }
        loop {
            match next(face, &mut signals).await {
                Next::End if waits && !face.is_closed() => {
                    wanted = Wanted::Calls;
                    break;
                }
                Next::End => return status,
                Next::Open(target) => {
                    wanted = Wanted::Opened(target);
                    break;
                }
                // The person's yes to this number is the button.
                Next::Again => {
                    if let Some(callee) = &callee {
                        status = call(configuration, callee, wishes, face, &mut signals).await;
                    }
                }
            }
        }
    }
}

async fn ask_and_call(
    configuration: &mut Configuration,
    callee: &Callee,
    wishes: &Wishes,
    face: &mut Face,
    signals: &mut Signals,
) -> ExitCode {
    if configuration.ask {
        let asked = tokio::select! {
            asked = face.ask(callee) => Some(asked),
            () = ended(signals) => None,
        };
        match asked {
            Some(Ok(true)) => {}
            Some(Ok(false)) => {
                face.show(face.language().pick("Not called.", "発信しませんでした。"));
                return ExitCode::FAILURE;
            }
            Some(Err(error)) => {
                eprintln!("Not called: nobody could be asked: {error}");
                tracing::error!(%error, "nobody could be asked before dialling");
                return ExitCode::FAILURE;
            }
            None => {
                face.close();
                return ExitCode::FAILURE;
            }
        }
    }
    call(configuration, callee, wishes, face, signals).await
}

async fn call(
    configuration: &mut Configuration,
    callee: &Callee,
    wishes: &Wishes,
    face: &mut Face,
    signals: &mut Signals,
) -> ExitCode {
    match engine::call(configuration, callee, wishes, face, signals).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if face.is_window() {
                tracing::warn!(%error, "the call failed");
            }
            face.failed(&words::failure(&error, face.language()));
            ExitCode::FAILURE
        }
    }
}

/// Waits for what the person wants after a call.
async fn next(face: &mut Face, signals: &mut Signals) -> Next {
    loop {
        if face.is_closed() {
            return Next::End;
        }
        if let Some(target) = face.take_pending() {
            return Next::Open(target);
        }
        tokio::select! {
            key = face.keys().recv() => match key {
                Some(Key::Again) => return Next::Again,
                Some(Key::Open(target)) => return Next::Open(target),
                Some(Key::Close) | None => return Next::End,
                Some(_) => {}
            },
            () = ended(signals) => return Next::End,
        }
    }
}

/// Waits until the process is asked to end.
async fn ended(signals: &mut Signals) {
    while signals.next().await != Request::End {}
}
