//! PUSH and KEEP: another storage of the group takes an upload, and passes its bytes on while they come in.

use bytes::BytesMut;
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_proto::{
    Checksum, Failure, FileKey, Keep, Labels, NewUpload, Push, Pushed, PushedPlace, Request, Upload,
};

use crate::digest::Digest;
use crate::held::HeldFile;
use crate::intake::{Arrived, End};
use crate::pump::{BrokenOff, Flow, Head, pump};
use crate::service::StorageService;
use crate::upload::{IN_MEMORY, check_trailer, discard, keep_sums};
use crate::volume::Incoming;

impl StorageService {
    pub(crate) async fn push(&self, connection: &mut Connection) -> Result<Reply, Interrupt> {
        let Push(Upload { key, size }) = Push::decode(&connection.fixed_part(Upload::LEN).await?)?;
        if size.checked_add(Push::TRAILER_LEN as u64) != Some(connection.body_left()) {
            let text = format!("the push says {size} bytes, its body has {}", connection.body_left());
            return Err(Failure::bad_request(text).into());
        }
        if !self.replicates {
            let text = format!("group {} does not keep copies here: nothing is pushed to it", self.group);
            return Err(Failure::bad_request(text).into());
        }
        let _taking = self.standing.admit()?;
        let place = if size <= IN_MEMORY {
            self.hold_small(connection, &key, size).await?
        } else {
            self.hold_large(connection, size, Head::default()).await?
        };
        tracing::debug!(peer = %connection.peer(), file = %key, size, "holds what was pushed");
        let storage = self.volume.owner().storage.clone();
        let mut body = BytesMut::with_capacity(96);
        Pushed { storage, place }.encode(&mut body);
        Ok(Reply::Body(body))
    }

    pub(crate) async fn keep(&self, request: Keep) -> Reply {
        self.held.keep(&request.places).await;
        Reply::empty()
    }

    async fn hold_small(
        &self,
        connection: &mut Connection,
        key: &FileKey,
        len: u64,
    ) -> Result<PushedPlace, Interrupt> {
        self.check_len(len)?;
        let reservation = self.volume.reserve(len)?;
        let size = usize::try_from(len).unwrap_or(usize::MAX);
        let head = Head::read(connection, size, &self.buffers, &self.counters).await?;
        if head.bytes.len() < size {
            drop(reservation);
            return self.hold_large(connection, len, head).await;
        }
        let Head { bytes, share } = head;
        let mut expected = Checksum::UNKNOWN;
        connection.read_bulk(&mut expected.0).await?;
        let (place, created_ms) = self.next_place(reservation.path()).await?;
        let intake = self.intake(reservation.path())?;
        let new = NewUpload { key: key.clone(), size: len, labels: Labels::default(), ack_copies: 0 };
        let path = PushedPlace { path_index: reservation.path().index(), path: place.path() };
        let reservation = Some(reservation);
        let end = End::Held(self.held.clone());
        intake.store(Arrived { new, bytes, share, expected, place, created_ms, reservation, end }).await?;
        Ok(path)
    }

    async fn hold_large(
        &self,
        connection: &mut Connection,
        size: u64,
        head: Head,
    ) -> Result<PushedPlace, Interrupt> {
        self.check_len(size)?;
        let reservation = self.volume.reserve(size)?;
        let (place, _) = self.next_place(reservation.path()).await?;
        let incoming = Incoming::new(reservation.path().clone(), place, size);
        let mut digest = Digest::default();
        let flow = Flow { budget: &self.buffers, counters: &self.counters, digest: Some(&mut digest) };
        let incoming = match pump(connection, head, size, incoming, flow).await {
            Ok(incoming) => incoming,
            Err(broken) => return Err(discard(broken).await),
        };
        let received = digest.finish();
        if let Err(interrupt) = check_trailer(connection, received.blake3).await {
            return Err(discard(BrokenOff { sink: Some(incoming), why: interrupt }).await);
        }
        let (names, place) = incoming.hand_over();
        keep_sums(&names, &place, received.sums, (size, received.blake3)).await;
        Ok(self.held.hold(HeldFile::new(names, place, Some(reservation))))
    }
}
