//! Files on this machine as clients get them, by the lane and by hyper.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Response;
use hyper::http::request::Parts;
use prometheus_client::metrics::counter::Counter;
use rustix::fs::{Advice, fadvise};
use tnv_common::disk::{Disk, DiskFile, tells_what_is_cached};
use tnv_web::body::{Follower, Local, LocalFile, Piece, Reach};
use tnv_web::condition::Validators;
use tnv_web::representation::Plan;
use tnv_web::{Body, Limits, Refusal, Representation, Request, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const LEN: usize = 3 * 1024 * 1024 + 77;

/// A file, of which bytes up to a place are there.
#[derive(Debug)]
struct Coming {
    file: Arc<DiskFile>,
    there: watch::Receiver<u64>,
}

impl LocalFile for Coming {
    fn file(&self) -> &Arc<DiskFile> {
        &self.file
    }

    fn reach(&self, at: u64) -> Reach<'_> {
        let mut there = self.there.clone();
        Box::pin(async move { Ok(*there.wait_for(|there| *there > at).await?) })
    }
}

/// What became of the answers.
type Ends = Arc<Mutex<Vec<(u64, Option<String>)>>>;

struct Noted(u64, Option<String>, Ends);

impl Follower for Noted {
    fn sent(&mut self, bytes: u64) {
        self.0 += bytes;
    }

    fn failed(&mut self, why: &dyn std::fmt::Display) {
        self.1 = Some(why.to_string());
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.2.lock().unwrap().push((self.0, self.1.take()));
    }
}

struct Shelf {
    path: PathBuf,
    disk: Disk,
    there: watch::Receiver<u64>,
    ends: Ends,
}

impl Site for Shelf {
    const NAME: &'static str = "shelf";

    type Route = ();

    fn route(&self, _: &Parts) {}

    fn name((): &()) -> &'static str {
        "file"
    }

    async fn answer(&self, (): &(), request: Request<'_>) -> Result<Response<Body>, Refusal> {
        let file = Arc::new(self.disk.open(self.path.clone()).await.unwrap());
        let validators = Validators { etag: "\"v1\"".to_owned(), modified: None };
        let shown = Representation::new(LEN as u64, "application/zip".to_owned(), validators);
        let extent = match shown.plan(request.head, 8)? {
            Plan::Headed(answer) => return Ok(answer),
            Plan::Bytes(extent) => extent,
        };
        let source = Arc::new(Coming { file, there: self.there.clone() });
        let pieces = extent.pieces(|range| Piece::Local(Local::new(source.clone(), range)));
        let body = Body::open(pieces).await.unwrap().followed(Noted(0, None, self.ends.clone()));
        Ok(shown.with_bytes(&extent, request.head, body))
    }
}

struct Server {
    address: SocketAddr,
    bytes: Vec<u8>,
    path: PathBuf,
    disk: Disk,
    there: Option<watch::Sender<u64>>,
    ends: Ends,
    _folder: tempfile::TempDir,
    _stop: tokio_util::sync::DropGuard,
}

impl Server {
    /// All of the file is there if `tells`, which also lets the disk say what is cached.
    async fn start(tells: bool) -> Server {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..LEN).map(|at| (at * 31 % 251) as u8).collect();
        let mut file = File::create_new(&path).unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
        let tells = tells && tells_what_is_cached(&File::open(&path).unwrap());
        let disk = Disk::new(tells, 2, Counter::default());
        let (sender, there) = watch::channel(LEN as u64);
        let ends = Ends::default();
        let shelf = Shelf { path: path.clone(), disk: disk.clone(), there, ends: ends.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Duration::from_secs(30);
        let limits = Limits {
            max_connections: 10,
            max_connections_per_client: 0,
            rate_limit: 0,
            header_timeout: patience,
            progress_timeout: patience,
            drain_timeout: Duration::ZERO,
        };
        let stop = CancellationToken::new();
        tokio::spawn(tnv_web::serve(listener, shelf, limits, stop.clone()));
        Server {
            address,
            bytes,
            path,
            disk,
            there: Some(sender),
            ends,
            _folder: folder,
            _stop: stop.drop_guard(),
        }
    }

