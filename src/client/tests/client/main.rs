//! The client against servers that do what each test tells them, over real sockets.

mod fake;

mod download;
mod failover;
mod list;
mod located;
mod older;
mod parts;
mod pooling;
mod resume;
mod store;
mod upload;
mod upload_outcome;

use std::sync::Arc;
use std::time::Duration;

use tnv_client::{Client, Options};
use tnv_proto::{AppId, Attributes, Checksum, FileKey, Labels, UserId};
use tokio::sync::mpsc;

fn key() -> FileKey {
    FileKey::new("tnvideo", "tnv001", "file1").unwrap()
}

fn app() -> AppId {
    AppId::new("tnvideo").unwrap()
}

fn user() -> UserId {
    UserId::new("tnv001").unwrap()
}

fn labels() -> Labels {
    Labels::new("电影.mp4", "video/mp4").unwrap()
}

/// A cluster of one tracker.
fn client(tracker: &fake::Fake) -> Client {
    Client::new(vec![tracker.address.clone()], Options::default())
}

/// Options for tests that run into a time limit.
fn impatient() -> Options {
    let soon = Duration::from_millis(500);
    Options { reply_timeout: soon, upload_reply_timeout: soon, progress_timeout: soon, ..Options::default() }
}

/// Bytes that differ from place to place.
fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) >> 3) as u8).collect()
}

fn blake3_of(bytes: &[u8]) -> Checksum {
    Checksum(*blake3::hash(bytes).as_bytes())
}

fn attributes(size: u64, blake3: Checksum) -> Vec<u8> {
    let mut body = bytes::BytesMut::new();
    Attributes {
        size,
        created_ms: 1,
        crc32: 0,
        blake3,
        content_type: "video/mp4".to_owned(),
        name: String::new(),
    }
    .encode(&mut body);
    body.to_vec()
}

/// What a fake server saw, for the test to wait for.
fn events<T>() -> (Arc<mpsc::UnboundedSender<T>>, mpsc::UnboundedReceiver<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Arc::new(sender), receiver)
}
