//! The events of a call as a stream of server-sent events (WHATWG HTML §9.2).

use std::convert::Infallible;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use serde_json::json;
use tokio::sync::mpsc;

use super::PageEvent;

/// A comment goes out so often, so that nothing between here and the page takes the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The stream; it ends with the call.
pub(super) fn stream(mut events: mpsc::Receiver<PageEvent>) -> impl IntoResponse {
    let events = poll_fn(move |context| events.poll_recv(context));
    Sse::new(events.map(|event| Ok::<_, Infallible>(written(event))))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn written(event: PageEvent) -> Event {
    let (name, data) = match event {
        PageEvent::Connecting => ("connecting", json!({})),
        PageEvent::Ringing => ("ringing", json!({})),
        PageEvent::Answered => ("answered", json!({})),
        PageEvent::Ended { cause, reason } => {
            ("ended", json!({ "cause": cause, "reason": reason }))
        }
    };
    Event::default().event(name).data(data.to_string())
}
