//! Bytes of files on this machine on their way to the client: from the page cache to the socket, within the kernel.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::ops::Range;
use std::task::Poll;

use bytes::Buf;
use rustix::io::Errno;
use tnv_common::disk::{DiskFile, Window};
use tnv_common::socket::{self, Unsent};
use tokio::io::Interest;

use super::outflow::{Broken, Outflow, SMALL};
use crate::body::{BodyError, Local};

/// For answers that are longer, in bytes, the socket's limit on what waits in the kernel is lifted.
const LARGE: u64 = 512 * 1024;

impl Outflow<'_> {
    /// Sends bytes of a file. What is not in memory is brought there by a blocking thread first, a window at a time.
    pub(super) async fn send_local(&mut self, mut local: Local) -> Result<(), Broken> {
        // What cannot be looked at in advance would be waited for in the middle of a sendfile.
        if local.len() <= SMALL || !local.file().disk().tells_what_is_cached() {
            return self.copy_local(local).await;
        }
        let is_large = local.len() > LARGE;
        if is_large {
            socket::limit_unsent(self.stream, Unsent::Any);
        }
        let file = local.file().clone();
        let mut window: Option<Window> = None;
        while !local.is_empty() {
            let mut there = self.there(&local).await?;
            local.gave(there.end - there.start);
            let window = window.get_or_insert_with(|| Window::at(there.start));
            while !there.is_empty() {
                let len = match window.advance(&file, &there).await {
                    Ok(len) => len,
                    Err(error) => return Err(self.broken(&error.into())),
                };
                let sent = self.send_file(&file, there.start, len).await?;
                there.start += sent as u64;
                self.given += sent as u64;
            }
        }
        if is_large {
            socket::limit_unsent(self.stream, Unsent::Usual);
        }
        Ok(())
    }

    async fn copy_local(&mut self, mut local: Local) -> Result<(), Broken> {
        while !local.is_empty() {
            self.there(&local).await?;
            match local.chunk().await {
                Ok(bytes) => self.send(bytes).await?,
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(())
    }

    /// Which of the bytes are there. While none are, what is held goes out: the client is to have the head.
    async fn there(&mut self, local: &Local) -> Result<Range<u64>, Broken> {
        let mut there = std::pin::pin!(local.there());
        let told = poll_fn(|cx| Poll::Ready(there.as_mut().poll(cx))).await;
        let told = match told {
            Poll::Ready(told) => told,
            Poll::Pending => {
                self.flush().await?;
                there.await
            }
        };
        told.map_err(|error| self.broken(&error))
    }

    /// Sends up to `len` bytes of the file, from `offset` on, behind what is held. Returns how many went out.
    async fn send_file(&mut self, file: &DiskFile, offset: u64, len: usize) -> Result<usize, Broken> {
        loop {
            let held = &self.held;
            let attempt = self.stream.try_io(Interest::WRITABLE, || match held.is_empty() {
                false => socket::send_ahead(self.stream, held),
                true => socket::send_file(self.stream, file, offset, len),
            });
            match attempt {
                Ok(sent) if !self.held.is_empty() => {
                    self.held.advance(sent);
                    self.sent(sent);
                }
                Ok(0) => return Err(self.broken(&BodyError::File(file.ended()))),
                Ok(sent) => {
                    self.sent(sent);
                    return Ok(sent);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable().await?,
                // No socket says so.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                    return Err(self.broken(&error.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
