//! What is between sockets and answers.

pub(crate) mod server;

pub(crate) use crate::condition::{self, Validators, Verdict};
pub(crate) use crate::cors::Cors;
pub(crate) use crate::host::Hosts;
pub(crate) use crate::multipart::{self, Piece};
pub(crate) use crate::origin;
pub(crate) use crate::range::{self, ByteRange, Selection};
