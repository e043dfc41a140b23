//! Replies whose body is a file's: without waiting while the socket has room, and without the bytes ever leaving the
//! kernel.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

use tnv_proto::{HEADER_LEN, Header};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::{Connection, Pace};
use crate::socket::{self, Unsent};

impl Connection {
    /// The header of a success whose body has `len` bytes.
    pub fn success(&self, len: u64) -> [u8; HEADER_LEN] {
        Header::success(self.server, len).encode()
    }

    /// Begins a reply with as much of `bytes` as the socket takes at once: its header, and what there is of its body.
    /// Returns how many bytes that was; nothing for a client whose rate is limited.
    ///
    /// # Errors
    /// I/O errors.
    pub fn try_begin_reply(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pace = Pace::new(&self.limits);
        if self.client.is_limited() {
            return Ok(0);
        }
        match self.stream.try_write(bytes) {
            Ok(0) if !bytes.is_empty() => Err(ErrorKind::WriteZero.into()),
            Ok(sent) => {
                self.bytes_out += sent as u64;
                self.pace.moved(sent, Duration::ZERO);
                Ok(sent)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Sends a success header for a body of `len` bytes, of which the first will follow at once.
    ///
    /// # Errors
    /// As [`Connection::send_bulk`].
    pub async fn begin_reply_ahead(&mut self, len: u64) -> io::Result<()> {
        self.pace = Pace::new(&self.limits);
        socket::limit_unsent(&self.stream, Unsent::Little);
        self.send_ahead(&self.success(len)).await
    }

    /// Sends bytes of a header that more will follow at once: they leave together with those.
    ///
    /// # Errors
    /// As [`Connection::send_bulk`].
    pub async fn send_ahead(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self.push(|stream| socket::send_ahead(stream, bytes)).await?;
            if sent == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Sends up to `len` bytes of `file`, from `offset` on, as soon as the socket takes some. Returns how many it took; 0
    /// if the file ends at `offset`. They must be in memory: where they are not, the calling thread waits for the disk.
    ///
    /// # Errors
    /// As [`Connection::send_bulk`], and those of reading the file.
    pub async fn send_file(&mut self, file: impl AsFd, offset: u64, len: usize) -> io::Result<usize> {
        let share = self.client.share(len);
        self.client.take(share).await;
        let sent = self.push(|stream| socket::send_file(stream, &file, offset, share)).await?;
        self.client.give_back(share - sent);
        Ok(sent)
    }

    /// Tries to hand something to the socket until it takes some of it, within the pace of the body.
    async fn push(&mut self, mut attempt: impl FnMut(&TcpStream) -> io::Result<usize>) -> io::Result<usize> {
        let stream = &self.stream;
        let pushing = stream.async_io(Interest::WRITABLE, || attempt(stream));
        let (sent, waited) = self.timer.within(self.pace.left(), "the reply", pushing).await?;
        self.bytes_out += sent as u64;
        self.pace.moved(sent, waited);
        Ok(sent)
    }
}
