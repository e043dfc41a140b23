//! Groups whose storages keep a copy of each file each: who is in one, and what each still has to get.

use tnv_proto::{Checksum, FileKey, PushedPlace};

/// Which storage uses a catalog, and whether it shares its files with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its identity, a UUID.
    pub storage: String,
    /// Its group.
    pub group: String,
    /// Whether the group's other members get a copy of each of its files.
    pub replicates: bool,
}

/// Why a storage that was removed adds nothing.
pub(super) const REMOVED: &str = "this storage was removed from its group";

/// What a member of a group is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// Takes part in everything.
    Active,
    /// Gets the files that were there before it came.
    Filling,
    /// Takes no new uploads, and is to be switched off.
    Draining,
    /// Is a member no more, and will not be one again.
    Removed,
}

impl MemberState {
    /// As it is written in `t_storage`.
    pub fn as_str(self) -> &'static str {
        match self {
            MemberState::Active => "active",
            MemberState::Filling => "filling",
            MemberState::Draining => "draining",
            MemberState::Removed => "removed",
        }
    }

    /// Reads what [`MemberState::as_str`] writes.
    pub fn parse(text: &str) -> Option<MemberState> {
        use MemberState::{Active, Draining, Filling, Removed};
        [Active, Filling, Draining, Removed].into_iter().find(|state| state.as_str() == text)
    }
}

/// A storage of a group that keeps a copy of each file on every member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity, a UUID.
    pub id: String,
    /// Its host name.
    pub host: String,
    /// Where it listens, or the address it advertises.
    pub address: String,
    /// What it is doing.
    pub state: MemberState,
    /// When it registered last, by its own clock: milliseconds since 1970.
    pub seen_ms: i64,
}

/// The order that this storage get a copy of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCopy {
    /// The file.
    pub key: FileKey,
    /// Its length in bytes.
    pub size: u64,
    /// The CRC32 of its bytes.
    pub crc32: u32,
    /// The BLAKE3 of its bytes.
    pub blake3: Checksum,
    /// When it was stored, in milliseconds since 1970.
    pub created_ms: i64,
    /// How often it was tried in vain.
    pub tries: u32,
}

/// What of a file's row goes into a [`PendingCopy`]: app, user, length, CRC32, BLAKE3, time.
pub(super) type FileColumns = (String, String, i64, Option<u32>, Option<String>, Option<i64>);

impl PendingCopy {
    /// The order for a file with this id and row. `None`: there is no such key.
    pub(super) fn of(file: &str, row: FileColumns, tries: u32) -> Option<PendingCopy> {
        let (app, user, size, crc32, blake3, created_ms) = row;
        Some(PendingCopy {
            key: FileKey::new(&app, &user, file).ok()?,
            size: u64::try_from(size).unwrap_or(0),
            crc32: crc32.unwrap_or(0),
            blake3: blake3.as_deref().and_then(Checksum::from_hex).unwrap_or(Checksum::UNKNOWN),
            created_ms: created_ms.unwrap_or(0),
            tries,
        })
    }
}

/// A copy of a file whose bytes have come from another storage and are durable.
#[derive(Debug, Clone)]
pub struct LandedCopy {
    /// The file.
    pub key: FileKey,
    /// The BLAKE3 of the bytes.
    pub blake3: Checksum,
    /// The store path's index.
    pub path_index: u32,
    /// Below the store path.
    pub path: String,
}

/// Bytes of a new file that lie at another storage of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyAt {
    /// The other one's identity.
    pub storage: String,
    /// Where they lie there.
    pub place: PushedPlace,
}

/// What a storage still has to get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// So many files.
    pub files: u64,
    /// Their lengths together.
    pub bytes: u64,
    /// Since when the oldest of them is waited for, in milliseconds since 1970; 0 where there is none.
    pub oldest_ms: i64,
}

/// How far a storage has gone through the files of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enlisted {
    /// The file table, 1 to 3.
    pub table: u8,
    /// The last id seen there; empty before the first.
    pub id: String,
}

impl Enlisted {
    /// Before the first file.
    pub(super) const START: Enlisted = Enlisted { table: 1, id: String::new() };

    /// Where to go on behind a page that ends with this id, or that was the table's last.
    pub(super) fn next(self, last: Option<String>) -> Option<Enlisted> {
        match last {
            Some(id) => Some(Enlisted { id, ..self }),
            None if self.table < 3 => Some(Enlisted { table: self.table + 1, id: String::new() }),
            None => None,
        }
    }
}
