//! What an uploaded file is called and what it is.

use std::path::Path;

use tnv_proto::{Labels, MAX_NAME_LEN};

use crate::error::Error;

/// The labels of a file: what the user says, else its name and the content type that its extension stands for. A
/// type that is not known stays empty, for the server looks at the bytes.
///
/// # Errors
/// A usage error if what the user says is no name or no content type.
pub(crate) fn labels(path: &Path, name: Option<&str>, kind: Option<&str>) -> Result<Labels, Error> {
    let own = path.to_string_lossy();
    let name = match name {
        Some(name) => name.to_owned(),
        None => storable(&own),
    };
    let kind = kind.unwrap_or_else(|| mime_guess::from_path(path).first_raw().unwrap_or_default());
    Ok(Labels::new(&name, kind)?)
}

/// Any file name as one that a storage takes: without control characters and not too long; its end is kept, where
/// the extension is.
fn storable(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let mut start = name.len().saturating_sub(MAX_NAME_LEN);
    while !name.is_char_boundary(start) {
        start += 1;
    }
    name[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(path: &str) -> (String, String) {
        let labels = labels(Path::new(path), None, None).unwrap();
        (labels.name().to_owned(), labels.content_type().to_owned())
    }

    #[test]
    fn name_and_type_come_from_the_path() {
        assert_eq!(told("a/003.mp4"), ("a/003.mp4".into(), "video/mp4".into()));
        assert_eq!(told("电影.MKV"), ("电影.MKV".into(), "video/x-matroska".into()));
        assert_eq!(told("README"), ("README".into(), String::new()));
        assert_eq!(told("a\nb.strange"), ("a_b.strange".into(), String::new()));
    }

    #[test]
    fn what_the_user_says_holds_or_is_refused() {
        let given = |name, kind| labels(Path::new("003.mp4"), name, kind);
        let labels = given(Some("a film"), Some("text/plain")).unwrap();
        assert_eq!((labels.name(), labels.content_type()), ("a film", "text/plain"));
        assert_eq!(given(Some(""), Some("")).unwrap(), Labels::default());
        for (name, kind) in [(Some("a\nb"), None), (None, Some("film")), (None, Some("a/\u{7f}"))] {
            assert_eq!(given(name, kind).unwrap_err().kind, crate::error::Kind::Usage);
        }
        assert!(given(Some(&"n".repeat(MAX_NAME_LEN + 1)), None).is_err());
    }

    proptest! {
        #[test]
        fn every_path_has_labels(path in "\\PC{0,40}|(.|é|\n){0,2000}") {
            let labels = labels(Path::new(&path), None, None).unwrap();
            let last = path.chars().last().map(|c| if c.is_control() { '_' } else { c });
            prop_assert_eq!(labels.name().chars().last(), last);
        }
    }
}
