//! The layout of a multipart/byteranges body (RFC 9110, section 14.6). Pure.

use bytes::Bytes;

use crate::web::range::ByteRange;

/// A piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// These bytes.
    Text(Bytes),
    /// These bytes of the file.
    File(ByteRange),
}

impl Piece {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Piece::Text(text) => text.len() as u64,
            Piece::File(range) => range.len(),
        }
    }
}

/// The body for these ranges of a file of `size` bytes. `boundary` must be something the file does not hold:
/// 128 random bits. The ranges do not overlap, so it is never longer than the file and its part headers.
pub(crate) fn layout(ranges: &[ByteRange], size: u64, content_type: &str, boundary: &str) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(ranges.len() * 2 + 1);
    let mut line_end = "";
    for range in ranges {
        pieces.push(Piece::Text(Bytes::from(format!(
            "{line_end}--{boundary}\r\n\
             Content-Type: {content_type}\r\n\
             Content-Range: bytes {range}/{size}\r\n\r\n"
        ))));
        pieces.push(Piece::File(*range));
        line_end = "\r\n";
    }
    pieces.push(Piece::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    pieces
}

/// The exact Content-Length of a body; `None` beyond what a file can be long, which only a file of nearly
/// 2^64 bytes brings about.
pub(crate) fn content_length(pieces: &[Piece]) -> Option<u64> {
    pieces.iter().try_fold(0u64, |sum, piece| sum.checked_add(piece.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::range::{Selection, select};

    fn ranges(header: &str, size: u64) -> Vec<ByteRange> {
        match select(header.as_bytes(), size, 8) {
            Selection::Ranges(ranges) => ranges,
            other => panic!("{header}: {other:?}"),
        }
    }

    #[test]
    fn parts_are_laid_out_as_the_standard_shows() {
        let pieces = layout(&ranges("bytes=0-1,5-9", 100), 100, "video/mp4", "XYZ");
        let mut body = String::new();
        for piece in &pieces {
            match piece {
                Piece::Text(text) => body.push_str(std::str::from_utf8(text).unwrap()),
                Piece::File(range) => body.push_str(&"#".repeat(range.len() as usize)),
            }
        }
        let wanted = "--XYZ\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-1/100\r\n\r\n##\r\n\
                      --XYZ\r\nContent-Type: video/mp4\r\nContent-Range: bytes 5-9/100\r\n\r\n#####\r\n\
                      --XYZ--\r\n";
        assert_eq!(body, wanted);
        assert_eq!(content_length(&pieces), Some(wanted.len() as u64));
    }

    #[test]
    fn a_length_beyond_64_bits_is_no_length() {
        let pieces = layout(&ranges("bytes=0-0,2-", u64::MAX), u64::MAX, "video/mp4", "XYZ");
        assert_eq!(content_length(&pieces), None);
    }
}
