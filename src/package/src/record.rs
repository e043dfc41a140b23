//! The records of the zip: what stands before each entry, what the central directory says of it, and the end.
//!
//! Nothing is compressed, lengths and CRC32 stand before the bytes, and every time is 1 January 1980, so that the same
//! entry is always the same bytes. A field of ZIP64 is there exactly where its value does not fit in the narrow one.

use bytes::{BufMut, Bytes, BytesMut};

const LOCAL: u32 = 0x0403_4b50;
const DIRECTORY: u32 = 0x0201_4b50;
const END64: u32 = 0x0606_4b50;
const LOCATOR: u32 = 0x0706_4b50;
const END: u32 = 0x0605_4b50;

/// Bit 11: the name is UTF-8.
const FLAGS: u16 = 1 << 11;
const STORED: u16 = 0;
const TIME: u16 = 0;
/// 1 January 1980, the first day of DOS.
const DATE: u16 = 1 << 5 | 1;
/// The field of the longer lengths.
const ZIP64: u16 = 1;
const VERSION: u16 = 20;
const VERSION_ZIP64: u16 = 45;
/// Unix, whose attributes the upper half of the external ones are.
const MADE_BY: u16 = 3 << 8 | VERSION_ZIP64;
/// A regular file that its owner may write and all may read.
const ATTRIBUTES: u32 = 0o100_644 << 16;

/// What says in a narrow field that the value is in the field of ZIP64; itself, it no longer fits.
const WIDE: u64 = 0xffff_ffff;
const WIDE_COUNT: u64 = 0xffff;

/// One entry, as far as its records tell of it.
pub(crate) struct Record<'a> {
    /// What stands before the name: `files/`, or nothing.
    pub(crate) folder: &'static str,
    pub(crate) name: &'a str,
    pub(crate) size: u64,
    pub(crate) crc32: u32,
    /// Where its header begins in the package.
    pub(crate) offset: u64,
}

impl Record<'_> {
    /// The length of what stands before the entry's bytes.
    pub(crate) fn header_len(&self) -> u64 {
        30 + self.name_len() + if self.size >= WIDE { 20 } else { 0 }
    }

    /// The length of its record in the central directory.
    pub(crate) fn directory_len(&self) -> u64 {
        46 + self.name_len() + u64::from(self.directory_extra())
    }

    fn name_len(&self) -> u64 {
        (self.folder.len() + self.name.len()) as u64
    }

    fn directory_extra(&self) -> u16 {
        match (self.size >= WIDE, self.offset >= WIDE) {
            (true, true) => 28,
            (true, false) => 20,
            (false, true) => 12,
            (false, false) => 0,
        }
    }

    /// What stands before the entry's bytes.
    pub(crate) fn header(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.header_len() as usize);
        out.put_u32_le(LOCAL);
        self.put_common(&mut out);
        out.put_u16_le(if self.size >= WIDE { 20 } else { 0 });
        self.put_name(&mut out);
        if self.size >= WIDE {
            out.put_u16_le(ZIP64);
            out.put_u16_le(16);
            out.put_u64_le(self.size);
            out.put_u64_le(self.size);
        }
        out.freeze()
    }

    /// Appends its record in the central directory.
    pub(crate) fn put_directory(&self, out: &mut BytesMut) {
        let extra = self.directory_extra();
        out.put_u32_le(DIRECTORY);
        out.put_u16_le(MADE_BY);
        self.put_common(out);
        out.put_u16_le(extra);
        out.put_u16_le(0); // comment
        out.put_u16_le(0); // disk
        out.put_u16_le(0); // internal attributes
        out.put_u32_le(ATTRIBUTES);
        out.put_u32_le(narrow(self.offset));
        self.put_name(out);
        if extra > 0 {
            out.put_u16_le(ZIP64);
            out.put_u16_le(extra - 4);
        }
        if self.size >= WIDE {
            out.put_u64_le(self.size);
            out.put_u64_le(self.size);
        }
        if self.offset >= WIDE {
            out.put_u64_le(self.offset);
        }
    }

    /// What both records have, from the version to the length of the name.
    fn put_common(&self, out: &mut BytesMut) {
        let wide = self.size >= WIDE || self.offset >= WIDE;
        out.put_u16_le(if wide { VERSION_ZIP64 } else { VERSION });
        out.put_u16_le(FLAGS);
        out.put_u16_le(STORED);
        out.put_u16_le(TIME);
        out.put_u16_le(DATE);
        out.put_u32_le(self.crc32);
        out.put_u32_le(narrow(self.size));
        out.put_u32_le(narrow(self.size));
        // A path has at most 1024 bytes.
        out.put_u16_le(self.name_len() as u16);
    }

    fn put_name(&self, out: &mut BytesMut) {
        out.put_slice(self.folder.as_bytes());
        out.put_slice(self.name.as_bytes());
    }
}

/// The end of a package, behind its central directory.
pub(crate) fn end(entries: u64, directory_offset: u64, directory_len: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(98);
    if entries >= WIDE_COUNT || directory_offset >= WIDE || directory_len >= WIDE {
        out.put_u32_le(END64);
        out.put_u64_le(44); // the length of the rest of this record
        out.put_u16_le(MADE_BY);
        out.put_u16_le(VERSION_ZIP64);
        out.put_u32_le(0); // this disk
        out.put_u32_le(0); // the directory's disk
        out.put_u64_le(entries); // on this disk
        out.put_u64_le(entries);
        out.put_u64_le(directory_len);
        out.put_u64_le(directory_offset);
        out.put_u32_le(LOCATOR);
        out.put_u32_le(0); // the disk of the record above
        out.put_u64_le(directory_offset + directory_len);
        out.put_u32_le(1); // disks
    }
    let narrow_entries = entries.min(WIDE_COUNT) as u16;
    out.put_u32_le(END);
    out.put_u16_le(0); // this disk
    out.put_u16_le(0); // the directory's disk
    out.put_u16_le(narrow_entries); // on this disk
    out.put_u16_le(narrow_entries);
    out.put_u32_le(narrow(directory_len));
    out.put_u32_le(narrow(directory_offset));
    out.put_u16_le(0); // comment
    out.freeze()
}

fn narrow(value: u64) -> u32 {
    value.min(WIDE) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_bytes() {
        for size in [0, 7, WIDE - 1, WIDE, u64::from(u32::MAX) + 1, 1 << 50] {
            for offset in [0, WIDE - 1, WIDE, 1 << 50] {
                let record = Record { folder: "files/", name: "会.txt", size, crc32: 1, offset };
                assert_eq!(record.header().len() as u64, record.header_len());
                let mut out = BytesMut::new();
                record.put_directory(&mut out);
                assert_eq!(out.len() as u64, record.directory_len());
                assert_eq!(record.header_len() == 30 + 13, size < WIDE);
                assert_eq!(record.directory_len() == 46 + 13, size < WIDE && offset < WIDE);
            }
        }
        for (wide, entries, offset, len) in [
            (false, WIDE_COUNT - 1, WIDE - 1, WIDE - 1),
            (true, WIDE_COUNT, 0, 0),
            (true, 1, WIDE, 0),
            (true, 1, 0, WIDE),
        ] {
            assert_eq!(end(entries, offset, len).len(), if wide { 98 } else { 22 });
        }
    }
}
