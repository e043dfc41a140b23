//! A member in JSON, in the answer to a node and in `metadata.json`.

use serde::{Deserialize, Serialize};

use crate::{BadPath, Member, MemberPath};

/// A member as JSON has it, in the answer to a node and in `metadata.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The member's id.
    pub id: String,
    /// Its path below `files/`.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its content type; empty: not known.
    #[serde(default)]
    pub content_type: String,
    /// The BLAKE3 of its bytes, 64 hexadecimal digits.
    pub checksum: String,
    /// The CRC32 of its bytes, 8 hexadecimal digits.
    pub crc32: String,
    /// Where its bytes are to be had. Not in `metadata.json`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// A file's JSON that makes no member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path is none.
    #[error("file {id:?}: {fault}")]
    Path {
        /// The file's id.
        id: String,
        /// What is wrong.
        fault: BadPath,
    },
    /// A checksum is not what it should be.
    #[error("file {path:?}: the {field} {text:?} is not {digits} hexadecimal digits")]
    Digits {
        /// The file's path.
        path: String,
        /// Which checksum.
        field: &'static str,
        /// Its text.
        text: String,
        /// How many digits it should have.
        digits: usize,
    },
}

impl FileEntry {
    /// The entry of a member, with the address of its bytes.
    pub fn new(member: &Member, url: String) -> FileEntry {
        FileEntry {
            id: member.id.clone(),
            path: member.path.as_str().to_owned(),
            size: member.size,
            content_type: member.content_type.clone(),
            checksum: member.blake3.to_string(),
            crc32: crc32_digits(member.crc32),
            url,
        }
    }

    /// The member that it stands for.
    ///
    /// # Errors
    /// [`FileError`] if the path or a checksum cannot be read. [`Manifest::new`] checks the rest.
    pub fn member(&self) -> Result<Member, FileError> {
        let path =
            MemberPath::new(&self.path).map_err(|fault| FileError::Path { id: self.id.clone(), fault })?;
        let digits = |field, text: &str, digits| FileError::Digits {
            path: self.path.clone(),
            field,
            text: text.chars().take(100).collect(),
            digits,
        };
        Ok(Member {
            id: self.id.clone(),
            path,
            size: self.size,
            content_type: self.content_type.clone(),
            crc32: crc32_of(&self.crc32).ok_or_else(|| digits("crc32", &self.crc32, 8))?,
            blake3: blake3::Hash::from_hex(&self.checksum)
                .map_err(|_| digits("checksum", &self.checksum, 64))?,
        })
    }
}

/// A CRC32 as it is written everywhere: 8 lower-case hexadecimal digits.
pub fn crc32_digits(crc32: u32) -> String {
    format!("{crc32:08x}")
}

/// Reads a CRC32. `from_str_radix` alone would take a sign for a digit.
pub(crate) fn crc32_of(text: &str) -> Option<u32> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| digits)
}
