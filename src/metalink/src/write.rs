//! Writes Metalinks.

use std::fmt::Write as _;

use quick_xml::escape::escape;

use crate::document::{File, Metalink, Mirror};
use crate::read::NAMESPACE;

/// The document in UTF-8.
pub fn write(metalink: &Metalink) -> String {
    let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metalink xmlns=\"{NAMESPACE}\">\n");
    for file in &metalink.files {
        write_file(file, &mut out);
    }
    out.push_str("</metalink>\n");
    out
}

fn write_file(file: &File, out: &mut String) {
    line(out, format_args!("  <file name=\"{}\">", text(&file.name)));
    if let Some(size) = file.size {
        line(out, format_args!("    <size>{size}</size>"));
    }
    for hash in &file.hashes {
        line(out, format_args!("    <hash type=\"{}\">{}</hash>", hash.algorithm(), hash.hex()));
    }
    if let Some(pieces) = &file.pieces {
        let (length, algorithm) = (pieces.length(), pieces.algorithm());
        line(out, format_args!("    <pieces length=\"{length}\" type=\"{algorithm}\">"));
        for hash in (0..).map_while(|index| pieces.get(index)) {
            line(out, format_args!("      <hash>{}</hash>", hash.hex()));
        }
        line(out, format_args!("    </pieces>"));
    }
    for mirror in &file.mirrors {
        write_mirror(mirror, out);
    }
    line(out, format_args!("  </file>"));
}

fn write_mirror(mirror: &Mirror, out: &mut String) {
    let location = mirror.location.as_ref().map(|country| format!(" location=\"{}\"", text(country)));
    let priority = (mirror.priority != Mirror::LOWEST).then(|| format!(" priority=\"{}\"", mirror.priority));
    let (location, priority) = (location.unwrap_or_default(), priority.unwrap_or_default());
    line(out, format_args!("    <url{location}{priority}>{}</url>", text(&mirror.url)));
}

fn line(out: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = writeln!(out, "{line}");
}

/// Text that means nothing to XML; what XML cannot say at all becomes a question mark.
fn text(text: &str) -> String {
    let is_xml = |c: char| !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'));
    let plain: String = text.chars().map(|c| if is_xml(c) { c } else { '?' }).collect();
    escape(plain.as_str()).into_owned()
}
