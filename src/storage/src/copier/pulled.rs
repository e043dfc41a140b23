//! A download as a supply of bytes, read from the socket straight into the buffer that goes to the disk.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tnv_client::{ClientError, Download};
use tokio::time::timeout;

use crate::pump::Supply;

/// How long a peer may send nothing before another one is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that another storage sends, and the next one where it breaks off.
pub(crate) struct Pulled {
    download: Download,
    /// What came along with the header.
    ahead: Bytes,
    /// Bytes that were not handed out yet.
    left: u64,
    /// The addresses of those who have sent some.
    senders: Vec<String>,
}

impl Pulled {
    pub(crate) fn new(download: Download) -> Pulled {
        let left = download.size();
        let mut pulled = Pulled { download, ahead: Bytes::new(), left, senders: Vec::new() };
        pulled.begin();
        pulled
    }

    /// How many bytes come in all.
    pub(super) fn size(&self) -> u64 {
        self.download.size()
    }

    /// How many bytes are still to come.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// The addresses of those whose bytes are among these.
    pub(crate) fn senders(&self) -> &[String] {
        &self.senders
    }

    /// Takes the addresses of those who broke off or did not answer.
    pub(crate) fn take_broken(&mut self) -> Vec<Arc<str>> {
        self.download.take_broken()
    }

    /// Fills the buffer, or as much of it as there are bytes to come.
    pub(crate) async fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < wanted {
            filled += self.read_some(&mut buffer[filled..wanted]).await?;
        }
        Ok(filled)
    }

    /// Somebody sends now.
    fn begin(&mut self) {
        if let Some(sender) = self.download.sender()
            && !self.senders.iter().any(|known| known == sender)
        {
            self.senders.push(sender.to_owned());
        }
        self.ahead = self.download.take_ahead().unwrap_or_default();
    }

    async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.download.rest()).unwrap_or(usize::MAX));
        let stream = self.download.stream().map_err(failed)?;
        loop {
            match stream.try_read(&mut buffer[..wanted]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    timeout(PATIENCE, stream.readable()).await.map_err(io::Error::from)??;
                }
                result => return result,
            }
        }
    }
}

impl Supply for Pulled {
    async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.ahead.is_empty() {
                let len = buffer.len().min(self.ahead.len());
                self.ahead.copy_to_slice(&mut buffer[..len]);
                self.left -= len as u64;
                return Ok(len);
            }
            match self.receive(buffer).await {
                Ok(len) => {
                    self.download.took(len as u64);
                    self.left -= len as u64;
                    return Ok(len);
                }
                Err(error) => self.download.go_on(error).await.map_err(failed)?,
            }
            self.begin();
        }
    }
}

fn failed(error: ClientError) -> io::Error {
    io::Error::other(error)
}
