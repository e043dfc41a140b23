//! Bytes of a file that does not lie here: they are passed on from a storage of the group that has it, so that whoever is asked
//! has every file of the group.

use std::io;
use std::ops::Range;

use crc32fast::Hasher;
use tnv_client::Download;
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_proto::{ErrorCode, Failure, FileKey};

use crate::buffer::{Buffer, LARGE};
use crate::copier::Pulled;
use crate::files::not_found;
use crate::metrics::StorageMetrics;
use crate::rows::Entry;
use crate::service::StorageService;

impl StorageService {
    /// Sends `range` of a file from those who have it; at the same byte from the next one where one breaks off. The file is
    /// fetched for good as well, before others.
    ///
    /// # Errors
    /// 503 if nobody who has it can be reached, 404 if it was deleted meanwhile.
    pub(crate) async fn relay(
        &self,
        connection: &mut Connection,
        key: &FileKey,
        entry: &Entry,
        range: Range<u64>,
    ) -> Result<Reply, Interrupt> {
        self.orders.want(key);
        let len = range.end - range.start;
        if len == 0 {
            connection.begin_reply(0, &[]).await?;
            return Ok(Reply::Sent);
        }
        let holders = self.holders(key).await.map_err(Failure::from)?;
        let opened = Download::from_storages(holders, key, range.start, len, entry.checksum()).await;
        let download = match opened {
            Ok(download) => download,
            Err(error) => {
                self.doubt(&error);
                return Err(self.unreached(key, &error).await.into());
            }
        };
        let mut pulled = Pulled::new(download);
        let sent = self.pass_on(connection, &mut pulled, key, entry).await;
        self.peers.doubt_all(pulled.take_broken());
        sent?;
        self.counters.downloads.add(1);
        tracing::debug!(peer = %connection.peer(), file = %key, offset = range.start, size = len, "relayed");
        Ok(Reply::Sent)
    }

    /// Sends what comes. The last bytes of wrong ones are kept back: nobody takes them for the file.
    async fn pass_on(
        &self,
        connection: &mut Connection,
        pulled: &mut Pulled,
        key: &FileKey,
        entry: &Entry,
    ) -> Result<(), Interrupt> {
        let len = pulled.left();
        let mut check = (len == entry.size && entry.checksum().is_known()).then(Hasher::new);
        let mut buffer = Buffer::small(len);
        let mut is_begun = false;
        while pulled.left() > 0 {
            let left = pulled.left();
            // Large memory is for those who have filled a small one.
            if is_begun {
                buffer.grow(&self.buffers, left, LARGE);
            }
            let filled = match pulled.fill(buffer.bytes()).await {
                Ok(filled) => filled,
                Err(error) if is_begun => return Err(Interrupt::Broken(error)),
                Err(error) => return Err(self.unreached(key, &error).await.into()),
            };
            let bytes = buffer.filled(filled);
            if let Some(hasher) = &mut check {
                hasher.update(bytes);
                if pulled.left() == 0 && hasher.clone().finalize() != entry.crc32 {
                    return Err(damaged(key, pulled, is_begun));
                }
            }
            if is_begun {
                connection.send_bulk(bytes).await?;
            } else {
                connection.begin_reply(len, bytes).await?;
                is_begun = true;
            }
            self.counters.bytes_out.add(filled as u64);
        }
        Ok(())
    }

    /// What to say where nobody gave the file.
    async fn unreached(&self, key: &FileKey, error: &impl std::error::Error) -> Failure {
        match self.files.catalog().find(key).await {
            Ok(None) => return not_found(key),
            Ok(Some(_)) => {}
            Err(error) => return error.into(),
        }
        tracing::warn!(file = %key, %error, "no storage of the group gives a file");
        let text =
            format!("{key} lies on other storages of the group, and none of them gives it now: {error}");
        Failure::new(ErrorCode::UNAVAILABLE, text)
    }
}

/// What becomes of a reply whose bytes are not those that were stored.
fn damaged(key: &FileKey, pulled: &Pulled, is_begun: bool) -> Interrupt {
    StorageMetrics::global().wrong_copies.inc();
    tracing::warn!(file = %key, from = pulled.senders().join(" and "), "a file came damaged from another storage");
    let text = format!("{key} came damaged from another storage of the group");
    if is_begun {
        return Interrupt::Broken(io::Error::other(text));
    }
    Failure::new(ErrorCode::INTERNAL, text).into()
}
