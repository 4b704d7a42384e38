//! What outlives the program: a redb database for everything that changes one by one, and a file
//! for each big table, to which the database points.
//!
//! A change is acknowledged when the disk has it. Changes that wait meanwhile are written together,
//! so that many gateways that come at once do not wait for a disk write each.

mod entry;
mod rows;
mod shared;
mod writer;

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

pub use entry::{Action, Base, Entry, PrefixChange, StoredGateway, StoredLease, StoredToken};
pub(crate) use rows::{Row, RowChange};
pub(crate) use shared::Position;
use writer::Writer;
pub(crate) use writer::{Change, Job};

use crate::table::file::{self, BadFile};
use crate::table::{Route, Snapshot};
use crate::written::WrittenRoute;

/// An open store.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    database: Arc<Database>,
    writer: Writer,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder or a file in it.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's word.
        cause: io::Error,
    },
    /// The database.
    #[error("{}: {cause}", path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// The database's word.
        cause: Box<redb::Error>,
    },
    /// A row that this program did not write.
    #[error("the store's {table} {key} cannot be read: {cause}")]
    Row {
        /// Name of the table in the database.
        table: &'static str,
        /// Which row.
        key: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A big table.
    #[error("{}: {cause}", path.display())]
    Table {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: BadFile,
    },
    /// What is shared with others cannot be changed now.
    #[error("the shared store takes no change now: {0}")]
    Unreachable(String),
    /// Another node has changed the prefixes meanwhile.
    #[error("another node has changed the prefixes meanwhile: try again")]
    Moved,
    /// It cannot write any more since an earlier error.
    #[error("the store writes no more since an error: {0}")]
    Failed(String),
}

/// What was done, by its number. Prefixes are at the version of the last entry about them.
const LOG: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("log");
/// Big tables, by the number of the entry that brought them.
const BASES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("bases");
/// Gateways, by name in lower case.
const GATEWAYS: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("gateways");
/// Tokens, by name.
const TOKENS: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("tokens");

/// Big tables that are kept to go back to.
pub const BASES_KEPT: usize = 10;

