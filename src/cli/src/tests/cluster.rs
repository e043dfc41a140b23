//! A tracker and a storage in one: a few files in memory, and faults on request.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::BytesMut;
use tnv_proto::state::{ClusterState, GroupState, ScrubPass, ScrubState};
use tnv_proto::{
    Append, Attributes, Begin, Checksum, Command, Download, ErrorCode, Failure, FileKey, FileList, Finish,
    GroupName, HEADER_LEN, Header, Labels, List, ListOrder, NewUpload, NewUploadFixed, Read, Request, Server,
    StorageAddresses, Store, Upload, UploadProgress,
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
    /// Uploads in parts that are under way.
    pub(super) parts: HashMap<FileKey, (NewUpload, Vec<u8>)>,
    /// The offset of every APPEND.
    pub(super) appends: Vec<u64>,
    /// So many APPENDs more break off in the middle.
    pub(super) cut_appends: usize,
    /// Parts arrive with a byte that was not sent.
    pub(super) spoils_appends: bool,
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

    /// The name and content type of all files, by contents.
    pub(super) fn labels(&self) -> HashMap<Vec<u8>, (String, String)> {
        let state = self.state();
        let told = |(attributes, bytes): &(Attributes, Vec<u8>)| {
            (bytes.clone(), (attributes.name.clone(), attributes.content_type.clone()))
        };
        state.files.values().map(told).collect()
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
            (_, Fault::Old) if is_later(command) => {
                Err(Failure::bad_request(format!("unknown command {}", command as u8)))
            }
            _ if command == Command::Append && self.cuts(body) => return ControlFlow::Break(()),
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

    /// Whether this APPEND is to break off; half of it arrives then.
    fn cuts(&self, body: &[u8]) -> bool {
        let mut state = self.state.lock().unwrap();
        if state.cut_appends == 0 {
            return false;
        }
        state.cut_appends -= 1;
        let half = (body.len() - Append::LEN) / 2;
        state.append(&body[..Append::LEN + half]).unwrap();
        true
    }

    fn reply(&self, command: Command, body: &[u8]) -> Reply {
        let mut state = self.state.lock().unwrap();
        match command {
            Command::Groups => Ok(b"         COUNT OF GROUPS: 0\0".to_vec()),
            Command::State => {
                let groups = vec![GroupState { name: "group001".into(), ..GroupState::default() }];
                Ok(serde_json::to_vec(&ClusterState { groups, ..ClusterState::default() }).unwrap())
            }
            Command::Saddrs | Command::Locate => {
                let group = GroupName::new("group001").unwrap();
                let mut out = BytesMut::new();
                StorageAddresses { group, addresses: vec![self.address.clone()] }.encode(&mut out);
                Ok(out.to_vec())
            }
            Command::Upload => state.upload(body),
            Command::Store => state.store(body),
            Command::List => state.list(&List::decode(body)?),
            Command::Begin => state.begin(Begin::decode(body)?.0),
            Command::Append => state.append(body),
            Command::Progress => state.progress(&FileKey::decode(body)?),
            Command::Finish => state.finish(&Finish::decode(body)?),
            Command::Scrub => {
                let pass = ScrubPass {
                    started: 1,
                    ended: 2,
                    files: 3,
                    bytes: 7,
                    damaged: 1,
                    ..ScrubPass::default()
                };
                // It takes one question more than it is begun with.
                let running = body[0] == 1;
                let scrub = ScrubState { running, pass: pass.clone(), last: pass };
                Ok(serde_json::to_vec(&scrub).unwrap())
            }
            Command::Abort => {
                let key = FileKey::decode(body)?;
                state.parts.remove(&key).map(|_| vec![]).ok_or_else(|| no_parts(&key))
            }
            Command::FileSize => state
                .find(&FileKey::decode(body)?)
                .map(|(attributes, _)| attributes.size.to_be_bytes().to_vec()),
            Command::Stat => state.find(&FileKey::decode(body)?).map(|(attributes, _)| encoded(attributes)),
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
        let Upload { key, size } = Upload::decode(fixed)?;
        self.insert(NewUpload { key, size, labels: Labels::default(), ack_copies: 0 }, bytes)?;
        Ok(vec![])
    }

    fn store(&mut self, body: &[u8]) -> Reply {
        let labels = NewUploadFixed::decode(&body[..NewUploadFixed::LEN])?.labels_len();
        let (head, rest) = body.split_at(NewUploadFixed::LEN + labels);
        let (bytes, trailer) = rest.split_last_chunk::<32>().unwrap();
        assert_eq!(Checksum(*trailer), blake3(bytes));
        self.insert(Store::decode(head)?.0, bytes)
    }

    /// Adds a file: its attributes.
    fn insert(&mut self, new: NewUpload, bytes: &[u8]) -> Reply {
        assert_eq!(new.size, bytes.len() as u64);
        if self.files.contains_key(&new.key) {
            return Err(Failure::new(ErrorCode::CONFLICT, format!("{} exists", new.key)));
        }
        let attributes = Attributes {
            size: new.size,
            created_ms: 1_700_000_000_000 + self.files.len() as i64,
            crc32: 0,
            blake3: blake3(bytes),
            content_type: new.labels.content_type().to_owned(),
            name: new.labels.name().to_owned(),
        };
        let told = encoded(&attributes);
        self.files.insert(new.key, (attributes, bytes.to_vec()));
        Ok(told)
    }

    fn list(&self, list: &List) -> Reply {
        let mut files: Vec<_> = self
            .files
            .iter()
            .filter(|(key, (attributes, _))| {
                key.app == list.app && key.user == list.user && attributes.name.starts_with(&list.prefix)
            })
            .map(|(key, (attributes, _))| (key.file.clone(), attributes.clone()))
            .collect();
        match list.order {
            ListOrder::Newest => files.sort_by_key(|(id, told)| (-told.created_ms, id.clone())),
            ListOrder::Name => files.sort_by_key(|(id, told)| (told.name.clone(), id.clone())),
        }
        let start = if list.cursor.is_empty() { 0 } else { list.cursor.parse::<usize>().unwrap() };
        let end = files.len().min(start + usize::from(list.limit));
        let next = if end < files.len() { end.to_string() } else { String::new() };
        let mut out = BytesMut::new();
        FileList { files: files[start..end].to_vec(), next }.encode(&mut out);
        Ok(out.to_vec())
    }

    fn begin(&mut self, new: NewUpload) -> Reply {
        let key = new.key.clone();
        let (begun, _) = self.parts.entry(key.clone()).or_insert_with(|| (new.clone(), Vec::new()));
        if self.files.contains_key(&key) || begun.size != new.size {
            return Err(Failure::new(ErrorCode::CONFLICT, format!("{key} exists")));
        }
        self.progress(&key)
    }

    fn append(&mut self, body: &[u8]) -> Reply {
        let (fixed, bytes) = body.split_at(Append::LEN);
        let Append { key, offset, .. } = Append::decode(fixed)?;
        self.appends.push(offset);
        let (_, held) = self.parts.get_mut(&key).ok_or_else(|| no_parts(&key))?;
        if offset != held.len() as u64 {
            return Err(Failure::new(ErrorCode::CONFLICT, format!("{} bytes are here", held.len())));
        }
        held.extend_from_slice(bytes);
        if self.spoils_appends
            && let Some(last) = held.last_mut()
        {
            *last ^= 1;
        }
        self.progress(&key)
    }

    fn progress(&self, key: &FileKey) -> Reply {
        let (new, held) = self.parts.get(key).ok_or_else(|| no_parts(key))?;
        let mut out = BytesMut::new();
        UploadProgress { offset: held.len() as u64, size: new.size, expires_ms: 1 }.encode(&mut out);
        Ok(out.to_vec())
    }

    fn finish(&mut self, finish: &Finish) -> Reply {
        let (new, held) = self.parts.get(&finish.key).cloned().ok_or_else(|| no_parts(&finish.key))?;
        if finish.expected != blake3(&held) {
            return Err(Failure::new(ErrorCode::CHANGED, "other bytes"));
        }
        self.parts.remove(&finish.key);
        self.insert(new, &held)
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

fn is_later(command: Command) -> bool {
    use Command as C;
    matches!(
        command,
        C::Stat
            | C::Read
            | C::State
            | C::Store
            | C::List
            | C::Begin
            | C::Append
            | C::Progress
            | C::Finish
            | C::Abort
    )
}

fn no_parts(key: &FileKey) -> Failure {
    Failure::new(ErrorCode::NOT_FOUND, format!("no parts of {key}"))
}

fn encoded(attributes: &Attributes) -> Vec<u8> {
    let mut out = BytesMut::new();
    attributes.encode(&mut out);
    out.to_vec()
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
