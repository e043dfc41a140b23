//! A stored file as its answers tell of it. Pure.

use std::time::SystemTime;

use tnv_proto::{Attributes, FileKey};
use tnv_web::condition::{self, Validators};
use tnv_web::{Representation, media};

/// What there is to tell of a file with these attributes.
pub(crate) fn describe(key: &FileKey, attributes: &Attributes, now: SystemTime) -> Representation {
    let file = key.file.as_str();
    let content_type = media::content_type(&attributes.content_type, &attributes.name, file);
    let name = media::file_name(&attributes.name, file, &content_type);
    let validators =
        Validators { etag: etag(key, attributes), modified: condition::modified(attributes.created_ms, now) };
    Representation::new(attributes.size, content_type, validators).named(&name)
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
