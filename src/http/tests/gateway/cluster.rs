//! A tracker and a storage on real sockets, as large as the tests need, and a gateway in front of them.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::BytesMut;
use tnv_http::{Config, Server as Gateway};
use tnv_proto::state::{ClusterState, GroupState};
use tnv_proto::{
    Attributes, Checksum, Command, Download, ErrorCode, Failure, FileKey, GroupName, HEADER_LEN, Header,
    Read, Request, Saddrs, Server, StorageAddresses,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::http::in_time;
use crate::writes::{self, Writes};

/// Byte number `offset` of every file.
pub(crate) fn byte_at(offset: u64) -> u8 {
    (offset % 251) as u8
}

/// These bytes of every file.
pub(crate) fn bytes_of(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(byte_at).collect()
}

/// What the servers behind the gateway do wrong.
#[derive(Default)]
pub(crate) struct Faults {
    /// The tracker refuses everything.
    pub(crate) tracker: Option<ErrorCode>,
    /// The storage refuses everything.
    pub(crate) storage: Option<ErrorCode>,
    /// The storage refuses to send bytes.
    pub(crate) reads: Option<ErrorCode>,
    /// The storage never answers a request for bytes.
    pub(crate) stall: bool,
    /// The storage takes this long to answer one.
    pub(crate) slow: Option<Duration>,
    /// The storage dies after so many bytes of a download.
    pub(crate) die_after: Option<u64>,
    /// The storage breaks off the next download after so many bytes.
    pub(crate) break_once: Option<u64>,
    /// Files are replaced right after their attributes were told.
    pub(crate) replaced: bool,
    /// The storage knows the commands of the seed only.
    pub(crate) old: bool,
    /// The storage does not tell the labels of uploads in parts.
    pub(crate) unlabelled: bool,
    /// The storage refuses to take bytes.
    pub(crate) writes: Option<ErrorCode>,
    /// The storage refuses to make files of uploads.
    pub(crate) finishes: Option<ErrorCode>,
    /// The storage refuses so many times to forget an upload: it is still taking what a client sent that is gone.
    pub(crate) locked_aborts: usize,
    /// The storage cannot read the parts of uploads.
    pub(crate) damaged: bool,
}

/// What the storage has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Requests of where files are, at the tracker.
    pub(crate) locates: u64,
    /// Requests for attributes.
    pub(crate) stats: u64,
    /// Requests for bytes.
    pub(crate) reads: u64,
    /// Those that are neither finished nor given up.
    pub(crate) running: u64,
    /// Bytes that went into the socket.
    pub(crate) sent: u64,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) files: HashMap<FileKey, Attributes>,
    pub(crate) writes: Writes,
    /// Bytes of uploads in parts that the storage has.
    pub(crate) arrived: watch::Sender<u64>,
    connections: usize,
    pub(crate) faults: Faults,
    dead: bool,
}

pub(crate) struct Cluster {
    state: Arc<Mutex<State>>,
    seen: watch::Sender<Seen>,
    tracker: SocketAddr,
}

