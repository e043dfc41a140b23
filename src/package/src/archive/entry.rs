//! One entry of a zip.

use std::ops::Range;

use bytes::Buf;

use super::{ArchiveError, EntryFault};
use crate::MemberPath;

const DIRECTORY: u32 = 0x0201_4b50;
pub(super) const DIRECTORY_LEN: usize = 46;
const LOCAL: u32 = 0x0403_4b50;
const LOCAL_LEN: usize = 30;

/// Bits 0 (encrypted), 5 (a patch), 6 and 13 (encrypted in other ways).
const ENCRYPTED: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;
/// What says that a value stands in the field of ZIP64.
const WIDE: u32 = u32::MAX;

/// Our own members may have the longest path below `files/`.
const MAX_PATH_LEN: usize = MemberPath::MAX_LEN.saturating_add("files/".len());

/// What there is to extract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A folder, without bytes.
    Folder,
    /// A file whose bytes are there as they are.
    Stored,
    /// A file whose bytes are deflated (RFC 1951).
    Deflated,
}

/// An entry that may be extracted, as the directory has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where to extract it to: `files/a.pdf` for a member of a package. Up to 6 bytes longer than a member's path.
    pub path: MemberPath,
    /// What it is.
    pub content: Content,
    /// Its length when extracted, in bytes.
    pub size: u64,
    /// Its length in the zip, in bytes.
    pub packed: u64,
    /// The CRC32 of what is extracted.
    pub crc32: u32,
    /// Where its header begins in the zip.
    pub header_offset: u64,
    /// Its name as it is in the zip.
    pub(super) raw_name: Box<[u8]>,
    /// Where its header and bytes must have ended.
    pub(super) room: u64,
}

impl Entry {
    /// How many bytes from [`header_offset`](Self::header_offset) on [`data`](Self::data) wants.
    pub fn header_len(&self) -> usize {
        LOCAL_LEN.saturating_add(self.raw_name.len())
    }

    /// Where its bytes are in the zip, as its header tells, of which `header` is at least the first
    /// [`header_len`](Self::header_len) bytes.
    ///
    /// # Errors
    /// [`ArchiveError`] if that is not the header of this entry, or its bytes would go into the next one.
    pub fn data(&self, header: &[u8]) -> Result<Range<u64>, ArchiveError> {
        self.data_behind(header).map_err(|fault| ArchiveError::entry(&self.raw_name, fault))
    }

    fn data_behind(&self, header: &[u8]) -> Result<Range<u64>, EntryFault> {
        let mut fixed = header;
        let signature = fixed.try_get_u32_le()?;
        fixed.try_get_u16_le()?; // version
        let (flags, method) = (fixed.try_get_u16_le()?, fixed.try_get_u16_le()?);
        // Times, CRC32 and lengths, which may stand behind the bytes instead.
        fixed.try_get_u128_le()?;
        let (name_len, extra_len) = (fixed.try_get_u16_le()?, fixed.try_get_u16_le()?);
        let known = signature == LOCAL
            && flags & ENCRYPTED == 0
            && Some(method) == self.method()
            && usize::from(name_len) == self.raw_name.len()
            && fixed.starts_with(&self.raw_name);
        if !known {
            return Err(EntryFault::Header);
        }
        let start = self.least_data_offset().saturating_add(extra_len.into());
        let end = start.saturating_add(self.packed);
        if end <= self.room { Ok(start..end) } else { Err(EntryFault::Outside) }
    }

    fn method(&self) -> Option<u16> {
        match self.content {
            Content::Folder | Content::Stored => Some(0),
            Content::Deflated => Some(8),
        }
    }

    /// Where its bytes begin if the header has no further fields.
    fn least_data_offset(&self) -> u64 {
        self.header_offset.saturating_add(self.header_len() as u64)
    }

    /// Where its bytes end at the least.
    pub(super) fn least_end(&self) -> u64 {
        self.least_data_offset().saturating_add(self.packed)
    }
}

