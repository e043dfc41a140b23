//! The other storages of a group that get an upload while it comes in, so that several have it when it is answered.

use std::io;
use std::sync::Arc;

use futures_util::future::join_all;
use tnv_client::{ClientError, Pushing};
use tnv_proto::{Checksum, ErrorCode, Failure, FileKey, Pushed};
use tokio::io::AsyncReadExt;

use crate::buffer::LARGE;
use crate::catalog::CopyAt;
use crate::metrics::StorageMetrics;
use crate::peers::{Companion, Peers};
use crate::pump::Supply;
use crate::service::StorageService;

/// Those that get one upload.
pub(crate) struct Companions {
    peers: Arc<Peers>,
    /// How many there should be.
    wanted: usize,
    strict: bool,
    pushes: Vec<Push>,
}

/// One of them, and how far it has the upload.
struct Push {
    companion: Companion,
    pushing: Pushing,
}

impl StorageService {
    /// Those that are to get a file of this size while it comes in: `asked` storages are to have it, with this one; 0 = as
    /// many as is configured.
    ///
    /// # Errors
    /// 503 if too few can be reached and less will not do.
    pub(crate) async fn companions(
        &self,
        key: &FileKey,
        size: u64,
        asked: u8,
    ) -> Result<Companions, Failure> {
        let mut companions = self.nobody(asked);
        let mut candidates = companions.candidates();
        while companions.pushes.len() < companions.wanted {
            let next: Vec<_> =
                candidates.by_ref().take(companions.wanted - companions.pushes.len()).collect();
            if next.is_empty() {
                break;
            }
            let begin =
                |companion: Companion| async move { (companion.client.push(key, size).await, companion) };
            for (pushing, companion) in join_all(next.into_iter().map(begin)).await {
                match pushing {
                    Ok(pushing) => companions.pushes.push(Push { companion, pushing }),
                    Err(error) => companions.gave_up(&companion, &error),
                }
            }
        }
        companions.check(companions.pushes.len())?;
        Ok(companions)
    }

    /// Gives a small file to those that are to have it, before it is stored here: where it lies with them.
    ///
    /// # Errors
    /// As [`StorageService::companions`].
    pub(crate) async fn push_small(
        &self,
        key: &FileKey,
        bytes: &[u8],
        told: Checksum,
        asked: u8,
    ) -> Result<Vec<CopyAt>, Failure> {
        let companions = self.nobody(asked);
        if companions.wanted == 0 {
            return Ok(Vec::new());
        }
        let blake3 = if told.is_known() { told } else { Checksum(*blake3::hash(bytes).as_bytes()) };
        let mut copies = Vec::with_capacity(companions.wanted);
        let mut candidates = companions.candidates();
        while copies.len() < companions.wanted {
            let next: Vec<_> = candidates.by_ref().take(companions.wanted - copies.len()).collect();
            if next.is_empty() {
                break;
            }
            let push = |companion: Companion| async move {
                (companion.client.push_whole(key, bytes, blake3).await, companion)
            };
            for (pushed, companion) in join_all(next.into_iter().map(push)).await {
                copies.extend(companions.note(&companion, pushed));
            }
        }
        companions.conclude(copies.len())?;
        Ok(copies)
    }

    fn nobody(&self, asked: u8) -> Companions {
        let copies = if asked == 0 { self.ack.copies } else { asked };
        let wanted = if self.replicates { usize::from(copies).saturating_sub(1) } else { 0 };
        Companions { peers: self.peers.clone(), wanted, strict: self.ack.strict, pushes: Vec::new() }
    }
}

impl Companions {
    /// Whom to ask, one after the other. Where less will not do, also those that seem to be away.
    fn candidates(&self) -> std::vec::IntoIter<Companion> {
        if self.wanted == 0 { Vec::new().into_iter() } else { self.peers.reachable(self.strict).into_iter() }
    }