impl Store {
    /// Opens the store in a folder, which it makes. Only one program may have it open.
    ///
    /// # Errors
    /// What cannot be opened, made or read.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let database = open_database(folder)?;
        let in_folder = |cause| StoreError::File { path: folder.to_owned(), cause };
        let writer = Writer::start(Arc::clone(&database)).map_err(in_folder)?;
        let store = Self { folder: folder.to_owned(), database, writer };
        store.remove_orphans()?;
        Ok(store)
    }

    /// Opens this node's copy of a store that it shares with others; what shall be written comes out
    /// of the receiver.
    ///
    /// # Errors
    /// What cannot be opened, made or read.
    pub(crate) fn open_shared(folder: &Path) -> Result<(Self, mpsc::Receiver<Job>), StoreError> {
        let database = open_database(folder)?;
        let (writer, jobs) = Writer::shared();
        Ok((Self { folder: folder.to_owned(), database, writer }, jobs))
    }

    /// Whether others change it too.
    pub(crate) fn is_shared(&self) -> bool {
        self.writer.is_shared()
    }

    /// Stores changes, all or none. The result, awaited, comes when the disk has them: the number
    /// of the last entry of the log. Changes are stored in the order of these calls.
    ///
    /// # Errors
    /// The database's; nothing is stored after one until the next start.
    pub(crate) fn write(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + use<> {
        self.writer.write(changes, None)
    }

    /// The same for changes that are made for a version of the prefixes: where others change them
    /// too, [`StoreError::Moved`] if they are at another by now.
    pub(crate) fn write_version(
        &self,
        version: u64,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + use<> {
        self.writer.write(changes, Some(version))
    }

    /// Why nothing is stored any more, if so.
    pub fn failure(&self) -> Option<String> {
        self.writer.failure()
    }

    /// All gateways.
    ///
    /// # Errors
    /// The database's.
    pub fn gateways(&self) -> Result<Vec<StoredGateway>, StoreError> {
        self.rows("gateways", GATEWAYS)
    }

    /// All tokens.
    ///
    /// # Errors
    /// The database's.
    pub fn tokens(&self) -> Result<Vec<StoredToken>, StoreError> {
        self.rows("tokens", TOKENS)
    }

    /// Entries of the log below a number, the latest first.
    ///
    /// # Errors
    /// The database's.
    pub fn log_before(
        &self,
        before: u64,
        limit: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let table = read.open_table(LOG).map_err(|error| self.failed(error))?;
        let rows = table.range(..before).map_err(|error| self.failed(error))?;
        for row in rows.rev().take(LOG_LOOKED_AT_MAX) {
            let (number, row) = row.map_err(|error| self.failed(error))?;
            let entry = Entry::read(number.value(), row.value())?;
            if wanted(&entry) {
                entries.push(entry);
                if entries.len() == limit {
                    break;
                }
            }
        }
        Ok(entries)
    }

    /// Entries of the log about prefixes behind a number and up to another, the earliest first.
    ///
    /// # Errors
    /// The database's.
    pub fn changes_between(&self, after: u64, until: u64) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let table = read.open_table(LOG).map_err(|error| self.failed(error))?;
        let rows = table.range(after + 1..=until).map_err(|error| self.failed(error))?;
        for row in rows {
            let (number, row) = row.map_err(|error| self.failed(error))?;
            let entry = Entry::read(number.value(), row.value())?;
            if matches!(entry.action, Action::Prefixes { .. }) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// The version of the prefixes: the number of the last entry of the log about them, 0 before the
    /// first.
    ///
    /// # Errors
    /// The database's.
    pub fn version(&self) -> Result<u64, StoreError> {
        // Older entries may be gone, but not what they made.
        let base = self.bases()?.last().map_or(0, |base| base.number);
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let table = read.open_table(LOG).map_err(|error| self.failed(error))?;
        let rows = table.range(base + 1..).map_err(|error| self.failed(error))?;
        for row in rows.rev() {
            let (number, row) = row.map_err(|error| self.failed(error))?;
            if Entry::read(number.value(), row.value())?.action.is_version() {
                return Ok(number.value());
            }
        }
        Ok(base)
    }

    /// The oldest version that can be gone back to; `first` is the first big table that is kept.
    ///
    /// # Errors
    /// The database's.
    pub fn oldest_version(&self, first: Option<&Base>) -> Result<u64, StoreError> {
        let Some(first) = first else {
            // Each change since the beginning is in the log.
            return Ok(0);
        };
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let table = read.open_table(LOG).map_err(|error| self.failed(error))?;
        let mut next = 1;
        for row in table.range(..first.number).map_err(|error| self.failed(error))? {
            let (number, row) = row.map_err(|error| self.failed(error))?;
            let entry = Entry::read(number.value(), row.value())?;
            // Entries that are gone, or the entry of a table that is.
            if entry.number != next || entry.action.is_whole_table() {
                return Ok(first.number);
            }
            next += 1;
        }
        Ok(if next == first.number { 0 } else { first.number })
    }

    /// Big tables that are kept, the latest last.
    ///
    /// # Errors
    /// The database's.
    pub fn bases(&self) -> Result<Vec<Base>, StoreError> {
        self.rows("bases", BASES)
    }

    /// Reads a big table; `read_route` gives the gateways their places.
    ///
    /// # Errors
    /// The file's.
    pub fn read_base(
        &self,
        base: &Base,
        read_route: impl Fn(WrittenRoute) -> Result<Route, String>,
    ) -> Result<Snapshot, StoreError> {
        let path = self.folder.join(&base.file);
        let octets =
            fs::read(&path).map_err(|cause| StoreError::File { path: path.clone(), cause })?;
        let bad = |cause| StoreError::Table { path: path.clone(), cause };
        let (snapshot, checksum) = file::read(&octets, read_route).map_err(bad)?;
        // A whole file that is not the one the database means.
        if hex(&checksum) != base.sha256 {
            return Err(bad(BadFile::Checksum));
        }
        Ok(snapshot)
    }

    /// Writes a big table; it counts when the database points to the result.
    ///
    /// # Errors
    /// The file's.
    pub fn write_base(
        &self,
        snapshot: &Snapshot,
        write_route: impl Fn(&Route) -> WrittenRoute,
    ) -> Result<Base, StoreError> {
        let name = format!("table-{:016x}", rand::random::<u64>());
        let path = self.folder.join(&name);
        let write = || -> Result<String, BadFile> {
            let mut out = BufWriter::new(File::create_new(&path)?);
            let checksum = file::write(snapshot, write_route, &mut out)?;
            out.flush()?;
            out.get_ref().sync_all()?;
            // The name is on the disk when the folder is.
            File::open(&self.folder)?.sync_all()?;
            Ok(hex(&checksum))
        };
        let sha256 = write().map_err(|cause| {
            let _ = fs::remove_file(&path);
            StoreError::Table { path: path.clone(), cause }
        })?;
        Ok(Base { number: 0, file: name, sha256, entries: snapshot.entries() as u64 })
    }

    /// Removes files of big tables that the database does not know (any more).
    ///
    /// # Errors
    /// The folder's.
    pub fn remove_orphans(&self) -> Result<(), StoreError> {
        self.remove_orphans_if(|_| true)
    }

    fn remove_orphans_if(&self, wanted: impl Fn(&Metadata) -> bool) -> Result<(), StoreError> {
        let known = self.bases()?;
        let in_folder = |cause| StoreError::File { path: self.folder.clone(), cause };
        for file in fs::read_dir(&self.folder).map_err(in_folder)? {
            let file = file.map_err(in_folder)?;
            let name = file.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("table-")
                && !known.iter().any(|base| base.file == *name)
                && wanted(&file.metadata().map_err(in_folder)?)
            {
                fs::remove_file(file.path()).map_err(in_folder)?;
            }
        }
        Ok(())
    }

    fn rows<K: redb::Key + 'static, T: DeserializeOwned>(
        &self,
        name: &'static str,
        table: TableDefinition<'static, K, &'static [u8]>,
    ) -> Result<Vec<T>, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let table = read.open_table(table).map_err(|error| self.failed(error))?;
        let mut rows = Vec::new();
        for row in table.iter().map_err(|error| self.failed(error))? {
            let (_, row) = row.map_err(|error| self.failed(error))?;
            rows.push(from_row(name, rows.len().to_string(), row.value())?);
        }
        Ok(rows)
    }

    fn failed(&self, cause: impl Into<redb::Error>) -> StoreError {
        StoreError::Database { path: self.folder.clone(), cause: Box::new(cause.into()) }
    }
}

