//! The tnv wire: a 10-byte header, fixed-size text fields, big-endian integers.
//!
//! This crate turns bytes into typed requests and replies and back. It does no I/O, reads no clock and never
//! allocates for a length it has not checked, so every server and client can trust it with hostile input.
//! docs/protocol.md describes each layout with a golden vector; `tests/golden.rs` holds the code to it.
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod command;
mod error;
mod field;
mod groups;
mod header;
mod member;
mod push;
mod reply;
mod request;
pub mod state;
mod upload;

pub use command::{Command, Server};
pub use error::{ErrorCode, Failure, MAX_FAILURE_TEXT, Malformed};
pub use field::{AppId, FileId, GroupName, HostName, UserId, Version};
pub use groups::{GroupText, StorageText, render_groups};
pub use header::{HEADER_LEN, Header, STATUS_FAILURE, STATUS_OK};
pub use member::{MAX_IDENTITY_LEN, MemberAction, MemberRequest, MemberStatus, Membership};
pub use push::{Keep, MAX_KEEP_LEN, Push, Pushed, PushedPlace};
pub use reply::{Acknowledged, Attributes, Checksum, IdRange, StorageAddresses};
pub use request::{
    Beat, Download, FileKey, IdGet, IdLease, Join, MAX_REPORT_LEN, Read, Report, Request, Saddrs, Upload,
};
pub use upload::{
    Append, Begin, FileList, Finish, KnownUpload, Labels, List, ListOrder, MAX_CONTENT_TYPE_LEN,
    MAX_CURSOR_LEN, MAX_LABELS_LEN, MAX_LIST_TEXT_LEN, MAX_NAME_LEN, NewUpload, NewUploadFixed, Store,
    UploadProgress,
};
