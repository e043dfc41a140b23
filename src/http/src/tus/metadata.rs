//! The Upload-Metadata header: names with Base64 values. Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The pairs of a header, decoded.
///
/// # Errors
/// A sentence for the client: a name twice or none, or a value that is not UTF-8 in Base64.
fn parse(header: &str) -> Result<Vec<(&str, String)>, String> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for pair in header.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(format!("Upload-Metadata has {name} twice"));
        }
        let value = BASE64_STANDARD
            .decode(value.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| format!("Upload-Metadata: the value of {name} is not UTF-8 in Base64"))?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// File name and content type of an upload; empty where the header does not tell them.
///
/// # Errors
/// As told above.
pub(super) fn labels(header: &str) -> Result<(String, String), String> {
    let mut pairs = parse(header)?;
    // The first is what tus clients send by default, the second what some call it.
    let mut take = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| pairs.iter().position(|(known, _)| known == name));
        found.map(|at| pairs.swap_remove(at).1).unwrap_or_default()
    };
    Ok((take(["filename", "name"]), take(["filetype", "type"])))
}

/// A header that tells these labels; `None` if there are none.
pub(super) fn header(name: &str, content_type: &str) -> Option<String> {
    let pairs = [("filename", name), ("filetype", content_type)];
    let told = pairs.iter().filter(|(_, value)| !value.is_empty());
    let texts: Vec<String> =
        told.map(|(key, value)| format!("{key} {}", BASE64_STANDARD.encode(value))).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_are_found_among_others() {
        let labelled = |name: &str, kind: &str| Ok((name.to_owned(), kind.to_owned()));
        assert_eq!(labels(""), labelled("", ""));
        assert_eq!(
            labels("filename 6KeGLm1wNA==, is_confidential ,filetype dmlkZW8vbXA0"),
            labelled("视.mp4", "video/mp4")
        );
        assert_eq!(labels("type dmlkZW8vbXA0,name YQ=="), labelled("a", "video/mp4"));
        assert_eq!(labels("name YQ==,filename Yg=="), labelled("b", ""));
        assert_eq!(labels("filename"), labelled("", ""));
    }

    #[test]
    fn mistakes_are_told() {
        for header in ["filename YQ", "filename Y!==", "filename /w==", "a YQ==,a YQ==", "filename YQ== YQ=="]
        {
            assert!(labels(header).is_err(), "{header}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_is_understood(name: String, kind: String) {
            let told = header(&name, &kind).unwrap_or_default();
            prop_assert_eq!(labels(&told), Ok((name, kind)));
        }

        #[test]
        fn any_text_is_read(header: String) {
            let _ = labels(&header);
        }
    }
}
