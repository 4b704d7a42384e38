//! A snapshot in a file: its pages as they are in memory, so that a big table is there as fast as
//! it is read, behind a checksum and checked entry by entry before it is believed.

use std::io::{self, Read, Write};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::pages::{Form, Page, Pages};
use super::{Route, Snapshot};

/// Why a file is no table.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It begins otherwise.
    #[error("it is no table of this program, or of another version of it")]
    Foreign,
    /// It ends too early, or there is more behind it.
    #[error("it has another length than it says")]
    Length,
    /// The checksum is another.
    #[error("its checksum is wrong: it was damaged")]
    Checksum,
    /// What it says of routes cannot be read.
    #[error("its routes cannot be read: {0}")]
    Routes(String),
    /// What it says of numbers makes no sense.
    #[error("its entries of {0} digits are not in order")]
    Entries(usize),
}

/// Octets of a SHA-256 checksum.
pub const CHECKSUM_OCTETS: usize = 32;

const MAGIC: &[u8; 8] = b"TLtable1";

/// Before the pages: how many of each there are, and the routes.
#[derive(Serialize, Deserialize)]
struct Head<R> {
    routes: R,
    lengths: Vec<Lengths>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Lengths {
    pages: usize,
    units: usize,
}

/// Writes a snapshot; `write_route` turns a route into what is stored of it. The result is the
/// checksum, which also ends the file.
///
/// # Errors
/// The file's.
pub fn write<R: Serialize>(
    snapshot: &Snapshot,
    write_route: impl Fn(&Route) -> R,
    out: &mut impl Write,
) -> Result<[u8; CHECKSUM_OCTETS], BadFile> {
    let routes: Vec<R> = snapshot.routes.iter().map(write_route).collect();
    let lengths = snapshot
        .by_length
        .iter()
        .map(|pages| Lengths { pages: pages.pages.len(), units: pages.units.len() })
        .collect();
    let head = serde_json::to_vec(&Head { routes, lengths })
        .map_err(|error| BadFile::Routes(error.to_string()))?;
    let mut out = Summed { inner: out, sum: Context::new(&SHA256) };
    out.write_all(MAGIC)?;
    out.write_all(&(head.len() as u64).to_le_bytes())?;
    out.write_all(&head)?;
    for pages in &snapshot.by_length {
        out.write_items(&pages.numbers, |number| number.to_le_bytes())?;
        out.write_items(&pages.pages, |page| {
            let at = page.at.to_le_bytes();
            let count = page.count.to_le_bytes();
            [at[0], at[1], at[2], at[3], count[0], count[1], page.form as u8, 0]
        })?;
        out.write_items(&pages.units, |unit| unit.to_le_bytes())?;
    }
    let checksum = checksum(out.sum);
    out.inner.write_all(&checksum)?;
    Ok(checksum)
}

/// Reads a snapshot; `read_route` gives back what was stored of a route.
///
/// # Errors
/// Why it is not believed.
pub fn read<R: for<'de> Deserialize<'de>>(
    octets: &[u8],
    read_route: impl Fn(R) -> Result<Route, String>,
) -> Result<(Snapshot, [u8; CHECKSUM_OCTETS]), BadFile> {
    let body = octets.len().checked_sub(CHECKSUM_OCTETS).ok_or(BadFile::Length)?;
    let (body, end) = octets.split_at(body);
    if !body.starts_with(MAGIC) {
        return Err(BadFile::Foreign);
    }
    let mut sum = Context::new(&SHA256);
    sum.update(body);
    let checksum = checksum(sum);
    if checksum != end {
        return Err(BadFile::Checksum);
    }
    let mut rest = &body[MAGIC.len()..];
    let mut length = [0; 8];
    rest.read_exact(&mut length).map_err(|_| BadFile::Length)?;
    let head = take(&mut rest, usize::try_from(u64::from_le_bytes(length)).ok(), 1)?;
    let head: Head<Vec<R>> =
        serde_json::from_slice(head).map_err(|error| BadFile::Routes(error.to_string()))?;
    let routes: Vec<Route> = head
        .routes
        .into_iter()
        .map(read_route)
        .collect::<Result<_, _>>()
        .map_err(BadFile::Routes)?;
    let mut snapshot = Snapshot { routes, ..Snapshot::default() };
    if head.lengths.len() != snapshot.by_length.len() {
        return Err(BadFile::Length);
    }
    let most = snapshot.routes.len();
    for (place, (pages, lengths)) in snapshot.by_length.iter_mut().zip(head.lengths).enumerate() {
        let bad = || BadFile::Entries(place + 1);
        let numbers = take(&mut rest, Some(lengths.pages), 8)?;
        pages.numbers = numbers.chunks_exact(8).map(|o| u64::from_le_bytes(array(o))).collect();
        for octets in take(&mut rest, Some(lengths.pages), 8)?.chunks_exact(8) {
            pages.pages.push(Page {
                at: u32::from_le_bytes(array(&octets[..4])),
                count: u16::from_le_bytes(array(&octets[4..6])),
                form: match octets[6] {
                    0 => Form::Single,
                    1 => Form::Listed,
                    2 => Form::Mapped,
                    _ => return Err(bad()),
                },
            });
        }
        let units = take(&mut rest, Some(lengths.units), 2)?;
        pages.units = units.chunks_exact(2).map(|o| u16::from_le_bytes(array(o))).collect();
        if !Pages::check(pages, place + 1, most) {
            return Err(bad());
        }
        pages.finish();
    }
    snapshot.finish();
    if rest.is_empty() { Ok((snapshot, checksum)) } else { Err(BadFile::Length) }
}

/// The next `count` items of `size` octets.
fn take<'a>(rest: &mut &'a [u8], count: Option<usize>, size: usize) -> Result<&'a [u8], BadFile> {
    let octets = count.and_then(|count| count.checked_mul(size)).ok_or(BadFile::Length)?;
    let (taken, behind) = rest.split_at_checked(octets).ok_or(BadFile::Length)?;
    *rest = behind;
    Ok(taken)
}

