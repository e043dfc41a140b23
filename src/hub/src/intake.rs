//! Files on their way into the cluster. A row says that one is coming before its first byte is stored, and that it is there
//! after the last, so that whatever breaks in between leaves nothing that nobody knows of.

mod spool;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::sync::Arc;

use hyper::StatusCode;
use tnv_client::{Client, ClientError, Source, new_file_id};
use tnv_common::clock::unix_millis;
use tnv_package::{MeetingId, MemberPath, Names};
use tnv_proto::{AppId, ErrorCode, FileKey, Labels, UserId};
use tnv_web::form::FormParts;
use tnv_web::inflow::{self, Inflow};
use tokio::sync::{Mutex, MutexGuard};

use crate::config::Config;
use crate::meetings::{Joined, MeetingFile, Meetings};
use crate::packages::Packages;
use crate::refusal::{self, Refusal};
use spool::Spool;
pub(crate) use spool::SpoolError;

/// How many meetings can be changed at once.
const TURNS: usize = 64;

/// A file that is to be stored.
pub(crate) struct NewFile {
    pub(crate) path: MemberPath,
    /// What its sender says; empty if nothing.
    pub(crate) content_type: String,
}

/// Takes files in. Cheap to clone; clones are the same.
#[derive(Clone)]
pub(crate) struct Intake(Arc<Shared>);

struct Shared {
    meetings: Arc<dyn Meetings>,
    packages: Arc<Packages>,
    client: Client,
    app: AppId,
    config: Config,
    spool: Spool,
    turns: [Mutex<()>; TURNS],
    hasher: RandomState,
}

impl Intake {
    pub(crate) fn new(
        config: &Config,
        meetings: Arc<dyn Meetings>,
        packages: Arc<Packages>,
        client: Client,
    ) -> Intake {
        Intake(Arc::new(Shared {
            meetings,
            packages,
            client,
            app: config.app.clone(),
            config: config.clone(),
            spool: Spool::new(&config.upload_dir.resolved),
            turns: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }))
    }

