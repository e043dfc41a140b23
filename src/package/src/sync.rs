//! What the hub answers to a node that asks for a meeting, and what a node makes of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::file_entry::{crc32_digits, crc32_of};
use crate::{
    BadMeetingId, FileEntry, FileError, Layout, Manifest, ManifestError, Meeting, MeetingId, Member,
};

/// The body of `GET /api/v1/sync/meetings/{id}`. Fields that are not known are passed over.
///
/// `status` and the addresses may change while the package stays the same; all else is in its version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncAnswer {
    /// The meeting's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// When it takes place.
    #[serde(default)]
    pub time: Option<String>,
    /// How far it is: `pending`, `active`, `ended`.
    pub status: String,
    /// What it is about.
    #[serde(default)]
    pub intro: Option<String>,
    /// Its agenda.
    #[serde(default)]
    pub agenda_items: Vec<Value>,
    /// Its files, in the order of the members if [`SyncAnswer::new`] made it.
    pub files: Vec<FileEntry>,
    /// What all of it becomes.
    pub package: PackageEntry,
}

/// The package, as the answer to a node has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageEntry {
    /// The length of the zip in bytes.
    pub size: u64,
    /// The CRC32 of the zip, 8 hexadecimal digits.
    pub checksum: String,
    /// The version, 64 hexadecimal digits: the ETag without its quotes.
    pub version: String,
}

/// An answer that is not true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The meeting's id is none.
    #[error(transparent)]
    MeetingId(#[from] BadMeetingId),
    /// A file of it is none.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files cannot be members of one package.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The package is not what the files make.
    #[error("the package's {field} is {said:?}, but the files make one with {found:?}")]
    Package {
        /// Which field of the package.
        field: &'static str,
        /// What the answer says.
        said: String,
        /// What its files make.
        found: String,
    },
}

impl SyncAnswer {
    /// The answer for a package. `url` tells where a member's bytes are to be had.
    pub fn new(layout: &Layout, status: &str, url: impl Fn(&Member) -> String) -> SyncAnswer {
        let manifest = layout.manifest();
        let meeting = manifest.meeting();
        SyncAnswer {
            id: meeting.id.to_string(),
            title: meeting.title.clone(),
            time: meeting.time.clone(),
            status: status.to_owned(),
            intro: meeting.intro.clone(),
            agenda_items: meeting.agenda_items.clone(),
            files: manifest.members().iter().map(|member| FileEntry::new(member, url(member))).collect(),
            package: PackageEntry {
                size: layout.len(),
                checksum: crc32_digits(layout.crc32()),
                version: manifest.version().to_string(),
            },
        }
    }

    /// The package that the files make, if it is the one that the answer says: version, length and CRC32 are computed
    /// anew. [`Layout::manifest`] has the members; their addresses are in `files`, by id.
    ///
    /// # Errors
    /// [`SyncError`] names the file, or the field of the package, that is not true.
    pub fn check(&self) -> Result<Layout, SyncError> {
        let members = self.files.iter().map(FileEntry::member).collect::<Result<_, _>>()?;
        let meeting = Meeting {
            id: MeetingId::new(&self.id)?,
            title: self.title.clone(),
            time: self.time.clone(),
            intro: self.intro.clone(),
            agenda_items: self.agenda_items.clone(),
        };
        let layout = Layout::of(&Manifest::new(meeting, members)?);
        self.package.check(&layout)?;
        Ok(layout)
    }
}

impl PackageEntry {
    fn check(&self, layout: &Layout) -> Result<(), SyncError> {
        let version = layout.manifest().version();
        let lie = |field, said: &str, found: String| {
            let said = said.chars().take(100).collect();
            Err(SyncError::Package { field, said, found })
        };
        if blake3::Hash::from_hex(&self.version).ok() != Some(version) {
            return lie("version", &self.version, version.to_string());
        }
        if self.size != layout.len() {
            return lie("size", &self.size.to_string(), layout.len().to_string());
        }
        if crc32_of(&self.checksum) != Some(layout.crc32()) {
            return lie("checksum", &self.checksum, crc32_digits(layout.crc32()));
        }
        Ok(())
    }
}
