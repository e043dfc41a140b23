//! The bytes of a package, written down from docs/protocol.md. A change here means that nodes of two releases would have
//! two packages of one version: whoever wants that must count `format` on.

use tnv_package::{Layout, Manifest, SyncAnswer};

use crate::made::{Package, meeting, member};

const PAGE: &str = include_str!("../../../../docs/protocol.md");

/// Bytes from hexadecimal digits, without the remarks.
fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.lines().map(|line| line.split('#').next().unwrap().trim()).collect();
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn package() -> Package {
    let (one, two) = ("hello", "你好\n");
    let mut second = member("2", "会议/第一项.txt", two.as_bytes());
    second.content_type = "text/plain; charset=utf-8".into();
    let manifest = Manifest::new(meeting(), vec![second, member("1", "a.txt", one.as_bytes())]).unwrap();
    Package { layout: Layout::of(&manifest), files: vec![one.into(), two.into()] }
}

/// A fenced block of the page.
fn block(info: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{info}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_bytes_of_a_package() {
    let (package, golden) = (package(), hex(include_str!("golden.hex")));
    assert_eq!(package.whole(), golden);
    assert_eq!(package.layout.len(), golden.len() as u64);
    assert_eq!(package.layout.crc32(), crc32fast::hash(&golden));
    assert_eq!(
        package.layout.manifest().etag(),
        "\"5b781c2cf2d58e16139255fa9c785794330d72d9eff83f64d5463318c9fdb6f4\""
    );
}

#[test]
fn the_page_has_the_canonical_form() {
    let canonical = package().layout.manifest().canonical();
    // The page breaks it between two tokens.
    assert_eq!(std::str::from_utf8(&canonical).unwrap(), block("json canonical").replace('\n', ""));
}

#[test]
fn the_page_has_the_answer_to_a_node() {
    let documented: SyncAnswer = serde_json::from_str(block("json sync")).unwrap();
    let made = SyncAnswer::new(&package().layout, "active", |member| {
        format!("http://127.0.0.1:8000/uploads/m-1/{}", member.id)
    });
    assert_eq!(documented, made);
    assert_eq!(documented.check().unwrap().manifest(), package().layout.manifest());
}
