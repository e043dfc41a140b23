//! What a meeting is called in addresses and folders.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A meeting's id: 1 to 64 of A-Z, a-z, 0-9, `-`, `_` and `.`, the first not a `.`. So it is one component of a URL and
/// of a path, never two, and never a hidden one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MeetingId(Box<str>);

/// A text that is no meeting's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a meeting's id is 1 to 64 of A-Z, a-z, 0-9, '-', '_', '.' and does not begin with '.'")]
pub struct BadMeetingId;

impl MeetingId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks and wraps a text.
    ///
    /// # Errors
    /// [`BadMeetingId`] for every text that the type's description leaves out.
    pub fn new(text: &str) -> Result<MeetingId, BadMeetingId> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let good =
            (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(known) && !text.starts_with('.');
        if good { Ok(MeetingId(text.into())) } else { Err(BadMeetingId) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MeetingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for MeetingId {
    type Err = BadMeetingId;

    fn from_str(text: &str) -> Result<Self, BadMeetingId> {
        Self::new(text)
    }
}

impl TryFrom<String> for MeetingId {
    type Error = BadMeetingId;

    fn try_from(text: String) -> Result<Self, BadMeetingId> {
        Self::new(&text)
    }
}

impl From<MeetingId> for String {
    fn from(id: MeetingId) -> String {
        id.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_bad_ids() {
        let longest = "x".repeat(64);
        for good in ["1", "m-2024_05.15", "A", "a..b", "a.", &longest] {
            assert_eq!(MeetingId::new(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(65);
        for bad in ["", ".", "..", ".a", "a/b", "a\\b", "a b", "会议", "a\0", "a%2f", &long] {
            assert!(MeetingId::new(bad).is_err(), "{bad:?}");
        }
        assert!(serde_json::from_str::<MeetingId>("\"../x\"").is_err());
    }
}
