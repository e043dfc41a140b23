//! The name that an answer gives its file: Content-Disposition (RFC 6266). Pure.

use percent_encoding::percent_decode_str;

/// The file name of a header, as it stands there: `filename*` counts more than `filename`. It is not made safe.
pub(super) fn file_name(header: &str) -> Option<String> {
    let (mut plain, mut extended) = (None, None);
    for (name, value) in parameters(header) {
        match name.to_ascii_lowercase().as_str() {
            "filename" => plain = plain.or(Some(value)),
            "filename*" => extended = extended.or_else(|| decoded(&value)),
            _ => {}
        }
    }
    extended.or(plain).filter(|name| !name.trim().is_empty())
}

/// `CHARSET'LANGUAGE'VALUE`, of a charset that must be known by everybody (RFC 8187).
fn decoded(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let bytes: Vec<u8> = percent_decode_str(rest.split_once('\'')?.1).collect();
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

/// The parameters behind the type.
fn parameters(header: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = header.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, value)) = rest.split_once('=') {
        let name = name.rsplit(';').next().unwrap_or_default().trim();
        let (value, behind) = self::value(value.trim_start());
        found.push((name, value));
        rest = behind;
    }
    found
}

/// A value, bare or in quotes, and what comes behind it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if is_escaped => {
                value.push(c);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::file_name;

    #[test]
    fn a_name_is_found_where_there_is_one() {
        for (header, name) in [
            ("attachment; filename=\"meeting_m1.zip\"", Some("meeting_m1.zip")),
            ("attachment; filename=a.zip; size=3", Some("a.zip")),
            ("inline;FILENAME = \"a \\\"b\\\"; c.zip\"", Some("a \"b\"; c.zip")),
            ("attachment; filename=\"plain.zip\"; filename*=UTF-8''%E9%9B%BB.zip", Some("電.zip")),
            ("attachment; filename*=iso-8859-1'en'%A3.zip; filename=b", Some("£.zip")),
            ("attachment; filename*=utf-8''%FF; filename=b", Some("b")),
            ("attachment; filename*=koi8''x; filename=b", Some("b")),
            ("attachment; filename=\" \"", None),
            ("attachment", None),
            ("filename=a", None),
        ] {
            assert_eq!(file_name(header).as_deref(), name, "{header}");
        }
    }

    proptest! {
        #[test]
        fn anything_can_be_read(header: String) {
            file_name(&header);
        }
    }
}
