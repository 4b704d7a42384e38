//! A client of etcd: its version 3 interface over JSON (`/v3/kv/…`), as every member serves it, so
//! that neither gRPC nor a compiler of its descriptions is needed.
//!
//! Keys and values are octets, base64 in JSON; numbers of 64 bits are strings there.

mod message;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::endpoint::{Authorities, Endpoint};
use message::{
    Authenticated, Authentication, Granted, KeepAlive, KeptAlive, RangeAnswer, RangeRequest,
    TxnAnswer, TxnRequest,
};

pub use message::{Compare, KeyValue, Operation};
pub use watch::{Event, Watch};

/// Where etcd is, and as whom it is asked.
#[derive(Clone)]
pub struct EtcdSettings {
    /// Its members; one is asked, the next when that one fails.
    pub endpoints: Vec<Endpoint>,
    /// Sign the members' certificates.
    pub authorities: Option<Authorities>,
    /// Name and password, where etcd wants them.
    pub user: Option<(String, String)>,
}

impl fmt::Debug for EtcdSettings {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        f.debug_struct("EtcdSettings")
            .field("endpoints", &self.endpoints)
            .field("user", &user)
            .finish_non_exhaustive()
    }
}

/// Why etcd did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EtcdError {
    /// No answer, or none that can be read: what was asked may have been done.
    #[error("etcd at {endpoint}: {cause}")]
    Connection {
        /// The member.
        endpoint: String,
        /// What is wrong.
        cause: String,
    },
    /// It was not done.
    #[error("etcd at {endpoint} refuses: {cause}")]
    Refused {
        /// The member.
        endpoint: String,
        /// Its word.
        cause: String,
    },
    /// A watch asks for changes that are not kept any more.
    #[error("etcd keeps no changes before its revision {oldest}")]
    Compacted {
        /// The oldest that is kept.
        oldest: u64,
    },
}

/// The answer to [`Etcd::range`].
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// The keys, in their order.
    pub keys: Vec<KeyValue>,
    /// As of this revision.
    pub revision: u64,
    /// Which etcd it is.
    pub cluster: String,
}

/// What became of [`Etcd::commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done; this is its revision.
    Done(u64),
    /// A comparison failed; these are the keys that were to be told of then.
    Otherwise(Vec<KeyValue>),
}

/// A connection to one member after the other.
#[derive(Debug)]
pub struct Etcd {
    settings: Arc<EtcdSettings>,
    place: usize,
    connection: Option<http1::SendRequest<Full<Bytes>>>,
    /// What the member gave for name and password.
    token: Option<String>,
}

/// Longest a member may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Longest answer that is read, in octets: a page of [`PAGE`] rows of the longest.
const ANSWER_MAX_OCTETS: usize = 512 << 20;

/// Keys that are read at once.
const PAGE: u32 = 1_000;

impl Etcd {
    /// Nothing is opened yet.
    pub fn new(settings: Arc<EtcdSettings>) -> Self {
        Self { settings, place: 0, connection: None, token: None }
    }

    /// Another connection to the same member.
    pub fn beside(&self) -> Self {
        Self {
            place: self.place,
            token: self.token.clone(),
            ..Self::new(Arc::clone(&self.settings))
        }
    }

    /// The member that is asked.
    pub fn endpoint(&self) -> &Endpoint {
        &self.settings.endpoints[self.place]
    }

    /// All keys that begin with `prefix`, as they are at one revision.
    ///
    /// # Errors
    /// etcd's.
    pub async fn range(&mut self, prefix: &str) -> Result<Range, EtcdError> {
        let mut all = Range::default();
        let end = message::end_of_prefix(prefix.as_bytes());
        let mut from = prefix.as_bytes().to_vec();
        loop {
            let request = RangeRequest::new(&from, &end, PAGE, all.revision);
            let answer: RangeAnswer = self.ask("/v3/kv/range", &request).await?;
            if all.revision == 0 {
                all.revision = answer.header.revision;
                all.cluster = answer.header.cluster_id;
            }
            let Some(last) = answer.kvs.last() else {
                return Ok(all);
            };
            from = last.key.clone();
            from.push(0);
            all.keys.extend(answer.kvs);
            if !answer.more {
                return Ok(all);
            }
        }
    }

    /// Does all operations if all comparisons hold, else gives the keys of `else_tell`.
    ///
    /// # Errors
    /// etcd's. After [`EtcdError::Connection`] it may have been done.
    pub async fn commit(
        &mut self,
        compare: &[Compare],
        operations: &[Operation],
        else_tell: &[&str],
    ) -> Result<Outcome, EtcdError> {
        let request = TxnRequest::new(compare, operations, else_tell);
        let answer: TxnAnswer = self.ask("/v3/kv/txn", &request).await?;
        if answer.succeeded {
            return Ok(Outcome::Done(answer.header.revision));
        }
        let told = answer.responses.into_iter().filter_map(|response| response.response_range);
        Ok(Outcome::Otherwise(told.flat_map(|range| range.kvs).collect()))
    }

