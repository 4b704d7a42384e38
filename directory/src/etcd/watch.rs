//! The stream of changes: JSON documents one behind the other, each with the changes of one or
//! more revisions.

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::EtcdError;
use super::message::{self, KeyValue, WatchMessage};

/// A stream of changes.
#[derive(Debug)]
pub struct Watch {
    body: Incoming,
    received: Vec<u8>,
    endpoint: String,
}

/// Changes, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// What has changed; nothing when etcd only shows that it is there.
    pub events: Vec<Event>,
}

/// A change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key, and what it holds now.
    pub key: KeyValue,
    /// The key is gone.
    pub is_gone: bool,
}

/// Longest message, in octets: a transaction of the largest size, in base64.
const MESSAGE_MAX_OCTETS: usize = 64 << 20;

impl Watch {
    pub(super) fn new(body: Incoming, endpoint: String) -> Self {
        Self { body, received: Vec::new(), endpoint }
    }

    /// The next changes. It may be dropped and called again.
    ///
    /// # Errors
    /// The stream has ended, or etcd does not keep what was asked for.
    pub async fn next(&mut self) -> Result<Batch, EtcdError> {
        loop {
            if let Some(end) = self.received.iter().position(|&octet| octet == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return self.read(&line);
            }
            let frame = self.body.frame().await;
            let frame = frame.ok_or_else(|| self.broken("the watch has ended"))?;
            let frame = frame.map_err(|error| self.broken(&error.to_string()))?;
            if let Ok(octets) = frame.into_data() {
                self.received.extend_from_slice(&octets);
            }
            if self.received.len() > MESSAGE_MAX_OCTETS {
                return Err(self.broken("a message of the watch is too long"));
            }
        }
    }

    fn read(&self, line: &[u8]) -> Result<Batch, EtcdError> {
        let message: WatchMessage =
            serde_json::from_slice(line).map_err(|error| self.broken(&error.to_string()))?;
        let Some(result) = message.result else {
            let said = message.error.unwrap_or_default().to_string();
            return Err(self.broken(&message::cause(said.as_bytes())));
        };
        if result.compact_revision > 0 {
            return Err(EtcdError::Compacted { oldest: result.compact_revision });
        }
        if result.canceled {
            return Err(self.broken(&format!("the watch was ended: {}", result.cancel_reason)));
        }
        let event =
            |event: message::WatchEvent| Event { is_gone: event.kind == "DELETE", key: event.kv };
        Ok(Batch { events: result.events.into_iter().map(event).collect() })
    }

    fn broken(&self, cause: &str) -> EtcdError {
        EtcdError::Connection { endpoint: self.endpoint.clone(), cause: cause.to_owned() }
    }
}
