//! Error numbers, and failures as they travel in a reply.

use std::fmt;

use bytes::{BufMut, BytesMut};

/// The longest description in a failure reply, in bytes, its NUL not counted.
pub const MAX_FAILURE_TEXT: usize = 1023;

/// Bytes that do not have the layout they should have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl Malformed {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Malformed(text.into())
    }
}

/// The number of a failure. The numbers read like HTTP statuses; servers older than this project send 0xFFFF for
/// everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u16);

macro_rules! error_codes {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, $text:literal; )*) => {
        impl ErrorCode {
            $( $(#[$doc])* pub const $name: ErrorCode = ErrorCode($number); )*

            /// Every number this project sends.
            pub const ALL: &'static [ErrorCode] = &[$( ErrorCode::$name, )*];

            /// What the number means, in a few words.
            pub const fn meaning(self) -> &'static str {
                match self.0 { $( $number => $text, )* _ => "failure" }
            }
        }
    };
}

error_codes! {
    /// The request makes no sense: layout, length, characters, command.
    BAD_REQUEST = 400, "bad request";
    /// The app is not served here.
    FORBIDDEN = 403, "forbidden";
    /// No such file, group or storage.
    NOT_FOUND = 404, "not found";
    /// The file id is taken.
    CONFLICT = 409, "already exists";
    /// The file is no longer the one that was asked for.
    CHANGED = 412, "changed";
    /// The file is larger than this server takes.
    TOO_LARGE = 413, "too large";
    /// Offset or size outside the file.
    RANGE = 416, "range outside the file";
    /// Somebody else is writing to this upload right now.
    LOCKED = 423, "locked";
    /// A limit on how much one may ask is reached.
    BUSY = 429, "too many";
    /// Something broke on the server.
    INTERNAL = 500, "internal error";
    /// Not now: no storage, no database, or too many connections.
    UNAVAILABLE = 503, "unavailable";
    /// No room for the file, or no number left for it.
    NO_SPACE = 507, "no space";
    /// What servers older than this project send for everything.
    UNSPECIFIED = 0xFFFF, "failure";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A refusal: its number and a sentence for people. The number steers what the other side does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({code})")]
pub struct Failure {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// What is wrong, where, and what can be done about it.
    pub text: String,
}

impl Failure {
    /// A failure with this number and sentence.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Failure { code, text: text.into() }
    }

    /// A failure numbered 400.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Failure::new(ErrorCode::BAD_REQUEST, text)
    }

    /// Appends the body of a failure reply: number, `[host] text`, NUL. Text over [`MAX_FAILURE_TEXT`] bytes is cut
    /// between two characters; NULs inside it become spaces.
    pub fn encode(&self, host: &str, out: &mut BytesMut) {
        let text = format!("[{host}] {}", self.text).replace('\0', " ");
        let mut end = text.len().min(MAX_FAILURE_TEXT);
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        out.put_u16(self.code.0);
        out.put_slice(text.get(..end).unwrap_or_default().as_bytes());
        out.put_u8(0);
    }

    /// Reads the body of a failure reply. A missing description or NUL is tolerated, as are bytes that are not
    /// UTF-8: whoever reads this has already failed and wants to know why.
    ///
    /// # Errors
    /// [`Malformed`] if not even the number is there.
    pub fn decode(body: &[u8]) -> Result<Failure, Malformed> {
        let (number, text) = body
            .split_first_chunk::<2>()
            .ok_or_else(|| Malformed::new("a failure reply without its number"))?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Failure::new(ErrorCode(u16::from_be_bytes(*number)), String::from_utf8_lossy(text)))
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Failure::bad_request(malformed.0)
    }
}
