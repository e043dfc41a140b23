//! Uploads with labels, in one piece or in parts that may be resumed, and lists of files (all extensions).

use bytes::{BufMut, BytesMut};

use crate::field::{put_counted, take_counted, take_i64, take_u8, take_u16, take_u32};
use crate::request::finished;
use crate::{AppId, Attributes, Checksum, Command, FileId, FileKey, Malformed, Request, UserId};

/// The longest file name, in bytes.
pub const MAX_NAME_LEN: usize = 1024;
/// The longest content type, in bytes.
pub const MAX_CONTENT_TYPE_LEN: usize = 128;
/// The longest labels of an upload, in bytes.
pub const MAX_LABELS_LEN: usize = MAX_NAME_LEN.saturating_add(MAX_CONTENT_TYPE_LEN);

/// The longest cursor of a list, in bytes: it holds a name and an id, the former perhaps in hexadecimal digits.
pub const MAX_CURSOR_LEN: usize = 4096;
/// The longest texts of a LIST, prefix and cursor together, in bytes.
pub const MAX_LIST_TEXT_LEN: usize = MAX_NAME_LEN.saturating_add(MAX_CURSOR_LEN);

/// What a file is called and what it is, as its owner says. Either may be empty: not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    name: String,
    content_type: String,
}

impl Labels {
    /// Checks and wraps the two texts.
    ///
    /// # Errors
    /// [`Malformed`] for a name over [`MAX_NAME_LEN`] bytes or with control characters, and for a content type over
    /// [`MAX_CONTENT_TYPE_LEN`] bytes or that does not read like `type/subtype`.
    pub fn new(name: &str, content_type: &str) -> Result<Labels, Malformed> {
        if name.len() > MAX_NAME_LEN {
            let text = format!("the file name has {} bytes, at most {MAX_NAME_LEN} fit", name.len());
            return Err(Malformed::new(text));
        }
        if name.contains(char::is_control) {
            return Err(Malformed::new("the file name has a control character"));
        }
        if content_type.len() > MAX_CONTENT_TYPE_LEN {
            let text = format!(
                "the content type has {} bytes, at most {MAX_CONTENT_TYPE_LEN} fit",
                content_type.len()
            );
            return Err(Malformed::new(text));
        }
        let visible = content_type.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let typed =
            content_type.split_once('/').is_some_and(|(kind, sub)| !kind.is_empty() && !sub.is_empty());
        let valid = content_type.is_empty() || (visible && typed);
        if !valid {
            return Err(Malformed::new("the content type does not read like type/subtype"));
        }
        Ok(Labels { name: name.to_owned(), content_type: content_type.to_owned() })
    }

    /// The file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The content type.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }
}

/// What STORE and BEGIN begin with: under what a file is to be stored, how long it is, and its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUpload {
    /// Under what the file is to be stored.
    pub key: FileKey,
    /// Its length in bytes.
    pub size: u64,
    /// Its labels.
    pub labels: Labels,
    /// How many storages are to have the file, durable, before the reply; 0 = as many as its storage is configured to wait for.
    pub ack_copies: u8,
}

/// The part of [`NewUpload`] before the labels' texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUploadFixed {
    key: FileKey,
    size: u64,
    name_len: usize,
    ack_copies: u8,
    content_type_len: usize,
}