    /// Whether nobody is to get it, so that the bytes need not pass by here.
    pub(crate) fn is_nobody(&self) -> bool {
        self.pushes.is_empty()
    }

    /// The next bytes, for all of them. One that does not take them is left out from then on.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let written = match &mut self.pushes[..] {
            [only] => vec![only.pushing.write(bytes).await],
            several => join_all(several.iter_mut().map(|push| push.pushing.write(bytes))).await,
        };
        if written.iter().all(Result::is_ok) {
            return;
        }
        let pushes = std::mem::take(&mut self.pushes);
        for (push, written) in pushes.into_iter().zip(written) {
            match written {
                Ok(()) => self.pushes.push(push),
                Err(error) => self.gave_up(&push.companion, &error),
            }
        }
    }

    /// All bytes of a file that is here already.
    pub(crate) async fn write_file(&mut self, file: std::fs::File) -> io::Result<()> {
        let mut file = tokio::fs::File::from_std(file);
        let mut buffer = vec![0; LARGE];
        while !self.is_nobody() {
            match file.read(&mut buffer).await? {
                0 => break,
                filled => self.write(&buffer[..filled]).await,
            }
        }
        Ok(())
    }

    /// Waits until they have all of it, durable: where it lies with them.
    ///
    /// # Errors
    /// 503 if they have become too few and less will not do.
    pub(crate) async fn finish(mut self, blake3: Checksum) -> Result<Vec<CopyAt>, Failure> {
        let pushes = std::mem::take(&mut self.pushes);
        let finish = |push: Push| async move { (push.pushing.finish(blake3).await, push.companion) };
        let finished = join_all(pushes.into_iter().map(finish)).await;
        let copies: Vec<CopyAt> =
            finished.into_iter().filter_map(|(pushed, companion)| self.note(&companion, pushed)).collect();
        self.conclude(copies.len())?;
        Ok(copies)
    }

    /// Where it lies with one of them, if it does.
    fn note(&self, companion: &Companion, pushed: Result<Pushed, ClientError>) -> Option<CopyAt> {
        match pushed {
            // Another storage may have come to that address.
            Ok(Pushed { storage, place }) if storage == companion.id => Some(CopyAt { storage, place }),
            Ok(Pushed { storage, .. }) => {
                let (address, wanted) = (companion.client.address(), &companion.id);
                tracing::warn!(address, wanted, found = storage, "another storage has come to this address");
                self.peers.doubt(address);
                None
            }
            Err(error) => {
                self.gave_up(companion, &error);
                None
            }
        }
    }

    fn gave_up(&self, companion: &Companion, error: &ClientError) {
        tracing::warn!(peer = companion.client.address(), %error, "a storage does not take a copy while it comes in; it fetches it later");
        // One that refuses is well; it may have no room.
        if error.code().is_none() {
            self.peers.doubt(companion.client.address());
        }
    }

    fn check(&self, others: usize) -> Result<(), Failure> {
        if others >= self.wanted {
            return Ok(());
        }
        if self.strict {
            let text = format!(
                "{} storages of the group are to have the file before it is answered (ack_copies), and {} can take it now; \
                 try again when more are there",
                self.wanted + 1,
                others + 1
            );
            return Err(Failure::new(ErrorCode::UNAVAILABLE, text));
        }
        Ok(())
    }

    /// The same at the end, where an upload counts that is answered with fewer copies than it should have.
    fn conclude(&self, others: usize) -> Result<(), Failure> {
        self.check(others)?;
        if others < self.wanted {
            StorageMetrics::global().short_acks.inc();
        }
        Ok(())
    }
}

/// A body that others get as well, while it is read.
pub(crate) struct Shared<'a, S> {
    pub(crate) supply: &'a mut S,
    pub(crate) companions: &'a mut Companions,
}

impl<S: Supply + Send> Supply for Shared<'_, S> {
    async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.supply.read_some(buffer).await?;
        if !self.companions.is_nobody() {
            self.companions.write(&buffer[..got]).await;
        }
        Ok(got)
    }
}
