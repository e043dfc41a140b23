use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use rustix::fs::{Advice, fadvise};
use tnv_common::clients::Client;
use tnv_common::config::WrittenPath;
use tnv_common::limits::Limits;
use tnv_proto::{GroupName, HEADER_LEN, Header, STATUS_OK, Server};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Replication;
use crate::layout::Place;
use crate::source;
use crate::volume::{Candidate, StorePath, Volume};

const MODES: [SendMode; 3] = [SendMode::Auto, SendMode::Sendfile, SendMode::Copy];

/// Where buffers and windows end.
const EDGES: [u64; 7] = [0, 4096, 16 << 10, 64 << 10, 256 << 10, 1 << 20, (1 << 20) + (256 << 10)];

/// A store path with files, and the receiving end of what is sent from there.
struct Shelf {
    folder: tempfile::TempDir,
    volume: Volume,
    budget: Budget,
    counters: Counters,
    limits: Limits,
}

impl Shelf {
    fn new() -> Shelf {
        let folder = tempfile::tempdir().unwrap();
        let store = WrittenPath { written: "store".to_owned(), resolved: folder.path().to_owned() };
        let group = GroupName::new("group001").unwrap();
        let candidate = Candidate::inspect(&[store], "tnv", &group, Replication::None, "one").unwrap();
        let volume = candidate.open(0, None).unwrap();
        std::fs::create_dir_all(folder.path().join("000/000/000")).unwrap();
        let (counters, limits) = (Counters::default(), Limits::default());
        Shelf { folder, volume, budget: Budget::new(1 << 20), counters, limits }
    }

    fn path(&self) -> &Arc<StorePath> {
        &self.volume.paths()[0]
    }

    fn place(name: &str) -> Place {
        Place::parse(&format!("000/000/000/{name}")).unwrap()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("000/000/000").join(name)
    }

    fn add(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.file(name), bytes).unwrap();
    }

    async fn open(&self, name: &str, len: u64) -> DiskFile {
        let place = Self::place(name);
        match source::open_cached(self.path(), &place, len) {
            Some(source) => source,
            None => source::open(self.path().clone(), place, len, 0..0).await.unwrap(),
        }
    }

    /// Both ends of a connection; a `small` one lets few bytes be on their way.
    async fn connect(&self, small: bool) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        if small {
            socket.set_recv_buffer_size(1).unwrap();
        }
        let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer): (TcpStream, SocketAddr) = listener.accept().await.unwrap();
        if small {
            rustix::net::sockopt::set_socket_send_buffer_size(&stream, 1).unwrap();
        }
        // As behind a request: the socket is known to be writable.
        stream.writable().await.unwrap();
        let limits = Arc::new(self.limits.clone());
        let (whose, stop) = (Client::unlimited(), CancellationToken::new());
        (Connection::new(stream, peer, Server::Storage, limits, whose, stop), client)
    }

    /// Sends, while `receive` has the other end.
    async fn send<T>(
        &self,
        source: DiskFile,
        range: Range<u64>,
        crc32: Option<u32>,
        mode: SendMode,
        (mut connection, client): (Connection, TcpStream),
        receive: impl AsyncFnOnce(TcpStream) -> T,
    ) -> (Result<(), Halt>, bool, T) {
        let send = async {
            let mut sending =
                Sending::new(&mut connection, source, range, crc32, (&self.budget, &self.counters));
            let outcome = sending.run(mode).await;
            let begun = sending.is_begun();
            drop(connection);
            (outcome, begun)
        };
        let ((outcome, begun), received) = tokio::join!(send, receive(client));
        (outcome, begun, received)
    }
}

/// Everything until the other end closes.
async fn everything(mut client: TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    // A reset counts as an end.
    let _ = client.read_to_end(&mut got).await;
    got
}

/// Everything, in bites of at most `bite` bytes.
async fn in_bites(mut client: TcpStream, bite: usize) -> Vec<u8> {
    let (mut got, mut buffer) = (Vec::new(), vec![0; bite]);
    while let Ok(len @ 1..) = client.read(&mut buffer).await {
        got.extend_from_slice(&buffer[..len]);
    }
    got
}

/// The body behind a header that announces as much.
fn body(frame: &[u8]) -> &[u8] {
    let (header, body) = frame.split_first_chunk::<HEADER_LEN>().expect("a header");
    let header = Header::decode(*header).unwrap();
    assert_eq!((header.status, header.body_len), (STATUS_OK, body.len() as u64));
    body
}

