//! Connections that speak tnv's own frames, encoded beforehand where that can be.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::bail;
use bytes::BytesMut;
use tnv_proto::{
    AppId, Command, Download, Failure, FileKey, HEADER_LEN, Header, Request, STATUS_OK, Saddrs,
    StorageAddresses, Upload, UserId,
};

use crate::contents;
use crate::load::Exchange;
use crate::socket::Socket;

/// The app of all files.
pub(crate) const APP: &str = "tnvideo";

/// One connection to one server.
pub(crate) struct Wire {
    socket: Socket,
}

impl Wire {
    pub(crate) async fn connect(server: SocketAddr) -> anyhow::Result<Wire> {
        Ok(Wire { socket: Socket::connect(server).await? })
    }

    /// Sends a whole request, and returns the body of its answer.
    ///
    /// # Errors
    /// If the server refuses, in its words.
    pub(crate) async fn call(&mut self, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.socket.send(request).await?;
        let length = self.answer().await?;
        self.socket.small_body(length).await
    }

    /// Takes the header of an answer, and returns how long its body is.
    ///
    /// # Errors
    /// If the server refuses, in its words.
    async fn answer(&mut self) -> anyhow::Result<u64> {
        let header = self.socket.head(header).await?;
        if header.status != STATUS_OK {
            bail!("refused: {}", Failure::decode(&self.socket.small_body(header.body_len).await?)?);
        }
        Ok(header.body_len)
    }

    /// Asks a tracker for the storages of a user.
    pub(crate) async fn storages(&mut self, user: &UserId) -> anyhow::Result<StorageAddresses> {
        let request = Saddrs { app: AppId::new(APP)?, user: user.clone(), file: None };
        Ok(StorageAddresses::decode(&self.call(&request.to_frame()).await?)?)
    }
}

/// The header of an answer, for [`Socket::head`].
///
/// # Errors
/// If it is none.
pub(crate) fn header(bytes: &[u8]) -> anyhow::Result<Option<(Header, usize)>> {
    let Some(header) = bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
    Ok(Some((Header::decode(*header)?, HEADER_LEN)))
}

/// UPLOAD, each time of a new file of one user. The contents are those of [`contents`].
pub(crate) struct Uploads {
    wire: Wire,
    /// The request; only the file's id changes from one to the next, and large contents are sent behind it.
    frame: BytesMut,
    user: UserId,
    size: u64,
    file: NewIds,
}

/// Up to this length the contents go out with the request.
const IN_ONE_WRITE: u64 = 256 * 1024;

impl Uploads {
    pub(crate) async fn connect(storage: SocketAddr, user: &str, size: u64) -> anyhow::Result<Uploads> {
        let (user, file) = (UserId::new(user)?, NewIds::new());
        let mut frame = Upload { key: FileKey::new(APP, user.as_str(), &file.id())?, size }.to_frame();
        if size <= IN_ONE_WRITE {
            frame.extend_from_slice(&contents::whole(size as usize));
        }
        Ok(Uploads { wire: Wire::connect(storage).await?, frame, user, size, file })
    }

    /// Uploads a file, and returns what it is called.
    pub(crate) async fn upload(&mut self) -> anyhow::Result<FileKey> {
        self.exchange().await?;
        Ok(FileKey::new(APP, self.user.as_str(), &self.file.id())?)
    }
}

impl Exchange for Uploads {
    async fn exchange(&mut self) -> anyhow::Result<()> {
        // App and user lie in fields of 16 and 256 bytes.
        const FILE: usize = HEADER_LEN + 16 + 256;
        let id = self.file.next();
        self.frame[FILE..FILE + id.len()].copy_from_slice(id.as_bytes());
        let sent = self.send().await;
        // A storage that refuses hangs up before all has been sent, and has said why.
        match self.wire.answer().await? {
            0 => sent,
            length => bail!("the answer to an UPLOAD has {length} bytes"),
        }
    }
}

