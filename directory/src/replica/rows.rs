//! How a shared store lies in etcd: a key for each row of the store, and a few of the nodes' own.

use serde::{Deserialize, Serialize};

use crate::etcd::{Event, KeyValue, Operation};
use crate::fleet::{GroupReport, LeaseId, Report};
use crate::store::{BASES_KEPT, Change, Job, Row, RowChange, to_row};
use crate::wire::GroupTold;

/// The names of the keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

/// The last change: every other one is made upon it, so that all nodes see all changes in the same
/// order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Number of the last entry of the log.
    pub number: u64,
    /// Which attempt of which node made it.
    pub attempt: u64,
}

/// What a node says of a gateway that it hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Vouch {
    lease: u64,
    trunk_groups: Vec<GroupTold>,
    draining: bool,
    alarms: Vec<String>,
}

impl Vouch {
    pub(super) fn new(lease: LeaseId, report: &Report) -> Self {
        let told = |group: &GroupReport| GroupTold { free: group.free, alarmed: group.alarmed };
        Self {
            lease: lease.0,
            trunk_groups: report.groups.iter().map(told).collect(),
            draining: report.draining,
            alarms: report.alarms.clone(),
        }
    }

    pub(super) fn read(self) -> (LeaseId, Report) {
        let group = |told: GroupTold| GroupReport { free: told.free, alarmed: told.alarmed };
        let report = Report {
            groups: self.trunk_groups.into_iter().map(group).collect(),
            draining: self.draining,
            alarms: self.alarms,
        };
        (LeaseId(self.lease), report)
    }
}

