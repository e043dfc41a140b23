//! MEMBER: what a storage is in this group, and changing that. The catalog is the truth, so any member may be asked.

use bytes::BytesMut;
use tnv_common::connection::{Interrupt, Reply};
use tnv_proto::{ErrorCode, Failure, MemberAction, MemberRequest, MemberStatus};

use crate::catalog::{Backlog, MemberState};
use crate::service::StorageService;

impl StorageService {
    pub(crate) async fn member(&self, request: &MemberRequest) -> Result<Reply, Interrupt> {
        if !self.replicates {
            let text = format!("group {} does not keep copies here: it has no members", self.group);
            return Err(Failure::bad_request(text).into());
        }
        let id = request.storage.as_str();
        let is_itself = self.volume.owner().storage == id;
        let look = self.standing.look();
        let before = self.files.catalog().member_state(id).await.map_err(Failure::from)?;
        let before = before.ok_or_else(|| {
            Failure::new(ErrorCode::NOT_FOUND, format!("group {} has no member {id}", self.group))
        })?;
        let state = match request.action {
            MemberAction::Status | MemberAction::Presence => before,
            MemberAction::Drain => self.drain(id, before, request.force).await?,
            MemberAction::Undrain => self.undrain(id, before).await?,
            MemberAction::Remove => self.remove(id, request.force).await?,
        };
        if is_itself && state == before {
            self.standing.note(look, state);
        } else if is_itself {
            self.standing.decide(state);
        }
        if state != before {
            tracing::info!(
                member = id,
                before = before.as_str(),
                state = state.as_str(),
                "a member was changed"
            );
        }
        let mut body = BytesMut::with_capacity(32);
        let counts = request.action != MemberAction::Presence;
        self.status(id, state, is_itself, counts).await?.encode(&mut body);
        Ok(Reply::Body(body))
    }

    /// How a member is. What it takes is looked at before what others lack: an upload that has ended in between is
    /// counted there.
    async fn status(
        &self,
        id: &str,
        state: MemberState,
        is_itself: bool,
        counts: bool,
    ) -> Result<MemberStatus, Failure> {
        let mut uploads = 0;
        if is_itself {
            // In this order: the commit of an upload begins before it is counted no more.
            uploads = self.standing.uploads();
            uploads = uploads.saturating_add(u32::try_from(self.commits.len()).unwrap_or(u32::MAX));
        }
        let (mut only_here, mut backlog) = (0, Backlog::default());
        if counts && state != MemberState::Removed {
            only_here = self.files.catalog().only_at(id, &self.others_than(id).await?).await?;
            backlog = self.files.catalog().backlog_of(id).await?;
        }
        Ok(MemberStatus { state: state.membership(), is_itself, uploads, only_here, backlog: backlog.files })
    }

    async fn drain(&self, id: &str, before: MemberState, force: bool) -> Result<MemberState, Failure> {
        match before {
            MemberState::Removed => return Err(removed(id)),
            MemberState::Draining => return Ok(before),
            MemberState::Active | MemberState::Filling => {}
        }
        if !force && self.others_than(id).await?.is_empty() {
            let text = format!(
                "no other member of {} is in reach and takes uploads, so nobody would; start or undrain one, or force it",
                self.group
            );
            return Err(Failure::new(ErrorCode::CONFLICT, text));
        }
        self.change(id, before, MemberState::Draining).await
    }

    async fn undrain(&self, id: &str, before: MemberState) -> Result<MemberState, Failure> {
        match before {
            MemberState::Removed => Err(removed(id)),
            MemberState::Active | MemberState::Filling => Ok(before),
            MemberState::Draining => self.change(id, before, MemberState::Active).await,
        }
    }

    async fn change(&self, id: &str, from: MemberState, to: MemberState) -> Result<MemberState, Failure> {
        if self.files.catalog().change_state(id, from, to).await? {
            return Ok(to);
        }
        let text = format!("{id} was changed by somebody else meanwhile; look, and try again");
        Err(Failure::new(ErrorCode::UNAVAILABLE, text))
    }

    async fn remove(&self, id: &str, force: bool) -> Result<MemberState, Failure> {
        let others = if force { None } else { Some(self.others_than(id).await?) };
        match self.files.catalog().remove_member(id, others.as_deref()).await? {
            0 => Ok(MemberState::Removed),
            files => {
                let text = format!(
                    "{files} files of {id} are at no other member that is in reach and not draining, and would be lost; \
                     bring it back and drain it, or wait until others have them; by force they are given up"
                );
                Err(Failure::new(ErrorCode::CONFLICT, text))
            }
        }
    }

    /// The other members that stay and can be reached: what they have is not lost with this one.
    async fn others_than(&self, id: &str) -> Result<Vec<String>, Failure> {
        let members = self.files.catalog().members().await?;
        let own = self.volume.owner().storage.as_str();
        let others =
            members.into_iter().filter(|other| other.id != id && other.state != MemberState::Draining);
        let (mut found, peers): (Vec<String>, Vec<String>) =
            others.map(|other| other.id).partition(|other| other == own);
        found.extend(self.peers.in_reach(&peers).await);
        Ok(found)
    }
}

fn removed(id: &str) -> Failure {
    Failure::new(ErrorCode::CONFLICT, format!("{id} was removed from its group; empty, it may join anew"))
}
