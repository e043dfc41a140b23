//! What a file is and where else it is, as servers say it: Metalink documents (RFC 5854), the Link headers that go with
//! them (RFC 6249), and digests in headers (RFC 9530, and RFC 3230 before it). Texts in, types out, and
//! hashes of bytes that pass by: no I/O.

mod document;
mod read;
mod write;

mod digest;
mod link;

mod hash;
mod hashing;

pub use digest::{parse_digest, parse_repr_digest, repr_digest};
pub use document::{File, Metalink, Mirror, Pieces};
pub use hash::{Algorithm, Hash, HashError};
pub use hashing::Hashing;
pub use link::{Link, parse_links};
pub use read::{MAX_DOCUMENT, MetalinkError, read};
pub use write::write;

/// The media type of a Metalink.
pub const MEDIA_TYPE: &str = "application/metalink4+xml";

/// How the names of files with a Metalink in them end.
pub const EXTENSION: &str = "meta4";
