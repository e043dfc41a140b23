//! Reads docs/protocol.md: its fenced blocks and the rows of its tables.

use std::collections::BTreeMap;

use tnv_proto::{HEADER_LEN, Header};

pub(crate) const PAGE: &str = include_str!("../../../../docs/protocol.md");

/// The fenced blocks with this language, by the name behind it, as their lines.
pub(crate) fn blocks(language: &str) -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut blocks = BTreeMap::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let content: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some(name) = info.strip_prefix(language) {
            let taken = blocks.insert(name.trim(), content);
            assert!(taken.is_none(), "two blocks are called {info}");
        }
    }
    blocks
}

/// The bytes of a block: pairs of digits, `00*9` for nine times that byte, remarks behind `#`.
fn bytes(lines: &[&str]) -> Vec<u8> {
    let words = lines.iter().flat_map(|line| line.split('#').next().unwrap().split_whitespace());
    words.flat_map(word).collect()
}

fn word(word: &str) -> Vec<u8> {
    let (digits, times) =
        word.split_once('*').map_or((word, 1), |(digits, times)| (digits, times.parse().unwrap()));
    assert!(digits.len().is_multiple_of(2), "half a byte in {word}");
    let pair = |at| u8::from_str_radix(digits.get(at..at + 2).unwrap(), 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect::<Vec<u8>>().repeat(times)
}

/// The header and the body of a block that is one whole frame.
pub(crate) fn frame(name: &str) -> (Header, Vec<u8>) {
    let block = blocks("hex ");
    let mut frame = bytes(block.get(name).unwrap_or_else(|| panic!("no block {name}")));
    let body = frame.split_off(HEADER_LEN);
    let header = Header::decode(frame.try_into().unwrap()).unwrap();
    assert_eq!(header.body_len, body.len() as u64, "{name}");
    (header, body)
}

/// The cells of a table's row; none for other lines.
pub(crate) fn cells(line: &str) -> Vec<&str> {
    let inner = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
    inner.map_or(Vec::new(), |inner| inner.split(" | ").collect())
}

/// A length as the page writes it: `171`, `2 to 65`, `408 or more`.
pub(crate) fn length(text: &str) -> (u64, Option<u64>) {
    let text = text.replace(',', "");
    let number = |text: &str| text.parse().unwrap();
    match (text.split_once(" to "), text.strip_suffix(" or more")) {
        (Some((low, high)), _) => (number(low), Some(number(high))),
        (_, Some(low)) => (number(low), None),
        _ => (number(&text), Some(number(&text))),
    }
}

/// How long a body with the layout of this table may be. Fields follow each other without a gap: a row begins where
/// the one before ends, or `then` where that depends on lengths within the body.
pub(crate) fn layout(name: &str, table: &str) -> (u64, Option<u64>) {
    let rows = table.lines().map(cells).take_while(|cells| !cells.is_empty());
    rows.fold((0, Some(0)), |(low, high), row| {
        let begins = if high == Some(low) { low.to_string() } else { "then".to_owned() };
        assert_eq!(row[0], begins, "{name}: {row:?}");
        let (least, most) = length(row[1]);
        (low + least, high.zip(most).map(|(high, most)| high + most))
    })
}
