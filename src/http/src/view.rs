//! Files as JSON.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use tnv_proto::{AppId, Attributes, FileKey, UserId};
use tnv_web::media;

/// What a path segment may hold as it is (RFC 3986, "unreserved").
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A file, as lists and answers to uploads tell of it.
#[derive(Debug, Serialize)]
pub(crate) struct FileView {
    id: String,
    name: String,
    size: u64,
    content_type: String,
    created_ms: i64,
    url: String,
}

impl FileView {
    pub(crate) fn new(key: &FileKey, attributes: &Attributes, owner: &Owner) -> FileView {
        let file = key.file.as_str();
        FileView {
            id: file.to_owned(),
            name: attributes.name.clone(),
            size: attributes.size,
            content_type: media::content_type(&attributes.content_type, &attributes.name, file),
            created_ms: attributes.created_ms,
            url: owner.path("files", key),
        }
    }

    /// The path of the file here.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// The app and user that short paths leave out.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) app: AppId,
    pub(crate) user: UserId,
}

impl Owner {
    /// The path of a file below `/<place>/`.
    pub(crate) fn path(&self, place: &str, key: &FileKey) -> String {
        if key.app == self.app && key.user == self.user {
            return format!("/{place}/{}", utf8_percent_encode(key.file.as_str(), SEGMENT));
        }
        full_path(place, key)
    }
}

/// The path that says app and user, and so leads to the file at every gateway.
pub(crate) fn full_path(place: &str, key: &FileKey) -> String {
    let encoded = |text| utf8_percent_encode(text, SEGMENT);
    format!("/{place}/{}/{}/{}", key.app, encoded(key.user.as_str()), encoded(key.file.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_back_to_their_file() {
        let owner = Owner { app: AppId::new("tnvideo").unwrap(), user: UserId::new("tnv001").unwrap() };
        for (app, user, file, path) in [
            ("tnvideo", "tnv001", "a b/视?", "/files/a%20b%2F%E8%A7%86%3F"),
            ("shop", "u/2", "x", "/files/shop/u%2F2/x"),
        ] {
            let key = FileKey::new(app, user, file).unwrap();
            assert_eq!(owner.path("files", &key), path);
            let route = crate::route::route(path, &owner.app, &owner.user);
            assert_eq!(route, Ok(crate::route::Route::File(key)));
        }
    }
}
