//! Packages that are held are read once more from time to time: a disk may give back other bytes than it was given.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use tnv_package::Verifier;

use crate::node::{Node, Service};
use crate::package::Package;
use crate::pull::{self, PullError};
use crate::pulls::Pulls;

/// How much is read at once.
const CHUNK: usize = 1024 * 1024;

/// One round after the other, the first at once, until the process ends.
pub(crate) async fn run(node: Arc<Node>) {
    let (mut service, mut changes) = (node.watch_service(), node.watch_changes());
    let mut last: Option<(Arc<Pulls>, Instant)> = None;
    loop {
        let now = *service.borrow_and_update();
        changes.mark_unchanged();
        if now == Service::Ending {
            return;
        }
        let (pulls, every) = (node.pulls(), node.config().storage.verify_interval);
        // Another storage has not been looked at.
        let last_round = last.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &pulls));
        let pause = match last_round {
            _ if now != Service::Running || every.is_zero() => Duration::MAX,
            Some((_, begun)) => every.saturating_sub(begun.elapsed()),
            None => Duration::ZERO,
        };
        if pause.is_zero() {
            let begun = Instant::now();
            tokio::select! {
                () = round(&node, &pulls) => last = Some((pulls, begun)),
                _ = service.changed() => {}
            }
            continue;
        }
        // The senders live as long as the node does.
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = service.changed() => {}
            _ = changes.changed() => {}
        }
    }
}

/// Reads all packages, one at a time.
async fn round(node: &Node, pulls: &Arc<Pulls>) {
    for (meeting, package) in pulls.store.all() {
        if !Arc::ptr_eq(pulls, &node.pulls()) {
            return;
        }
        match read(node, package.clone()).await {
            Ok(()) => tracing::debug!(%meeting, "the package is as its manifest says"),
            Err(PullError::Io(error)) => pulls.give_up(&meeting, &package, &error).await,
            Err(error) => tracing::warn!(%error, %meeting, "the package cannot be compared"),
        }
    }
}

/// Reads a package as slowly as is configured.
///
/// # Errors
/// What is wrong with it, or why its bytes cannot be had.
async fn read(node: &Node, package: Arc<Package>) -> Result<(), PullError> {
    let begun = tokio::time::Instant::now();
    let mut scan = Scan::new(package);
    loop {
        let (back, more) = pull::blocking(move || scan.step().map(|more| (scan, more))).await?;
        if !more {
            return Ok(());
        }
        scan = back;
        let rate = node.config().storage.verify_rate;
        tokio::time::sleep_until(begun + Duration::from_secs_f64(scan.at as f64 / rate as f64)).await;
    }
}

/// A package that is read from its beginning to its end, and held against its manifest. Blocks.
struct Scan {
    package: Arc<Package>,
    /// Headers, directory and CRC32s.
    verifier: Verifier,
    /// The member whose end comes next, and what has come of it.
    member: usize,
    blake3: blake3::Hasher,
    at: u64,
    chunk: Vec<u8>,
}

impl Scan {
    fn new(package: Arc<Package>) -> Scan {
        let verifier = Verifier::new(&package.layout);
        Scan { package, verifier, member: 0, blake3: blake3::Hasher::new(), at: 0, chunk: vec![0; CHUNK] }
    }

    /// Reads on. `false`: that was all, and it is right.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] with what is wrong; what the disk says.
    fn step(&mut self) -> io::Result<bool> {
        let file = &self.package.file;
        let end = (self.at + CHUNK as u64).min(file.len()).max(self.at);
        let was_cached = file.is_cached(&(self.at..end));
        let read = match file.file().read_at(&mut self.chunk, self.at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            read => read?,
        };
        if !was_cached && let Some(len) = std::num::NonZero::new(read as u64) {
            // What clients read stays in memory, not this. It is only advice.
            let _ = fadvise(file.file(), self.at, Some(len), Advice::DontNeed);
        }
        let chunk = std::mem::take(&mut self.chunk);
        let compared = self.compare(chunk.get(..read).unwrap_or_default());
        self.chunk = chunk;
        compared?;
        self.at += read as u64;
        if read > 0 {
            return Ok(true);
        }
        self.verifier.clone().finish().map_err(wrong)?;
        Ok(false)
    }