/// What a change of a key means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A row of the store.
    Row(RowChange),
    /// The last change; gone with everything else.
    Head(Option<Head>),
    /// The version of the prefixes.
    Version(u64),
    /// Where a node is reached, or that it is gone.
    Node(String, Option<String>),
    /// A node hears of a gateway, or no more.
    Live {
        /// The node.
        node: String,
        /// The gateway.
        gateway: String,
        /// What it says.
        vouch: Option<Vouch>,
    },
    /// What the nodes know each other by.
    PeerKey(String),
    /// Nothing that this version knows.
    Unknown,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{}/", prefix.trim_end_matches('/')) }
    }

    /// All of them begin so.
    pub(super) fn all(&self) -> &str {
        &self.prefix
    }

    pub(super) fn head(&self) -> String {
        self.own("head")
    }

    pub(super) fn version(&self) -> String {
        self.own("version")
    }

    pub(super) fn peer_key(&self) -> String {
        self.own("peer_key")
    }

    pub(super) fn node(&self, node: &str) -> String {
        self.own(&format!("nodes/{node}"))
    }

    pub(super) fn live(&self, node: &str, gateway: &str) -> String {
        self.own(&format!("live/{node}/{gateway}"))
    }

    /// What all nodes say of gateways begins so.
    pub(super) fn all_live(&self) -> String {
        self.own("live/")
    }

    fn own(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    fn row(&self, row: &Row) -> String {
        match row {
            Row::Log(number) => self.own(&format!("log/{number:016x}")),
            Row::Base(number) => self.own(&format!("bases/{number:016x}")),
            Row::Gateway(name) => self.own(&format!("gateways/{name}")),
            Row::Token(name) => self.own(&format!("tokens/{name}")),
        }
    }

    /// What a key says by what it holds.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(&self, event: &Event) -> Result<Said, String> {
        let Event { key: KeyValue { key, value, .. }, is_gone } = event;
        let name = std::str::from_utf8(key).map_err(|error| error.to_string())?;
        let name = name.strip_prefix(&self.prefix).unwrap_or_default();
        let value = (!is_gone).then_some(value.as_slice());
        let text = || value.map(|value| String::from_utf8_lossy(value).into_owned());
        let bad = |error: serde_json::Error| format!("{name}: {error}");
        let row = |row| Said::Row(RowChange { row, value: value.map(<[u8]>::to_vec) });
        let number = |digits| {
            u64::from_str_radix(digits, 16).map_err(|_| format!("{name}: {digits:?} is no number"))
        };
        Ok(match name.split_once('/') {
            Some(("log", digits)) => row(Row::Log(number(digits)?)),
            Some(("bases", digits)) => row(Row::Base(number(digits)?)),
            Some(("gateways", gateway)) => row(Row::Gateway(gateway.to_owned())),
            Some(("tokens", token)) => row(Row::Token(token.to_owned())),
            Some(("nodes", node)) => Said::Node(node.to_owned(), text()),
            Some(("live", rest)) => {
                let (node, gateway) = rest.split_once('/').unwrap_or((rest, ""));
                let vouch = value.map(serde_json::from_slice).transpose().map_err(bad)?;
                Said::Live { node: node.to_owned(), gateway: gateway.to_owned(), vouch }
            }
            None if name == "head" => {
                Said::Head(value.map(serde_json::from_slice).transpose().map_err(bad)?)
            }
            None if name == "version" => {
                let text = text().unwrap_or_else(|| "0".to_owned());
                Said::Version(text.parse().map_err(|_| format!("version: {text:?} is no number"))?)
            }
            None if name == "peer_key" => Said::PeerKey(text().unwrap_or_default()),
            _ => Said::Unknown,
        })
    }

    /// What jobs do to the keys, upon a head: the operations, the new head and the number of the
    /// last entry of the log after each job.
    pub(super) fn operations<'j>(
        &self,
        head: Head,
        attempt: u64,
        jobs: impl Iterator<Item = &'j Job>,
        bases: &[u64],
    ) -> (Vec<Operation>, Vec<u64>) {
        let mut operations = Vec::new();
        let mut numbers = Vec::new();
        let mut last = head.number;
        let mut bases = bases.to_vec();
        for job in jobs {
            for change in &job.changes {
                let RowChange { row, value } = change.row(&mut last);
                if let Row::Base(number) = row {
                    bases.push(number);
                }
                let key = self.row(&row);
                operations.push(match value {
                    Some(value) => Operation::Put(key, value, 0),
                    None => Operation::Delete(key),
                });
                if let Change::Log(entry) = change
                    && entry.action.is_version()
                {
                    let version = last.to_string().into_bytes();
                    operations.push(Operation::Put(self.version(), version, 0));
                }
            }
            numbers.push(last);
        }
        bases.sort_unstable();
        bases.dedup();
        let surplus = bases.len().saturating_sub(BASES_KEPT);
        if surplus > 0 {
            let oldest = bases[surplus];
            let from = |row: fn(u64) -> Row, number| self.row(&row(number));
            operations.push(Operation::DeleteRange(from(Row::Base, 0), from(Row::Base, oldest)));
            // Nobody can go back behind the oldest table; what is of a while ago is looked at no more.
            let unneeded = oldest.min(last.saturating_sub(LOG_KEPT));
            operations.push(Operation::DeleteRange(from(Row::Log, 0), from(Row::Log, unneeded)));
        }
        let head = Head { number: last, attempt };
        operations.push(Operation::Put(self.head(), to_row(&head), 0));
        (distinct(operations), numbers)
    }
}

/// Entries of the log that are kept although no version is made of them.
const LOG_KEPT: u64 = 10_000;

