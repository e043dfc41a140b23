//! Requests as types. `decode` takes exactly the fixed part; file contents behind it never pass through here.

use bytes::{BufMut, BytesMut};

use crate::field::{put_optional_file, take_i64, take_optional_file, take_u16, take_u32, whole_text};
use crate::reply::Checksum;
use crate::{AppId, Command, FileId, GroupName, HEADER_LEN, Header, HostName, Malformed, UserId, Version};

/// The longest JSON text in a REPORT, in bytes.
pub const MAX_REPORT_LEN: usize = 16 * 1024;

/// What every request has in common: a command and a body of fixed layout.
pub trait Request: Sized {
    /// The command byte it travels under.
    const COMMAND: Command;

    /// Appends the body.
    fn encode_body(&self, out: &mut BytesMut);

    /// Reads the body, which must be used up to its last byte.
    ///
    /// # Errors
    /// [`Malformed`] with the field that is wrong.
    fn decode(body: &[u8]) -> Result<Self, Malformed>;

    /// The whole frame: header and body. For UPLOAD the header already counts the contents that follow.
    fn to_frame(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(512);
        out.put_bytes(0, HEADER_LEN);
        self.encode_body(&mut out);
        let body_len = (out.len().saturating_sub(HEADER_LEN) as u64).saturating_add(self.trailing_len());
        let header = Header::request(Self::COMMAND, body_len).encode();
        if let Some(start) = out.get_mut(..HEADER_LEN) {
            start.copy_from_slice(&header);
        }
        out
    }

    /// Bytes that follow the fixed layout: an upload's contents.
    fn trailing_len(&self) -> u64 {
        0
    }
}

pub(crate) fn finished(rest: &[u8]) -> Result<(), Malformed> {
    if rest.is_empty() { Ok(()) } else { Err(Malformed::new(format!("{} bytes too many", rest.len()))) }
}

/// JOIN: a storage enters its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The storage's version.
    pub version: Version,
    /// The group it belongs to.
    pub group: GroupName,
    /// Its host name.
    pub host: HostName,
    /// The port it listens on, not 0.
    pub port: u16,
    /// When it was started, in unix seconds.
    pub started: i64,
    /// When it joins, in unix seconds.
    pub joined: i64,
}

impl Request for Join {
    const COMMAND: Command = Command::Join;

    fn encode_body(&self, out: &mut BytesMut) {
        self.version.put(out);
        self.group.put(out);
        self.host.put(out);
        out.put_u16(self.port);
        out.put_i64(self.started);
        out.put_i64(self.joined);
    }

    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let join = Join {
            version: Version::take(body)?,
            group: GroupName::take(body)?,
            host: HostName::take(body)?,
            port: take_port(body)?,
            started: take_i64(body, "start time")?,
            joined: take_i64(body, "join time")?,
        };
        finished(body)?;
        Ok(join)
    }
}

fn take_port(body: &mut &[u8]) -> Result<u16, Malformed> {
    match take_u16(body, "port")? {
        0 => Err(Malformed::new("the port is 0")),
        port => Ok(port),
    }
}

/// BEAT: a storage is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The group it belongs to.
    pub group: GroupName,
    /// Its host name.
    pub host: HostName,
}

impl Request for Beat {
    const COMMAND: Command = Command::Beat;

    fn encode_body(&self, out: &mut BytesMut) {
        self.group.put(out);
        self.host.put(out);
    }

    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let beat = Beat { group: GroupName::take(body)?, host: HostName::take(body)? };
        finished(body)?;
        Ok(beat)
    }
}

/// SADDRS: which storages serve this user?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saddrs {
    /// The application.
    pub app: AppId,
    /// The user, who decides the group.
    pub user: UserId,
    /// The file it is about; the answer does not depend on it and it may be empty.
    pub file: Option<FileId>,
}

impl Request for Saddrs {
    const COMMAND: Command = Command::Saddrs;

    fn encode_body(&self, out: &mut BytesMut) {
        self.app.put(out);
        self.user.put(out);
        put_optional_file(self.file.as_ref(), out);
    }

    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let saddrs =
            Saddrs { app: AppId::take(body)?, user: UserId::take(body)?, file: take_optional_file(body)? };
        finished(body)?;
        Ok(saddrs)
    }
}

impl Saddrs {
    /// The frame of a LOCATE, which has the same body.
    pub fn to_locate_frame(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(512);
        out.put_slice(&Header::request(Command::Locate, FileKey::LEN as u64).encode());
        self.encode_body(&mut out);
        out
    }
}

/// REPORT (extension): a storage tells what JOIN has no field for. Sent on the connection of its JOIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The group it belongs to.
    pub group: GroupName,
    /// Its host name.
    pub host: HostName,
    /// The port of its JOIN.
    pub port: u16,
    /// A [`crate::state::StorageReport`] as JSON, at most [`MAX_REPORT_LEN`] bytes.
    pub json: String,
}

impl Request for Report {
    const COMMAND: Command = Command::Report;

    fn encode_body(&self, out: &mut BytesMut) {
        self.group.put(out);
        self.host.put(out);
        out.put_u16(self.port);
        out.put_slice(self.json.as_bytes());
    }

    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let (group, host, port) = (GroupName::take(body)?, HostName::take(body)?, take_port(body)?);
        let json = std::str::from_utf8(body).map_err(|_| Malformed::new("the report is not UTF-8"))?;
        Ok(Report { group, host, port, json: json.to_owned() })
    }
}

/// GET of the id server: one number for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdGet {
    /// The key, a storage path such as `../data`: 1 to 64 bytes.
    pub key: String,
}

impl IdGet {
    /// The longest key, in bytes.
    pub const MAX_KEY: usize = 64;
}

