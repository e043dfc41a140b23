//! One storage's folders, its catalog and an id server, and what a client needs to talk to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tnv_common::config::{Settings, WrittenPath};
use tnv_common::database::DatabaseConfig;
use tnv_proto::{
    Attributes, Checksum, Command, Download, Failure, FileKey, HEADER_LEN, Header, IdLease, IdRange, Read,
    Request, STATUS_OK, Server, Upload,
};
use tnv_storage::{Config, StartError, Storage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long something that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) config: Config,
}

impl Lab {
    pub(crate) async fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::read(&mut Settings::built_in("storage"));
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.store_paths = vec![written(folder.path(), "store")];
        config.database = DatabaseConfig::sqlite(folder.path().join("tnv.db"));
        config.trackers = Vec::new();
        config.ids = vec![play_id_server().await.to_string()];
        config.reserved_space = 0;
        config.limits.drain_timeout = Duration::from_secs(10);
        Lab { folder, config }
    }

    /// Where the first store path is.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// The catalog, as someone else sees it.
    pub(crate) fn sql(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("tnv.db")).unwrap()
    }

    /// The answer to a query for one number.
    pub(crate) fn count(&self, query: &str) -> i64 {
        self.sql().query_row(query, [], |row| row.get(0)).unwrap()
    }

    /// Rows of all files and of all their copies.
    pub(crate) fn rows(&self) -> (i64, i64) {
        let files = "SELECT (SELECT count(*) FROM t_file_01) + (SELECT count(*) FROM t_file_02) +
                            (SELECT count(*) FROM t_file_03)";
        (self.count(files), self.count("SELECT count(*) FROM t_copy"))
    }

    /// The files in the store, the storage's own aside, each as a path below it.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.store(), &self.store(), &mut found);
        found.sort();
        found
    }

    /// The same of another folder, as full paths.
    pub(crate) fn files_in(&self, store: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(store, store, &mut found);
        found.into_iter().map(|path| store.join(path)).collect()
    }

    /// The only file in the store.
    pub(crate) fn only_file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        self.store().join(&files[0])
    }

    /// Waits until the store holds so many files.
    pub(crate) async fn until_files(&self, count: usize) {
        until(|| self.files().len() == count).await;
    }

    pub(crate) async fn try_start(&self) -> Result<Running, StartError> {
        self.try_start_with(self.config.clone()).await
    }

    pub(crate) async fn try_start_with(&self, config: Config) -> Result<Running, StartError> {
        let storage = Storage::bind(config).await?;
        let (address, stop) = (storage.local_addr(), CancellationToken::new());
        let task = tokio::spawn(storage.run(stop.clone()));
        Ok(Running { address, stop, task })
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(&self.config).await
    }

    pub(crate) async fn start_with(&self, config: &Config) -> Running {
        let begun = tokio::time::Instant::now();
        loop {
            match self.try_start_with(config.clone()).await {
                // Work of the one before it may hold the lock for a moment longer.
                Err(error) if error.to_string().contains("in use") && begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                started => return started.unwrap(),
            }
        }
    }
}

pub(crate) fn written(folder: &Path, name: &str) -> WrittenPath {
    WrittenPath { written: format!("../{name}"), resolved: folder.join(name) }
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let below = path.strip_prefix(root).unwrap().to_str().unwrap();
        if path.is_dir() {
            walk(root, &path, found);
        } else if !below.starts_with(".tnv-") {
            found.push(below.to_owned());
        }
    }
}

