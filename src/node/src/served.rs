//! Packages as they are sent: those that are here, and those that are still on their way.

use std::fmt;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tnv_common::disk::DiskFile;
use tnv_package::{Layout, MeetingId};
use tnv_web::body::{Follower, LocalFile, Reach};

use crate::draft::Draft;
use crate::metrics::NodeMetrics;
use crate::node::Node;
use crate::package::Reading;

/// Where the bytes of a package come from.
#[derive(Debug)]
pub(crate) enum Served {
    /// It is here, as long as somebody reads it.
    Whole(Reading),
    /// It is on its way.
    Coming(Arc<Draft>),
}

impl Served {
    pub(crate) fn layout(&self) -> &Layout {
        match self {
            Served::Whole(reading) => &reading.package().layout,
            Served::Coming(draft) => &draft.layout,
        }
    }
}

impl LocalFile for Served {
    fn file(&self) -> &Arc<DiskFile> {
        match self {
            Served::Whole(reading) => &reading.package().file,
            Served::Coming(draft) => &draft.file,
        }
    }

    /// Bytes of members that are not proven are not there.
    fn reach(&self, at: u64) -> Reach<'_> {
        match self {
            Served::Whole(reading) => Box::pin(ready(Ok(reading.package().layout.len()))),
            Served::Coming(draft) => Box::pin(async move { Ok(draft.verified.wait(at).await?) }),
        }
    }
}

/// A download that runs, counted until it is dropped; then it has its line in the log.
pub(crate) struct Download {
    node: Arc<Node>,
    meeting: MeetingId,
    peer: SocketAddr,
    len: u64,
    sent: u64,
}

impl Download {
    /// One of `len` bytes begins.
    pub(crate) fn begin(node: Arc<Node>, meeting: MeetingId, peer: SocketAddr, len: u64) -> Download {
        node.downloads.fetch_add(1, Ordering::Relaxed);
        NodeMetrics::global().downloads.inc();
        Download { node, meeting, peer, len, sent: 0 }
    }
}

impl Follower for Download {
    fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
        self.node.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    fn failed(&mut self, why: &dyn fmt::Display) {
        tracing::warn!(error = %why, meeting = %self.meeting, "会议包下载中断");
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.node.downloads.fetch_sub(1, Ordering::Relaxed);
        NodeMetrics::global().downloads.dec();
        let outcome = if self.sent == self.len { "会议包已发送" } else { "会议包未发送完" };
        tracing::info!(peer = %self.peer, bytes = self.sent, "{outcome}: {}", self.meeting);
    }
}
