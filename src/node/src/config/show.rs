//! A document as people like to read it: in the order of the keys, not of the alphabet.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The document as JSON, indented by four; keys that `order` does not have come last.
pub(super) fn pretty(table: &Map<String, Value>, order: &[String]) -> String {
    let mut text = String::new();
    write_table(&mut text, table, "", order, 1);
    text.push('\n');
    text
}

fn write_table(text: &mut String, table: &Map<String, Value>, prefix: &str, order: &[String], depth: usize) {
    let mut names: Vec<&str> = Vec::new();
    let in_order = order.iter().filter_map(|key| key.strip_prefix(prefix));
    let known = in_order.map(|rest| rest.split('.').next().unwrap_or(rest));
    for name in known.chain(table.keys().map(String::as_str)) {
        if table.contains_key(name) && !names.contains(&name) {
            names.push(name);
        }
    }
    let indent = "    ".repeat(depth);
    text.push('{');
    for (number, name) in names.into_iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        // Writing to a `String` does not fail.
        let _ = write!(text, "{comma}\n{indent}{}: ", Value::from(name));
        match table.get(name) {
            Some(Value::Object(inner)) if !inner.is_empty() => {
                write_table(text, inner, &format!("{prefix}{name}."), order, depth + 1);
            }
            Some(value) => {
                let _ = write!(text, "{value}");
            }
            None => {}
        }
    }
    let _ = write!(text, "\n{}}}", "    ".repeat(depth - 1));
}