    /// Waits for the turn to change a meeting: changes of one follow one another.
    pub(crate) async fn turn(&self, id: &MeetingId) -> MutexGuard<'_, ()> {
        // A remainder is below the divisor.
        self.0.turns[(self.0.hasher.hash_one(id) % TURNS as u64) as usize].lock().await
    }

    /// Stores a file that is a whole body, whose length the request says or not.
    pub(crate) async fn store_body(
        &self,
        meeting: &MeetingId,
        new: NewFile,
        mut body: Inflow,
        length: Option<u64>,
    ) -> Result<MeetingFile, Refusal> {
        self.expect(meeting, &new.path).await?;
        let max = self.0.config.max_upload_size;
        if let Some(size) = length {
            if size > max {
                return Err(too_large(max));
            }
            return self.store(meeting, new, Source::Stream { reader: Box::new(body), size }).await;
        }
        let mut spooled = self.0.spool.begin();
        loop {
            let chunk = body.chunk().await.map_err(|error| inflow::refusal(&error))?;
            if chunk.is_empty() {
                break;
            }
            spooled.write(&chunk, max).await.map_err(|error| refused(error, max))?;
        }
        let source = spooled.source().await.map_err(|error| refused(error, max))?;
        self.store(meeting, new, source).await
    }

    /// Stores the file that a form is at.
    pub(crate) async fn store_part(
        &self,
        meeting: &MeetingId,
        new: NewFile,
        form: &mut FormParts,
    ) -> Result<MeetingFile, Refusal> {
        self.expect(meeting, &new.path).await?;
        let max = self.0.config.max_upload_size;
        let mut spooled = self.0.spool.begin();
        loop {
            let chunk = form.chunk().await.map_err(|error| inflow::refusal(&error))?;
            if chunk.is_empty() {
                break;
            }
            spooled.write(&chunk, max).await.map_err(|error| refused(error, max))?;
        }
        let source = spooled.source().await.map_err(|error| refused(error, max))?;
        self.store(meeting, new, source).await
    }

    /// Whether a file of this path can join: told before its bytes are read.
    async fn expect(&self, meeting: &MeetingId, path: &MemberPath) -> Result<(), Refusal> {
        let shared = &*self.0;
        let known = shared.packages.known(meeting).await?.ok_or_else(|| refusal::no_meeting(meeting))?;
        let manifest = known.layout.manifest();
        let mut names = Names::default();
        let mut is_new = true;
        for member in manifest.members() {
            if member.path == *path {
                is_new = false;
                continue;
            }
            names.insert(&member.path).map_err(|error| Refusal::conflict(error.to_string()))?;
        }
        names.insert(path).map_err(|error| Refusal::conflict(error.to_string()))?;
        if is_new && manifest.members().len() >= shared.config.max_files as usize {
            return Err(full(shared.config.max_files));
        }
        Ok(())
    }

    /// Stores bytes, and adds them to their meeting. A future that is dropped leaves nothing behind.
    async fn store(&self, meeting: &MeetingId, new: NewFile, source: Source) -> Result<MeetingFile, Refusal> {
        let shared = &*self.0;
        let user = shared.user(meeting)?;
        let key = FileKey { app: shared.app.clone(), file: new_file_id(&user), user };
        let id = key.file.to_string();
        let path = new.path.as_str();
        shared.meetings.expect_file(&id, meeting.as_str(), path, unix_millis()).await?;
        let expected = Expected::new(self, id.clone());
        let content_type = content_type(&new);
        let labels = Labels::new(path, &content_type).map_err(|error| Refusal::bad(error.to_string()))?;
        let stored = shared.client.store(&key, &labels, source).await;
        let stored = stored.map_err(|error| not_stored(&error, path))?;
        let file = MeetingFile {
            id,
            meeting: meeting.to_string(),
            path: path.to_owned(),
            size: stored.size,
            content_type: Some(stored.content_type).filter(|kind| is_plain(kind)).unwrap_or_default(),
            crc32: stored.crc32,
            blake3: stored.blake3.to_string(),
            created_ms: unix_millis(),
        };
        // To its end once begun, even if nobody waits for it any more.
        expected.keep();
        let (intake, meeting) = (self.clone(), meeting.clone());
        let joining = tokio::spawn(async move { intake.join(&meeting, file, new.path).await });
        joining.await.unwrap_or_else(|_| {
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be added to its meeting"))
        })
    }

    async fn join(
        &self,
        meeting: &MeetingId,
        file: MeetingFile,
        path: MemberPath,
    ) -> Result<MeetingFile, Refusal> {
        let shared = &*self.0;
        let _turn = self.turn(meeting).await;
        // Another file may have come meanwhile.
        if let Err(refusal) = self.expect(meeting, &path).await {
            shared.meetings.abandon(&file.id).await?;
            return Err(refusal);
        }
        let taken = blake3::hash(path.as_str().to_lowercase().as_bytes()).to_string();
        let joined = shared.meetings.join(file.clone(), &taken, shared.config.max_files).await;
        shared.packages.forget(meeting);
        match joined? {
            Joined::Present => {
                tracing::info!(%meeting, path = file.path, size = file.size, "a file was added");
                Ok(file)
            }
            Joined::Collides(other) => Err(Refusal::conflict(format!("{other:?} is the same name there"))),
            Joined::Full => Err(full(shared.config.max_files)),
            Joined::Gone => Err(refusal::no_meeting(meeting)),
        }
    }

    /// Removes what lay in the folder for uploads when the hub ended.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub(crate) async fn sweep_spool(&self) -> std::io::Result<()> {
        self.0.spool.sweep().await
    }

    /// Removes the bytes of files that have been gone for long enough, and of those that never came: how many.
    ///
    /// # Errors
    /// If the database does not answer.
    pub(crate) async fn sweep(&self, expected_for_ms: i64) -> Result<usize, tnv_common::database::DbError> {
        const PAGE: u32 = 200;
        let shared = &*self.0;
        let now_ms = unix_millis();
        let grace_ms = i64::try_from(shared.config.grace.as_millis()).unwrap_or(i64::MAX);
        let (mut after, mut removed) = (String::new(), 0);
        loop {
            let (gone_ms, expected_ms) =
                (now_ms.saturating_sub(grace_ms), now_ms.saturating_sub(expected_for_ms));
            let page = shared.meetings.leftovers(gone_ms.max(1), expected_ms, &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(removed) };
            after.clone_from(&last.id);
            let mut gone = HashSet::new();
            for file in &page {
                if shared.remove_bytes(&file.meeting, &file.id).await {
                    gone.insert(file.id.clone());
                }
            }
            removed += gone.len();
            shared.meetings.forget(gone.into_iter().collect()).await?;
        }
    }
}