impl Uploads {
    async fn send(&mut self) -> anyhow::Result<()> {
        self.wire.socket.send(&self.frame).await?;
        if self.size > IN_ONE_WRITE {
            for piece in contents::pieces(self.size) {
                self.wire.socket.send(piece).await?;
            }
        }
        Ok(())
    }
}

/// New file ids, as long as those that clients make, and cheaper.
struct NewIds {
    origin: u64,
    count: u64,
}

impl NewIds {
    fn new() -> NewIds {
        NewIds { origin: rand::random(), count: 0 }
    }

    fn next(&mut self) -> String {
        self.count += 1;
        self.id()
    }

    /// The last one.
    fn id(&self) -> String {
        format!("{:016x}{:020x}", self.origin, self.count)
    }
}

/// FILESIZE, each time of any of some files.
pub(crate) struct Sizes {
    wire: Wire,
    requests: Arc<[BytesMut]>,
    size: i64,
}

impl Sizes {
    /// `size` is what all files have.
    pub(crate) async fn connect(
        storage: SocketAddr,
        requests: Arc<[BytesMut]>,
        size: u64,
    ) -> anyhow::Result<Sizes> {
        Ok(Sizes { wire: Wire::connect(storage).await?, requests, size: i64::try_from(size)? })
    }

    /// The requests for these files.
    pub(crate) fn requests(keys: &[FileKey]) -> Arc<[BytesMut]> {
        keys.iter().map(|key| key.to_frame(Command::FileSize)).collect()
    }
}

impl Exchange for Sizes {
    async fn exchange(&mut self) -> anyhow::Result<()> {
        let size = self.wire.call(any_of(&self.requests)).await?;
        if size != self.size.to_be_bytes() {
            bail!("a file of {} bytes is said to have {size:?}", self.size);
        }
        Ok(())
    }
}

/// DOWNLOAD, each time of any of some files, whole.
pub(crate) struct Downloads {
    wire: Wire,
    requests: Arc<[BytesMut]>,
    size: u64,
    /// Whether the bytes have been compared; after that only their number is.
    is_checked: bool,
}

impl Downloads {
    /// `size` is what all files have.
    pub(crate) async fn connect(
        storage: SocketAddr,
        requests: Arc<[BytesMut]>,
        size: u64,
    ) -> anyhow::Result<Downloads> {
        Ok(Downloads { wire: Wire::connect(storage).await?, requests, size, is_checked: false })
    }

    /// The requests for these files.
    pub(crate) fn requests(keys: &[FileKey]) -> Arc<[BytesMut]> {
        let whole = |key: &FileKey| Download { key: key.clone(), offset: 0, size: 0 }.to_frame();
        keys.iter().map(whole).collect()
    }
}

impl Exchange for Downloads {
    async fn exchange(&mut self) -> anyhow::Result<()> {
        self.wire.socket.send(any_of(&self.requests)).await?;
        let length = self.wire.answer().await?;
        if length != self.size {
            bail!("a file of {} bytes comes with {length}", self.size);
        }
        if self.is_checked {
            self.wire.socket.body(length, |_, _| Ok(())).await
        } else {
            self.is_checked = true;
            self.wire.socket.body(length, contents::check).await
        }
    }
}

/// One of several requests, each as likely.
pub(crate) fn any_of(requests: &[BytesMut]) -> &BytesMut {
    match requests {
        [only] => only,
        _ => &requests[rand::random_range(0..requests.len())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_in_a_frame_can_be_changed_in_place() {
        let mut ids = NewIds::new();
        let frame = |id: &str| Upload { key: FileKey::new(APP, "user", id).unwrap(), size: 7 }.to_frame();
        let mut changed = frame(&ids.id());
        let next = ids.next();
        assert_eq!(next.len(), 36);
        changed[282..282 + 36].copy_from_slice(next.as_bytes());
        assert_eq!(changed, frame(&next));
    }
}
