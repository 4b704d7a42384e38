//! Rows of the store by their tables and keys, and how they are set.

use redb::{Table, WriteTransaction};

use super::{BASES, GATEWAYS, LOG, TOKENS};

/// A row, by its table and key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// An entry of the log.
    Log(u64),
    /// A big table.
    Base(u64),
    /// A gateway, by its name in lower case.
    Gateway(String),
    /// A token.
    Token(String),
}

/// A row and what it holds from now on; none when it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowChange {
    /// Which.
    pub(crate) row: Row,
    /// JSON.
    pub(crate) value: Option<Vec<u8>>,
}

/// The tables of a store, open to be written.
pub(super) struct Tables<'t> {
    pub(super) log: Table<'t, u64, &'static [u8]>,
    pub(super) bases: Table<'t, u64, &'static [u8]>,
    gateways: Table<'t, &'static str, &'static [u8]>,
    tokens: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            log: transaction.open_table(LOG)?,
            bases: transaction.open_table(BASES)?,
            gateways: transaction.open_table(GATEWAYS)?,
            tokens: transaction.open_table(TOKENS)?,
        })
    }

    /// Sets a row, or takes it out.
    pub(super) fn set(&mut self, change: &RowChange) -> Result<(), redb::Error> {
        let value = change.value.as_deref();
        match &change.row {
            Row::Log(number) => set(&mut self.log, *number, value),
            Row::Base(number) => set(&mut self.bases, *number, value),
            Row::Gateway(name) => set(&mut self.gateways, name.as_str(), value),
            Row::Token(name) => set(&mut self.tokens, name.as_str(), value),
        }
    }

    /// Takes all rows out.
    pub(super) fn clear(&mut self) -> Result<(), redb::Error> {
        self.log.retain(|_, _| false)?;
        self.bases.retain(|_, _| false)?;
        self.gateways.retain(|_, _| false)?;
        self.tokens.retain(|_, _| false)?;
        Ok(())
    }
}

fn set<'k, K: redb::Key + 'static>(
    table: &mut Table<'_, K, &'static [u8]>,
    key: K::SelfType<'k>,
    value: Option<&[u8]>,
) -> Result<(), redb::Error> {
    match value {
        Some(value) => drop(table.insert(&key, value)?),
        None => drop(table.remove(&key)?),
    }
    Ok(())
}
