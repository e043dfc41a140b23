//! What kind of file this is, told by its first bytes. Names are not trusted: a player believes the content type.

/// Bytes that are looked at, at most.
pub(crate) const SNIFF_LEN: usize = 4096;

const UTF8_TEXT: &str = "text/plain; charset=utf-8";

/// The content type of a file that begins with `head`; `application/octet-stream` where nothing fits.
pub(crate) fn sniff(head: &[u8]) -> &'static str {
    let head = head.get(..SNIFF_LEN).unwrap_or(head);
    if let Some(kind) = infer::get(head) {
        // A web page from a stranger must not run in the gateway's name, so it is text like any other.
        return match kind.mime_type() {
            "text/html" if is_text(head) => UTF8_TEXT,
            "text/html" => "text/plain",
            "audio/x-flac" => "audio/flac",
            other => other,
        };
    }
    if head.get(4..8) == Some(b"ftyp") {
        return "video/mp4";
    }
    if is_transport_stream(head) {
        return "video/mp2t";
    }
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    if text.starts_with(b"WEBVTT") {
        return "text/vtt";
    }
    if text.starts_with(b"#EXTM3U") {
        return "application/vnd.apple.mpegurl";
    }
    if is_text(head) { UTF8_TEXT } else { "application/octet-stream" }
}

/// MPEG transport streams have a sync byte every 188 bytes.
fn is_transport_stream(head: &[u8]) -> bool {
    head.len() > 3 * 188 && head.iter().step_by(188).take(4).all(|byte| *byte == 0x47)
}

/// UTF-8 without control characters, a character cut at the end aside.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty()
        && !valid.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0C'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_their_first_bytes() {
        let ts: Vec<u8> = (0..800).map(|n| if n % 188 == 0 { 0x47 } else { 0xFF }).collect();
        let cases: [(&[u8], &str); 13] = [
            (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41", "video/mp4"),
            (b"\0\0\0\x20ftypXYZ1\0\0\x02\0", "video/mp4"),
            (b"\x89PNG\r\n\x1a\n", "image/png"),
            (b"ID3\x03\0\0\0", "audio/mpeg"),
            (b"WEBVTT\n\n00:01", "text/vtt"),
            (b"#EXTM3U\n", "application/vnd.apple.mpegurl"),
            (&ts, "video/mp2t"),
            (b"<!DOCTYPE html><script>alert(1)</script>", "text/plain; charset=utf-8"),
            (b"<!DOCTYPE html>\xFF<p>", "text/plain"),
            (b"fLaC\0\0\0\x22", "audio/flac"),
            ("会议记录\n".as_bytes(), "text/plain; charset=utf-8"),
            (b"", "application/octet-stream"),
            (b"\x01\x02\x03\xFF", "application/octet-stream"),
        ];
        for (head, expected) in cases {
            assert_eq!(sniff(head), expected, "{:?}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn text_may_be_cut_inside_a_character() {
        let text = "会".repeat(2000);
        assert_eq!(sniff(&text.as_bytes()[..SNIFF_LEN]), "text/plain; charset=utf-8");
    }
}