/// A record of the directory, as it is there.
pub(super) struct Record<'a> {
    flags: u16,
    method: u16,
    crc32: u32,
    packed: u32,
    size: u32,
    disk: u16,
    attributes: u32,
    offset: u32,
    pub(super) name: &'a [u8],
    extra: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes a record off the directory; `None` if there is none, or it is cut short.
    pub(super) fn take(directory: &mut &'a [u8]) -> Option<Record<'a>> {
        let (mut fixed, rest) = directory.split_at_checked(DIRECTORY_LEN)?;
        if fixed.get_u32_le() != DIRECTORY {
            return None;
        }
        fixed.get_u32_le(); // versions
        let (flags, method) = (fixed.get_u16_le(), fixed.get_u16_le());
        fixed.get_u32_le(); // time and date
        let (crc32, packed, size) = (fixed.get_u32_le(), fixed.get_u32_le(), fixed.get_u32_le());
        let (name_len, extra_len) = (fixed.get_u16_le(), fixed.get_u16_le());
        let (comment_len, disk) = (fixed.get_u16_le(), fixed.get_u16_le());
        fixed.get_u16_le(); // internal attributes
        let (attributes, offset) = (fixed.get_u32_le(), fixed.get_u32_le());
        let (name, rest) = rest.split_at_checked(name_len.into())?;
        let (extra, rest) = rest.split_at_checked(extra_len.into())?;
        *directory = rest.get(comment_len.into()..)?;
        Some(Record { flags, method, crc32, packed, size, disk, attributes, offset, name, extra })
    }

    /// The entry, if it may be extracted as far as it alone can tell. Its room is not known yet.
    pub(super) fn entry(&self) -> Result<Entry, EntryFault> {
        if self.flags & ENCRYPTED != 0 {
            return Err(EntryFault::Encrypted);
        }
        let name = std::str::from_utf8(self.name).map_err(|_| EntryFault::NotUtf8)?;
        let folder = name.strip_suffix('/');
        if self.is_special(folder.is_some()) {
            return Err(EntryFault::Special);
        }
        let wide = self.wide().ok_or(EntryFault::Zip64)?;
        if wide.disk != 0 {
            return Err(EntryFault::Parts);
        }
        let content = match (folder, self.method) {
            (Some(_), 0 | 8) if wide.size == 0 => Content::Folder,
            (Some(_), 0 | 8) => return Err(EntryFault::FolderBytes),
            (None, 0) if wide.size != wide.packed => return Err(EntryFault::StoredLength),
            (None, 0) => Content::Stored,
            (None, 8) => Content::Deflated,
            (_, method) => return Err(EntryFault::Method(method)),
        };
        let path = MemberPath::within(folder.unwrap_or(name), MAX_PATH_LEN)
            .map_err(|error| EntryFault::Path(error.fault))?;
        Ok(Entry {
            path,
            content,
            size: wide.size,
            packed: wide.packed,
            crc32: self.crc32,
            header_offset: wide.offset,
            raw_name: self.name.into(),
            room: 0,
        })
    }

    /// Whether the attributes say something else than a file, or than a folder if it is called like one. The upper half
    /// is a mode of Unix or nothing, whatever system made the zip; in the lower one, 0x400 is a reparse point of Windows.
    fn is_special(&self, is_folder: bool) -> bool {
        let kind = self.attributes >> 16 & 0o170_000;
        let expected = if is_folder { 0o040_000 } else { 0o100_000 };
        (kind != 0 && kind != expected) || self.attributes & 0x400 != 0
    }

    /// The values of which some may stand in the field of ZIP64. `None` if they should and do not.
    fn wide(&self) -> Option<Wide> {
        let mut field = zip64_field(self.extra)?;
        let mut value = |narrow: u32| match narrow {
            WIDE => field.try_get_u64_le().ok(),
            narrow => Some(narrow.into()),
        };
        let (size, packed, offset) = (value(self.size)?, value(self.packed)?, value(self.offset)?);
        let disk = if self.disk == u16::MAX { field.try_get_u32_le().ok()? } else { self.disk.into() };
        Some(Wide { size, packed, offset, disk })
    }
}

struct Wide {
    size: u64,
    packed: u64,
    offset: u64,
    disk: u32,
}

/// The first field with number 1 of an entry's extra fields; nothing if there is none. `None` if a field is cut short
/// before it.
fn zip64_field(mut extra: &[u8]) -> Option<&[u8]> {
    while extra.len() >= 4 {
        let (number, len) = (extra.get_u16_le(), extra.get_u16_le());
        let (field, rest) = extra.split_at_checked(len.into())?;
        if number == 1 {
            return Some(field);
        }
        extra = rest;
    }
    Some(&[])
}
