//! What an answer consists of: a text, or pieces of a package that may still be on its way.

use std::fs::File;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tnv_package::MeetingId;

use crate::draft::Draft;
use crate::metrics::NodeMetrics;
use crate::node::Node;
use crate::package::Reading;
use crate::pull::PullError;
use crate::web::Piece;

/// How much of a file is handed over at once: so it can be told how far a download is.
const WINDOW: u64 = 4 * 1024 * 1024;

/// The body of an answer.
pub(crate) enum Body {
    Text(Bytes),
    Package(Box<PackageReader>),
}

impl Body {
    pub(crate) fn text(text: impl Into<Bytes>) -> Body {
        Body::Text(text.into())
    }

    pub(crate) fn empty() -> Body {
        Body::Text(Bytes::new())
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Body::Text(text) => text.len() as u64,
            Body::Package(reader) => reader.len,
        }
    }
}

/// A part of a body, all of it there.
#[derive(Debug)]
pub(crate) enum Part {
    Text(Bytes),
    /// These bytes of a file, which are the right ones.
    File(Arc<File>, Range<u64>),
}

/// Where the bytes of a package come from.
pub(crate) enum Source {
    /// It is here, as long as somebody reads it.
    Whole(Reading),
    /// It is on its way.
    Coming(Arc<Draft>),
}

impl Source {
    fn file(&self) -> &Arc<File> {
        match self {
            Source::Whole(reading) => &reading.package().file,
            Source::Coming(draft) => &draft.file,
        }
    }

    /// Up to where bytes are proven from `at` on, as soon as there are some.
    async fn proven(&self, at: u64) -> Result<u64, Arc<PullError>> {
        match self {
            Source::Whole(reading) => Ok(reading.package().layout.len()),
            Source::Coming(draft) => draft.verified.wait(at).await,
        }
    }
}

/// Hands out the pieces of an answer, one after the other.
pub(crate) struct PackageReader {
    source: Source,
    pieces: std::vec::IntoIter<Piece>,
    /// What is left of the piece that is being handed out.
    rest: Range<u64>,
    len: u64,
    download: Download,
}

impl PackageReader {
    pub(crate) fn new(source: Source, pieces: Vec<Piece>, download: Download) -> PackageReader {
        let len = pieces.iter().map(Piece::len).sum();
        PackageReader { source, pieces: pieces.into_iter(), rest: 0..0, len, download }
    }

    /// The next part, as soon as it is proven; `None` behind the last one.
    ///
    /// # Errors
    /// If it will not come: the answer is to be cut off.
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, Arc<PullError>> {
        if self.rest.is_empty() {
            match self.pieces.next() {
                None => return Ok(None),
                Some(Piece::Text(text)) => {
                    self.download.handed(text.len() as u64);
                    return Ok(Some(Part::Text(text)));
                }
                Some(Piece::File(range)) => self.rest = range.start()..range.start() + range.len(),
            }
        }
        let end = match self.source.proven(self.rest.start).await {
            Ok(proven) => proven.min(self.rest.end).min(self.rest.start + WINDOW),
            Err(error) => {
                tracing::warn!(%error, meeting = %self.download.meeting, "会议包下载中断");
                return Err(error);
            }
        };
        let range = self.rest.start..end;
        self.rest.start = end;
        self.download.handed(range.end - range.start);
        Ok(Some(Part::File(self.source.file().clone(), range)))
    }
}

/// A download that runs, counted until it is dropped; then it has its line in the log.
pub(crate) struct Download {
    node: Arc<Node>,
    meeting: MeetingId,
    peer: SocketAddr,
    len: u64,
    handed: u64,
}

impl Download {
    pub(crate) fn begin(node: Arc<Node>, meeting: MeetingId, peer: SocketAddr, len: u64) -> Download {
        node.downloads.fetch_add(1, Ordering::Relaxed);
        NodeMetrics::global().downloads.inc();
        Download { node, meeting, peer, len, handed: 0 }
    }

    fn handed(&mut self, bytes: u64) {
        self.handed += bytes;
        self.node.sent.fetch_add(bytes, Ordering::Relaxed);
        NodeMetrics::global().bytes_out.inc_by(bytes);
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.node.downloads.fetch_sub(1, Ordering::Relaxed);
        NodeMetrics::global().downloads.dec();
        let outcome = if self.handed == self.len { "会议包已发送" } else { "会议包未发送完" };
        tracing::info!(peer = %self.peer, bytes = self.handed, "{outcome}: {}", self.meeting);
    }
}
