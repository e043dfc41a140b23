//! Small bodies: header and bytes in one write, from memory that a thread has for all of them.

use std::cell::RefCell;

use tnv_proto::HEADER_LEN;

use super::{Halt, Sending, mismatch};

/// The longest body that is copied rather than sent from the page cache: sendfile takes more system calls.
const SMALL: u64 = 16 * 1024;

thread_local! {
    /// Where header and body meet. Never held across a wait.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Sending<'_> {
    /// Sends a small body, or what the socket takes of it at once. `true`: that was all.
    pub(super) async fn send_small(&mut self) -> Result<bool, Halt> {
        if self.len > SMALL || !self.source.disk().tells_what_is_cached() {
            return Ok(false);
        }
        // A whole one is held against its checksum in passing.
        if self.crc32.is_none() {
            self.verify(self.len).await?;
        }
        if !self.send_cached()? {
            self.source.warm(self.range.clone(), 0).await.map_err(Halt::File)?;
            // They may be gone again already.
            self.send_cached()?;
        }
        Ok(self.header_sent == HEADER_LEN && self.range.is_empty())
    }

    /// `false`: not all of the bytes are in memory, and nothing was sent.
    fn send_cached(&mut self) -> Result<bool, Halt> {
        SCRATCH.with_borrow_mut(|scratch| {
            // At most `SMALL` bytes.
            let len = self.len as usize;
            if scratch.len() < HEADER_LEN + len {
                scratch.resize(HEADER_LEN + len, 0);
            }
            let frame = &mut scratch[..HEADER_LEN + len];
            let (header, body) = frame.split_at_mut(HEADER_LEN);
            if !self.source.read_cached(body, self.range.start) {
                return Ok(false);
            }
            if let Some(expected) = self.crc32.take() {
                let found = crc32fast::hash(body);
                if found != expected {
                    return Err(mismatch(found, expected));
                }
            }
            header.copy_from_slice(&self.connection.success(self.len));
            let sent = self.connection.try_begin_reply(frame).map_err(Halt::Peer)?;
            self.header_sent = sent.min(HEADER_LEN);
            self.advance(sent - self.header_sent);
            Ok(true)
        })
    }
}
