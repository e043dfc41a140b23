//! The end of a zip, which says where its directory is.

use std::ops::Range;

use bytes::{Buf, TryGetError};

use super::{ArchiveError, Limits};

const END: u32 = 0x0605_4b50;
const END_LEN: usize = 22;
const LOCATOR: u32 = 0x0706_4b50;
const LOCATOR_LEN: usize = 20;
const END64: u32 = 0x0606_4b50;

/// Where the directory of a zip is, as its end says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    entries: u64,
    offset: u64,
    len: u64,
}

impl End {
    /// How many of a file's last bytes are enough to find it: the record with the longest comment, and those of ZIP64.
    pub const TAIL_LEN: u64 = 22 + 65_535 + 20 + 56;

    /// Finds the end in the last bytes of a file: [`TAIL_LEN`](Self::TAIL_LEN) of them, or the whole file if it is
    /// shorter. `file_len` is the length of the file.
    ///
    /// # Errors
    /// [`ArchiveError`] if there is none, or it contradicts itself or the file's length.
    pub fn find(tail: &[u8], file_len: u64) -> Result<End, ArchiveError> {
        let tail_at = file_len.checked_sub(tail.len() as u64).ok_or(ArchiveError::NoEnd)?;
        let at = last_record(tail).ok_or(ArchiveError::NoEnd)?;
        let (before, record) = tail.split_at_checked(at).ok_or(ArchiveError::NoEnd)?;
        let narrow = Counts::read(record).map_err(|_| ArchiveError::NoEnd)?;
        let (counts, end_at) = match zip64(before, tail_at)? {
            Some((wide, at)) if narrow.may_stand_for(wide) => (wide, at),
            Some(_) => return Err(ArchiveError::Zip64),
            None => (narrow, tail_at.saturating_add(at as u64)),
        };
        if counts.disks != (0, 0) || counts.entries_here != counts.entries {
            return Err(ArchiveError::Parts);
        }
        if counts.offset.checked_add(counts.len) != Some(end_at) {
            return Err(ArchiveError::Misplaced);
        }
        Ok(End { entries: counts.entries, offset: counts.offset, len: counts.len })
    }

    /// How many entries the zip has.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Where the directory lies in the file.
    pub fn directory(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.len)
    }

    /// Whether the directory is small enough to be read.
    ///
    /// # Errors
    /// [`ArchiveError::TooManyEntries`] or [`ArchiveError::LargeDirectory`].
    pub fn check(&self, limits: &Limits) -> Result<(), ArchiveError> {
        if self.entries > limits.entries {
            return Err(ArchiveError::TooManyEntries { entries: self.entries, limit: limits.entries });
        }
        if self.len > limits.directory {
            return Err(ArchiveError::LargeDirectory { len: self.len, limit: limits.directory });
        }
        Ok(())
    }
}

/// Where the last record begins whose comment reaches exactly to the end.
fn last_record(tail: &[u8]) -> Option<usize> {
    let mut places = tail.windows(END_LEN).enumerate().rev();
    places.find_map(|(at, mut record)| {
        let behind = tail.len().saturating_sub(at.saturating_add(END_LEN));
        let signature = record.get_u32_le();
        record.advance(END_LEN.saturating_sub(6));
        (signature == END && usize::from(record.get_u16_le()) == behind).then_some(at)
    })
}

/// The wide record and where it begins, if a locator stands right before the narrow one. `before` is what the tail has
/// before the latter; it begins at `tail_at` of the file.
fn zip64(before: &[u8], tail_at: u64) -> Result<Option<(Counts, u64)>, ArchiveError> {
    let Some((before, mut locator)) = before.len().checked_sub(LOCATOR_LEN).map(|at| before.split_at(at))
    else {
        return Ok(None);
    };
    if locator.get_u32_le() != LOCATOR {
        return Ok(None);
    }
    let (disk, offset, disks) = (locator.get_u32_le(), locator.get_u64_le(), locator.get_u32_le());
    if disk != 0 || disks > 1 {
        return Err(ArchiveError::Parts);
    }
    let inside = offset.checked_sub(tail_at).and_then(|at| usize::try_from(at).ok());
    let record = inside.and_then(|at| before.get(at..)).ok_or(ArchiveError::Zip64)?;
    let counts = Counts::read_wide(record).ok().flatten().ok_or(ArchiveError::Zip64)?;
    Ok(Some((counts, offset)))
}

/// What both records say.
#[derive(Clone, Copy)]
struct Counts {
    disks: (u32, u32),
    entries_here: u64,
    entries: u64,
    len: u64,
    offset: u64,
}

impl Counts {
    fn read(mut record: &[u8]) -> Result<Counts, TryGetError> {
        record.try_get_u32_le()?;
        Ok(Counts {
            disks: (record.try_get_u16_le()?.into(), record.try_get_u16_le()?.into()),
            entries_here: record.try_get_u16_le()?.into(),
            entries: record.try_get_u16_le()?.into(),
            len: record.try_get_u32_le()?.into(),
            offset: record.try_get_u32_le()?.into(),
        })
    }

    /// `None` if it is not the whole of `record`, or none at all.
    fn read_wide(mut record: &[u8]) -> Result<Option<Counts>, TryGetError> {
        let signature = record.try_get_u32_le()?;
        let len = record.try_get_u64_le()?;
        if signature != END64 || len != record.len() as u64 {
            return Ok(None);
        }
        record.try_get_u32_le()?; // versions
        Ok(Some(Counts {
            disks: (record.try_get_u32_le()?, record.try_get_u32_le()?),
            entries_here: record.try_get_u64_le()?,
            entries: record.try_get_u64_le()?,
            len: record.try_get_u64_le()?,
            offset: record.try_get_u64_le()?,
        }))
    }

    /// Whether each value is the wide one, or says that it stands there.
    fn may_stand_for(self, wide: Counts) -> bool {
        let agree = |narrow: u64, wide: u64, mark: u64| narrow == wide || narrow == mark;
        agree(self.entries_here, wide.entries_here, 0xffff)
            && agree(self.entries, wide.entries, 0xffff)
            && agree(self.len, wide.len, 0xffff_ffff)
            && agree(self.offset, wide.offset, 0xffff_ffff)
    }
}
