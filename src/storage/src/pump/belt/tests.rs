use std::sync::mpsc::{Receiver, Sender, channel};

use tnv_common::config::WrittenPath;
use tnv_proto::GroupName;

use super::*;
use crate::config::Replication;
use crate::volume::{Candidate, StorePath};

/// Takes bytes as fast as permits come, and fails where the permit says so.
struct Slow {
    path: Arc<StorePath>,
    permits: Receiver<bool>,
    taken: Vec<u8>,
    dropped: Sender<Vec<u8>>,
    has_ended: bool,
}

impl Sink for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.permits.recv().unwrap_or(true) {
            return Err(io::Error::other("as told"));
        }
        self.taken.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.has_ended = true;
        Ok(())
    }

    fn path(&self) -> &Arc<StorePath> {
        &self.path
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.dropped.send(std::mem::take(&mut self.taken));
    }
}

struct Lab {
    _folder: tempfile::TempDir,
    belt: Belt<Slow>,
    permits: Sender<bool>,
    dropped: Receiver<Vec<u8>>,
}

fn lab(buffers: usize) -> Lab {
    let folder = tempfile::tempdir().unwrap();
    let store = WrittenPath { written: "../store".to_owned(), resolved: folder.path().to_owned() };
    let group = GroupName::new("group001").unwrap();
    let candidate = Candidate::inspect(&[store], "tnv", &group, Replication::None, "fresh").unwrap();
    let path = candidate.open(0, None).unwrap().paths()[0].clone();
    let (permits, permitted) = channel();
    let (dropped, seen) = channel();
    let sink = Slow { path, permits: permitted, taken: Vec::new(), dropped, has_ended: false };
    Lab { _folder: folder, belt: Belt::new(sink, buffers), permits, dropped: seen }
}

async fn until(mut reached: impl FnMut() -> bool) {
    while !reached() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bytes_arrive_in_order_whether_they_come_fast_or_slowly() {
    let mut lab = lab(3);
    for n in 0..100_u8 {
        lab.permits.send(true).unwrap();
        let mut buffer = lab.belt.empty().await;
        buffer.ensure_small(4);
        buffer.bytes().fill(n);
        assert!(lab.belt.send(buffer, 1 + usize::from(n) % 4));
        if n % 10 == 0 {
            // No thread waits for a client that has nothing to send.
            let shared = lab.belt.shared.clone();
            until(|| shared.lock().idle.is_some()).await;
        }
    }
    let (sink, outcome) = lab.belt.end(true).await.unwrap();
    assert!(outcome.is_ok() && sink.has_ended);
    let sent = (0..100_u8).flat_map(|n| std::iter::repeat_n(n, 1 + usize::from(n) % 4));
    assert_eq!(sink.taken, sent.collect::<Vec<_>>());
}

#[tokio::test]
async fn no_more_buffers_are_made_than_may_be() {
    let mut lab = lab(2);
    for _ in 0..2 {
        let mut buffer = lab.belt.empty().await;
        buffer.ensure_small(1);
        assert!(lab.belt.send(buffer, 1));
    }
    let mut third = Box::pin(lab.belt.empty());
    assert!(futures_util::poll!(&mut third).is_pending());
    lab.permits.send(true).unwrap();
    assert_eq!(third.await.bytes().len(), 1, "one that has come back");
}

#[tokio::test]
async fn after_a_failure_nothing_is_taken_and_the_sink_comes_back_with_it() {
    let mut lab = lab(3);
    for permit in [true, false] {
        lab.permits.send(permit).unwrap();
        let mut buffer = lab.belt.empty().await;
        buffer.ensure_small(1);
        assert!(lab.belt.send(buffer, 1));
    }
    let shared = lab.belt.shared.clone();
    until(|| shared.lock().failed.is_some()).await;
    assert!(!lab.belt.send(Buffer::small(1), 1));
    let (sink, outcome) = lab.belt.end(true).await.unwrap();
    assert_eq!(outcome.unwrap_err().to_string(), "as told");
    assert_eq!((sink.taken.len(), sink.has_ended), (1, false));
}

#[tokio::test]
async fn a_belt_that_is_dropped_lets_go_of_the_sink() {
    for sent in [0, 1] {
        let lab = lab(3);
        for _ in 0..sent {
            assert!(lab.belt.send(Buffer::small(1), 1));
        }
        drop(lab.belt);
        lab.permits.send(true).ok();
        let dropped = tokio::task::spawn_blocking(move || lab.dropped.recv()).await.unwrap();
        assert!(dropped.unwrap().len() <= sent);
    }
}