impl Cluster {
    pub(crate) async fn start() -> Cluster {
        let state = Arc::new(Mutex::new(State::default()));
        let storage = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tracker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cluster = Cluster {
            state: state.clone(),
            seen: watch::Sender::new(Seen::default()),
            tracker: tracker.local_addr().unwrap(),
        };
        let address = storage.local_addr().unwrap().to_string();
        let (shared, seen) = (state.clone(), cluster.seen.clone());
        tokio::spawn(listen(tracker, move |stream| {
            track(stream, shared.clone(), address.clone(), seen.clone())
        }));
        let seen = cluster.seen.clone();
        tokio::spawn(listen(storage, move |stream| store(stream, state.clone(), seen.clone())));
        cluster
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Adds a file of app `tnvideo`, user `tnv001`.
    pub(crate) fn add(&self, file: &str, size: u64, content_type: &str, name: &str) {
        self.add_for("tnvideo", "tnv001", file, size, content_type, name);
    }

    pub(crate) fn add_for(
        &self,
        app: &str,
        user: &str,
        file: &str,
        size: u64,
        content_type: &str,
        name: &str,
    ) {
        let attributes = Attributes {
            size,
            created_ms: 784_111_777_500,
            crc32: 0,
            blake3: Checksum([0xab; 32]),
            content_type: content_type.to_owned(),
            name: name.to_owned(),
        };
        self.state().files.insert(FileKey::new(app, user, file).unwrap(), attributes);
    }

    /// Puts another file under an id of app `tnvideo`, user `tnv001`: another checksum for each size.
    pub(crate) fn replace(&self, file: &str, size: u64) {
        self.add(file, size, "video/mp4", "");
        let key = FileKey::new("tnvideo", "tnv001", file).unwrap();
        if let Some(attributes) = self.state().files.get_mut(&key) {
            attributes.blake3.0[..8].copy_from_slice(&size.to_be_bytes());
        }
    }

    /// Removes a file of app `tnvideo`, user `tnv001`, behind the gateway's back.
    pub(crate) fn remove(&self, file: &str) {
        self.state().files.remove(&FileKey::new("tnvideo", "tnv001", file).unwrap());
    }

    /// A file of app `tnvideo`, user `tnv001`, that was uploaded: its attributes and contents.
    pub(crate) fn uploaded(&self, file: &str) -> Option<(Attributes, Vec<u8>)> {
        let key = FileKey::new("tnvideo", "tnv001", file).unwrap();
        let state = self.state();
        Some((state.files.get(&key)?.clone(), state.writes.contents.get(&key)?.clone()))
    }

    /// Waits until there are so many files and unfinished uploads.
    pub(crate) async fn keeps(&self, files: usize, uploads: usize) {
        in_time(async {
            while self.kept() != (files, uploads) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// How many files and unfinished uploads there are.
    pub(crate) fn kept(&self) -> (usize, usize) {
        let state = self.state();
        (state.files.len(), state.writes.pending.len())
    }

    /// Waits until so many bytes of uploads in parts have arrived at the storage.
    pub(crate) async fn arrived(&self, bytes: u64) {
        let mut arrived = self.state().arrived.subscribe();
        in_time(arrived.wait_for(|arrived| *arrived >= bytes)).await.unwrap();
    }

    pub(crate) fn fault(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    /// What the storage has seen so far.
    pub(crate) fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// Connections that the storage has accepted.
    pub(crate) fn connections(&self) -> usize {
        self.state().connections
    }

    /// Waits until the storage has seen this.
    pub(crate) async fn until(&self, reached: impl FnMut(&Seen) -> bool) -> Seen {
        *self.seen.subscribe().wait_for(reached).await.unwrap()
    }

    /// A gateway in front, its configuration changed by `change`.
    pub(crate) async fn gateway(&self, change: impl FnOnce(&mut Config)) -> Running {
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            trackers: vec![self.tracker.to_string()],
            ..Config::default()
        };
        change(&mut config);
        let server = Gateway::bind(config).await.unwrap();
        let address = server.local_addr();
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(server.run(shutdown.clone()));
        Running { address, shutdown, ended }
    }
}

/// A gateway that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<()>,
}

/// A cluster with one file `clip` of 1000 bytes, and its gateway.
pub(crate) async fn with_clip() -> (Cluster, Running) {
    let cluster = Cluster::start().await;
    cluster.add("clip", 1000, "video/mp4", "holiday.mp4");
    let gateway = cluster.gateway(|_| {}).await;
    (cluster, gateway)
}

async fn listen<F: Future<Output = io::Result<()>> + Send + 'static>(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream));
    }
}

async fn next_header(
    stream: &mut TcpStream,
    server: Server,
) -> io::Result<(Header, Result<Command, Failure>)> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    let header = Header::decode(header).unwrap();
    Ok((header, Command::check(header, server)))
}

