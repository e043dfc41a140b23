//! Paths of requests, piece by piece. Pure.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The segments of a raw path: it is split at its slashes first and decoded afterwards, so that a segment may hold an
/// encoded slash. Empty ones at the front are skipped; of a path of slashes one is left.
///
/// # Errors
/// A sentence for the client (400): a bad escape, or bytes that are not UTF-8.
pub fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, String> {
    path.trim_start_matches('/').split('/').map(decode).collect()
}

fn decode(segment: &str) -> Result<Cow<'_, str>, String> {
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment));
    }
    let mut escapes = segment.split('%');
    // What stands before the first percent sign is no escape.
    escapes.next();
    let is_escape = |text: &str| text.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !escapes.all(is_escape) {
        return Err("bad path: a % that two hexadecimal digits do not follow".to_owned());
    }
    percent_decode_str(segment).decode_utf8().map_err(|_| "bad path: not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn segments_are_decoded_after_the_split() {
        assert_eq!(
            segments("//files/a%2Fb/%E4%BC%9A%25/"),
            Ok(["files", "a/b", "会%", ""].map(Cow::from).to_vec())
        );
        assert_eq!(segments("/"), Ok(vec![Cow::from("")]));
        for bad in ["/%", "/a/%4", "/%zz", "/%+1", "/%ff"] {
            assert!(segments(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_a_segment(text: String) {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
            let path = format!("/x/{encoded}");
            prop_assert_eq!(segments(&path), Ok(vec![Cow::from("x"), Cow::from(text)]));
        }
    }
}