impl Request for IdGet {
    const COMMAND: Command = Command::IdGet;

    fn encode_body(&self, out: &mut BytesMut) {
        out.put_slice(self.key.as_bytes());
        out.put_u8(0);
    }

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        Ok(IdGet { key: take_key(body)? })
    }
}

fn take_key(body: &[u8]) -> Result<String, Malformed> {
    match whole_text(body, "id key")? {
        "" => Err(Malformed::new("the id key must not be empty")),
        key if key.len() > IdGet::MAX_KEY => {
            Err(Malformed::new(format!("the id key has {} bytes, at most {} fit", key.len(), IdGet::MAX_KEY)))
        }
        key => Ok(key.to_owned()),
    }
}

/// LEASE of the id server (extension): a range of numbers in one round trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdLease {
    /// How many numbers are wanted, not 0; the server may grant fewer.
    pub count: u32,
    /// The key, as in [`IdGet`].
    pub key: String,
}

impl Request for IdLease {
    const COMMAND: Command = Command::IdLease;

    fn encode_body(&self, out: &mut BytesMut) {
        out.put_u32(self.count);
        out.put_slice(self.key.as_bytes());
        out.put_u8(0);
    }

    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let count = take_u32(&mut body, "count")?;
        if count == 0 {
            return Err(Malformed::new("a lease of 0 numbers"));
        }
        Ok(IdLease { count, key: take_key(body)? })
    }
}

/// The app, user and file that every request for one file begins with: FILESIZE, DELETE and STAT are nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// The application.
    pub app: AppId,
    /// The user who owns the file.
    pub user: UserId,
    /// The file.
    pub file: FileId,
}

impl FileKey {
    /// Its length on the wire, in bytes.
    pub const LEN: usize = 400;

    /// Checks and wraps the three texts.
    ///
    /// # Errors
    /// [`Malformed`] with the one that is wrong.
    pub fn new(app: &str, user: &str, file: &str) -> Result<Self, Malformed> {
        Ok(FileKey { app: AppId::new(app)?, user: UserId::new(user)?, file: FileId::new(file)? })
    }

    /// The frame of a command whose body is the key alone: FILESIZE, DELETE, STAT and others.
    pub fn to_frame(&self, command: Command) -> BytesMut {
        let mut out = BytesMut::with_capacity(HEADER_LEN.saturating_add(Self::LEN));
        out.put_slice(&Header::request(command, Self::LEN as u64).encode());
        self.put(&mut out);
        out
    }

    /// Reads a body that is the key alone.
    ///
    /// # Errors
    /// [`Malformed`] with the field that is wrong.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let key = Self::take(&mut body)?;
        finished(body)?;
        Ok(key)
    }

    pub(crate) fn take(body: &mut &[u8]) -> Result<Self, Malformed> {
        Ok(FileKey { app: AppId::take(body)?, user: UserId::take(body)?, file: FileId::take(body)? })
    }

    pub(crate) fn put(&self, out: &mut BytesMut) {
        self.app.put(out);
        self.user.put(out);
        self.file.put(out);
    }
}

impl std::fmt::Display for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.app, self.user, self.file)
    }
}

/// UPLOAD: the fixed part; `size` bytes of contents follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Under what the file is to be stored.
    pub key: FileKey,
    /// The contents' length in bytes.
    pub size: u64,
}

impl Upload {
    /// The length of the fixed part, in bytes.
    pub const LEN: usize = 408;
}

impl Request for Upload {
    const COMMAND: Command = Command::Upload;

    fn encode_body(&self, out: &mut BytesMut) {
        self.key.put(out);
        out.put_u64(self.size);
    }

    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let key = FileKey::take(body)?;
        let size = take_i64(body, "size")?;
        finished(body)?;
        let size =
            u64::try_from(size).map_err(|_| Malformed::new(format!("a size of {size} is negative")))?;
        Ok(Upload { key, size })
    }

    fn trailing_len(&self) -> u64 {
        self.size
    }
}

/// DOWNLOAD: bytes of a file. Offset and size are checked against the file by the storage, for a negative one is a
/// range error (416), not a malformed frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The file.
    pub key: FileKey,
    /// The first byte wanted, from 0.
    pub offset: i64,
    /// How many bytes; 0 = to the end.
    pub size: i64,
}

impl Request for Download {
    const COMMAND: Command = Command::Download;

    fn encode_body(&self, out: &mut BytesMut) {
        self.key.put(out);
        out.put_i64(self.offset);
        out.put_i64(self.size);
    }

    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let download = Download {
            key: FileKey::take(body)?,
            offset: take_i64(body, "offset")?,
            size: take_i64(body, "size")?,
        };
        finished(body)?;
        Ok(download)
    }
}

/// READ (extension): a DOWNLOAD that is refused (412) if the file's checksum is not the expected one, so that a
/// reader who asks piece by piece never mixes two files that had the same id one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// What to send.
    pub download: Download,
    /// The BLAKE3 of the whole file as STAT told it; all zeros = whatever it is.
    pub expected: Checksum,
}

impl Request for Read {
    const COMMAND: Command = Command::Read;

    fn encode_body(&self, out: &mut BytesMut) {
        self.download.encode_body(out);
        out.put_slice(&self.expected.0);
    }

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let (fixed, expected) =
            body.split_last_chunk::<32>().ok_or_else(|| Malformed::new("the checksum is cut short"))?;
        Ok(Read { download: Download::decode(fixed)?, expected: Checksum(*expected) })
    }
}

impl Read {
    /// The frame of a FETCH, which has the same body.
    pub fn to_fetch_frame(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(512);
        out.put_slice(&Header::request(Command::Fetch, *Command::Fetch.body_len().start()).encode());
        self.encode_body(&mut out);
        out
    }
}
