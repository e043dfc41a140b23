//! The bytes of an upload on their way to other storages of the group while they come in: PUSH, and KEEP behind it.

use bytes::{BufMut, BytesMut};

use crate::field::{put_counted, take_counted, take_u32};
use crate::request::finished;
use crate::{Command, Malformed, Request, Upload};

/// The longest body of a KEEP, in bytes.
pub const MAX_KEEP_LEN: usize = 64 * 1024;

/// PUSH: the fixed part of an UPLOAD, `size` bytes of contents, and then their BLAKE3. The storage makes them durable under a
/// temporary name and writes no row: whoever pushes does that, along with its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push(
    /// Under what the file is to be stored, and its length.
    pub Upload,
);

impl Push {
    /// The length of the checksum behind the contents, in bytes.
    pub const TRAILER_LEN: usize = 32;
}

impl Request for Push {
    const COMMAND: Command = Command::Push;

    fn encode_body(&self, out: &mut BytesMut) {
        self.0.encode_body(out);
    }

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        Upload::decode(body).map(Push)
    }

    fn trailing_len(&self) -> u64 {
        self.0.size.saturating_add(Self::TRAILER_LEN as u64)
    }
}

/// A place in one of a storage's store paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PushedPlace {
    /// The store path's number in the catalog.
    pub path_index: u32,
    /// Below the store path.
    pub path: String,
}

impl PushedPlace {
    fn put(&self, out: &mut BytesMut) {
        out.put_u32(self.path_index);
        put_counted(&self.path, out);
    }

    fn take(body: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(PushedPlace { path_index: take_u32(body, "store path")?, path: take_counted(body, "path")? })
    }
}

/// The reply to PUSH: where the bytes lie, under a temporary name, until their rows are there or the storage gives them up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The storage's identity, which is not always that of whoever was at its address before.
    pub storage: String,
    /// Their place.
    pub place: PushedPlace,
}

impl Pushed {
    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        put_counted(&self.storage, out);
        self.place.put(out);
    }

    /// Reads the body. Bytes behind the last known field are ignored.
    ///
    /// # Errors
    /// [`Malformed`] with the field that is wrong.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        Ok(Pushed { storage: take_counted(body, "storage")?, place: PushedPlace::take(body)? })
    }
}

/// KEEP: these places have their rows. The storage gives what lies there its final name. One that is not told finds out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// At least one. [`Keep::MAX`] of them fit, with the paths that storages make.
    pub places: Vec<PushedPlace>,
}

impl Keep {
    /// How many places one request may have.
    pub const MAX: usize = 256;
}

impl Request for Keep {
    const COMMAND: Command = Command::Keep;

    fn encode_body(&self, out: &mut BytesMut) {
        self.places.iter().for_each(|place| place.put(out));
    }

    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let mut places = Vec::new();
        while !body.is_empty() && places.len() < Keep::MAX {
            places.push(PushedPlace::take(body)?);
        }
        finished(body)?;
        Ok(Keep { places })
    }
}
