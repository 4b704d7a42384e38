//! What other nodes of a shared store have changed, taken into this node's copy and into memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::{State, stored};
use crate::DirectoryError;
use crate::provisioning;
use crate::store::{
    Action, Entry, Position, Row, RowChange, Store, StoreError, StoredGateway, StoredToken,
};
use crate::table::{Overlay, Table};

impl State {
    /// Takes rows over: first into the copy, then into what is answered from. With `whole` there are
    /// no others any more. It blocks; files of big tables must be there.
    ///
    /// # Errors
    /// The copy cannot be written or a row not be read. It may be tried again.
    pub(crate) fn take_over(
        &self,
        changes: &[RowChange],
        position: &Position,
        whole: bool,
    ) -> Result<(), DirectoryError> {
        let store = Arc::clone(self.need_store()?);
        store.take_over(changes, position, whole)?;
        self.take_gateways(changes, whole)?;
        self.take_tokens(changes)?;
        self.take_prefixes(&store, changes, whole)?;
        // Who waits for a change waits for its publication by itself.
        drop(self.publish_soon());
        Ok(())
    }

    fn take_gateways(&self, changes: &[RowChange], whole: bool) -> Result<(), DirectoryError> {
        let mut fleet = self.fleet();
        let now = Instant::now();
        let mut there = HashSet::new();
        for RowChange { row, value } in changes {
            let Row::Gateway(name) = row else {
                continue;
            };
            match value {
                Some(value) => {
                    there.insert(name.clone());
                    let row: StoredGateway = read("gateways", name, value)?;
                    fleet.adopt(now, stored::adopted(row)?)?;
                }
                None => fleet.disown(name),
            }
        }
        if whole {
            for member in fleet.view(now) {
                let name = member.gateway.name.to_ascii_lowercase();
                if !there.contains(&name) {
                    fleet.disown(&name);
                }
            }
        }
        Ok(())
    }

    fn take_tokens(&self, changes: &[RowChange]) -> Result<(), StoreError> {
        if !changes.iter().any(|change| matches!(change.row, Row::Token(_))) {
            return Ok(());
        }
        let all: Vec<StoredToken> = match &self.store {
            Some(store) => store.tokens()?,
            None => Vec::new(),
        };
        let all = all.into_iter().map(stored::token).collect::<Result<Vec<_>, _>>()?;
        self.tokens_mut().replace_stored(all);
        Ok(())
    }

    fn take_prefixes(
        &self,
        store: &Store,
        changes: &[RowChange],
        whole: bool,
    ) -> Result<(), DirectoryError> {
        let is_base =
            |change: &RowChange| matches!(change.row, Row::Base(_)) && change.value.is_some();
        let place = |name: &str| self.fleet().reserve(name);
        let country = Arc::clone(&self.edition().country);
        if whole || changes.iter().any(is_base) {
            let (read, version) = provisioning::read_latest(store, &place, &country)?;
            self.replace_table(version, |table| Table { registered: table.registered, ..read });
            store.remove_old_orphans()?;
            return Ok(());
        }
        let mut overlay: Option<(Overlay, u64)> = None;
        for RowChange { row, value } in changes {
            let (Row::Log(number), Some(value)) = (row, value) else {
                continue;
            };
            let entry = Entry { number: *number, ..read("log", &number.to_string(), value)? };
            if let Action::Prefixes { .. } = entry.action {
                let own = || (Overlay::clone(&self.edition().table.changes), 0);
                let (changes, version) = overlay.get_or_insert_with(own);
                provisioning::lay_over(changes, &entry, &place, &country)?;
                *version = *number;
            }
        }
        if let Some((changes, version)) = overlay {
            let changes = Arc::new(changes);
            self.replace_table(version, |table| Table { changes, ..table });
        }
        Ok(())
    }
}

fn read<T: serde::de::DeserializeOwned>(
    table: &'static str,
    key: &str,
    value: &[u8],
) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|error| StoreError::Row {
        table,
        key: key.to_owned(),
        cause: error.to_string(),
    })
}
