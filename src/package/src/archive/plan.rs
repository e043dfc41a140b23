//! What may be extracted from a zip.

use super::entry::{DIRECTORY_LEN, Record};
use super::error::shown;
use super::{ArchiveError, Content, End, Entry, EntryFault};
use crate::Names;

/// Files up to this length may have been packed as tightly as can be.
const FREE_OF_RATIO: u64 = 1 << 20;

/// How much may be extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most entries. By default 1,000,000.
    pub entries: u64,
    /// The longest directory, which is read as a whole, in bytes. By default 256 MiB.
    pub directory: u64,
    /// The most bytes of all files together. By default 1 TiB: whoever knows how much room there is should say so.
    pub total: u64,
    /// How many times as long as in the zip a deflated file may become; those of up to 1 MiB are let through. By default 200:
    /// text becomes up to some 20 times as long, zeros 1032 times.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { entries: 1_000_000, directory: 256 << 20, total: 1 << 40, ratio: 200 }
    }
}

/// The entries of a zip, all of which may be extracted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    entries: Vec<Entry>,
    total: u64,
}

impl Plan {
    /// Reads a directory, which are the bytes at [`End::directory`]. Takes memory in proportion to them.
    ///
    /// # Errors
    /// [`ArchiveError`] names the first entry that must not be extracted, or says what is wrong with the directory.
    pub fn new(directory: &[u8], end: &End, limits: &Limits) -> Result<Plan, ArchiveError> {
        end.check(limits)?;
        let place = end.directory();
        if place.end.saturating_sub(place.start) != directory.len() as u64 {
            return Err(ArchiveError::Directory { at: directory.len() as u64 });
        }
        let mut plan = Plan { entries: read_entries(directory, end.entries())?, total: 0 };
        plan.add_up(limits)?;
        plan.give_room(place.start)?;
        plan.check_names()?;
        Ok(plan)
    }

    /// The entries, in the order in which they lie in the zip.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many bytes all files have together when extracted.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn add_up(&mut self, limits: &Limits) -> Result<(), ArchiveError> {
        for entry in &self.entries {
            let most = entry.packed.saturating_mul(limits.ratio).max(FREE_OF_RATIO);
            if entry.content == Content::Deflated && entry.size > most {
                return Err(ArchiveError::entry(&entry.raw_name, EntryFault::Ratio(limits.ratio)));
            }
            self.total = self.total.saturating_add(entry.size);
            if self.total > limits.total {
                return Err(ArchiveError::TooLarge { name: shown(&entry.raw_name), limit: limits.total });
            }
        }
        Ok(())
    }

    /// Puts the entries into the order of their headers, and lets each have the bytes up to the next. The last ends where
    /// the directory begins.
    fn give_room(&mut self, directory: u64) -> Result<(), ArchiveError> {
        self.entries.sort_by_key(|entry| entry.header_offset);
        let mut next: Option<&Entry> = None;
        for entry in self.entries.iter_mut().rev() {
            entry.room = next.map_or(directory, |next| next.header_offset);
            if entry.least_end() > entry.room {
                return Err(match next {
                    Some(next) => {
                        ArchiveError::Overlap { name: shown(&next.raw_name), with: shown(&entry.raw_name) }
                    }
                    None => ArchiveError::entry(&entry.raw_name, EntryFault::Outside),
                });
            }
            next = Some(entry);
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), ArchiveError> {
        let mut names = Names::default();
        for entry in &self.entries {
            match entry.content {
                Content::Folder => names.insert_folder(&entry.path)?,
                Content::Stored | Content::Deflated => names.insert(&entry.path)?,
            }
        }
        Ok(())
    }
}

/// Exactly `count` entries, which are all of the directory.
fn read_entries(directory: &[u8], count: u64) -> Result<Vec<Entry>, ArchiveError> {
    let at = |rest: &[u8]| ArchiveError::Directory { at: directory.len().saturating_sub(rest.len()) as u64 };
    let most = directory.len().checked_div(DIRECTORY_LEN).unwrap_or_default();
    let count = usize::try_from(count).ok().filter(|count| *count <= most).ok_or_else(|| at(directory))?;
    let mut entries = Vec::with_capacity(count);
    let mut rest = directory;
    for _ in 0..count {
        let before = rest;
        let record = Record::take(&mut rest).ok_or_else(|| at(before))?;
        entries.push(record.entry().map_err(|fault| ArchiveError::entry(record.name, fault))?);
    }
    if rest.is_empty() { Ok(entries) } else { Err(at(rest)) }
}
