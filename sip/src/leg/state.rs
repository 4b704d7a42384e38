//! What the stack reports of the dialog.

use std::ops::ControlFlow;

use rsipstack::dialog::dialog::{DialogState, TerminatedReason, TransactionHandle};
use rsipstack::sip::headers::make_header;
use rsipstack::sip::{Request, Response, StatusCode};

use super::{ALLOW, Leg, Phase, body, value_of};
use crate::event::{Event, Sdp};

impl Leg {
    pub(super) async fn on_state(&mut self, state: DialogState) -> ControlFlow<()> {
        match state {
            DialogState::Calling(_) | DialogState::Trying(_) | DialogState::WaitAck(..) => {}
            DialogState::Early(_, response) => {
                if self.is_caller() && self.phase == Phase::Open {
                    self.emit(Event::Provisional {
                        leg: self.id,
                        status: u16::from(response.status_code.clone()),
                        sdp: body(&response.body).map(Sdp),
                    })
                    .await;
                }
            }
            DialogState::Confirmed(_, response) => self.on_confirmed(response).await,
            DialogState::Updated(_, request, handle) => self.on_offer(request, handle).await,
            DialogState::Info(_, request, handle) => self.on_info(&request, &handle).await,
            DialogState::Options(_, _, handle) => {
                let _ = handle.respond(StatusCode::OK, allow(), None).await;
            }
            DialogState::Publish(_, _, handle)
            | DialogState::Notify(_, _, handle)
            | DialogState::Refer(_, _, handle)
            | DialogState::Message(_, _, handle) => {
                let _ = handle.respond(StatusCode::MethodNotAllowed, allow(), None).await;
            }
            DialogState::Terminated(_, reason) => return self.on_terminated(reason).await,
        }
        ControlFlow::Continue(())
    }

    async fn on_confirmed(&mut self, response: Response) {
        // The stack reports this again after every request within the dialog.
        match self.phase {
            Phase::Open if self.is_caller() => {
                self.phase = Phase::Confirmed;
                self.on_answer(&response);
                let sdp = body(&response.body);
                self.remote_sdp.clone_from(&sdp);
                self.emit(Event::Answered { leg: self.id, sdp: sdp.map(Sdp) }).await;
            }
            // The 2xx has overtaken our CANCEL (RFC 3261 §9.1).
            Phase::Ending if self.is_caller() && self.bye.is_none() => {
                let cause = self.shared.legs.with_entry(self.id, |entry| entry.cancel_cause);
                self.send_bye(cause.flatten());
            }
            Phase::Answered => {
                self.phase = Phase::Confirmed;
                self.give_up_at = None;
                if let Some(cause) = self.hangup_on_ack.take() {
                    self.send_bye(cause);
                    return;
                }
                let sdp = self.dialog.last_remote_ack().and_then(|ack| body(&ack.body));
                if sdp.is_some() {
                    self.remote_sdp.clone_from(&sdp);
                }
                self.emit(Event::Acked { leg: self.id, sdp: sdp.map(Sdp) }).await;
            }
            _ => {}
        }
    }

    async fn on_terminated(&mut self, reason: TerminatedReason) -> ControlFlow<()> {
        if self.is_caller() && self.invite.is_some() && self.phase != Phase::Confirmed {
            // The final response is about to come with the end of the INVITE.
            return ControlFlow::Continue(());
        }
        let cancelled = self.shared.legs.with_entry(self.id, |entry| entry.cancel_cause).flatten();
        let event = match (reason, self.phase) {
            (TerminatedReason::UacCancel, _) => Event::Cancelled { leg: self.id, cause: cancelled },
            (TerminatedReason::Timeout, _) => Event::AckTimeout { leg: self.id },
            _ => Event::Bye { leg: self.id, cause: self.bye_cause },
        };
        if self.hangup_on_ack.is_none() {
            self.emit(event).await;
        }
        ControlFlow::Break(())
    }

    /// A digit by INFO.
    async fn on_info(&mut self, request: &Request, handle: &TransactionHandle) {
        let kind = value_of(&request.headers, "Content-Type").unwrap_or_default();
        let text = String::from_utf8_lossy(&request.body);
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let digit = match kind.as_str() {
            "application/dtmf-relay" => relayed_digit(&text),
            "application/dtmf" => single_digit(text.trim()).map(|digit| (digit, DEFAULT_DIGIT_MS)),
            // RFC 6086 §4.2.2: an INFO with nothing in it asks only whether we are there.
            "" => {
                let _ = handle.reply(StatusCode::OK).await;
                return;
            }
            _ => {
                let _ = handle.reply(StatusCode::UnsupportedMediaType).await;
                return;
            }
        };
        match digit {
            Some((digit, duration_ms)) => {
                let _ = handle.reply(StatusCode::OK).await;
                self.emit(Event::Digit { leg: self.id, digit, duration_ms }).await;
            }
            None => {
                let _ = handle.reply(StatusCode::BadRequest).await;
            }
        }
    }
}

/// How long a digit sounds that says nothing about it.
const DEFAULT_DIGIT_MS: u32 = 160;
/// Longest digit believed.
const MAX_DIGIT_MS: u32 = 5_000;

/// `Signal=5` and `Duration=160`, one a line.
fn relayed_digit(text: &str) -> Option<(char, u32)> {
    let mut digit = None;
    let mut duration_ms = DEFAULT_DIGIT_MS;
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "signal" => digit = single_digit(value.trim()),
            "duration" => duration_ms = value.trim().parse().ok()?,
            _ => {}
        }
    }
    Some((digit?, duration_ms.clamp(40, MAX_DIGIT_MS)))
}

fn single_digit(text: &str) -> Option<char> {
    match text {
        // Some phones send the event number of RFC 4733 instead of the key.
        "10" => Some('*'),
        "11" => Some('#'),
        _ => {
            let mut letters = text.chars();
            let letter = letters.next()?.to_ascii_uppercase();
            (letters.next().is_none() && matches!(letter, '0'..='9' | 'A'..='D' | '*' | '#'))
                .then_some(letter)
        }
    }
}

fn allow() -> Option<Vec<rsipstack::sip::Header>> {
    Some(vec![make_header("Allow", ALLOW.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relayed_digit_is_read_with_its_duration() {
        assert_eq!(relayed_digit("Signal= 5\r\nDuration=250\r\n"), Some(('5', 250)));
        assert_eq!(relayed_digit("signal=#"), Some(('#', 160)));
        assert_eq!(relayed_digit("Signal=11\r\nDuration=999999"), Some(('#', 5_000)));
    }

    #[test]
    fn what_is_no_digit_is_refused() {
        for text in ["", "Signal=", "Signal=55", "Signal=x", "Signal=1\r\nDuration=long"] {
            assert_eq!(relayed_digit(text), None, "{text:?}");
        }
    }
}
