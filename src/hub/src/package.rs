//! Packages as bytes: which pieces of which files in the cluster any range of one is made of.

use std::sync::Arc;

use tnv_client::Client;
use tnv_package::{Layout, Segment};
use tnv_proto::{AppId, Checksum, FileId, FileKey, UserId};
use tnv_web::body::{Composite, Piece, Pieces, Stored, StoredFile};
use tnv_web::range::ByteRange;

/// Where the bytes of a meeting's files lie.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) client: Client,
    pub(crate) app: AppId,
    pub(crate) user: UserId,
}

impl Source {
    /// One version of a file; `None` for an id that the cluster cannot have.
    pub(crate) fn file(&self, id: &str, size: u64, checksum: Checksum) -> Option<Arc<StoredFile>> {
        let file = FileId::new(id).inspect_err(|error| tracing::error!(id, %error, "no file's id")).ok()?;
        let key = FileKey { app: self.app.clone(), user: self.user.clone(), file };
        Some(Arc::new(StoredFile { client: self.client.clone(), key, size, checksum }))
    }
}

/// A package in its layout. What stands between members is made when it is sent, members are read from the cluster, each
/// with the BLAKE3 that the manifest has.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) source: Source,
    pub(crate) layout: Layout,
}

impl Package {
    /// The file of a member; `None` for an id that the cluster cannot have.
    pub(crate) fn member(&self, index: usize) -> Option<Arc<StoredFile>> {
        let member = self.layout.manifest().members().get(index)?;
        self.source.file(&member.id, member.size, Checksum(*member.blake3.as_bytes()))
    }

    /// `None` for bytes that are none of a file in the cluster: an answer with them is too short, and is cut off.
    fn piece(&self, segment: Segment) -> Option<Piece> {
        let (index, offset, len) = match segment {
            Segment::Bytes(bytes) => return Some(Piece::Text(bytes)),
            Segment::Member { index, offset, len } => (index, offset, len),
        };
        Some(Piece::Stored(Stored::new(self.member(index)?, ByteRange::new(offset, len)?)))
    }
}

impl Composite for Package {
    fn pieces(&self, range: ByteRange) -> Pieces {
        let package = self.clone();
        let segments = self.layout.segments(range.start()..range.start() + range.len());
        Box::new(segments.filter_map(move |segment| package.piece(segment)))
    }
}
