//! MEMBER: what a storage is in its group, and changing that.

use bytes::{Buf, BufMut, BytesMut};

use crate::field::{put_counted, take_counted, take_u8, take_u32};
use crate::request::finished;
use crate::{Command, Malformed, Request};

/// The longest identity of a storage in a request, in bytes.
pub const MAX_IDENTITY_LEN: usize = 64;

/// What is to be done with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MemberAction {
    /// Tell how it is.
    Status = 0,
    /// Take no new uploads, so that it can be switched off.
    Drain = 1,
    /// Take uploads again.
    Undrain = 2,
    /// End its membership, for good.
    Remove = 3,
    /// Tell that it is there, and count nothing.
    Presence = 4,
}

impl MemberAction {
    /// Every action, in the order of their numbers.
    pub const ALL: &'static [MemberAction] = &[
        MemberAction::Status,
        MemberAction::Drain,
        MemberAction::Undrain,
        MemberAction::Remove,
        MemberAction::Presence,
    ];
}

/// MEMBER: an action on a member of the group of the storage that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRequest {
    /// What is to be done.
    pub action: MemberAction,
    /// Whether it is done although files are lost by it, or nobody takes uploads any more.
    pub force: bool,
    /// The member's identity, 1 to [`MAX_IDENTITY_LEN`] bytes.
    pub storage: String,
}

impl Request for MemberRequest {
    const COMMAND: Command = Command::Member;

    fn encode_body(&self, out: &mut BytesMut) {
        out.put_u8(self.action as u8);
        out.put_u8(u8::from(self.force));
        put_counted(&self.storage, out);
    }

    fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let number = take_u8(body, "action")?;
        let action = MemberAction::ALL.iter().copied().find(|action| *action as u8 == number);
        let action = action.ok_or_else(|| Malformed::new(format!("there is no action {number}")))?;
        let force = match take_u8(body, "force")? {
            flag @ 0..=1 => flag == 1,
            other => return Err(Malformed::new(format!("force is {other}, not 0 or 1"))),
        };
        let storage = take_counted(body, "storage")?;
        if storage.is_empty() || storage.len() > MAX_IDENTITY_LEN {
            return Err(Malformed::new(format!("the storage is not of 1 to {MAX_IDENTITY_LEN} bytes")));
        }
        finished(body)?;
        Ok(MemberRequest { action, force, storage })
    }
}

/// What a member is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Membership {
    /// Takes part in everything.
    Active = 1,
    /// Gets the files that were there before it came.
    Filling = 2,
    /// Takes no new uploads, and is to be switched off.
    Draining = 3,
    /// Is a member no more.
    Removed = 4,
}

impl Membership {
    /// Every one of them, in the order of their numbers.
    pub const ALL: &'static [Membership] =
        &[Membership::Active, Membership::Filling, Membership::Draining, Membership::Removed];

    /// As REPORT and STATE have it, and people read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Membership::Active => "active",
            Membership::Filling => "filling",
            Membership::Draining => "draining",
            Membership::Removed => "removed",
        }
    }
}

/// The reply to MEMBER: how the member is, after what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberStatus {
    /// What it is doing, as the catalog says.
    pub state: Membership,
    /// Whether it is the one that answers: only it knows of its uploads.
    pub is_itself: bool,
    /// Uploads that it is taking now; 0 where another one answers.
    pub uploads: u32,
    /// Files of which no other member in reach, that is not draining, has a good copy.
    pub only_here: u64,
    /// Files that it still has to get.
    pub backlog: u64,
}

impl MemberStatus {
    /// Whether it may be switched off, and its disks wiped, without loss: it takes nothing any more, and others have all
    /// that it has.
    pub const fn may_go(&self) -> bool {
        let is_still = matches!(self.state, Membership::Draining) && self.is_itself && self.uploads == 0;
        matches!(self.state, Membership::Removed) || is_still && self.only_here == 0
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u8(self.state as u8);
        out.put_u8(u8::from(self.is_itself));
        out.put_u32(self.uploads);
        out.put_u64(self.only_here);
        out.put_u64(self.backlog);
    }

    /// Reads the body. Bytes behind the last known field are ignored.
    ///
    /// # Errors
    /// [`Malformed`] with the field that is wrong.
    pub fn decode(mut body: &[u8]) -> Result<Self, Malformed> {
        let body = &mut body;
        let number = take_u8(body, "state")?;
        let state = Membership::ALL.iter().copied().find(|state| *state as u8 == number);
        Ok(MemberStatus {
            state: state.ok_or_else(|| Malformed::new(format!("there is no state {number}")))?,
            is_itself: take_u8(body, "flag")? != 0,
            uploads: take_u32(body, "uploads")?,
            only_here: take_count(body, "files")?,
            backlog: take_count(body, "backlog")?,
        })
    }
}

fn take_count(body: &mut &[u8], what: &str) -> Result<u64, Malformed> {
    body.try_get_u64().map_err(|_| Malformed::new(format!("the {what} is cut short")))
}
