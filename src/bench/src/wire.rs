//! Connections that speak tnv's own frames, with as little work of their own as possible: they share the machine with
//! the servers.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::BytesMut;
use tnv_client::new_file_id;
use tnv_proto::{
    AppId, Command, Failure, FileKey, HEADER_LEN, Header, Request, STATUS_OK, Saddrs, StorageAddresses,
    Upload, UserId,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::Exchange;

/// The app of all files.
pub(crate) const APP: &str = "tnvideo";

/// One connection to one server.
pub(crate) struct Wire {
    stream: TcpStream,
    /// The answer, header and body.
    answer: BytesMut,
}

impl Wire {
    pub(crate) async fn connect(server: SocketAddr) -> anyhow::Result<Wire> {
        let stream =
            TcpStream::connect(server).await.with_context(|| format!("cannot connect to {server}"))?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, answer: BytesMut::with_capacity(8 * 1024) })
    }

    /// Sends a whole request, and returns the body of its answer.
    ///
    /// # Errors
    /// If the server refuses, in its words.
    pub(crate) async fn call(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let header = loop {
            if let Some(header) = self.answer.first_chunk::<HEADER_LEN>() {
                break Header::decode(*header)?;
            }
            self.receive().await?;
        };
        let end = HEADER_LEN + usize::try_from(header.body_len)?;
        while self.answer.len() < end {
            self.receive().await?;
        }
        let body = self.answer.get(HEADER_LEN..end).unwrap_or_default();
        if header.status != STATUS_OK {
            bail!("refused: {}", Failure::decode(body)?);
        }
        Ok(body)
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.answer).await? == 0 {
            bail!("the server hung up");
        }
        Ok(())
    }

    /// Asks a tracker for the storages of a user.
    pub(crate) async fn storages(&mut self, user: &UserId) -> anyhow::Result<StorageAddresses> {
        let request = Saddrs { app: AppId::new(APP)?, user: user.clone(), file: None };
        Ok(StorageAddresses::decode(self.call(&request.to_frame()).await?)?)
    }
}

/// UPLOAD, each time of a new file of one user.
pub(crate) struct Uploads {
    wire: Wire,
    user: UserId,
    contents: Arc<[u8]>,
}

impl Uploads {
    pub(crate) async fn connect(
        storage: SocketAddr,
        user: &str,
        contents: Arc<[u8]>,
    ) -> anyhow::Result<Uploads> {
        Ok(Uploads { wire: Wire::connect(storage).await?, user: UserId::new(user)?, contents })
    }

    /// Uploads a file, and returns what it is called.
    pub(crate) async fn upload(&mut self) -> anyhow::Result<FileKey> {
        let key = FileKey { app: AppId::new(APP)?, user: self.user.clone(), file: new_file_id(&self.user) };
        let upload = Upload { key, size: self.contents.len() as u64 };
        let mut frame = upload.to_frame();
        frame.extend_from_slice(&self.contents);
        self.wire.call(&frame).await?;
        Ok(upload.key)
    }
}

impl Exchange for Uploads {
    async fn exchange(&mut self) -> anyhow::Result<()> {
        self.upload().await.map(drop)
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
        size: usize,
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
        let any = rand::random_range(0..self.requests.len());
        let size = self.wire.call(&self.requests[any]).await?;
        if size != self.size.to_be_bytes() {
            bail!("a file of {} bytes is said to have {size:?}", self.size);
        }
        Ok(())
    }
}
