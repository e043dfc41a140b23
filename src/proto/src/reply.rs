//! Bodies of replies that succeeded.

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};

use crate::field::{put_counted, take_counted, take_i64, take_u8, take_u32, whole_text};
use crate::{GroupName, Malformed};

/// A BLAKE3 of a whole file. All zeros stands for "not known".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum(pub [u8; 32]);

impl Checksum {
    /// The checksum that is not known.
    pub const UNKNOWN: Checksum = Checksum([0; 32]);

    /// Whether it is known.
    pub fn is_known(&self) -> bool {
        *self != Checksum::UNKNOWN
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Checksum> {
        let mut bytes = [0; 32];
        // `from_str_radix` would take a sign for a digit.
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Checksum(bytes))
    }
}

/// Lower-case hexadecimal digits.
impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// SADDRS: the user's group and the storages that serve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageAddresses {
    /// The user's group.
    pub group: GroupName,
    /// `host:port` of up to three ACTIVE storages, in the order they should be tried.
    pub addresses: Vec<String>,
}

impl StorageAddresses {
    /// Appends the body: group, then `ip:port;ip:port;` and a NUL.
    pub fn encode(&self, out: &mut BytesMut) {
        self.group.put(out);
        for address in &self.addresses {
            out.put_slice(address.as_bytes());
            out.put_u8(b';');
        }
        out.put_u8(0);
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`Malformed`] if a field is cut short or no address is in it.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let group = GroupName::take(&mut body)?;
        let addresses: Vec<String> = whole_text(body, "address list")?
            .split(';')
            .filter(|address| !address.is_empty())
            .map(str::to_owned)
            .collect();
        if addresses.is_empty() {
            return Err(Malformed::new("the address list is empty"));
        }
        Ok(StorageAddresses { group, addresses })
    }
}

/// LEASE: the numbers `first .. first + count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The first number.
    pub first: i64,
    /// How many there are, at least 1.
    pub count: u32,
}

impl IdRange {
    /// Appends the body.
    pub fn encode(self, out: &mut BytesMut) {
        out.put_i64(self.first);
        out.put_u32(self.count);
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`Malformed`] if it is cut short or no range of non-negative numbers.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let range =
            IdRange { first: take_i64(&mut body, "first number")?, count: take_u32(&mut body, "count")? };
        if range.count == 0 || range.first < 0 || range.first.checked_add(i64::from(range.count)).is_none() {
            return Err(Malformed::new(format!("{} numbers from {} are no range", range.count, range.first)));
        }
        Ok(range)
    }
}

/// STAT: what a storage knows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// The file's length in bytes.
    pub size: u64,
    /// When it was stored, in milliseconds since 1970.
    pub created_ms: i64,
    /// The CRC32 (IEEE) of the whole file; 0 where `blake3` is not known.
    pub crc32: u32,
    /// The BLAKE3 of the whole file; not known for files stored by older servers.
    pub blake3: Checksum,
    /// The content type, such as `video/mp4`; empty if not known.
    pub content_type: String,
    /// The name the file had where it came from; empty if not known.
    pub name: String,
}

impl Attributes {
    /// Appends the body. Texts over 65,535 bytes do not occur: both are columns of at most 1,024.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.size);
        out.put_i64(self.created_ms);
        out.put_u32(self.crc32);
        out.put_slice(&self.blake3.0);
        put_counted(&self.content_type, out);
        put_counted(&self.name, out);
    }

    /// Reads the body. Bytes behind the last known field are ignored: later versions may add some.
    ///
    /// # Errors
    /// [`Malformed`] with the field that is wrong.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        Attributes::take(&mut body)
    }

    fn take(body: &mut &[u8]) -> Result<Self, Malformed> {
        let size = take_i64(body, "size")?;
        Ok(Attributes {
            size: u64::try_from(size).map_err(|_| Malformed::new(format!("a size of {size} is negative")))?,
            created_ms: take_i64(body, "time")?,
            crc32: take_u32(body, "CRC32")?,
            blake3: take_checksum(body)?,
            content_type: take_counted(body, "content type")?,
            name: take_counted(body, "name")?,
        })
    }
}

/// STORE and FINISH: what was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// What is known of the file.
    pub attributes: Attributes,
    /// How many storages had it, durable, when this was said; 0 = not told. More of the group may get it later.
    pub copies: u8,
}

impl Acknowledged {
    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.attributes.encode(out);
        out.put_u8(self.copies);
    }

    /// Reads the body; an older storage tells no copies. Bytes behind the last known field are ignored.
    ///
    /// # Errors
    /// [`Malformed`] with the field that is wrong.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let attributes = Attributes::take(body)?;
        let copies = if body.is_empty() { 0 } else { take_u8(body, "number of copies")? };
        Ok(Acknowledged { attributes, copies })
    }
}

fn take_checksum(body: &mut &[u8]) -> Result<Checksum, Malformed> {
    let mut checksum = Checksum::UNKNOWN;
    body.try_copy_to_slice(&mut checksum.0).map_err(|_| Malformed::new("the BLAKE3 is cut short"))?;
    Ok(checksum)
}
