//! Bytes that go from the page cache to the socket within the kernel. A client that does not take them holds no memory.

use rustix::io::Errno;
use tnv_common::disk::Window;
use tnv_proto::HEADER_LEN;

use super::{Halt, Sending};

impl Sending<'_> {
    pub(super) async fn zero_copy(&mut self) -> Result<(), Halt> {
        let mut window = Window::at(self.range.start);
        loop {
            let len = window.advance(&self.source, &self.range).await.map_err(Halt::File)?;
            self.verify(len as u64).await?;
            if self.header_sent < HEADER_LEN {
                self.begin().await?;
            }
            if self.range.is_empty() {
                return Ok(());
            }
            match self.connection.send_file(&*self.source, self.range.start, len).await {
                Ok(0) => return Err(Halt::File(self.source.ended())),
                Ok(sent) => self.advance(sent),
                // No socket says so.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                    return Err(Halt::File(error));
                }
                Err(error) => return Err(Halt::Peer(error)),
            }
        }
    }

    /// Sends what is left of the header, so that it leaves together with the first bytes.
    async fn begin(&mut self) -> Result<(), Halt> {
        let header = self.connection.success(self.len);
        let sent = if self.header_sent > 0 {
            self.connection.send_ahead(&header[self.header_sent..]).await
        } else if self.range.is_empty() {
            self.connection.begin_reply(0, &[]).await
        } else {
            self.connection.begin_reply_ahead(self.len).await
        };
        self.header_sent = HEADER_LEN;
        sent.map_err(Halt::Peer)
    }
}
