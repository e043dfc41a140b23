//! `metadata.json`, the first entry of a package: the manifest for people and for programs that know nothing of this
//! one.

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::{BadMeetingId, FileEntry, FileError, Manifest, ManifestError, Meeting, MeetingId, Member};

/// The name of the entry.
pub(crate) const METADATA_NAME: &str = "metadata.json";

/// The fields in the order in which somebody wants to read them.
#[derive(Serialize)]
struct Rendered<'a> {
    id: &'a str,
    title: &'a str,
    time: Option<&'a str>,
    intro: Option<&'a str>,
    agenda_items: &'a [Value],
    files: Files<'a>,
    version: &'a str,
}

struct Files<'a>(&'a [Member]);

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|member| FileEntry::new(member, String::new())))
    }
}

/// The entry's bytes: JSON, indented by two spaces, with a line break at the end.
pub(crate) fn render(manifest: &Manifest) -> Bytes {
    let meeting = manifest.meeting();
    let rendered = Rendered {
        id: meeting.id.as_str(),
        title: &meeting.title,
        time: meeting.time.as_deref(),
        intro: meeting.intro.as_deref(),
        agenda_items: &meeting.agenda_items,
        files: Files(manifest.members()),
        version: &manifest.version().to_hex(),
    };
    // Keys are texts, and a vector takes all bytes: there is nothing that can fail.
    let mut text = serde_json::to_vec_pretty(&rendered).unwrap_or_default();
    text.push(b'\n');
    Bytes::from(text)
}

/// What is read of the entry, which another may have written.
#[derive(Deserialize)]
struct Read {
    id: String,
    title: String,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    intro: Option<String>,
    #[serde(default)]
    agenda_items: Vec<Value>,
    files: Vec<FileEntry>,
    version: String,
}

/// A `metadata.json` that is not that of a package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// It is not JSON, or has not the fields.
    #[error("metadata.json does not read like that of a package: {0}")]
    Json(#[from] serde_json::Error),
    /// The meeting's id is none.
    #[error("metadata.json: {0}")]
    MeetingId(#[from] BadMeetingId),
    /// A file of it is none.
    #[error("metadata.json: {0}")]
    File(#[from] FileError),
    /// The files cannot be members of one package.
    #[error("metadata.json: {0}")]
    Manifest(#[from] ManifestError),
    /// The version is not that of the contents.
    #[error("metadata.json says version {said:?}, but its contents have version {found}")]
    Version {
        /// What it says.
        said: String,
        /// What it should say.
        found: blake3::Hash,
    },
}

impl Manifest {
    /// Reads the `metadata.json` of a package, which says of every member what its bytes must be. The version proves
    /// that nothing of it changed by accident; where the package's ETag is known, compare that as well.
    ///
    /// # Errors
    /// [`MetadataError`] if it is not what a package begins with, or was changed.
    pub fn from_metadata(json: &[u8]) -> Result<Manifest, MetadataError> {
        let read: Read = serde_json::from_slice(json)?;
        let members = read.files.iter().map(FileEntry::member).collect::<Result<_, _>>()?;
        let meeting = Meeting {
            id: MeetingId::new(&read.id)?,
            title: read.title,
            time: read.time,
            intro: read.intro,
            agenda_items: read.agenda_items,
        };
        let manifest = Manifest::new(meeting, members)?;
        let found = manifest.version();
        if read.version == found.to_hex().as_str() {
            Ok(manifest)
        } else {
            Err(MetadataError::Version { said: read.version.chars().take(100).collect(), found })
        }
    }
}
