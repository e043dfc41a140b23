//! A tracker and a storage in one: a few files in memory, and faults on request.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::BytesMut;
use tnv_proto::state::{ClusterState, GroupState};
use tnv_proto::{
    Attributes, Checksum, Command, Download, ErrorCode, Failure, FileKey, GroupName, HEADER_LEN, Header,
    Read, Request, Server, StorageAddresses, Upload,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What goes wrong on the storage.
#[derive(Clone, Default)]
pub(super) enum Fault {
    #[default]
    None,
    /// Takes uploads and hangs up instead of answering, from then on whatever is asked.
    HangUp,
    /// Hangs up in the middle of a download.
    Cut,
    /// Stops in the middle of a download and says so.
    Stall(Arc<Notify>),
    /// Refuses whatever is asked.
    Refuse(ErrorCode),
    /// Knows none of the commands that were added later.
    Old,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) files: HashMap<FileKey, (Attributes, Vec<u8>)>,
    pub(super) commands: Vec<Command>,
    pub(super) fault: Fault,
}

pub(super) struct Cluster {
    /// `host:port` of both the tracker and the storage.
    pub(super) address: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn key(file: &str) -> FileKey {
    FileKey::new("tnvideo", "tnv001", file).unwrap()
}

pub(super) fn blake3(bytes: &[u8]) -> Checksum {
    Checksum(blake3::hash(bytes).into())
}

impl Cluster {
    pub(super) async fn start() -> Cluster {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let server = Connection { address: address.clone(), state: state.clone() };
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(socket));
            }
        });
        Cluster { address, state, task }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn break_with(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// Adds a file with true attributes.
    pub(super) fn add(&self, file: &str, name: &str, bytes: &[u8]) {
        let attributes = Attributes {
            size: bytes.len() as u64,
            created_ms: 0,
            crc32: 0,
            blake3: blake3(bytes),
            content_type: String::new(),
            name: name.to_owned(),
        };
        self.state().files.insert(key(file), (attributes, bytes.to_vec()));
    }

    /// Changes what is stored but not what is known of it.
    pub(super) fn damage(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.state().files.get_mut(&key(file)).unwrap().1);
    }

    /// The contents of all files.
    pub(super) fn contents(&self) -> HashMap<FileKey, Vec<u8>> {
        self.state().files.iter().map(|(key, (_, bytes))| (key.clone(), bytes.clone())).collect()
    }

    pub(super) fn commands(&self) -> Vec<Command> {
        self.state().commands.clone()
    }
}

#[derive(Clone)]
struct Connection {
    address: String,
    state: Arc<Mutex<State>>,
}

type Reply = Result<Vec<u8>, Failure>;

impl Connection {
    async fn serve(self, mut socket: TcpStream) {
        loop {
            let mut header = [0; HEADER_LEN];
            if socket.read_exact(&mut header).await.is_err() {
                return;
            }
            let header = Header::decode(header).unwrap();
            let command = Command::from_byte(header.command).unwrap();
            let mut body = vec![0; header.body_len as usize];
            if socket.read_exact(&mut body).await.is_err() {
                return;
            }
            self.state.lock().unwrap().commands.push(command);
            if self.answer(command, &body, &mut socket).await.is_break() {
                return;
            }
        }
    }

