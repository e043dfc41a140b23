//! docs/operations.md has a row for every key of etc/*.toml, with the default that stands there. That those files are
//! complete and right is what each server's own test of its configuration holds.

use std::path::Path;

/// Each key of a file as its table's row begins: name within its table, and default.
fn rows(file: &str) -> Vec<String> {
    let settings = file.lines().filter(|line| !line.starts_with(['#', '[']));
    let pairs = settings.filter_map(|line| line.split_once(" = "));
    pairs.map(|(key, value)| format!("| `{key}` | `{value}` | ")).collect()
}

#[test]
fn every_key_is_documented_with_its_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let page = read("docs/operations.md");
    for role in ["tracker", "id", "storage", "http", "hub"] {
        let rows = rows(&read(&format!("etc/{role}.toml")));
        assert!(rows.len() > 10, "{role}: the file has a line for each key");
        for row in rows {
            assert!(page.lines().any(|line| line.starts_with(&row)), "{role}: no row begins with {row}");
        }
    }
}
