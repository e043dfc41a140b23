//! Client side of the tnv wire: one type per kind of server, and [`Client`] for a whole cluster.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tnv_client::{Client, Options, Source, new_file_id, parse_addresses};
//! use tnv_proto::{AppId, Checksum, FileKey, UserId};
//!
//! let client = Client::new(parse_addresses("10.0.0.1:21000;10.0.0.2:21000")?, Options::default());
//! let user = UserId::new("tnv001")?;
//! let key = FileKey { app: AppId::new("tnvideo")?, file: new_file_id(&user), user };
//! client.upload(&key, Source::file("003.mp4", 0, 0).await?).await?;
//!
//! let mut download = client.download(&key, 0, 0, Checksum::UNKNOWN).await?;
//! while let Some(chunk) = download.chunk().await? {
//!     println!("{} bytes", chunk.len());
//! }
//! # Ok(()) }
//! ```
//!
//! Connections are pooled per server. Every tracker and every storage of an answer is tried before a request fails;
//! an upload is never sent again once a server may have taken it. [`Client::begin`] uploads in parts, of which those
//! that have arrived need never be sent again.

mod cluster;
mod located;
mod resumption;
mod route;
mod storage;
mod tracker;

mod id;

mod download;
mod exchange;
mod feed;
mod parts;
mod push;
mod source;
mod upload;

mod connection;
mod deadline;
mod pool;

mod error;
mod options;

mod address;
mod file_id;

pub use address::{AddressError, parse_addresses};
pub use cluster::Client;
pub use deadline::Deadline;
pub use download::Download;
pub use error::{ClientError, Others};
pub use file_id::new_file_id;
pub use id::IdClient;
pub use options::Options;
pub use parts::Parts;
pub use push::Pushing;
pub use source::{Progress, Source};
pub use storage::StorageClient;
pub use tracker::{TrackerClient, TrackerSession};
pub use upload::{Stored, Uploaded};

/// How much of a file is in hand at a time, in bytes.
const PIECE: usize = 256 * 1024;