    async fn answer(&self, command: Command, body: &[u8], socket: &mut TcpStream) -> ControlFlow<()> {
        let fault = self.state.lock().unwrap().fault.clone();
        let is_transfer = matches!(command, Command::Download | Command::Read);
        let reply = match (command.server(), &fault) {
            (Server::Storage, Fault::HangUp) => return ControlFlow::Break(()),
            (Server::Storage, Fault::Refuse(code)) => Err(Failure::new(*code, "as the test wants it")),
            (_, Fault::Old) if matches!(command, Command::Stat | Command::Read | Command::State) => {
                Err(Failure::bad_request(format!("unknown command {}", command as u8)))
            }
            _ => self.reply(command, body),
        };
        let frame = encode(command.server(), &reply);
        let cut = frame.len() / 2;
        match fault {
            Fault::Cut if is_transfer => {
                let _ = socket.write_all(&frame[..cut]).await;
                return ControlFlow::Break(());
            }
            Fault::Stall(stalled) if is_transfer => {
                let _ = socket.write_all(&frame[..cut]).await;
                stalled.notify_one();
                return std::future::pending().await;
            }
            _ => {}
        }
        match socket.write_all(&frame).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn reply(&self, command: Command, body: &[u8]) -> Reply {
        let mut state = self.state.lock().unwrap();
        match command {
            Command::Groups => Ok(b"         COUNT OF GROUPS: 0\0".to_vec()),
            Command::State => {
                let groups = vec![GroupState { name: "group001".into(), storages: vec![] }];
                Ok(serde_json::to_vec(&ClusterState { groups, ..ClusterState::default() }).unwrap())
            }
            Command::Saddrs | Command::Locate => {
                let group = GroupName::new("group001").unwrap();
                let mut out = BytesMut::new();
                StorageAddresses { group, addresses: vec![self.address.clone()] }.encode(&mut out);
                Ok(out.to_vec())
            }
            Command::Upload => state.upload(body),
            Command::FileSize => state
                .find(&FileKey::decode(body)?)
                .map(|(attributes, _)| attributes.size.to_be_bytes().to_vec()),
            Command::Stat => state.find(&FileKey::decode(body)?).map(|(attributes, _)| {
                let mut out = BytesMut::new();
                attributes.encode(&mut out);
                out.to_vec()
            }),
            Command::Download => state.download(&Download::decode(body)?),
            Command::Read => state.download(&Read::decode(body)?.download),
            Command::Delete => {
                let key = FileKey::decode(body)?;
                state.find(&key)?;
                state.files.remove(&key);
                Ok(vec![])
            }
            _ => Err(Failure::bad_request("not in this test")),
        }
    }
}

impl State {
    fn find(&self, key: &FileKey) -> Result<&(Attributes, Vec<u8>), Failure> {
        self.files.get(key).ok_or_else(|| Failure::new(ErrorCode::NOT_FOUND, format!("no file {key}")))
    }

    fn upload(&mut self, body: &[u8]) -> Reply {
        let (fixed, bytes) = body.split_at(Upload::LEN);
        let upload = Upload::decode(fixed)?;
        assert_eq!(upload.size, bytes.len() as u64);
        if self.files.contains_key(&upload.key) {
            return Err(Failure::new(ErrorCode::CONFLICT, format!("{} exists", upload.key)));
        }
        let attributes = Attributes {
            size: upload.size,
            created_ms: 0,
            crc32: 0,
            blake3: blake3(bytes),
            content_type: String::new(),
            name: String::new(),
        };
        self.files.insert(upload.key, (attributes, bytes.to_vec()));
        Ok(vec![])
    }

    fn download(&self, download: &Download) -> Reply {
        let (_, bytes) = self.find(&download.key)?;
        let (offset, size) = (download.offset as usize, download.size as usize);
        let end = if size == 0 { bytes.len() } else { offset + size };
        bytes.get(offset..end).map(<[u8]>::to_vec).ok_or_else(|| {
            Failure::new(ErrorCode::RANGE, format!("{} has {} bytes", download.key, bytes.len()))
        })
    }
}

fn encode(server: Server, reply: &Reply) -> Vec<u8> {
    let (header, body) = match reply {
        Ok(body) => (Header::success(server, body.len() as u64), body.clone()),
        Err(failure) => {
            let mut body = BytesMut::new();
            failure.encode("test", &mut body);
            (Header::failure(server, body.len() as u64), body.to_vec())
        }
    };
    [&header.encode()[..], &body].concat()
}