fn open_database(folder: &Path) -> Result<Arc<Database>, StoreError> {
    let in_folder = |cause| StoreError::File { path: folder.to_owned(), cause };
    fs::create_dir_all(folder).map_err(in_folder)?;
    let path = folder.join("directory.redb");
    let failed = |cause| StoreError::Database { path: path.clone(), cause: Box::new(cause) };
    let database = Database::create(&path).map_err(|error| failed(error.into()))?;
    let make = || -> Result<(), redb::Error> {
        let write = database.begin_write()?;
        drop(rows::Tables::open(&write)?);
        write.open_table(shared::POSITION)?;
        write.commit()?;
        Ok(())
    };
    make().map_err(failed)?;
    Ok(Arc::new(database))
}

/// The log is looked through no further for entries of one kind.
const LOG_LOOKED_AT_MAX: usize = 20_000;

fn from_row<T: DeserializeOwned>(
    table: &'static str,
    key: String,
    row: &[u8],
) -> Result<T, StoreError> {
    serde_json::from_slice(row).map_err(|error| StoreError::Row {
        table,
        key,
        cause: error.to_string(),
    })
}

/// A row's JSON.
pub(crate) fn to_row(row: &impl Serialize) -> Vec<u8> {
    // Plain structures with text keys: nothing that JSON cannot hold.
    serde_json::to_vec(row).expect("rows are plain structures")
}

/// Lower-case hexadecimal digits.
pub fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