/// Waits until `reached`.
pub(crate) async fn until(mut reached: impl FnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !reached() {
        assert!(begun.elapsed() < PATIENCE, "it did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Numbers from 0 on, for any key.
async fn play_id_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let next = Arc::new(AtomicI64::new(0));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let next = next.clone();
            tokio::spawn(async move {
                let mut wire = Wire(stream);
                while let Some((_, body)) = wire.frame().await {
                    let count = IdLease::decode(&body).unwrap().count;
                    let first = next.fetch_add(i64::from(count), Ordering::Relaxed);
                    let mut reply = BytesMut::new();
                    IdRange { first, count }.encode(&mut reply);
                    wire.send(&Header::success(Server::Id, reply.len() as u64).encode()).await;
                    wire.send(&reply).await;
                }
            });
        }
    });
    address
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn connect(&self) -> Wire {
        Wire(TcpStream::connect(self.address).await.unwrap())
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    pub(crate) async fn upload(&self, file: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.uploader(file.to_owned(), bytes.to_owned()).await
    }

    /// An upload that can run beside others.
    pub(crate) fn uploader(
        &self,
        file: String,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<(), Failure>> + use<> {
        let address = self.address;
        async move {
            let mut wire = Wire(TcpStream::connect(address).await.unwrap());
            wire.begin_upload(&file, bytes.len() as u64).await;
            wire.send(&bytes).await;
            wire.reply().await.map(|body| assert!(body.is_empty()))
        }
    }

    pub(crate) async fn download(&self, file: &str) -> Result<Vec<u8>, Failure> {
        self.connect().await.download(file).await
    }

    pub(crate) async fn stat(&self, file: &str) -> Result<Attributes, Failure> {
        let body = self.ask(file, Command::Stat).await?;
        Ok(Attributes::decode(&body).unwrap())
    }

    pub(crate) async fn delete(&self, file: &str) -> Result<(), Failure> {
        self.ask(file, Command::Delete).await.map(|body| assert!(body.is_empty()))
    }

    pub(crate) async fn read(&self, file: &str, expected: Checksum) -> Result<Vec<u8>, Failure> {
        let read = Read { download: Download { key: key(file), offset: 0, size: 0 }, expected };
        let mut wire = self.connect().await;
        wire.send(&read.to_frame()).await;
        wire.reply().await
    }

    pub(crate) async fn ask(&self, file: &str, command: Command) -> Result<Vec<u8>, Failure> {
        let mut wire = self.connect().await;
        wire.send(&key(file).to_frame(command)).await;
        wire.reply().await
    }
}

/// A file of the user whose rows are in the second table.
pub(crate) fn key(file: &str) -> FileKey {
    FileKey::new("tnvideo", "tnv001", file).unwrap()
}

/// A connection with the frames in plain sight.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends an upload's header and fixed part.
    pub(crate) async fn begin_upload(&mut self, file: &str, size: u64) {
        self.send(&Upload { key: key(file), size }.to_frame()).await;
    }

    pub(crate) async fn download(&mut self, file: &str) -> Result<Vec<u8>, Failure> {
        self.send(&Download { key: key(file), offset: 0, size: 0 }.to_frame()).await;
        self.reply().await
    }

    /// A file that is asked for and comes; `None` if it is refused or breaks off.
    pub(crate) async fn asked(&mut self, file: &str) -> Option<(Header, Vec<u8>)> {
        self.send(&Download { key: key(file), offset: 0, size: 0 }.to_frame()).await;
        self.frame().await.filter(|(header, _)| header.status == STATUS_OK)
    }

    /// The next frame; `None` if the other end has closed before its end.
    pub(crate) async fn frame(&mut self) -> Option<(Header, Vec<u8>)> {
        let mut header = [0; HEADER_LEN];
        self.0.read_exact(&mut header).await.ok()?;
        let header = Header::decode(header).unwrap();
        let mut body = vec![0; usize::try_from(header.body_len).unwrap()];
        self.0.read_exact(&mut body).await.ok()?;
        Some((header, body))
    }

    pub(crate) async fn reply(&mut self) -> Result<Vec<u8>, Failure> {
        let (header, body) = tokio::time::timeout(PATIENCE, self.frame())
            .await
            .expect("a reply in time")
            .expect("a whole reply");
        assert_eq!(header.command, Server::Storage.reply_command());
        if header.status == STATUS_OK { Ok(body) } else { Err(Failure::decode(&body).unwrap()) }
    }
}

/// Bytes that differ from seed to seed.
pub(crate) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|n| ((n % 251) as u8).wrapping_add(seed)).collect()
}