fn array<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(octets);
    array
}

fn checksum(sum: Context) -> [u8; CHECKSUM_OCTETS] {
    array(sum.finish().as_ref())
}

/// A writer that sums up what goes through it.
struct Summed<'a, W> {
    inner: &'a mut W,
    sum: Context,
}

impl<W: Write> Summed<'_, W> {
    fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        self.sum.update(octets);
        self.inner.write_all(octets)
    }

    fn write_items<T, const N: usize>(
        &mut self,
        items: &[T],
        octets: impl Fn(&T) -> [u8; N],
    ) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(N * CHUNK);
        for chunk in items.chunks(CHUNK) {
            buffer.clear();
            chunk.iter().for_each(|item| buffer.extend_from_slice(&octets(item)));
            self.write_all(&buffer)?;
        }
        Ok(())
    }
}

const CHUNK: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::table::{Choice, Digits, SnapshotBuilder};

    fn snapshot() -> Snapshot {
        let mut builder = SnapshotBuilder::default();
        for value in 0..5_000_u32 {
            let route = builder.route(Route::new(vec![Choice::new(value % 300, 10, 10)]));
            builder.add(Digits::read(&format!("8133333{value:04}")).unwrap(), route);
            if value % 999 == 0 {
                builder.add(Digits::read(&format!("44{value}")).unwrap(), route);
            }
        }
        builder.build().unwrap()
    }

    fn written(snapshot: &Snapshot) -> Vec<u8> {
        let mut octets = Vec::new();
        write(snapshot, |route| route.choices()[0].gateway, &mut octets).unwrap();
        octets
    }

    fn read_back(octets: &[u8]) -> Result<Snapshot, BadFile> {
        let route = |gateway: u32| Ok(Route::new(vec![Choice::new(gateway, 10, 10)]));
        read(octets, route).map(|(snapshot, _)| snapshot)
    }

    /// Puts a right checksum behind what somebody has changed.
    fn resealed(mut octets: Vec<u8>) -> Vec<u8> {
        octets.truncate(octets.len() - CHECKSUM_OCTETS);
        let mut sum = Context::new(&SHA256);
        sum.update(&octets);
        octets.extend_from_slice(&checksum(sum));
        octets
    }

    #[test]
    fn table_is_read_as_it_was_written() {
        let snapshot = snapshot();
        assert_eq!(read_back(&written(&snapshot)).unwrap(), snapshot);
        assert_eq!(read_back(&written(&Snapshot::default())).unwrap(), Snapshot::default());
    }

    #[test]
    fn damaged_file_is_refused() {
        let octets = written(&snapshot());
        let mut changed = octets.clone();
        changed[octets.len() / 2] ^= 1;
        assert!(matches!(read_back(&changed), Err(BadFile::Checksum)));
        assert!(matches!(read_back(&octets[..octets.len() - 1]), Err(BadFile::Checksum)));
        assert!(matches!(read_back(&octets[..20]), Err(BadFile::Length)));
        assert!(matches!(read_back(&[7; 100]), Err(BadFile::Foreign)));
        let mut longer = octets.clone();
        longer.extend_from_slice(&[0; 2]);
        assert!(matches!(read_back(&resealed(longer)), Err(BadFile::Checksum | BadFile::Length)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// A checksum is no proof of sense: whoever writes such a file can compute it.
        #[test]
        fn any_change_is_refused_or_makes_another_table(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            static WRITTEN: LazyLock<Vec<u8>> = LazyLock::new(|| written(&snapshot()));
            let mut octets = WRITTEN.clone();
            for (index, octet) in changes {
                let place = index.index(octets.len());
                octets[place] = octet;
            }
            if let Ok(snapshot) = read_back(&resealed(octets)) {
                let entries = snapshot.iter().count();
                prop_assert_eq!(entries, snapshot.entries());
            }
        }
    }
}