impl NewUploadFixed {
    /// Its length, in bytes.
    pub const LEN: usize = 412;

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`] with the field that is wrong, a label that is too long among them.
    pub fn decode(mut body: &[u8]) -> Result<NewUploadFixed, Malformed> {
        let body = &mut body;
        let key = FileKey::take(body)?;
        let size = take_i64(body, "size")?;
        let fixed = NewUploadFixed {
            key,
            size: u64::try_from(size).map_err(|_| Malformed::new(format!("a size of {size} is negative")))?,
            name_len: usize::from(take_u16(body, "name's length")?),
            ack_copies: take_u8(body, "number of copies")?,
            content_type_len: usize::from(take_u8(body, "content type's length")?),
        };
        finished(body)?;
        if fixed.name_len > MAX_NAME_LEN || fixed.content_type_len > MAX_CONTENT_TYPE_LEN {
            return Err(Malformed::new(format!(
                "a name of {} bytes and a content type of {}: at most {MAX_NAME_LEN} and {MAX_CONTENT_TYPE_LEN} fit",
                fixed.name_len, fixed.content_type_len
            )));
        }
        Ok(fixed)
    }

    /// The length of the labels that follow, in bytes: at most [`MAX_LABELS_LEN`].
    pub fn labels_len(&self) -> usize {
        self.name_len.saturating_add(self.content_type_len)
    }

    /// Adds the labels.
    ///
    /// # Errors
    /// [`Malformed`] if they are not what the lengths said or not labels.
    pub fn with_labels(self, labels: &[u8]) -> Result<NewUpload, Malformed> {
        let (name, content_type) =
            labels.split_at_checked(self.name_len).ok_or_else(|| Malformed::new("the name is cut short"))?;
        if content_type.len() != self.content_type_len {
            return Err(Malformed::new("the content type is cut short"));
        }
        let text = |bytes, what: &str| {
            std::str::from_utf8(bytes).map_err(|_| Malformed::new(format!("the {what} is not UTF-8")))
        };
        let labels = Labels::new(text(name, "name")?, text(content_type, "content type")?)?;
        Ok(NewUpload { key: self.key, size: self.size, labels, ack_copies: self.ack_copies })
    }
}

impl NewUpload {
    fn put(&self, out: &mut BytesMut) {
        self.key.put(out);
        out.put_u64(self.size);
        // Labels are checked: both lengths fit.
        out.put_u16(self.labels.name.len() as u16);
        out.put_u8(self.ack_copies);
        out.put_u8(self.labels.content_type.len() as u8);
        out.put_slice(self.labels.name.as_bytes());
        out.put_slice(self.labels.content_type.as_bytes());
    }

    fn decode_whole(body: &[u8]) -> Result<NewUpload, Malformed> {
        let (fixed, labels) = body
            .split_at_checked(NewUploadFixed::LEN)
            .ok_or_else(|| Malformed::new("the request is cut short"))?;
        NewUploadFixed::decode(fixed)?.with_labels(labels)
    }
}

/// STORE: `size` bytes of contents follow, and then their BLAKE3, or 32 zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store(
    /// What is to be stored.
    pub NewUpload,
);

impl Store {
    /// The length of the checksum behind the contents, in bytes.
    pub const TRAILER_LEN: usize = 32;
}

impl Request for Store {
    const COMMAND: Command = Command::Store;

    fn encode_body(&self, out: &mut BytesMut) {
        self.0.put(out);
    }

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        NewUpload::decode_whole(body).map(Store)
    }

    fn trailing_len(&self) -> u64 {
        self.0.size.saturating_add(Self::TRAILER_LEN as u64)
    }
}

/// BEGIN: an upload that will come in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin(
    /// What is to be stored.
    pub NewUpload,
);

impl Request for Begin {
    const COMMAND: Command = Command::Begin;

    fn encode_body(&self, out: &mut BytesMut) {
        self.0.put(out);
    }

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        NewUpload::decode_whole(body).map(Begin)
    }
}

/// APPEND: the fixed part; the next bytes of the upload follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The upload.
    pub key: FileKey,
    /// Where in the file these bytes belong: exactly behind those that came before.
    pub offset: u64,
    /// How many bytes follow. Not on the wire: the header's body length says it.
    pub len: u64,
}

impl Append {
    /// The length of the fixed part, in bytes.
    pub const LEN: usize = 408;
}

impl Request for Append {
    const COMMAND: Command = Command::Append;

    fn encode_body(&self, out: &mut BytesMut) {
        self.key.put(out);
        out.put_u64(self.offset);
    }

    /// `len` is 0 in what this returns.
    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let key = FileKey::take(body)?;
        let offset = take_i64(body, "offset")?;
        finished(body)?;
        let offset = u64::try_from(offset)
            .map_err(|_| Malformed::new(format!("an offset of {offset} is negative")))?;
        Ok(Append { key, offset, len: 0 })
    }

    fn trailing_len(&self) -> u64 {
        self.len
    }
}

/// FINISH: every byte has come; make it a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// The upload.
    pub key: FileKey,
    /// The BLAKE3 the whole should have; unknown = whatever it has.
    pub expected: Checksum,
}

impl Request for Finish {
    const COMMAND: Command = Command::Finish;

    fn encode_body(&self, out: &mut BytesMut) {
        self.key.put(out);
        out.put_slice(&self.expected.0);
    }

    fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let (key, expected) =
            body.split_last_chunk::<32>().ok_or_else(|| Malformed::new("the checksum is cut short"))?;
        Ok(Finish { key: FileKey::decode(key)?, expected: Checksum(*expected) })
    }
}

/// How far an upload in parts has come: the reply to BEGIN and APPEND, and what the one to PROGRESS begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadProgress {
    /// Bytes that are durable: where the next part belongs.
    pub offset: u64,
    /// Bytes in all.
    pub size: u64,
    /// When it is forgotten unless something comes, in milliseconds since 1970.
    pub expires_ms: i64,
}

impl UploadProgress {
    /// Its length, in bytes.
    pub const LEN: usize = 24;

    /// Appends the body.
    pub fn encode(self, out: &mut BytesMut) {
        out.put_u64(self.offset);
        out.put_u64(self.size);
        out.put_i64(self.expires_ms);
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`Malformed`] if it is cut short or the offset lies behind the size.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let (offset, size) = (take_i64(body, "offset")?, take_i64(body, "size")?);
        let expires_ms = take_i64(body, "expiry")?;
        match (u64::try_from(offset), u64::try_from(size)) {
            (Ok(offset), Ok(size)) if offset <= size => Ok(UploadProgress { offset, size, expires_ms }),
            _ => Err(Malformed::new(format!("{offset} of {size} bytes is no progress"))),
        }
    }
}

/// What a storage knows of an upload in parts: the reply to PROGRESS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownUpload {
    /// How far it has come.
    pub progress: UploadProgress,
    /// The labels of its BEGIN; `None` = a storage of an earlier version, which does not tell them.
    pub labels: Option<Labels>,
}

impl KnownUpload {
    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.progress.encode(out);
        if let Some(labels) = &self.labels {
            put_counted(&labels.content_type, out);
            put_counted(&labels.name, out);
        }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`Malformed`] with the field that is wrong.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let progress = UploadProgress::decode(body)?;
        let mut behind = body.get(UploadProgress::LEN..).unwrap_or_default();
        if behind.is_empty() {
            return Ok(KnownUpload { progress, labels: None });
        }
        let content_type = take_counted(&mut behind, "content type")?;
        let name = take_counted(&mut behind, "name")?;
        // What follows is of a later version.
        Ok(KnownUpload { progress, labels: Some(Labels::new(&name, &content_type)?) })
    }
}

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ListOrder {
    /// The youngest file first.
    #[default]
    Newest,
    /// By name, byte by byte; files of one name by id.
    Name,
}

/// LIST: a page of a user's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The application.
    pub app: AppId,
    /// The user.
    pub user: UserId,
    /// In which order.
    pub order: ListOrder,
    /// How many files at most: 1 to 1,000.
    pub limit: u16,
    /// Only files whose name begins with this.
    pub prefix: String,
    /// Where the page before ended, as its reply said; empty = the first page.
    pub cursor: String,
}

impl List {
    /// The most files on a page.
    pub const MAX_LIMIT: u16 = 1000;
}

impl Request for List {
    const COMMAND: Command = Command::List;

    fn encode_body(&self, out: &mut BytesMut) {
        self.app.put(out);
        self.user.put(out);
        out.put_u8(match self.order {
            ListOrder::Newest => 0,
            ListOrder::Name => 1,
        });
        out.put_u16(self.limit);
        put_counted(&self.prefix, out);
        put_counted(&self.cursor, out);
    }

    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let (app, user) = (AppId::take(body)?, UserId::take(body)?);
        let order = match take_u8(body, "order")? {
            0 => ListOrder::Newest,
            1 => ListOrder::Name,
            other => return Err(Malformed::new(format!("there is no order {other}"))),
        };
        let limit = take_u16(body, "limit")?;
        if !(1..=Self::MAX_LIMIT).contains(&limit) {
            return Err(Malformed::new(format!("a limit of {limit} is not 1 to {}", Self::MAX_LIMIT)));
        }
        let list = List {
            app,
            user,
            order,
            limit,
            prefix: take_counted(body, "prefix")?,
            cursor: take_counted(body, "cursor")?,
        };
        finished(body)?;
        Ok(list)
    }
}

/// A page of a user's files: the reply to LIST.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileList {
    /// The files, in the order asked for.
    pub files: Vec<(FileId, Attributes)>,
    /// Where the next page begins; empty = this is the last one.
    pub next: String,
}

impl FileList {
    /// Appends the body: the next cursor, then how many files, then id and attributes of each behind their length.
    pub fn encode(&self, out: &mut BytesMut) {
        put_counted(&self.next, out);
        out.put_u16(u16::try_from(self.files.len()).unwrap_or(u16::MAX));
        let mut entry = BytesMut::new();
        for (id, attributes) in self.files.iter().take(usize::from(u16::MAX)) {
            entry.clear();
            put_counted(id.as_str(), &mut entry);
            attributes.encode(&mut entry);
            out.put_u32(entry.len() as u32);
            out.put_slice(&entry);
        }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`Malformed`] with what is wrong.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let next = take_counted(body, "cursor")?;
        let count = take_u16(body, "count")?;
        let mut files = Vec::new();
        for _ in 0..count {
            let len = usize::try_from(take_u32(body, "entry's length")?).unwrap_or(usize::MAX);
            let (mut entry, rest) =
                body.split_at_checked(len).ok_or_else(|| Malformed::new("an entry is cut short"))?;
            *body = rest;
            let id = FileId::new(&take_counted(&mut entry, "file id")?)?;
            files.push((id, Attributes::decode(entry)?));
        }
        finished(body)?;
        Ok(FileList { files, next })
    }
}
