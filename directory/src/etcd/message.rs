//! What is said to etcd and what it answers, as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A key and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct KeyValue {
    /// The key.
    #[serde(with = "octets")]
    pub key: Vec<u8>,
    /// What it holds; nothing of a key that is gone.
    #[serde(default, with = "octets")]
    pub value: Vec<u8>,
    /// The revision of its last change.
    #[serde(default, with = "number")]
    pub mod_revision: u64,
}

/// What must hold for a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key was last changed at this revision; 0: it is not there.
    Revision(String, u64),
    /// The key holds this.
    Value(String, Vec<u8>),
}

/// A part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A key gets a value; it goes with the lease, if there is one (0: none).
    Put(String, Vec<u8>, u64),
    /// A key goes.
    Delete(String),
    /// All keys from the first on and before the second go.
    DeleteRange(String, String),
}

#[derive(Deserialize)]
pub(super) struct Header {
    #[serde(default)]
    pub cluster_id: String,
    #[serde(default, with = "number")]
    pub revision: u64,
}

#[derive(Serialize)]
pub(super) struct RangeRequest {
    #[serde(with = "octets")]
    key: Vec<u8>,
    #[serde(with = "octets")]
    range_end: Vec<u8>,
    limit: String,
    revision: String,
}

impl RangeRequest {
    /// At `revision`, or now if it is 0.
    pub(super) fn new(from: &[u8], end: &[u8], limit: u32, revision: u64) -> Self {
        Self {
            key: from.to_vec(),
            range_end: end.to_vec(),
            limit: limit.to_string(),
            revision: revision.to_string(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct RangeAnswer {
    pub header: Header,
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
    #[serde(default)]
    pub more: bool,
}

#[derive(Serialize)]
pub(super) struct TxnRequest {
    compare: Vec<serde_json::Value>,
    success: Vec<serde_json::Value>,
    failure: Vec<serde_json::Value>,
}

impl TxnRequest {
    pub(super) fn new(compare: &[Compare], success: &[Operation], failure: &[&str]) -> Self {
        let compared = |compare: &Compare| match compare {
            Compare::Revision(key, revision) => serde_json::json!({
                "key": BASE64.encode(key),
                "target": "MOD",
                "result": "EQUAL",
                "mod_revision": revision.to_string(),
            }),
            Compare::Value(key, value) => serde_json::json!({
                "key": BASE64.encode(key),
                "target": "VALUE",
                "result": "EQUAL",
                "value": BASE64.encode(value),
            }),
        };
        let done = |operation: &Operation| match operation {
            Operation::Put(key, value, lease) => serde_json::json!({ "request_put": {
                "key": BASE64.encode(key),
                "value": BASE64.encode(value),
                "lease": lease.to_string(),
            }}),
            Operation::Delete(key) => serde_json::json!({ "request_delete_range": {
                "key": BASE64.encode(key),
            }}),
            Operation::DeleteRange(from, end) => serde_json::json!({ "request_delete_range": {
                "key": BASE64.encode(from),
                "range_end": BASE64.encode(end),
            }}),
        };
        let told =
            |key: &&str| serde_json::json!({ "request_range": { "key": BASE64.encode(key) } });
        Self {
            compare: compare.iter().map(compared).collect(),
            success: success.iter().map(done).collect(),
            failure: failure.iter().map(told).collect(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct TxnAnswer {
    pub header: Header,
    #[serde(default)]
    pub succeeded: bool,
    #[serde(default)]
    pub responses: Vec<TxnResponse>,
}

#[derive(Deserialize)]
pub(super) struct TxnResponse {
    pub response_range: Option<TxnRange>,
}

#[derive(Deserialize)]
pub(super) struct TxnRange {
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
pub(super) struct Granted {
    #[serde(rename = "ID", with = "number")]
    pub id: u64,
}

#[derive(Serialize)]
pub(super) struct KeepAlive {
    #[serde(rename = "ID", with = "number")]
    pub id: u64,
}

#[derive(Deserialize)]
pub(super) struct KeptAlive {
    pub result: Kept,
}

#[derive(Deserialize)]
pub(super) struct Kept {
    /// None of a lease that has ended.
    #[serde(rename = "TTL", default, with = "number")]
    pub ttl: u64,
}

#[derive(Serialize)]
pub(super) struct Authentication<'a> {
    pub name: &'a str,
    pub password: &'a str,
}

#[derive(Deserialize)]
pub(super) struct Authenticated {
    pub token: String,
}

/// The first key behind all that begin with `prefix`.
pub(super) fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Of no octets: all keys (as etcd's interface has it).
    vec![0]
}

/// Progress is told of when nothing changes, so that it is seen that the watch is alive.
pub(super) fn watch_request(prefix: &str, revision: u64) -> serde_json::Value {
    serde_json::json!({ "create_request": {
        "key": BASE64.encode(prefix),
        "range_end": BASE64.encode(end_of_prefix(prefix.as_bytes())),
        "start_revision": revision.to_string(),
        "progress_notify": true,
    }})
}

/// A message of a watch.
#[derive(Deserialize)]
pub(super) struct WatchMessage {
    pub result: Option<WatchResult>,
    pub error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
pub(super) struct WatchResult {
    #[serde(default)]
    pub canceled: bool,
    #[serde(default)]
    pub cancel_reason: String,
    #[serde(default, with = "number")]
    pub compact_revision: u64,
    #[serde(default)]
    pub events: Vec<WatchEvent>,
}

#[derive(Deserialize)]
pub(super) struct WatchEvent {
    /// Nothing: the key was put.
    #[serde(rename = "type", default)]
    pub kind: String,
    pub kv: KeyValue,
}

/// What etcd says is wrong.
pub(super) fn cause(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        #[serde(alias = "message")]
        error: String,
    }
    match serde_json::from_slice::<Said>(body) {
        Ok(said) => said.error,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

mod octets {
    use base64::Engine as _;

    use super::{BASE64, Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(octets: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(octets))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64.decode(String::deserialize(from)?).map_err(de::Error::custom)
    }
}

mod number {
    use super::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&number.to_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends_before_the_next_sibling() {
        assert_eq!(end_of_prefix(b"ab/"), b"ab0");
        assert_eq!(end_of_prefix(b"a\xff"), b"b");
        assert_eq!(end_of_prefix(b"\xff"), [0]);
    }

    #[test]
    fn numbers_are_strings_and_what_is_zero_is_left_out() {
        let text = r#"{"header":{"cluster_id":"14841639068965178418","revision":"7"},
            "kvs":[{"key":"YQ==","mod_revision":"7","value":"Yg=="}],"count":"1"}"#;
        let answer: RangeAnswer = serde_json::from_str(text).unwrap();
        assert_eq!((answer.header.revision, answer.more), (7, false));
        let expected = KeyValue { key: b"a".into(), value: b"b".into(), mod_revision: 7 };
        assert_eq!(answer.kvs, [expected]);
        let ended: KeptAlive = serde_json::from_str(r#"{"result":{"ID":"5"}}"#).unwrap();
        assert_eq!(ended.result.ttl, 0);
    }

    #[test]
    fn what_etcd_says_is_shown() {
        assert_eq!(
            cause(br#"{"error":"etcdserver: no leader","code":14}"#),
            "etcdserver: no leader"
        );
        assert_eq!(cause(b"404 page not found\n"), "404 page not found");
    }
}
