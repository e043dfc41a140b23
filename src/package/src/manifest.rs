//! What a package is made of.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::names::Names;
use crate::{Collision, MeetingId, MemberPath, canonical};

/// The longest package: what its members have together, in bytes. Every offset then fits a signed integer, with room
/// for the headers.
pub const MAX_MEMBERS_LEN: u64 = 1 << 62;
/// The longest id of a member, in bytes.
pub const MAX_MEMBER_ID_LEN: usize = 255;
/// The longest content type, in bytes.
pub const MAX_CONTENT_TYPE_LEN: usize = 128;

/// What a package says about its meeting. Nothing that changes while the package stays the same may be in here: no
/// status, no counters, no addresses, no time of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Meeting {
    /// The meeting's id.
    pub id: MeetingId,
    /// Its title.
    pub title: String,
    /// When it takes place, in the words of whoever made it.
    pub time: Option<String>,
    /// What it is about.
    pub intro: Option<String>,
    /// Its agenda. Numbers in it are integers.
    pub agenda_items: Vec<Value>,
}

/// One file of a meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Under what the hub knows it: 1 to [`MAX_MEMBER_ID_LEN`] bytes without control characters, unique in the meeting.
    pub id: String,
    /// Where it lies in the package, below `files/`.
    pub path: MemberPath,
    /// Its length in bytes.
    pub size: u64,
    /// What it is, such as `application/pdf`: visible ASCII, up to [`MAX_CONTENT_TYPE_LEN`] bytes. Empty: not known.
    pub content_type: String,
    /// The CRC32 of its bytes, as a zip has it.
    pub crc32: u32,
    /// The BLAKE3 of its bytes.
    pub blake3: blake3::Hash,
}

/// A meeting and its members, checked: from it [`Layout`](crate::Layout) makes the same zip everywhere, and every system can
/// extract that. A clone costs nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    meeting: Arc<Meeting>,
    members: Arc<[Member]>,
    version: blake3::Hash,
}

/// What cannot be in a manifest. Each names the member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Two members cannot be extracted beside each other.
    #[error(transparent)]
    Collision(#[from] Collision),
    /// Two members have the same id.
    #[error("{path:?} and {with:?} have the same id {id:?}")]
    DuplicateId {
        /// The path of the second.
        path: String,
        /// The path of the first.
        with: String,
        /// The id of both.
        id: String,
    },
    /// An id is empty, too long, or has control characters.
    #[error("the id {id:?} of {path:?} is not 1 to {MAX_MEMBER_ID_LEN} bytes without control characters")]
    BadId {
        /// The member's path.
        path: String,
        /// Its id.
        id: String,
    },
    /// A content type is too long or has other characters than visible ASCII.
    #[error("the content type of {path:?} is not up to {MAX_CONTENT_TYPE_LEN} visible ASCII characters")]
    BadContentType {
        /// The member's path.
        path: String,
    },
    /// The checksums of an empty member are not those of nothing.
    #[error("{path:?} is empty, but its checksums are not those of no bytes")]
    NotEmpty {
        /// The member's path.
        path: String,
    },
    /// The members have more than [`MAX_MEMBERS_LEN`] bytes.
    #[error("with {path:?} the members have more than 2^62 bytes")]
    TooLarge {
        /// The path of the member that is too much.
        path: String,
    },
    /// A number of the agenda is not an integer of 64 bits, so it has no one text.
    #[error("agenda_items{at} is {number}: only integers of 64 bits have one way to write them")]
    NotAnInteger {
        /// Where it is, such as `/0/position`.
        at: String,
        /// The number.
        number: String,
    },
}

impl Manifest {
    /// Checks a meeting and its members, which may come in any order.
    ///
    /// # Errors
    /// [`ManifestError`] with the member that cannot be there.
    pub fn new(mut meeting: Meeting, mut members: Vec<Member>) -> Result<Manifest, ManifestError> {
        let agenda = meeting.agenda_items.into_iter().enumerate();
        meeting.agenda_items =
            agenda.map(|(at, item)| canonical::value(item, &format!("/{at}"))).collect::<Result<_, _>>()?;
        members.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        check(&members)?;
        let version = canonical::hash(&meeting, &members);
        Ok(Manifest { meeting: Arc::new(meeting), members: members.into(), version })
    }

    /// What it says about the meeting.
    pub fn meeting(&self) -> &Meeting {
        &self.meeting
    }

    /// The members, by the bytes of their paths. A [`Segment`](crate::Segment) counts them in this order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The package's version: the BLAKE3 of [`canonical`](Self::canonical). The same version means the same bytes of the
    /// zip.
    pub fn version(&self) -> blake3::Hash {
        self.version
    }

    /// The version as an ETag: in hexadecimal digits and quotes.
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }

    /// The canonical form: JSON with its keys in order and nothing between its tokens. docs/protocol.md, "Packages", has
    /// an example.
    pub fn canonical(&self) -> Vec<u8> {
        canonical::form(&self.meeting, &self.members)
    }
}

/// What every member keeps, and what they keep together. They are in order.
fn check(members: &[Member]) -> Result<(), ManifestError> {
    let mut names = Names::default();
    let mut ids = HashMap::new();
    let mut total = 0_u64;
    for member in members {
        let path = || member.path.as_str().to_owned();
        check_alone(member)?;
        names.insert(&member.path)?;
        if let Some(with) = ids.insert(&member.id, &member.path) {
            let with = with.as_str().to_owned();
            return Err(ManifestError::DuplicateId { path: path(), with, id: member.id.clone() });
        }
        total = total
            .checked_add(member.size)
            .filter(|total| *total <= MAX_MEMBERS_LEN)
            .ok_or_else(|| ManifestError::TooLarge { path: path() })?;
    }
    Ok(())
}

fn check_alone(member: &Member) -> Result<(), ManifestError> {
    let path = || member.path.as_str().to_owned();
    if !(1..=MAX_MEMBER_ID_LEN).contains(&member.id.len()) || member.id.contains(char::is_control) {
        return Err(ManifestError::BadId { path: path(), id: member.id.clone() });
    }
    let visible = member.content_type.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if member.content_type.len() > MAX_CONTENT_TYPE_LEN || !visible {
        return Err(ManifestError::BadContentType { path: path() });
    }
    if member.size == 0 && (member.crc32 != 0 || member.blake3 != blake3::hash(b"")) {
        return Err(ManifestError::NotEmpty { path: path() });
    }
    Ok(())
}
