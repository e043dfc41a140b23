//! The storage's commands.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tnv_common::background::Background;
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_common::server::Service;
use tnv_proto::{
    Checksum, Command, Download, Failure, FileKey, GroupName, Keep, List, MemberRequest, Read, Request,
    Server,
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::buffer::Budget;
use crate::busy::Busy;
use crate::config::AckPolicy;
use crate::copier::{Orders, Rate};
use crate::download::Reach;
use crate::files::Files;
use crate::held::Held;
use crate::intake::Intake;
use crate::load::Counters;
use crate::numbers::Numbers;
use crate::peers::Peers;
use crate::scrub::Scrub;
use crate::send::SendMode;
use crate::standing::Standing;
use crate::verified::Verified;
use crate::volume::{StorePath, Volume};

/// What the storage has, behind its commands. Each command's work is in the file of its name.
pub(crate) struct StorageService {
    pub(crate) group: GroupName,
    pub(crate) max_file_size: u64,
    pub(crate) volume: Arc<Volume>,
    pub(crate) files: Arc<Files>,
    pub(crate) numbers: Numbers,
    pub(crate) buffers: Budget,
    pub(crate) send_mode: SendMode,
    /// Of small uploads, by store path.
    pub(crate) intakes: HashMap<u32, Intake<StorePath>>,
    pub(crate) counters: Arc<Counters>,
    /// Wakes the sweeper of deleted files' bytes.
    pub(crate) leftovers: Arc<Notify>,
    /// Uploads whose bytes are here and whose rows are on their way: a stop waits for them.
    pub(crate) commits: TaskTracker,
    /// Whether the other storages of the group have copies of the same files.
    pub(crate) replicates: bool,
    pub(crate) peers: Arc<Peers>,
    /// What this storage is in its group.
    pub(crate) standing: Arc<Standing>,
    /// How many of them are to have an upload when it is answered.
    pub(crate) ack: AckPolicy,
    /// What others have pushed here.
    pub(crate) held: Arc<Held>,
    /// How long rows are good that storages of a group of copies remember.
    pub(crate) row_lease: Duration,
    /// How far all files have been read again.
    pub(crate) scrub: Scrub,
    /// Which blocks of files were held against their checksums.
    pub(crate) verified: Verified,
    /// Whose turn it is to make such checksums.
    pub(crate) making_sums: Arc<Semaphore>,
    /// Where bytes of copies are moved, where there are any.
    pub(crate) background: Option<Background>,
    /// How fast files may come while it fills.
    pub(crate) fill_rate: Rate,
    /// Wakes the copier of files that this storage lacks.
    pub(crate) orders: Arc<Orders>,
    /// Uploads in parts that are being written to.
    pub(crate) busy: Busy,
    /// How long an upload in parts waits for the next one.
    pub(crate) part_expiry: Duration,
}

impl StorageService {
    async fn file_size(&self, key: &FileKey) -> Result<Reply, Interrupt> {
        let mut body = BytesMut::with_capacity(8);
        body.put_u64(self.files.find(key).await?.size);
        Ok(Reply::Body(body))
    }

    async fn stat(&self, key: &FileKey) -> Result<Reply, Interrupt> {
        let mut body = BytesMut::with_capacity(128);
        self.files.find(key).await?.attributes().encode(&mut body);
        Ok(Reply::Body(body))
    }
}

impl StorageService {
    /// Another storage says that the catalog has news of this file.
    async fn notice(&self, key: &FileKey) -> Reply {
        self.files.evict(key).await;
        self.orders.look();
        self.leftovers.notify_one();
        Reply::empty()
    }

    /// Has the other storages of the group look for what is new.
    pub(crate) fn tell_peers(&self, key: &FileKey) {
        if self.replicates {
            self.peers.tell(key);
        }
    }
}

impl Service for StorageService {
    const SERVER: Server = Server::Storage;
    type Session = ();

    async fn call(
        &self,
        command: Command,
        connection: &mut Connection,
        (): &mut (),
    ) -> Result<Reply, Interrupt> {
        match command {
            Command::Upload => self.upload(connection).await,
            Command::Store => self.store(connection).await,
            Command::Begin => self.begin(connection).await,
            Command::Append => self.append(connection).await,
            Command::Finish => self.finish(connection).await,
            Command::Progress => self.progress(&FileKey::decode(&connection.whole_body().await?)?).await,
            Command::Abort => self.abort(&FileKey::decode(&connection.whole_body().await?)?).await,
            Command::List => self.list(List::decode(&connection.whole_body().await?)?).await,
            Command::Delete => self.delete(connection).await,
            Command::FileSize => self.file_size(&FileKey::decode(&connection.whole_body().await?)?).await,
            Command::Stat => self.stat(&FileKey::decode(&connection.whole_body().await?)?).await,
            Command::Download => {
                let request = Download::decode(&connection.whole_body().await?)?;
                self.download(connection, &request, Checksum::UNKNOWN, Reach::Group).await
            }
            Command::Read => {
                let request = Read::decode(&connection.whole_body().await?)?;
                self.download(connection, &request.download, request.expected, Reach::Group).await
            }
            Command::Fetch => {
                let request = Read::decode(&connection.whole_body().await?)?;
                self.download(connection, &request.download, request.expected, Reach::Here).await
            }
            Command::Notice => Ok(self.notice(&FileKey::decode(&connection.whole_body().await?)?).await),
            Command::Scrub => {
                let body = connection.whole_body().await?;
                match body[..] {
                    [begin @ 0..=1] => Ok(self.scrub(begin == 1)?),
                    _ => Err(Failure::bad_request("SCRUB takes 0 or 1").into()),
                }
            }
            Command::Member => self.member(&MemberRequest::decode(&connection.whole_body().await?)?).await,
            Command::Push => self.push(connection).await,
            Command::Keep => Ok(self.keep(Keep::decode(&connection.whole_body().await?)?).await),
            other => Err(Failure::bad_request(format!("{} is not for a storage", other.name())).into()),
        }
    }
}