    /// A lease: what is put with it goes when it ends.
    ///
    /// # Errors
    /// etcd's.
    pub async fn grant(&mut self, ttl_s: u32) -> Result<u64, EtcdError> {
        let request = serde_json::json!({ "TTL": ttl_s.to_string() });
        let answer: Granted = self.ask("/v3/lease/grant", &request).await?;
        Ok(answer.id)
    }

    /// Lets a lease begin anew; false when it has ended.
    ///
    /// # Errors
    /// etcd's.
    pub async fn keep_alive(&mut self, lease: u64) -> Result<bool, EtcdError> {
        let request = KeepAlive { id: lease };
        let answer: KeptAlive = self.ask("/v3/lease/keepalive", &request).await?;
        Ok(answer.result.ttl > 0)
    }

    /// All changes of keys that begin with `prefix`, from a revision on.
    ///
    /// # Errors
    /// etcd's.
    pub async fn watch(&mut self, prefix: &str, revision: u64) -> Result<Watch, EtcdError> {
        let request = message::watch_request(prefix, revision);
        let (_, body) = self.send("/v3/watch", &request).await?;
        // The stream keeps its connection for itself.
        self.connection = None;
        Ok(Watch::new(body, self.endpoint().to_string()))
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<T, EtcdError> {
        if self.token.is_none()
            && let Some((name, password)) = self.settings.user.clone()
        {
            let request = Authentication { name: &name, password: &password };
            let answer: Authenticated = self.ask_once("/v3/auth/authenticate", &request).await?;
            self.token = Some(answer.token);
        }
        self.ask_once(path, request).await
    }

    async fn ask_once<T: DeserializeOwned>(
        &mut self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<T, EtcdError> {
        let answer = async {
            let (connection, body) = self.send(path, request).await?;
            let collected = Limited::new(body, ANSWER_MAX_OCTETS).collect().await;
            let octets = collected.map_err(|error| self.broken(error.to_string()))?.to_bytes();
            self.connection = Some(connection);
            Ok(octets)
        };
        let octets = match timeout(ANSWER_MAX, answer).await {
            Ok(Ok(octets)) => octets,
            Ok(Err(error)) => {
                self.give_up();
                return Err(error);
            }
            Err(_) => {
                let error = self.broken(format!("no answer for {} s", ANSWER_MAX.as_secs()));
                self.give_up();
                return Err(error);
            }
        };
        serde_json::from_slice(&octets).map_err(|error| self.broken(error.to_string()))
    }

    async fn send(
        &mut self,
        path: &str,
        request: &impl Serialize,
    ) -> Result<(http1::SendRequest<Full<Bytes>>, Incoming), EtcdError> {
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => {
                let connected = self.endpoint().connect(self.settings.authorities.as_ref());
                match timeout(ANSWER_MAX, connected).await {
                    Ok(connected) => connected.map_err(|cause| self.broken(cause))?,
                    Err(_) => return Err(self.broken("no connection in time".to_owned())),
                }
            }
        };
        let body = serde_json::to_vec(request).map_err(|error| self.broken(error.to_string()))?;
        let mut head = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, self.endpoint().to_string())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            head = head.header(header::AUTHORIZATION, token);
        }
        let request = head.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| self.broken(error.to_string()))?;
        connection.ready().await.map_err(|error| self.broken(error.to_string()))?;
        let answer = connection.send_request(request).await;
        let answer = answer.map_err(|error| self.broken(error.to_string()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok((connection, answer.into_body()));
        }
        let text = Limited::new(answer.into_body(), 64 * 1024).collect().await;
        let octets = text.map(|text| text.to_bytes()).unwrap_or_default();
        let cause = message::cause(&octets);
        let endpoint = self.endpoint().to_string();
        Err(match status {
            // No leader, too many requests, a member that is stopping: it is not known what was done.
            StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR => EtcdError::Connection { endpoint, cause },
            _ => EtcdError::Refused { endpoint, cause: format!("{status}: {cause}") },
        })
    }

    fn broken(&self, cause: String) -> EtcdError {
        EtcdError::Connection { endpoint: self.endpoint().to_string(), cause }
    }

    /// The next member is asked from now on.
    fn give_up(&mut self) {
        self.connection = None;
        self.token = None;
        self.place = (self.place + 1) % self.settings.endpoints.len();
    }
}
