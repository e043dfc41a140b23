//! A download as a supply of bytes, read from the socket straight into the buffer that goes to the disk.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tnv_client::{ClientError, Download};
use tokio::time::timeout;

use crate::pump::Supply;

/// How long a peer may send nothing before another one is asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that another storage sends, and the next one where it breaks off.
pub(super) struct Pulled {
    download: Download,
    /// What came along with the header.
    ahead: Bytes,
}

impl Pulled {
    pub(super) fn new(mut download: Download) -> Pulled {
        let ahead = download.take_ahead().unwrap_or_default();
        Pulled { download, ahead }
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
                return Ok(len);
            }
            match self.receive(buffer).await {
                Ok(len) => {
                    self.download.took(len as u64);
                    return Ok(len);
                }
                Err(error) => self.download.go_on(error).await.map_err(failed)?,
            }
            self.ahead = self.download.take_ahead().unwrap_or_default();
        }
    }
}

fn failed(error: ClientError) -> io::Error {
    io::Error::other(error)
}
