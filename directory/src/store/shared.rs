//! This node's copy of a store that several share: how far it is, and files of the others.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use redb::{ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};

use super::rows::{RowChange, Tables};
use super::{Base, Store, StoreError, from_row, hex, to_row};
use crate::table::Route;
use crate::table::file::{self, BadFile};
use crate::written::WrittenRoute;

/// How far the copy is; nothing before the first.
pub(super) const POSITION: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("position");

/// The only key of [`POSITION`].
const HERE: &str = "here";

/// How far a copy is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Which etcd it is a copy of.
    pub(crate) cluster: String,
    /// The revision of the last change that it has.
    pub(crate) revision: u64,
}

/// Younger files may belong to a big table that is being written.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);

impl Store {
    /// How far the copy is; none before the first.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn position(&self) -> Result<Option<Position>, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let table = read.open_table(POSITION).map_err(|error| self.failed(error))?;
        let row = table.get(HERE).map_err(|error| self.failed(error))?;
        row.map(|row| from_row("position", HERE.to_owned(), row.value())).transpose()
    }

    /// Whether nothing was ever stored.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.gateways()?.is_empty()
            && self.tokens()?.is_empty()
            && self.log_before(u64::MAX, 1, |_| true)?.is_empty())
    }

    /// Takes rows over, all or none, with the position behind them. With `whole` there are no others
    /// any more.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn take_over(
        &self,
        changes: &[RowChange],
        position: &Position,
        whole: bool,
    ) -> Result<(), StoreError> {
        let take = || -> Result<(), redb::Error> {
            let write = self.database.begin_write()?;
            {
                let mut tables = Tables::open(&write)?;
                if whole {
                    tables.clear()?;
                }
                for change in changes {
                    tables.set(change)?;
                }
                write.open_table(POSITION)?.insert(HERE, to_row(position).as_slice())?;
            }
            write.commit()?;
            Ok(())
        };
        take().map_err(|error| self.failed(error))
    }

    /// Whether the file of a big table is here, whole.
    pub(crate) fn has_base(&self, base: &Base) -> bool {
        let Ok(octets) = fs::read(self.folder.join(&base.file)) else {
            return false;
        };
        // What the routes say does not matter here.
        let read = file::read(&octets, |_: WrittenRoute| Ok(Route::new(Vec::new())));
        read.is_ok_and(|(_, checksum)| hex(&checksum) == base.sha256)
    }

    /// The path of a big table's file; none if it is no name of one.
    pub(crate) fn base_path(&self, name: &str) -> Option<PathBuf> {
        let digits = name.strip_prefix("table-")?;
        let is_one = digits.len() == 16 && digits.bytes().all(|octet| octet.is_ascii_hexdigit());
        is_one.then(|| self.folder.join(name))
    }

    /// Takes over the file of a big table from another node.
    ///
    /// # Errors
    /// It is not the one that is meant, or the folder's.
    pub(crate) fn take_base(&self, base: &Base, octets: &[u8]) -> Result<(), StoreError> {
        let bad = |cause| StoreError::Table { path: self.folder.join(&base.file), cause };
        let path = self.base_path(&base.file).ok_or_else(|| bad(BadFile::Checksum))?;
        let part = path.with_extension("part");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all(octets)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|cause| StoreError::File { path: path.clone(), cause })?;
        if self.has_base(base) {
            return Ok(());
        }
        let _ = fs::remove_file(&path);
        Err(bad(BadFile::Checksum))
    }

    /// Removes files of big tables that the database does not know any more and that are too old to
    /// be on their way into it.
    ///
    /// # Errors
    /// The folder's.
    pub(crate) fn remove_old_orphans(&self) -> Result<(), StoreError> {
        let now = SystemTime::now();
        self.remove_orphans_if(|metadata| {
            let age = metadata.modified().ok().and_then(|at| now.duration_since(at).ok());
            age.is_some_and(|age| age > ORPHAN_AGE)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Row;

    fn token(name: &str) -> RowChange {
        let value = format!("{{\"name\":\"{name}\",\"sha256\":\"\",\"scopes\":[]}}");
        RowChange { row: Row::Token(name.to_owned()), value: Some(value.into_bytes()) }
    }

    #[test]
    fn copy_is_where_its_last_rows_were() {
        let folder = tempfile::tempdir().unwrap();
        let at = |revision| Position { cluster: "c".into(), revision };
        {
            let (store, _jobs) = Store::open_shared(folder.path()).unwrap();
            assert!(store.is_empty().unwrap() && store.position().unwrap().is_none());
            store.take_over(&[token("a"), token("b")], &at(7), false).unwrap();
            let gone = RowChange { row: Row::Token("a".into()), value: None };
            store.take_over(&[gone], &at(8), false).unwrap();
        }
        let (store, _jobs) = Store::open_shared(folder.path()).unwrap();
        let names = |store: &Store| -> Vec<String> {
            store.tokens().unwrap().into_iter().map(|token| token.name).collect()
        };
        assert_eq!((names(&store), store.position().unwrap()), (vec!["b".to_owned()], Some(at(8))));
        store.take_over(&[token("c")], &at(9), true).unwrap();
        assert_eq!(names(&store), ["c"]);
    }

    #[test]
    fn file_from_elsewhere_must_be_the_one_that_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _jobs) = Store::open_shared(folder.path()).unwrap();
        let snapshot = crate::table::Snapshot::default();
        let base = store.write_base(&snapshot, |_| unreachable!()).unwrap();
        let octets = fs::read(folder.path().join(&base.file)).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let (other, _jobs) = Store::open_shared(elsewhere.path()).unwrap();
        assert!(!other.has_base(&base));
        let mut damaged = octets.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(other.take_base(&base, &damaged).is_err() && !other.has_base(&base));
        other.take_base(&base, &octets).unwrap();
        assert!(other.has_base(&base));
        for name in ["../directory.redb", "table-../../etc/passwd", "table-12"] {
            assert_eq!(store.base_path(name), None);
        }
    }
}