/// etcd refuses a transaction that puts a key twice: the last counts.
fn distinct(operations: Vec<Operation>) -> Vec<Operation> {
    let key = |operation: &Operation| match operation {
        Operation::Put(key, ..) | Operation::Delete(key) => Some(key.clone()),
        Operation::DeleteRange(..) => None,
    };
    let mut seen = std::collections::HashSet::new();
    let mut kept: Vec<Operation> = operations
        .into_iter()
        .rev()
        .filter(|operation| key(operation).is_none_or(|key| seen.insert(key)))
        .collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::gateways::Transport;
    use crate::store::{Action, Base, Entry, StoredGateway};

    fn job(changes: Vec<Change>) -> Job {
        Job { changes, expects: None, done: oneshot::channel().0 }
    }

    fn log(action: Action) -> Change {
        Change::Log(Entry { number: 0, at_s: 1, who: "w".into(), action })
    }

    fn gateway(sip: &str) -> Change {
        Change::Gateway(StoredGateway {
            name: "A".into(),
            sip: sip.into(),
            transport: Transport::Udp,
            provisioned: true,
            drained: false,
            lease: None,
        })
    }

    /// The operations as a node sees them that watches.
    fn seen(keys: &Keys, operations: &[Operation]) -> Vec<Said> {
        let event = |operation: &Operation| {
            let (key, value, is_gone) = match operation {
                Operation::Put(key, value, _) => (key, value.clone(), false),
                Operation::Delete(key) => (key, Vec::new(), true),
                Operation::DeleteRange(..) => return None,
            };
            let key = KeyValue { key: key.clone().into_bytes(), value, mod_revision: 9 };
            Some(keys.read(&Event { key, is_gone }).unwrap())
        };
        operations.iter().filter_map(event).collect()
    }

    #[test]
    fn jobs_are_numbered_upon_the_head_and_read_as_they_were_written() {
        let keys = Keys::new("trunkline/");
        let change =
            crate::store::PrefixChange { prefix: "+813".into(), before: None, after: None };
        let jobs = [
            job(vec![gateway("one"), log(Action::Left { gateway: "x".into() })]),
            job(vec![log(Action::Prefixes { changes: vec![change] })]),
            job(vec![gateway("two"), Change::NoToken("t".into())]),
        ];
        let head = Head { number: 41, attempt: 1 };
        let (operations, numbers) = keys.operations(head, 2, jobs.iter(), &[]);
        assert_eq!(numbers, [42, 43, 43]);
        let said = seen(&keys, &operations);
        assert!(said.contains(&Said::Head(Some(Head { number: 43, attempt: 2 }))));
        assert!(said.contains(&Said::Version(43)));
        let gone = RowChange { row: Row::Token("t".into()), value: None };
        assert!(said.contains(&Said::Row(gone)));
        let rows = |wanted: &Row| -> Vec<RowChange> {
            let row = |said: &Said| match said {
                Said::Row(change) if change.row == *wanted => Some(change.clone()),
                _ => None,
            };
            said.iter().filter_map(row).collect()
        };
        let gateways = rows(&Row::Gateway("a".into()));
        assert_eq!(gateways.len(), 1, "a transaction puts no key twice");
        let text = String::from_utf8_lossy(gateways[0].value.as_ref().unwrap());
        assert!(text.contains("two"), "{text}");
        assert_eq!(rows(&Row::Log(43)).len(), 1);
    }

    #[test]
    fn what_is_taken_out_and_set_again_stays() {
        let keys = Keys::new("t");
        let jobs = [job(vec![Change::NoGateway("a".into())]), job(vec![gateway("one")])];
        let (operations, _) = keys.operations(Head::default(), 1, jobs.iter(), &[]);
        let is_gateway =
            |said: &&Said| matches!(said, Said::Row(RowChange { row: Row::Gateway(_), .. }));
        let said = seen(&keys, &operations);
        let gateways: Vec<&Said> = said.iter().filter(is_gateway).collect();
        assert!(matches!(gateways[..], [Said::Row(RowChange { value: Some(_), .. })]), "{said:?}");
    }

    #[test]
    fn surplus_tables_and_what_was_before_them_go() {
        let keys = Keys::new("t");
        let base = Base { number: 0, file: "f".into(), sha256: String::new(), entries: 1 };
        let jobs = [job(vec![log(Action::RolledBack { to: 1 }), Change::Base(base)])];
        let bases: Vec<u64> = (1..=BASES_KEPT as u64).map(|number| number * 20_000).collect();
        let head = Head { number: 300_000, attempt: 0 };
        let (operations, _) = keys.operations(head, 0, jobs.iter(), &bases);
        let range = |from: &str, end: &str| {
            operations.contains(&Operation::DeleteRange(from.to_owned(), end.to_owned()))
        };
        assert!(range("t/bases/0000000000000000", &format!("t/bases/{:016x}", 40_000)));
        assert!(range("t/log/0000000000000000", &format!("t/log/{:016x}", 40_000)));
    }

    #[test]
    fn what_nobody_wrote_is_told_of_and_what_is_newer_is_passed_over() {
        let keys = Keys::new("t");
        let event = |key: &str, value: &str| Event {
            key: KeyValue { key: key.into(), value: value.into(), mod_revision: 1 },
            is_gone: false,
        };
        for (key, value) in [("t/log/zz", "{}"), ("t/head", "{"), ("t/version", "x")] {
            assert!(keys.read(&event(key, value)).is_err(), "{key}");
        }
        assert_eq!(keys.read(&event("t/colours/red", "1")), Ok(Said::Unknown));
        let node = keys.read(&event("t/nodes/n1", "http://n1:1"));
        assert_eq!(node, Ok(Said::Node("n1".into(), Some("http://n1:1".into()))));
    }
}
