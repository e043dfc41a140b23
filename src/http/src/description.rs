//! What there is to tell of a file before its bytes: its headers, made once. Pure.

use std::time::SystemTime;

use hyper::HeaderMap;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, HeaderName, HeaderValue, LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS,
};
use tnv_proto::{Attributes, Checksum, FileKey};

use crate::condition::{self, Validators};
use crate::disposition::{self, Disposition};
use crate::media;
use crate::range::ByteRange;

/// How many headers an answer has at most, so that their map need not grow.
const HEADERS: usize = 14;

/// A file, as its answers tell of it.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) size: u64,
    /// Of the file's bytes; may be unknown.
    pub(crate) checksum: Checksum,
    pub(crate) validators: Validators,
    pub(crate) content_type: String,
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
    type_header: Option<HeaderValue>,
    /// What a browser is to do with it, and what it is to do if it was asked for as a download.
    dispositions: [Option<HeaderValue>; 2],
    /// Whether a browser might run something in it.
    active: bool,
}

impl Description {
    pub(crate) fn new(key: &FileKey, attributes: &Attributes, now: SystemTime) -> Description {
        let file = key.file.as_str();
        let content_type = media::content_type(&attributes.content_type, &attributes.name, file);
        let fitting = media::disposition(&content_type);
        let name = media::file_name(&attributes.name, file, &content_type);
        let disposition = |disposition| value(CONTENT_DISPOSITION, &disposition::header(disposition, &name));
        let validators = Validators {
            etag: etag(key, attributes),
            modified: condition::modified(attributes.created_ms, now),
        };
        let modified = validators.modified.map(httpdate::fmt_http_date);
        Description {
            size: attributes.size,
            checksum: attributes.blake3,
            etag: value(ETAG, &validators.etag),
            modified: modified.and_then(|date| value(LAST_MODIFIED, &date)),
            type_header: value(CONTENT_TYPE, &content_type),
            dispositions: [disposition(fitting), disposition(Disposition::Attachment)],
            active: fitting == Disposition::Attachment,
            validators,
            content_type,
        }
    }

    /// The memory its texts take, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let headers = [&self.etag, &self.modified, &self.type_header].into_iter().chain(&self.dispositions);
        let headers: usize = headers.flatten().map(HeaderValue::len).sum();
        headers + self.content_type.len() + self.validators.etag.len()
    }

    /// The headers of an answer that has bytes of it, or would have them. They are to be saved if it is a `download`.
    pub(crate) fn headers(&self, download: bool) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        self.put_validators(&mut headers);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let [fitting, attachment] = &self.dispositions;
        put(&mut headers, CONTENT_DISPOSITION, if download { attachment } else { fitting });
        if self.active {
            // For browsers that show it nevertheless.
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
        }
        headers
    }

    /// Says that the answer is the whole file.
    pub(crate) fn put_whole(&self, headers: &mut HeaderMap) {
        put(headers, CONTENT_TYPE, &self.type_header);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.size));
    }

    /// Says that the answer is a part of the file.
    pub(crate) fn put_part(&self, headers: &mut HeaderMap, range: &ByteRange) {
        put(headers, CONTENT_TYPE, &self.type_header);
        put(headers, CONTENT_RANGE, &value(CONTENT_RANGE, &format!("bytes {range}/{}", self.size)));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(range.len()));
    }

    /// Says that the answer is several parts of the file, `len` bytes in all.
    pub(crate) fn put_parts(&self, headers: &mut HeaderMap, boundary: &str, len: u64) {
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        put(headers, CONTENT_TYPE, &value(CONTENT_TYPE, &content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }

    pub(crate) fn put_validators(&self, headers: &mut HeaderMap) {
        put(headers, ETAG, &self.etag);
        put(headers, LAST_MODIFIED, &self.modified);
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value.clone());
    }
}

/// A header's value. All values made here are printable ASCII; one that were not is left out.
fn value(name: HeaderName, text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(text)
        .inspect_err(|error| tracing::error!(%name, text, %error, "header left out"))
        .ok()
}

/// A strong entity tag, the same on every server: of the file's checksum, else of its key and size, which
/// suffice because a stored file never changes.
fn etag(key: &FileKey, attributes: &Attributes) -> String {
    if attributes.blake3.is_known() {
        return format!("\"{:.32}\"", attributes.blake3.to_string());
    }
    let id = blake3::hash(key.to_string().as_bytes()).to_hex();
    format!("\"{:x}-{:.16}\"", attributes.size, id.as_str())
}
