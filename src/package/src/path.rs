//! The path of a member, and every path that somebody must not be able to give it.

use std::fmt;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A member's path below `files/`: components with `/` between them, in Unicode's normal form C.
///
/// It can be created below any folder of any system and stays there: it is relative, has no `.`, `..` or empty
/// component, no backslash and no colon (drive letters, streams of NTFS), no control character, none that turns the
/// direction of writing, no component that ends in a dot or a space or that Windows takes for a device. A component
/// has up to [`MAX_COMPONENT_LEN`](Self::MAX_COMPONENT_LEN) bytes, the whole up to [`MAX_LEN`](Self::MAX_LEN).
///
/// Two paths that differ may still be one name where case does not count; see [`Names`](crate::Names).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberPath(pub(crate) Box<str>);

/// A text that is no member's path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is no path for a member: {fault}")]
pub struct BadPath {
    /// The text, cut if it is very long.
    pub path: String,
    /// What is wrong with it.
    pub fault: PathFault,
}

/// What may be wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PathFault {
    /// It has no character.
    #[error("it is empty")]
    Empty,
    /// It begins with `/`.
    #[error("it is absolute")]
    Absolute,
    /// `.` or `..` is a component.
    #[error("it has a component '.' or '..'")]
    Dots,
    /// There is nothing between two slashes or behind the last.
    #[error("it has an empty component")]
    EmptyComponent,
    /// There is a `\`, which separates components on Windows.
    #[error("it has a backslash")]
    Backslash,
    /// There is a `:`, which follows a drive's letter on Windows.
    #[error("it has a colon")]
    Colon,
    /// There is a control character, such as NUL or a line break.
    #[error("it has a control character")]
    Control,
    /// There is a character that turns the direction of writing, so that the name reads like another.
    #[error("it has a character that turns the direction of writing")]
    Direction,
    /// A component ends in a dot or a space, which Windows leaves out.
    #[error("it has a component that ends in a dot or a space")]
    TrailingDot,
    /// A component is called like a device of Windows, such as `CON` or `nul.txt`.
    #[error("it has a component that Windows takes for a device")]
    Device,
    /// A component is over 255 bytes.
    #[error("it has a component of more than 255 bytes")]
    LongComponent,
    /// The whole is too long.
    #[error("it has more than 1024 bytes")]
    Long,
}

impl MemberPath {
    /// The longest component, in bytes of UTF-8.
    pub const MAX_COMPONENT_LEN: usize = 255;
    /// The longest path, in bytes of UTF-8.
    pub const MAX_LEN: usize = 1024;

    /// Brings a text into normal form C and checks it. What counts is the result: a text that differs from an
    /// existing path only in its normal form becomes an equal path.
    ///
    /// # Errors
    /// [`BadPath`] says which rule the text breaks. [`cleaned`](Self::cleaned) makes a path out of any text.
    pub fn new(text: &str) -> Result<MemberPath, BadPath> {
        Self::within(text, Self::MAX_LEN)
    }

    /// [`new`](Self::new) with another length for the whole.
    pub(crate) fn within(text: &str, max_len: usize) -> Result<MemberPath, BadPath> {
        let normal: Box<str> = match is_nfc_quick(text.chars()) {
            IsNormalized::Yes => text.into(),
            _ => text.nfc().collect(),
        };
        match fault(&normal, max_len) {
            None => Ok(MemberPath(normal)),
            Some(fault) => Err(BadPath { path: text.chars().take(200).collect(), fault }),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its components: one or more.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// Its last component.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for MemberPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        Self::new(text)
    }
}

fn fault(path: &str, max_len: usize) -> Option<PathFault> {
    if path.is_empty() {
        return Some(PathFault::Empty);
    }
    if path.starts_with('/') {
        return Some(PathFault::Absolute);
    }
    let character = path.chars().find_map(|c| match c {
        '\\' => Some(PathFault::Backslash),
        ':' => Some(PathFault::Colon),
        _ if breaks_lines(c) => Some(PathFault::Control),
        _ if turns_direction(c) => Some(PathFault::Direction),
        _ => None,
    });
    let too_long = || (path.len() > max_len).then_some(PathFault::Long);
    character.or_else(|| path.split('/').find_map(component_fault)).or_else(too_long)
}

fn component_fault(component: &str) -> Option<PathFault> {
    match component {
        "" => Some(PathFault::EmptyComponent),
        "." | ".." => Some(PathFault::Dots),
        _ if component.ends_with(['.', ' ']) => Some(PathFault::TrailingDot),
        _ if is_device(component) => Some(PathFault::Device),
        _ if component.len() > MemberPath::MAX_COMPONENT_LEN => Some(PathFault::LongComponent),
        _ => None,
    }
}

/// Control characters, and the two line breaks that are none.
pub(crate) fn breaks_lines(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm.
pub(crate) fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether Windows takes a component for a device. It looks at what stands before the first dot, without spaces at
/// the end, in any case; the figures of COM and LPT may be superscript.
pub(crate) fn is_device(component: &str) -> bool {
    let stem = component.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_uppercase();
    match stem.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        stem => {
            let port = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
            let mut figures = port.unwrap_or_default().chars();
            let one = figures.next().is_some_and(|c| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³'));
            one && figures.next().is_none()
        }
    }
}

#[cfg(test)]
mod tests;
