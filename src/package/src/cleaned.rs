//! Paths out of texts that are none, for names as browsers and other people send them.

use unicode_normalization::UnicodeNormalization;

use crate::MemberPath;
use crate::path::{breaks_lines, is_device, turns_direction};

/// The name of a file whose own name has nothing in it that could be kept.
const NAMELESS: &str = "file";
/// Longer endings are no extensions.
const MAX_EXTENSION_LEN: usize = 32;

impl MemberPath {
    /// A path as near to any text as can be, for the name of an upload. Characters that no name may have, or that
    /// Windows does not take (`<>:"|?*`), become `_`; what is too long is cut before its extension. Folders are kept, but of
    /// an absolute path and one with `..` only the last component is. A good path comes back as it is, but for those
    /// characters of Windows and spaces at the beginning of a component.
    pub fn cleaned(text: &str) -> MemberPath {
        let text: String = text.nfc().collect::<String>().replace('\\', "/");
        let drive = text.get(1..2) == Some(":");
        let leads_out = text.starts_with('/') || drive || text.split('/').any(|component| component == "..");
        let components = text.split('/').filter(|component| !matches!(*component, "." | ".."));
        let mut kept: Vec<String> = components.map(clean).filter(|component| !component.is_empty()).collect();
        let whole = kept.join("/");
        let path = if leads_out || whole.len() > MemberPath::MAX_LEN {
            kept.pop().unwrap_or_default()
        } else {
            whole
        };
        MemberPath::new(&path).unwrap_or_else(|_| MemberPath::nameless())
    }

    /// `name (2).ext` for `name.ext`, shortened where it gets too long.
    pub(crate) fn numbered(&self, n: u64) -> MemberPath {
        let number = format!(" ({n})");
        let (folder, name) = self.as_str().rsplit_once('/').unwrap_or(("", self.as_str()));
        let longest = MemberPath::MAX_LEN.saturating_sub(folder.len().saturating_add(1));
        let path = match with_ending(name, &number, longest.min(MemberPath::MAX_COMPONENT_LEN)) {
            Some(name) if folder.is_empty() => name,
            Some(name) => format!("{folder}/{name}"),
            None => with_ending(name, &number, MemberPath::MAX_COMPONENT_LEN).unwrap_or_default(),
        };
        MemberPath::new(&path).unwrap_or_else(|_| MemberPath::nameless())
    }

    fn nameless() -> MemberPath {
        MemberPath(NAMELESS.into())
    }
}

/// A component without what it must not have; empty if nothing is left.
fn clean(component: &str) -> String {
    let kept = |c: char| {
        let taken =
            breaks_lines(c) || turns_direction(c) || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*');
        if taken { '_' } else { c }
    };
    let text: String = component.chars().map(kept).collect();
    let mut text = text.trim_start_matches(' ').trim_end_matches(['.', ' ']).to_owned();
    if is_device(&text) {
        text.insert(0, '_');
    }
    if text.len() > MemberPath::MAX_COMPONENT_LEN {
        text = with_ending(&text, "", MemberPath::MAX_COMPONENT_LEN).unwrap_or_default();
    }
    text
}

/// The name with `ending` before its extension, and characters left out before that until it has at most `longest`
/// bytes. `None` if not one character would be left.
fn with_ending(name: &str, ending: &str, longest: usize) -> Option<String> {
    let dot = name.rfind('.').filter(|dot| *dot > 0 && name.len().saturating_sub(*dot) <= MAX_EXTENSION_LEN);
    let (stem, extension) = name.split_at_checked(dot.unwrap_or(name.len()))?;
    let room = longest.checked_sub(ending.len().checked_add(extension.len())?)?;
    let stem = cut(stem, room).trim_end_matches(['.', ' ']);
    (!stem.is_empty()).then(|| format!("{stem}{ending}{extension}"))
}

/// The whole characters among the first bytes.
fn cut(text: &str, longest: usize) -> &str {
    let ends = text.char_indices().map(|(at, c)| at.saturating_add(c.len_utf8()));
    let end = ends.take_while(|end| *end <= longest).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        let long = format!("{}.pdf", "会".repeat(100));
        let short = format!("{}.pdf", "会".repeat(83));
        let deep = format!("{}/a.pdf", ["x"; 600].join("/"));
        for (text, cleaned) in [
            ("会议/议程.pdf", "会议/议程.pdf"),
            ("a.pdf", "a.pdf"),
            ("what?.pdf", "what_.pdf"),
            ("a\nb\u{202e}c", "a_b_c"),
            (" a /b. ", "a/b"),
            ("C:\\Users\\me\\a.pdf", "a.pdf"),
            ("C:a.pdf", "C_a.pdf"),
            ("/etc/passwd", "passwd"),
            ("a/../../passwd", "passwd"),
            ("..", "file"),
            ("../", "file"),
            ("", "file"),
            ("...", "file"),
            ("./a//b/", "a/b"),
            ("con", "_con"),
            ("x/nul.txt", "x/_nul.txt"),
            ("e\u{301}", "é"),
            (&long, &short),
            (&deep, "a.pdf"),
        ] {
            assert_eq!(MemberPath::cleaned(text).as_str(), cleaned, "{text:?}");
        }
    }
}