fn pattern(len: u64) -> Vec<u8> {
    (0..len).map(|n| ((n * 2_654_435_761) >> 13) as u8).collect()
}

/// Drops a file from memory. `false`: this file system keeps it there.
fn make_cold(path: &Path) -> bool {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    let mut byte = [0];
    let read = rustix::io::preadv2(
        &file,
        &mut [io::IoSliceMut::new(&mut byte)],
        0,
        rustix::io::ReadWriteFlags::NOWAIT,
    );
    read == Err(rustix::io::Errno::AGAIN)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Lengths around the edges.
fn near_edges() -> impl Strategy<Value = u64> {
    (prop::sample::select(&EDGES[..]), -11i64..=11).prop_map(|(edge, off)| edge.saturating_add_signed(off))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_range_arrives_as_it_is(
        len in near_edges(),
        offset in near_edges(),
        wanted in near_edges(),
        cold in any::<bool>(),
        small in any::<bool>(),
    ) {
        runtime().block_on(async {
            let shelf = Shelf::new();
            let bytes = pattern(len);
            shelf.add("file", &bytes);
            let start = offset.min(len);
            let range = start..(start + wanted).min(len);
            let expected = &bytes[range.start as usize..range.end as usize];
            for mode in MODES {
                if cold {
                    make_cold(&shelf.file("file"));
                }
                let crc32 = (range == (0..len)).then(|| crc32fast::hash(&bytes));
                let (source, ends) = (shelf.open("file", len).await, shelf.connect(small).await);
                let (sent, begun, got) = shelf.send(source, range.clone(), crc32, mode, ends, everything).await;
                sent.unwrap();
                assert!(begun);
                assert!(body(&got) == expected, "{mode:?} {range:?} of {len}");
            }
        });
    }

    /// Whatever was received before is the beginning of what was to come.
    #[test]
    fn a_reset_at_any_point_ends_the_sending(at in 0..2_000_000u64, mode in 0..3usize) {
        runtime().block_on(async {
            let shelf = Shelf::new();
            let bytes = pattern(2_000_000);
            shelf.add("file", &bytes);
            let (source, ends) = (shelf.open("file", 2_000_000).await, shelf.connect(true).await);
            let leave = async |mut client: TcpStream| {
                let mut got = vec![0; HEADER_LEN + at as usize];
                client.read_exact(&mut got).await.unwrap();
                client.set_zero_linger().unwrap();
                got
            };
            let (sent, _, got) = shelf.send(source, 0..2_000_000, None, MODES[mode], ends, leave).await;
            // All of it may be in the socket already, but no error is the file's.
            assert!(matches!(sent, Ok(()) | Err(Halt::Peer(_))), "{sent:?}");
            assert!(got[HEADER_LEN..] == bytes[..at as usize]);
        });
    }
}

#[tokio::test]
async fn a_client_that_takes_a_byte_at_a_time_gets_them_all() {
    let shelf = Shelf::new();
    for len in [10, 40_000, 100_000] {
        let bytes = pattern(len);
        shelf.add("file", &bytes);
        for mode in MODES {
            let (source, ends) = (shelf.open("file", len).await, shelf.connect(true).await);
            let receive = async |client| in_bites(client, 1).await;
            let (sent, _, got) = shelf.send(source, 0..len, None, mode, ends, receive).await;
            sent.unwrap();
            assert!(body(&got) == bytes, "{mode:?} {len}");
        }
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_left() {
    let mut shelf = Shelf::new();
    shelf.limits.progress_timeout = Duration::from_millis(20);
    let bytes = pattern(8 << 20);
    shelf.add("file", &bytes);
    for mode in MODES {
        let (source, ends) = (shelf.open("file", 8 << 20).await, shelf.connect(true).await);
        // Held open, and that is all.
        let (sent, begun, _client) =
            shelf.send(source, 0..8 << 20, None, mode, ends, async |client| client).await;
        let Err(Halt::Peer(error)) = sent else { panic!("{mode:?}: {sent:?}") };
        assert_eq!((begun, error.kind()), (true, io::ErrorKind::TimedOut), "{mode:?}");
    }
}

#[tokio::test]
async fn a_file_that_gets_shorter_on_its_way_ends_early_and_is_found_out() {
    const LEN: u64 = 8 << 20;
    const LEFT: u64 = 1 << 20;
    let shelf = Shelf::new();
    let bytes = pattern(LEN);
    for mode in MODES {
        shelf.add("file", &bytes);
        let (source, ends) = (shelf.open("file", LEN).await, shelf.connect(true).await);
        let cut = async |mut client: TcpStream| {
            let mut got = vec![0; HEADER_LEN];
            client.read_exact(&mut got).await.unwrap();
            File::options().write(true).open(shelf.file("file")).unwrap().set_len(LEFT).unwrap();
            got.extend(everything(client).await);
            got
        };
        let (sent, begun, got) = shelf.send(source, 0..LEN, None, mode, ends, cut).await;
        let Err(Halt::File(error)) = sent else { panic!("{mode:?}: {sent:?}") };
        assert!(begun && source::is_damage(&error), "{mode:?}: {error}");
        let got = &got[HEADER_LEN..];
        assert!(got.len() < bytes.len() && *got == bytes[..got.len()], "{mode:?}: wrong bytes were sent");
    }
}

#[tokio::test]
async fn a_file_that_is_deleted_on_its_way_is_sent_to_its_end() {
    const LEN: u64 = 4 << 20;
    let shelf = Shelf::new();
    let bytes = pattern(LEN);
    for mode in MODES {
        shelf.add("file", &bytes);
        let (source, ends) = (shelf.open("file", LEN).await, shelf.connect(true).await);
        let delete = async |mut client: TcpStream| {
            let mut got = vec![0; HEADER_LEN];
            client.read_exact(&mut got).await.unwrap();
            std::fs::remove_file(shelf.file("file")).unwrap();
            got.extend(everything(client).await);
            got
        };
        let (sent, _, got) = shelf.send(source, 0..LEN, None, mode, ends, delete).await;
        sent.unwrap();
        assert!(body(&got) == bytes, "{mode:?}");
    }
}

#[tokio::test]
async fn bytes_that_do_not_fit_their_checksum_are_not_sent_to_their_end() {
    let shelf = Shelf::new();
    for (len, mode, nothing_out) in
        [(1000, SendMode::Auto, true), (60_000, SendMode::Copy, true), (3 << 20, SendMode::Copy, false)]
    {
        let mut bytes = pattern(len);
        let crc32 = crc32fast::hash(&bytes);
        bytes[len as usize / 2] ^= 1;
        shelf.add("file", &bytes);
        let (source, ends) = (shelf.open("file", len).await, shelf.connect(false).await);
        let (sent, begun, got) = shelf.send(source, 0..len, Some(crc32), mode, ends, everything).await;
        assert!(matches!(sent, Err(Halt::File(_))), "{sent:?}");
        assert_eq!((begun, got.is_empty()), (!nothing_out, nothing_out), "{mode:?} {len}");
        assert!(got.len() < HEADER_LEN + bytes.len());
    }
}

/// With the store path's readers taken, whatever would have to wait for the disk waits for them, and does nothing else.
#[tokio::test]
async fn a_cold_file_waits_for_its_turn_at_the_disk_and_warm_ones_do_not() {
    let shelf = Shelf::new();
    let bytes = pattern(2 << 20);
    for (name, len) in [("cold", 2 << 20), ("cold small", 5000), ("warm", 2 << 20), ("warm small", 5000)] {
        shelf.add(name, &bytes[..len]);
    }
    if !make_cold(&shelf.file("cold")) || !make_cold(&shelf.file("cold small")) {
        eprintln!("skipped: this file system keeps everything in memory");
        return;
    }
    for mode in MODES {
        let readers = shelf.path().disk().readers().clone();
        let all = u32::try_from(readers.available_permits()).unwrap();
        let taken = readers.try_acquire_many_owned(all).unwrap();
        let ask = async |name: &str| {
            let len = if name.ends_with("small") { 5000 } else { 2 << 20 };
            let (source, ends) = (shelf.open(name, len).await, shelf.connect(false).await);
            let (sent, _, got) = shelf.send(source, 0..len, None, mode, ends, everything).await;
            sent.unwrap();
            assert!(body(&got) == &bytes[..len as usize], "{mode:?} {name}");
        };
        for name in ["cold", "cold small"] {
            // Pages that another core still has in hand are not dropped.
            assert!((0..1000).any(|_| make_cold(&shelf.file(name))), "{name} stays in memory");
        }
        let cold = async {
            tokio::join!(ask("cold"), ask("cold small"));
        };
        let warm = async {
            tokio::join!(ask("warm"), ask("warm small"));
        };
        let (mut cold, mut warm) = (std::pin::pin!(cold), std::pin::pin!(warm));
        tokio::select! {
            biased;
            () = &mut cold => panic!("{mode:?}: the disk was read by somebody who had no turn"),
            () = &mut warm => {}
        }
        drop(taken);
        cold.await;
    }
}
