//! Bytes of a file that does not lie here: they are passed on from a storage of the group that has it, so that whoever is asked
//! has every file of the group.

use std::io;
use std::ops::Range;

use crc32fast::Hasher;
use tnv_client::{ClientError, Download};
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_proto::{ErrorCode, Failure, FileKey};

use crate::files::not_found;
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
        let mut download = match opened {
            Ok(download) => download,
            Err(error) => return Err(self.unreached(key, &error).await.into()),
        };
        let whole = len == entry.size && entry.checksum().is_known();
        let mut check = whole.then(Hasher::new);
        let mut is_begun = false;
        loop {
            let chunk = match download.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) if is_begun => return Err(Interrupt::Broken(io::Error::other(error))),
                Err(error) => return Err(self.unreached(key, &error).await.into()),
            };
            if let Some(hasher) = &mut check {
                hasher.update(&chunk);
                // The last bytes of wrong ones are kept back: nobody takes them for the file.
                if download.rest() == 0 && hasher.clone().finalize() != entry.crc32 {
                    let text = format!("{key} came damaged from another storage of the group");
                    tracing::warn!(file = %key, "a relayed file was damaged");
                    let failure = Failure::new(ErrorCode::INTERNAL, text.clone());
                    return Err(if is_begun {
                        Interrupt::Broken(io::Error::other(text))
                    } else {
                        failure.into()
                    });
                }
            }
            if is_begun {
                connection.send_bulk(&chunk).await?;
            } else {
                connection.begin_reply(len, &chunk).await?;
                is_begun = true;
            }
            self.counters.bytes_out.add(chunk.len() as u64);
        }
        self.counters.downloads.add(1);
        tracing::debug!(peer = %connection.peer(), file = %key, offset = range.start, size = len, "relayed");
        Ok(Reply::Sent)
    }

    /// What to say where nobody gave the file.
    async fn unreached(&self, key: &FileKey, error: &ClientError) -> Failure {
        self.doubt(error);
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
