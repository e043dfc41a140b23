//! The Content-Disposition header (RFC 6266, RFC 8187). Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a browser is to do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Show or play it.
    Inline,
    /// Save it.
    Attachment,
}

/// The longest file name sent, in bytes: what file systems take.
const MAX_NAME: usize = 255;

/// Everything that RFC 8187 calls no attr-char.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The header's value: the name as plain ASCII for old clients and in full for all others. What could end the
/// header, leave the folder it is saved in or disguise the name becomes `_`.
pub fn header(disposition: Disposition, name: &str) -> String {
    let kind = match disposition {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    let name = cut(name);
    let safe = name.replace(is_harmful, "_");
    // Quotes, backslashes and percent signs are read differently from client to client.
    let plain = safe.replace(|c: char| !c.is_ascii() || matches!(c, '"' | '%'), "_");
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(&safe, ENCODED))
}

fn is_harmful(c: char) -> bool {
    let turns_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || matches!(c, '/' | '\\') || turns_direction
}

/// The name's start, cut between two characters.
fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_name_stands_in_both() {
        assert_eq!(
            header(Disposition::Inline, "holiday 1.mp4"),
            "inline; filename=\"holiday 1.mp4\"; filename*=UTF-8''holiday%201.mp4"
        );
    }

    #[test]
    fn other_alphabets_are_encoded() {
        assert_eq!(
            header(Disposition::Attachment, "视频 é.mp4"),
            "attachment; filename=\"__ _.mp4\"; filename*=UTF-8''%E8%A7%86%E9%A2%91%20%C3%A9.mp4"
        );
    }

    #[test]
    fn what_could_do_harm_is_replaced() {
        assert_eq!(
            header(Disposition::Inline, "a\"b%41\\c\r\nSet-Cookie: x/../d\u{202e}.txt"),
            "inline; filename=\"a_b_41_c__Set-Cookie: x_.._d_.txt\"; \
             filename*=UTF-8''a%22b%2541_c__Set-Cookie%3A%20x_.._d_.txt"
        );
    }

    proptest! {
        #[test]
        fn any_name_gives_one_clean_header(name: String) {
            let value = header(Disposition::Attachment, &name);
            prop_assert!(value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            prop_assert_eq!(value.matches('"').count(), 2);
            let (_, encoded) = value.split_once("filename*=UTF-8''").unwrap();
            let decoded = percent_decode_str(encoded).decode_utf8().unwrap();
            prop_assert_eq!(decoded, cut(&name).replace(is_harmful, "_"));
        }

        #[test]
        fn long_names_are_cut_between_characters(name in "[é視a]{0,400}") {
            prop_assert!(name.starts_with(cut(&name)));
            prop_assert!(cut(&name).len() <= MAX_NAME);
            prop_assert!(name.len() <= MAX_NAME || cut(&name).len() > MAX_NAME - 4);
        }
    }
}
