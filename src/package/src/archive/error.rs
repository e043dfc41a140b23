//! Why a zip is not extracted.

use bytes::TryGetError;

use crate::{Collision, PathFault};

/// A zip that is not extracted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// There is no end of a zip at the end of the file: it is no zip, or was cut off.
    #[error("not a zip, or its end is missing")]
    NoEnd,
    /// The records of ZIP64 at the end contradict each other or are not where they should be.
    #[error("the end of the zip is damaged: its ZIP64 records do not fit together")]
    Zip64,
    /// It goes on in other files.
    #[error("the zip is one of several parts")]
    Parts,
    /// The directory is not right before the end.
    #[error("the zip's directory is not where its end says; other bytes stand before the zip or in it")]
    Misplaced,
    /// A record of the directory is cut short or is none, or there are more or fewer than the end says.
    #[error("the zip's directory is damaged at its byte {at}")]
    Directory {
        /// Where, in the directory.
        at: u64,
    },
    /// There are more entries than the limit.
    #[error("the zip has {entries} entries, the limit is {limit}")]
    TooManyEntries {
        /// How many.
        entries: u64,
        /// How many may be.
        limit: u64,
    },
    /// The directory is larger than the limit.
    #[error("the zip's directory has {len} bytes, the limit is {limit}")]
    LargeDirectory {
        /// Its length.
        len: u64,
        /// How long it may be.
        limit: u64,
    },
    /// The files have more bytes than the limit.
    #[error("with {name:?} the zip's files have more than the {limit} bytes of the limit")]
    TooLarge {
        /// The entry that is too much.
        name: String,
        /// How many bytes may be.
        limit: u64,
    },
    /// Two entries cannot be extracted beside each other.
    #[error("the zip cannot be extracted everywhere: {0}")]
    Collision(#[from] Collision),
    /// Two entries have bytes in common.
    #[error("the entries {name:?} and {with:?} of the zip overlap")]
    Overlap {
        /// The one that begins later.
        name: String,
        /// The one it is in.
        with: String,
    },
    /// An entry is not extracted.
    #[error("the entry {name:?} of the zip {fault}")]
    Entry {
        /// Its name; what is not UTF-8 of it is replaced.
        name: String,
        /// Why not.
        fault: EntryFault,
    },
}

/// Why an entry is not extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// The name is in another character set.
    #[error("has a name that is not UTF-8")]
    NotUtf8,
    /// The name leads elsewhere, or cannot be created everywhere.
    #[error("has a bad path: {0}")]
    Path(PathFault),
    /// It needs a password.
    #[error("is encrypted")]
    Encrypted,
    /// It is packed in a way other than stored and deflated.
    #[error("is packed by method {0}; only 0 (stored) and 8 (deflated) are read")]
    Method(u16),
    /// It is a symbolic link, a device, a pipe or a socket.
    #[error("is a link or a device")]
    Special,
    /// It is stored, but its two lengths differ.
    #[error("is stored, but its lengths differ")]
    StoredLength,
    /// It becomes too many times as long.
    #[error("would become more than {0} times as long")]
    Ratio(u64),
    /// It is a folder with bytes.
    #[error("is a folder, but has bytes")]
    FolderBytes,
    /// A length is said to be in the field of ZIP64, but is not there.
    #[error("has a damaged ZIP64 field")]
    Zip64,
    /// It is in another part.
    #[error("is in another part of the zip")]
    Parts,
    /// Its bytes go into the directory or the entry behind it.
    #[error("does not end before what follows it")]
    Outside,
    /// Its header is none, or says something else than the directory.
    #[error("has a header that is not that of the directory")]
    Header,
}

impl ArchiveError {
    pub(crate) fn entry(name: &[u8], fault: EntryFault) -> ArchiveError {
        ArchiveError::Entry { name: shown(name), fault }
    }
}

/// A name for people, cut if it is very long.
pub(crate) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..200).unwrap_or(name)).into_owned()
}

impl From<TryGetError> for EntryFault {
    fn from(_: TryGetError) -> EntryFault {
        EntryFault::Header
    }
}