    async fn open(&self, version: &str, more: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET / HTTP/{version}\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// The head of an answer, and its body as far as it comes.
    async fn get(&self, version: &str, more: &str) -> (String, Vec<u8>) {
        let mut all = Vec::new();
        // A reset is an end as well.
        let _ = self.open(version, more).await.read_to_end(&mut all).await;
        let head = all.windows(4).position(|four| four == b"\r\n\r\n").expect("no head came") + 4;
        let body = all.split_off(head);
        (String::from_utf8(all).unwrap(), body)
    }

    /// How the last answers ended, when all of them have.
    async fn ended(&self, count: usize) -> Vec<(u64, Option<String>)> {
        loop {
            let ends = self.ends.lock().unwrap().clone();
            if ends.len() == count {
                return ends;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Through the lane, and through hyper.
const VERSIONS: [&str; 2] = ["1.1", "1.0"];

#[tokio::test]
async fn every_way_gives_the_same_bytes() {
    for tells in [true, false] {
        let server = Server::start(tells).await;
        for version in VERSIONS {
            let (head, body) = server.get(version, "").await;
            assert!(head.contains(" 200 ") && head.contains(&format!("{LEN}\r\n")), "{head}");
            assert!(body == server.bytes, "{version}");
            for (range, part) in [
                ("0-99", 0..100),
                ("7-70000", 7..70_001),
                ("100000-1500000", 100_000..1_500_001),
                ("-5", LEN - 5..LEN),
                ("1048575-", 1_048_575..LEN),
            ] {
                let (head, body) = server.get(version, &format!("Range: bytes={range}\r\n")).await;
                assert!(head.contains(" 206 "), "{head}");
                assert!(body == server.bytes[part], "{version} {range}");
            }
            let (head, body) = server.get(version, "Range: bytes=0-9,2000000-2999999\r\n").await;
            assert!(head.contains("multipart/byteranges"), "{head}");
            let second = body.windows(100).position(|some| some == &server.bytes[2_000_000..2_000_100]);
            let second = second.expect("the second range is in it");
            assert!(body[second..second + 1_000_000] == server.bytes[2_000_000..3_000_000]);
            let (head, body) = server.get(version, "If-None-Match: \"v1\"\r\n").await;
            assert!(head.contains(" 304 ") && body.is_empty(), "{head}");
        }
        let sent: Vec<u64> = server.ended(14).await.into_iter().map(|(sent, _)| sent).collect();
        assert_eq!((sent[0], sent[1], sent[4]), (LEN as u64, 100, 5));
    }
}

#[tokio::test]
async fn what_is_not_there_yet_is_waited_for_behind_the_head() {
    for version in VERSIONS {
        let server = Server::start(true).await;
        let there = server.there.as_ref().unwrap();
        there.send_replace(0);
        let mut stream = server.open(version, "").await;
        let mut read = vec![0; 12];
        if version == "1.1" {
            // The head comes before any byte is there.
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, b"HTTP/1.1 200");
        } else {
            read.clear();
        }
        for end in [10, 1_000_000, LEN as u64] {
            there.send_replace(end);
        }
        stream.read_to_end(&mut read).await.unwrap();
        assert!(read.ends_with(&server.bytes), "{version}");
    }
}

#[tokio::test]
async fn an_answer_whose_bytes_do_not_come_is_cut_off() {
    for version in VERSIONS {
        let mut server = Server::start(true).await;
        server.there.as_ref().unwrap().send_replace(1_000_000);
        server.there = None;
        let (head, body) = server.get(version, "").await;
        assert!(head.contains(" 200 "), "{head}");
        assert!(body == server.bytes[..body.len()] && body.len() <= 1_000_000, "{version}");
        let ends = server.ended(1).await;
        assert!(ends[0].1.is_some(), "{version}: {ends:?}");
    }
}

#[tokio::test]
async fn a_file_that_has_become_shorter_is_cut_off() {
    for (version, tells) in [("1.1", true), ("1.1", false), ("1.0", true)] {
        let server = Server::start(tells).await;
        File::options().write(true).open(&server.path).unwrap().set_len(2_000_000).unwrap();
        let (head, body) = server.get(version, "").await;
        assert!(head.contains(" 200 "), "{head}");
        assert!(body == server.bytes[..body.len()] && body.len() <= 2_000_000, "{version}");
        let ends = server.ended(1).await;
        assert!(ends[0].1.is_some(), "{version}: {ends:?}");
    }
}

/// With the disk's readers taken, whatever would have to wait for it waits for them, and does nothing else.
#[tokio::test]
async fn a_cold_file_waits_for_its_turn_at_the_disk() {
    let server = Server::start(true).await;
    let file = DiskFile::new(File::open(&server.path).unwrap(), LEN as u64, server.disk.clone());
    let make_cold = || fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    make_cold();
    if !server.disk.tells_what_is_cached() || file.is_cached(&(0..4096)) {
        eprintln!("skipped: this file system keeps everything in memory");
        return;
    }
    let taken = server.disk.readers().clone().try_acquire_many_owned(2).unwrap();
    for version in VERSIONS {
        // To look whether something is in memory may have it read in advance.
        make_cold();
        let mut cold = std::pin::pin!(server.get(version, ""));
        tokio::select! {
            biased;
            _ = &mut cold => panic!("{version}: the disk was read by somebody who had no turn"),
            // Other clients are served: this one wants nothing of the disk.
            (head, _) = server.get("1.1", "If-None-Match: \"v1\"\r\n") => assert!(head.contains(" 304 ")),
        }
    }
    drop(taken);
    for version in VERSIONS {
        assert!(server.get(version, "").await.1 == server.bytes, "{version}");
    }
}