async fn whole_body(stream: &mut TcpStream, header: Header) -> io::Result<Vec<u8>> {
    let mut body = vec![0; header.body_len as usize];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

async fn succeed(stream: &mut TcpStream, server: Server, body: &[u8]) -> io::Result<()> {
    stream.write_all(&Header::success(server, body.len() as u64).encode()).await?;
    stream.write_all(body).await
}

async fn fail(stream: &mut TcpStream, server: Server, failure: &Failure) -> io::Result<()> {
    let mut body = BytesMut::new();
    failure.encode("test", &mut body);
    stream.write_all(&Header::failure(server, body.len() as u64).encode()).await?;
    stream.write_all(&body).await
}

async fn track(
    mut stream: TcpStream,
    state: Arc<Mutex<State>>,
    storage: String,
    seen: watch::Sender<Seen>,
) -> io::Result<()> {
    loop {
        let (header, command) = next_header(&mut stream, Server::Tracker).await?;
        let body = whole_body(&mut stream, header).await?;
        let fault = state.lock().unwrap().faults.tracker;
        if let Some(code) = fault {
            fail(&mut stream, Server::Tracker, &Failure::new(code, "as scripted")).await?;
            continue;
        }
        let mut reply = BytesMut::new();
        match command {
            Ok(Command::Saddrs | Command::Locate) => {
                Saddrs::decode(&body).unwrap();
                seen.send_modify(|seen| seen.locates += 1);
                let group = GroupName::new("group001").unwrap();
                StorageAddresses { group, addresses: vec![storage.clone()] }.encode(&mut reply);
            }
            Ok(Command::State) => {
                let group = GroupState { name: "group001".to_owned(), ..GroupState::default() };
                let state =
                    ClusterState { version: "9.9".to_owned(), groups: vec![group], ..Default::default() };
                reply.extend_from_slice(&serde_json::to_vec(&state).unwrap());
            }
            other => panic!("the tracker was asked {other:?}"),
        }
        succeed(&mut stream, Server::Tracker, &reply).await?;
    }
}

async fn store(mut stream: TcpStream, state: Arc<Mutex<State>>, seen: watch::Sender<Seen>) -> io::Result<()> {
    {
        let mut state = state.lock().unwrap();
        state.connections += 1;
        if state.dead {
            return Ok(());
        }
    }
    loop {
        let (header, command) = next_header(&mut stream, Server::Storage).await?;
        if let Ok(command @ (Command::Store | Command::Append)) = command {
            match writes::receive(&mut stream, command, header, &state).await? {
                Ok(body) => succeed(&mut stream, Server::Storage, &body).await?,
                Err(failure) => {
                    fail(&mut stream, Server::Storage, &failure).await?;
                    // As a real one does: nobody reads the rest.
                    stream.shutdown().await?;
                    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
                    return Ok(());
                }
            }
            continue;
        }
        let body = whole_body(&mut stream, header).await?;
        if matches!(command, Ok(Command::Stat)) {
            seen.send_modify(|seen| seen.stats += 1);
        }
        match answer(command, &body, &state) {
            Ok(Answer::Body(body)) => succeed(&mut stream, Server::Storage, &body).await?,
            Ok(Answer::File(download, size)) => {
                seen.send_modify(|seen| {
                    seen.reads += 1;
                    seen.running += 1;
                });
                let sent = send(&mut stream, &download, size, &state, &seen).await;
                seen.send_modify(|seen| seen.running -= 1);
                sent?;
            }
            Err(failure) => fail(&mut stream, Server::Storage, &failure).await?,
        }
    }
}

enum Answer {
    Body(BytesMut),
    File(Download, u64),
}

fn answer(command: Result<Command, Failure>, body: &[u8], state: &Mutex<State>) -> Result<Answer, Failure> {
    let mut state = state.lock().unwrap();
    let command = command?;
    if let Some(code) = state.faults.storage {
        return Err(Failure::new(code, "as scripted"));
    }
    if let Some(answered) = writes::answer(command, body, &mut state) {
        return answered.map(Answer::Body);
    }
    if state.faults.old && matches!(command, Command::Stat | Command::Read) {
        return Err(Failure::bad_request("an unknown command"));
    }
    let find = |key: &FileKey| {
        state.files.get(key).cloned().ok_or_else(|| Failure::new(ErrorCode::NOT_FOUND, "no such file"))
    };
    let mut reply = BytesMut::new();
    match command {
        Command::Stat => find(&FileKey::decode(body)?)?.encode(&mut reply),
        Command::FileSize => {
            reply.extend_from_slice(&find(&FileKey::decode(body)?)?.size.to_be_bytes());
        }
        Command::Read | Command::Download => {
            let download = match command {
                Command::Read => {
                    let read = Read::decode(body)?;
                    let mut stored = find(&read.download.key)?.blake3;
                    if state.faults.replaced {
                        stored = Checksum([0xcd; 32]);
                    }
                    if read.expected.is_known() && read.expected != stored {
                        return Err(Failure::new(ErrorCode::CHANGED, "another file"));
                    }
                    read.download
                }
                _ => Download::decode(body)?,
            };
            let size = find(&download.key)?.size;
            return match state.faults.reads {
                Some(code) => Err(Failure::new(code, "as scripted")),
                None => Ok(Answer::File(download, size)),
            };
        }
        other => panic!("the storage was asked {other:?}"),
    }
    Ok(Answer::Body(reply))
}

/// Sends bytes of a file as scripted, until they are sent or the reader is gone.
async fn send(
    stream: &mut TcpStream,
    download: &Download,
    size: u64,
    state: &Mutex<State>,
    seen: &watch::Sender<Seen>,
) -> io::Result<()> {
    let (stall, slow, die_after, break_once) = {
        let faults = &mut state.lock().unwrap().faults;
        (faults.stall, faults.slow, faults.die_after, faults.break_once.take())
    };
    if let Some(slow) = slow {
        tokio::time::sleep(slow).await;
    }
    if stall {
        // Nothing more comes from the reader; this ends when it hangs up.
        stream.read_u8().await?;
    }
    let offset = download.offset as u64;
    let len = if download.size == 0 { size - offset } else { download.size as u64 };
    assert!(len > 0 && offset + len <= size, "the gateway asked for {len} bytes from {offset} of {size}");
    stream.write_all(&Header::success(Server::Storage, len).encode()).await?;
    let end = offset + die_after.or(break_once).map_or(len, |after| after.min(len));
    let mut at = offset;
    while at < end {
        let chunk = bytes_of(at..end.min(at + 64 * 1024));
        stream.write_all(&chunk).await?;
        at += chunk.len() as u64;
        seen.send_modify(|seen| seen.sent += chunk.len() as u64);
    }
    if break_once.is_some() {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    if die_after.is_some() {
        state.lock().unwrap().dead = true;
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    Ok(())
}