    fn compare(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.verifier.update(bytes).map_err(wrong)?;
        let end = self.at + bytes.len() as u64;
        while let Some(range) = self.package.layout.member_range(self.member) {
            // The offsets lie within the chunk, and so they fit.
            let within = |at: u64| (at.clamp(self.at, end) - self.at) as usize;
            self.blake3.update(bytes.get(within(range.start)..within(range.end)).unwrap_or_default());
            if range.end > end {
                break;
            }
            let hash = std::mem::take(&mut self.blake3).finalize();
            let member = self.package.layout.manifest().members().get(self.member);
            if let Some(member) = member.filter(|member| member.blake3 != hash) {
                let path = member.path.as_str();
                return Err(wrong(format!("{path:?} in the package has other bytes than its manifest says")));
            }
            self.member += 1;
        }
        Ok(())
    }
}

fn wrong(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use tnv_common::disk::{Disk, DiskFile};
    use tnv_package::{Layout, Manifest, Meeting, MeetingId, Member, MemberPath, Segment};

    use super::*;

    /// A layout of these members; `hashed` is what each is said to have the BLAKE3 of.
    fn layout(members: &[(&str, &[u8], &[u8])]) -> Layout {
        let meeting = Meeting {
            id: MeetingId::new("m").unwrap(),
            title: "m".to_owned(),
            time: None,
            intro: None,
            agenda_items: Vec::new(),
        };
        let members = members.iter().map(|(path, bytes, hashed)| Member {
            id: format!("{path}-id"),
            path: MemberPath::new(path).unwrap(),
            size: bytes.len() as u64,
            content_type: "text/plain".to_owned(),
            crc32: crc32fast::hash(bytes),
            blake3: blake3::hash(hashed),
        });
        Layout::of(&Manifest::new(meeting, members.collect()).unwrap())
    }

    fn package(layout: &Layout, contents: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Arc<Package> {
        let mut bytes = Vec::new();
        for segment in layout.segments(0..layout.len()) {
            match segment {
                Segment::Bytes(piece) => bytes.extend_from_slice(&piece),
                Segment::Member { len, .. } => bytes.extend_from_slice(&contents[..len as usize]),
            }
        }
        change(&mut bytes);
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let disk = Disk::new(false, 1, Default::default());
        Arc::new(Package::new(layout.clone(), Arc::new(DiskFile::new(file, bytes.len() as u64, disk)), 0))
    }

    fn scan(package: Arc<Package>) -> Result<(), String> {
        let mut scan = Scan::new(package);
        while scan.step().map_err(|error| error.to_string())? {}
        Ok(())
    }

    #[test]
    fn every_byte_of_a_package_is_looked_at() {
        let contents: Vec<u8> = (0..CHUNK * 2 + 77).map(|at| (at % 251) as u8).collect();
        let (large, small) = (&contents[..], &contents[..10]);
        let layout =
            layout(&[("a", small, small), ("b", large, large), ("c", b"", b""), ("d", small, small)]);
        assert_eq!(scan(package(&layout, &contents, |_| {})), Ok(()));
        let len = layout.len() as usize;
        let members = (0..4).map(|index| layout.member_range(index).unwrap().start as usize);
        for at in members.chain([0, 50, CHUNK, CHUNK - 1, 2 * CHUNK, len - 1]) {
            let damaged = package(&layout, &contents, |bytes| bytes[at] ^= 1);
            assert!(scan(damaged).is_err(), "the byte at {at}");
        }
        assert!(scan(package(&layout, &contents, |bytes| bytes.truncate(len - 1))).is_err());
        assert!(scan(package(&layout, &contents, |bytes| bytes.push(0))).is_err());
    }

    #[test]
    fn a_member_with_the_right_crc32_alone_is_not_right() {
        let layout = layout(&[("a", b"0123", b"0123"), ("b", b"0123", b"others")]);
        let said = scan(package(&layout, b"0123", |_| {})).unwrap_err();
        assert!(said.contains("\"b\"") && said.contains("manifest"), "{said}");
    }
}
