//! The 10 bytes before every body.

use crate::Malformed;

/// The length of a header, in bytes.
pub const HEADER_LEN: usize = 10;
/// The status of a reply that succeeded.
pub const STATUS_OK: u8 = 0;
/// The status of a reply that failed (-3 as a signed byte).
pub const STATUS_FAILURE: u8 = 0xFD;

/// A frame's header: body length, command, status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The body's length in bytes, at most `i64::MAX`.
    pub body_len: u64,
    /// A request's command, or which kind of server a reply is from.
    pub command: u8,
    /// Ignored in a request; in a reply [`STATUS_OK`] or a failure.
    pub status: u8,
}

impl Header {
    /// The header of a request.
    pub const fn request(command: crate::Command, body_len: u64) -> Header {
        Header { body_len, command: command as u8, status: STATUS_OK }
    }

    /// The header of a reply that succeeded.
    pub const fn success(server: crate::Server, body_len: u64) -> Header {
        Header { body_len, command: server.reply_command(), status: STATUS_OK }
    }

    /// The header of a reply that failed.
    pub const fn failure(server: crate::Server, body_len: u64) -> Header {
        Header { body_len, command: server.reply_command(), status: STATUS_FAILURE }
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`Malformed`] if the length is negative.
    pub fn decode(bytes: [u8; HEADER_LEN]) -> Result<Header, Malformed> {
        let [l0, l1, l2, l3, l4, l5, l6, l7, command, status] = bytes;
        let body_len = i64::from_be_bytes([l0, l1, l2, l3, l4, l5, l6, l7]);
        let body_len = u64::try_from(body_len)
            .map_err(|_| Malformed::new(format!("a body length of {body_len} is negative")))?;
        Ok(Header { body_len, command, status })
    }

    /// Writes the header. Lengths above `i64::MAX` do not occur: bodies are files or small frames.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let [l0, l1, l2, l3, l4, l5, l6, l7] = self.body_len.to_be_bytes();
        [l0, l1, l2, l3, l4, l5, l6, l7, self.command, self.status]
    }
}
