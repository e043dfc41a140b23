//! The storage server: files in 512-way folders, rows in the catalog.

mod config;
mod server;
mod service;
mod standing;

mod delete;
mod download;
mod list;
mod member;
mod parts;
mod relay;
mod upload;

mod commit;
mod companions;
mod copier;
mod fill;
mod intake;

mod busy;
mod damage;
mod files;
mod heartbeat;
mod held;
mod numbers;
mod peers;
mod rows;
mod settle;

mod buffer;
mod digest;
mod load;
mod metrics;
mod pump;
mod push;
mod scrub;
mod send;
mod source;
mod space;
mod sums;
mod verified;

mod catalog;
mod content_type;
mod layout;
mod volume;

pub use catalog::{
    Backlog, Catalog, CopyAt, Enlisted, FileRow, LandedCopy, Leftover, Location, Member, MemberState,
    Membership, MySqlCatalog, NewFile, OwnCopies, OwnCopy, Page, PendingCopy, Position, SCHEMA,
    SqliteCatalog, StorageRow, contract as catalog_contract, copies_contract,
};
pub use config::{AckPolicy, Config, Replication, ScrubPolicy, SyncPolicy, WriteMode, Writing};
pub use digest::Received;
pub use layout::{MAX_NUMBER, Place, table_of};
pub use send::SendMode;
pub use server::{StartError, Storage};
pub use sums::Sums;
pub use verified::VerifyReads;
pub use volume::{
    Candidate, Incoming, Mark, Owner, PartWriter, Parts, Reservation, StorePath, Volume, VolumeError,
};