impl Shared {
    fn user(&self, meeting: &MeetingId) -> Result<UserId, Refusal> {
        self.config
            .owner(meeting.as_str())
            .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("user_prefix: {error}")))
    }

    /// Whether no bytes of a file are left.
    async fn remove_bytes(&self, meeting: &str, id: &str) -> bool {
        let key = self
            .config
            .owner(meeting)
            .and_then(|user| Ok(FileKey { app: self.app.clone(), user, file: tnv_proto::FileId::new(id)? }));
        let key = match key {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!(id, meeting, %error, "a file that the cluster cannot have");
                return true;
            }
        };
        match self.client.delete(&key).await {
            Ok(()) => true,
            Err(error) if error.is_not_found() => true,
            Err(error) => {
                tracing::debug!(%key, %error, "the bytes of a file that is gone are still there");
                false
            }
        }
    }
}

/// A file whose row says that it is coming, which is given up unless it is kept, even if the future is dropped.
struct Expected {
    /// `None` once it is kept.
    of: Option<(Intake, String)>,
}

impl Expected {
    fn new(intake: &Intake, id: String) -> Expected {
        Expected { of: Some((intake.clone(), id)) }
    }

    fn keep(mut self) {
        self.of = None;
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let Some((intake, id)) = self.of.take() else { return };
        tokio::spawn(async move {
            if let Err(error) = intake.0.meetings.abandon(&id).await {
                // The sweeper finds it after a while.
                tracing::debug!(id, %error, "an upload that broke off is not given up yet");
            }
        });
    }
}

/// What a file is: as its sender says, else as its name does. Empty: a storage looks at its first bytes.
fn content_type(new: &NewFile) -> String {
    let told = new.content_type.trim();
    // What programs say that know nothing.
    if Labels::new("", told).is_ok()
        && is_plain(told)
        && !matches!(told, "" | "application/octet-stream")
        && !told.starts_with("application/x-www-form-urlencoded")
    {
        return told.to_owned();
    }
    mime_guess::from_path(new.path.as_str()).first_raw().unwrap_or_default().to_owned()
}

/// Whether a package can tell this type.
fn is_plain(kind: &str) -> bool {
    kind.len() <= tnv_package::MAX_CONTENT_TYPE_LEN && kind.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn too_large(max: u64) -> Refusal {
    let detail = format!("the file is larger than the {max} bytes that may be uploaded here");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn full(max_files: u32) -> Refusal {
    Refusal::conflict(format!("the meeting has {max_files} files, which is as many as there may be"))
}

fn refused(error: SpoolError, max: u64) -> Refusal {
    match error {
        SpoolError::TooLarge => too_large(max),
        SpoolError::Io { ref source, .. } => {
            tracing::warn!(%error, "an upload cannot wait in upload_dir");
            match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    let detail =
                        "the hub's disk for uploads is full; a PUT with a Content-Length does not need it";
                    Refusal::new(StatusCode::INSUFFICIENT_STORAGE, detail)
                }
                _ => {
                    let detail = "the hub cannot write into its folder for uploads; its log says why";
                    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
                }
            }
        }
    }
}

fn not_stored(error: &ClientError, path: &str) -> Refusal {
    match error {
        ClientError::Local { source, .. } => {
            tracing::debug!(path, %error, "an upload broke off");
            let refusal = inflow::refusal(source);
            let detail = format!("{}; nothing was stored", refusal.sentence());
            refusal.saying(detail)
        }
        _ if error.code() == Some(ErrorCode::CHANGED) => {
            Refusal::new(StatusCode::BAD_GATEWAY, "what arrived at the storage is not what was sent")
        }
        _ => refusal::upstream(error, &path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_trouble() {
        let of = |kind: ErrorKind| {
            let error = SpoolError::Io { path: "up".into(), source: kind.into() };
            refused(error, 1).into_response().status()
        };
        assert_eq!(of(ErrorKind::StorageFull), StatusCode::INSUFFICIENT_STORAGE);
        assert_eq!(of(ErrorKind::PermissionDenied), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(refused(SpoolError::TooLarge, 1).into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
