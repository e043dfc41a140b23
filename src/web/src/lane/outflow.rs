//! An answer's way to its client.

use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tnv_client::{Deadline, Download};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::pipe::Pipe;
use crate::access::Access;
use crate::body::BodyError;

/// A client must take so many bytes within `progress_timeout`, or all that are there: less is as good as nothing.
const MIN_PROGRESS: usize = 16 * 1024;
/// What is not longer than this is copied, and goes out in one write if it has come in one.
pub(super) const SMALL: u64 = 64 * 1024;
/// What is copied at once.
const COPIED: usize = 256 * 1024;

/// Why an answer has not gone out.
pub(super) enum Broken {
    /// The client is gone, or takes nothing.
    Client(io::Error),
    /// There is nothing more to send. It was logged.
    Body,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Client(error)
    }
}

/// Sends the bytes of an answer as fast as the client takes them.
pub(super) struct Outflow<'a> {
    pub(super) stream: &'a TcpStream,
    access: Access,
    /// What goes out together with what comes next.
    pub(super) held: BytesMut,
    /// How much of `held` belongs to the head.
    head: usize,
    /// How much of the body was handed in.
    pub(super) given: u64,
    deadline: &'a mut Deadline,
    pace: Pace,
}

impl<'a> Outflow<'a> {
    /// Begins with the head, which waits for the first bytes of the body.
    pub(super) fn new(
        stream: &'a TcpStream,
        head: BytesMut,
        access: Access,
        deadline: &'a mut Deadline,
        patience: Duration,
    ) -> Outflow<'a> {
        let pace = Pace { window: patience, left: patience, moved: 0 };
        Outflow { stream, access, head: head.len(), held: head, given: 0, deadline, pace }
    }

    /// Sends bytes of the body.
    pub(super) async fn send(&mut self, mut text: Bytes) -> Result<(), Broken> {
        self.given += text.len() as u64;
        while !text.is_empty() {
            let sent = self.write(&text).await?;
            text.advance(sent);
        }
        Ok(())
    }

    /// Sends what a download has left.
    pub(super) async fn relay(&mut self, download: &mut Download) -> Result<(), Broken> {
        self.given += download.rest();
        loop {
            match (download.take_ahead(), download.rest()) {
                // The rest is close behind: both go out in one write.
                (Some(ahead), 1..=SMALL) => self.held.extend_from_slice(&ahead),
                (Some(ahead), _) => {
                    self.given -= ahead.len() as u64;
                    self.send(ahead).await?;
                }
                (None, _) => {}
            }
            let come = match download.rest() {
                0 => return Ok(()),
                1..=SMALL => self.copy(download).await?,
                _ => self.splice(download).await?,
            };
            if let Err(broken) = come
                && let Err(error) = download.go_on(broken).await
            {
                return Err(self.broken(&error.into()));
            }
        }
    }

    /// Sends what is left of an answer whose body has `len` bytes.
    pub(super) async fn finish(mut self, len: u64) -> Result<(), Broken> {
        self.flush().await?;
        if self.given != len {
            let difference = if self.given < len { "too little" } else { "too much" };
            return Err(self.broken(&BodyError::Length(difference)));
        }
        self.access.completed();
        Ok(())
    }

    /// Notes why the body ends before its time.
    pub(super) fn broken(&mut self, error: &BodyError) -> Broken {
        self.access.broken(error);
        Broken::Body
    }

    /// Moves bytes through a pipe. The inner error is the storage's.
    async fn splice(&mut self, download: &mut Download) -> Result<io::Result<()>, Broken> {
        let Ok(mut pipe) = Pipe::take() else { return self.copy(download).await };
        self.flush().await?;
        while download.rest() > 0 {
            let filled = match download.stream() {
                Ok(stream) => self.filled(&mut pipe, stream, download.rest()).await,
                Err(error) => return Err(self.broken(&error.into())),
            };
            match filled {
                Ok(filled) => download.took(filled as u64),
                Err(error) => {
                    pipe.put_back();
                    return Ok(Err(error));
                }
            }
            while pipe.held() > 0 {
                match pipe.try_drain(self.stream) {
                    Ok(sent) => self.sent(sent),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable().await?,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        pipe.put_back();
        Ok(Ok(()))
    }

    async fn filled(&mut self, pipe: &mut Pipe, from: &TcpStream, limit: u64) -> io::Result<usize> {
        self.deadline.set(self.pace.window);
        tokio::select! {
            biased;
            filled = pipe.fill(from, limit) => filled,
            () = self.deadline.passed() => Err(io::Error::new(ErrorKind::TimedOut, "the body stands still")),
        }
    }

    /// Copies bytes: what has come goes out at once. The inner error is the storage's.
    async fn copy(&mut self, download: &mut Download) -> Result<io::Result<()>, Broken> {
        while download.rest() > 0 {
            let come = match download.stream() {
                Ok(stream) => read(stream, &mut self.held, download.rest()),
                Err(error) => return Err(self.broken(&error.into())),
            };
            match come {
                Ok(come) => {
                    download.took(come as u64);
                    if self.held.len() >= COPIED {
                        self.flush().await?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.flush().await?;
                    if let Err(error) = self.readable(download).await {
                        return Ok(Err(error));
                    }
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(()))
    }

    async fn readable(&mut self, download: &Download) -> io::Result<()> {
        let stream = download.stream().map_err(io::Error::other)?;
        self.deadline.set(self.pace.window);
        tokio::select! {
            biased;
            readable = stream.readable() => readable,
            () = self.deadline.passed() => Err(io::Error::new(ErrorKind::TimedOut, "the body stands still")),
        }
    }

    /// Sends what is held.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while !self.held.is_empty() {
            self.write(&[]).await?;
        }
        Ok(())
    }

    /// Sends what is held and, in the same write, bytes behind it: how many of those went out.
    async fn write(&mut self, behind: &[u8]) -> io::Result<usize> {
        loop {
            let written = if self.held.is_empty() {
                self.stream.try_write(behind)
            } else {
                self.stream.try_write_vectored(&[IoSlice::new(&self.held), IoSlice::new(behind)])
            };
            match written {
                Ok(written) => {
                    let of_held = written.min(self.held.len());
                    self.held.advance(of_held);
                    self.sent(written);
                    return Ok(written - of_held);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// So many bytes went out, those of the head included.
    pub(super) fn sent(&mut self, bytes: usize) {
        let of_head = bytes.min(self.head);
        self.head -= of_head;
        self.access.sent(bytes - of_head);
        self.pace.moved(bytes);
    }

    /// Waits until the client takes something.
    pub(super) async fn writable(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        self.deadline.set(self.pace.left);
        tokio::select! {
            biased;
            writable = self.stream.writable() => writable?,
            () = self.deadline.passed() => {
                return Err(io::Error::new(ErrorKind::TimedOut, "the client takes nothing"));
            }
        }
        self.pace.waited(begun.elapsed());
        Ok(())
    }
}

/// Reads what has come on a socket behind what is held; a read that does not fill its room has emptied the socket.
fn read(stream: &TcpStream, held: &mut BytesMut, rest: u64) -> io::Result<usize> {
    use bytes::BufMut;

    let limit = COPIED.min(usize::try_from(rest).unwrap_or(usize::MAX));
    held.reserve(limit);
    match stream.try_read_buf(&mut held.limit(limit))? {
        0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed in mid-body")),
        read => Ok(read),
    }
}

/// Holds a client to its minimum rate. Only the time spent waiting for it counts, and that adds up over the steps of an
/// answer, however small they are.
struct Pace {
    window: Duration,
    left: Duration,
    moved: usize,
}

impl Pace {
    fn moved(&mut self, bytes: usize) {
        self.moved += bytes;
        if self.moved >= MIN_PROGRESS {
            self.moved = 0;
            self.left = self.window;
        }
    }

    fn waited(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }
}
