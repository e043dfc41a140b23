//! The layout of a multipart/byteranges body (RFC 9110, section 14.6). Pure.

use bytes::Bytes;

use crate::range::ByteRange;

/// A section of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section {
    /// These bytes.
    Text(Bytes),
    /// These bytes of the file.
    Range(ByteRange),
}

impl Section {
    /// Its length in bytes.
    fn len(&self) -> u64 {
        match self {
            Section::Text(text) => text.len() as u64,
            Section::Range(range) => range.len(),
        }
    }
}

/// The body for these ranges of a file of `size` bytes. `boundary` must be something the file does not hold:
/// 128 random bits. The ranges do not overlap, so it is never longer than the file and its part headers.
pub fn layout(ranges: &[ByteRange], size: u64, content_type: &str, boundary: &str) -> Vec<Section> {
    let mut sections = Vec::with_capacity(ranges.len() * 2 + 1);
    let mut line_end = "";
    for range in ranges {
        sections.push(Section::Text(Bytes::from(format!(
            "{line_end}--{boundary}\r\n\
             Content-Type: {content_type}\r\n\
             Content-Range: bytes {range}/{size}\r\n\r\n"
        ))));
        sections.push(Section::Range(*range));
        line_end = "\r\n";
    }
    sections.push(Section::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    sections
}

/// The exact Content-Length of a body; `None` beyond what a file can be long, which only a file of nearly
/// 2^64 bytes brings about.
pub fn content_length(sections: &[Section]) -> Option<u64> {
    sections.iter().try_fold(0u64, |sum, section| sum.checked_add(section.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::{Selection, select};

    fn ranges(header: &str, size: u64) -> Vec<ByteRange> {
        match select(header.as_bytes(), size, 8) {
            Selection::Ranges(ranges) => ranges,
            other => panic!("{header}: {other:?}"),
        }
    }

    #[test]
    fn parts_are_laid_out_as_the_standard_shows() {
        let sections = layout(&ranges("bytes=0-1,5-9", 100), 100, "video/mp4", "XYZ");
        let mut body = String::new();
        for section in &sections {
            match section {
                Section::Text(text) => body.push_str(std::str::from_utf8(text).unwrap()),
                Section::Range(range) => body.push_str(&"#".repeat(range.len() as usize)),
            }
        }
        let wanted = "--XYZ\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-1/100\r\n\r\n##\r\n\
                      --XYZ\r\nContent-Type: video/mp4\r\nContent-Range: bytes 5-9/100\r\n\r\n#####\r\n\
                      --XYZ--\r\n";
        assert_eq!(body, wanted);
        assert_eq!(content_length(&sections), Some(wanted.len() as u64));
    }

    #[test]
    fn a_length_beyond_64_bits_is_no_length() {
        let sections = layout(&ranges("bytes=0-0,2-", u64::MAX), u64::MAX, "video/mp4", "XYZ");
        assert_eq!(content_length(&sections), None);
    }
}
