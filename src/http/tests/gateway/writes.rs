//! What the scripted storage does about uploads, lists and deletes.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;

use bytes::BytesMut;
use tnv_proto::{
    Acknowledged, Append, Attributes, Begin, Checksum, Command, ErrorCode, Failure, FileKey, FileList,
    Finish, Header, KnownUpload, Labels, List, ListOrder, NewUpload, NewUploadFixed, Request, Store,
    UploadProgress,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::cluster::State;

/// When uploads expire: Sun, 06 Nov 1994 08:49:37 GMT.
pub(crate) const EXPIRES_MS: i64 = 784_111_777_500;

/// An upload in parts.
pub(crate) struct Pending {
    labels: Labels,
    ack_copies: u8,
    size: u64,
    bytes: Vec<u8>,
}

/// Uploads under way, and the contents of files that were uploaded.
#[derive(Default)]
pub(crate) struct Writes {
    pub(crate) pending: HashMap<FileKey, Pending>,
    pub(crate) contents: HashMap<FileKey, Vec<u8>>,
}

impl Pending {
    fn progress(&self) -> UploadProgress {
        UploadProgress { offset: self.bytes.len() as u64, size: self.size, expires_ms: EXPIRES_MS }
    }
}

fn refuse(code: ErrorCode) -> Failure {
    Failure::new(code, "as scripted")
}

/// STORE and APPEND, whose contents are read as they come.
pub(crate) async fn receive(
    stream: &mut TcpStream,
    command: Command,
    header: Header,
    state: &Mutex<State>,
) -> io::Result<Result<BytesMut, Failure>> {
    if let Some(code) = state.lock().unwrap().faults.writes {
        return Ok(Err(refuse(code)));
    }
    match command {
        Command::Store => receive_file(stream, state).await,
        _ => receive_part(stream, header.body_len - Append::LEN as u64, state).await,
    }
}

async fn receive_file(stream: &mut TcpStream, state: &Mutex<State>) -> io::Result<Result<BytesMut, Failure>> {
    let fixed = NewUploadFixed::decode(&bytes(stream, NewUploadFixed::LEN).await?).unwrap();
    let labels = bytes(stream, fixed.labels_len()).await?;
    let NewUpload { key, size, labels, ack_copies } = fixed.with_labels(&labels).unwrap();
    let contents = bytes(stream, size as usize).await?;
    bytes(stream, Store::TRAILER_LEN).await?;
    let mut reply = BytesMut::new();
    let attributes = state.lock().unwrap().store(&key, &labels, contents);
    Acknowledged { attributes, copies: ack_copies }.encode(&mut reply);
    Ok(Ok(reply))
}

async fn receive_part(
    stream: &mut TcpStream,
    len: u64,
    state: &Mutex<State>,
) -> io::Result<Result<BytesMut, Failure>> {
    let Append { key, offset, .. } = Append::decode(&bytes(stream, Append::LEN).await?).unwrap();
    let standing = state.lock().unwrap().writes.pending.get(&key).map(Pending::progress);
    match standing {
        None => return Ok(Err(refuse(ErrorCode::NOT_FOUND))),
        Some(progress) if progress.offset != offset => return Ok(Err(refuse(ErrorCode::CONFLICT))),
        Some(_) => {}
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut left = len as usize;
    while left > 0 {
        let room = left.min(buffer.len());
        let n = stream.read(&mut buffer[..room]).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut state = state.lock().unwrap();
        state.writes.pending.get_mut(&key).unwrap().bytes.extend_from_slice(&buffer[..n]);
        state.arrived.send_modify(|arrived| *arrived += n as u64);
        left -= n;
    }
    let mut reply = BytesMut::new();
    state.lock().unwrap().writes.pending[&key].progress().encode(&mut reply);
    Ok(Ok(reply))
}

async fn bytes(stream: &mut TcpStream, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The commands without contents. `None`: it is none of them.
pub(crate) fn answer(command: Command, body: &[u8], state: &mut State) -> Option<Result<BytesMut, Failure>> {
    let fault = state.faults.writes;
    let mut reply = BytesMut::new();
    let done = match command {
        Command::Begin => match fault {
            Some(code) => Err(refuse(code)),
            None => {
                let Begin(NewUpload { key, size, labels, ack_copies }) = Begin::decode(body).unwrap();
                let pending = Pending { labels, ack_copies, size, bytes: Vec::new() };
                pending.progress().encode(&mut reply);
                state.writes.pending.insert(key, pending);
                Ok(())
            }
        },
        Command::Progress if state.faults.damaged => Err(refuse(ErrorCode::INTERNAL)),
        Command::Progress => match state.writes.pending.get(&FileKey::decode(body).unwrap()) {
            Some(pending) => {
                let labels = (!state.faults.unlabelled).then(|| pending.labels.clone());
                KnownUpload { progress: pending.progress(), labels }.encode(&mut reply);
                Ok(())
            }
            None => Err(refuse(ErrorCode::NOT_FOUND)),
        },
        Command::Finish => {
            finish(&Finish::decode(body).unwrap().key, state).map(|file| file.encode(&mut reply))
        }
        Command::Abort if state.faults.locked_aborts > 0 => {
            state.faults.locked_aborts -= 1;
            Err(refuse(ErrorCode::LOCKED))
        }
        Command::Abort => match state.writes.pending.remove(&FileKey::decode(body).unwrap()) {
            Some(_) => Ok(()),
            None => Err(refuse(ErrorCode::NOT_FOUND)),
        },
        Command::Delete => match state.files.remove(&FileKey::decode(body).unwrap()) {
            Some(_) => Ok(()),
            None => Err(refuse(ErrorCode::NOT_FOUND)),
        },
        Command::List => list(&List::decode(body).unwrap(), state).map(|page| page.encode(&mut reply)),
        _ => return None,
    };
    Some(done.map(|()| reply))
}

fn finish(key: &FileKey, state: &mut State) -> Result<Acknowledged, Failure> {
    if let Some(code) = state.faults.finishes {
        return Err(refuse(code));
    }
    match state.writes.pending.remove(key) {
        Some(pending) if pending.bytes.len() as u64 == pending.size => {
            let copies = pending.ack_copies;
            Ok(Acknowledged { attributes: state.store(key, &pending.labels, pending.bytes), copies })
        }
        Some(pending) => {
            state.writes.pending.insert(key.clone(), pending);
            Err(refuse(ErrorCode::CONFLICT))
        }
        None => {
            let stored = state.files.get(key).cloned();
            stored
                .map(|attributes| Acknowledged { attributes, copies: 0 })
                .ok_or_else(|| refuse(ErrorCode::NOT_FOUND))
        }
    }
}

/// The cursor is the place of the next file.
fn list(list: &List, state: &State) -> Result<FileList, Failure> {
    let owned = |key: &&FileKey| key.app == list.app && key.user == list.user;
    let mut files: Vec<_> =
        state.files.keys().filter(owned).map(|key| (key.file.clone(), &state.files[key])).collect();
    files.retain(|(_, file)| file.name.starts_with(&list.prefix));
    match list.order {
        ListOrder::Newest => files.sort_by_key(|(id, file)| (-file.created_ms, id.as_str().to_owned())),
        ListOrder::Name => files.sort_by_key(|(id, file)| (file.name.clone(), id.as_str().to_owned())),
    }
    let start = match list.cursor.as_str() {
        "" => 0,
        cursor => cursor.parse::<usize>().map_err(|_| refuse(ErrorCode::BAD_REQUEST))?,
    };
    let end = files.len().min(start + usize::from(list.limit));
    let next = if end < files.len() { end.to_string() } else { String::new() };
    let page = files.get(start..end).unwrap_or_default().iter();
    Ok(FileList { files: page.map(|(id, file)| (id.clone(), (*file).clone())).collect(), next })
}

impl State {
    fn store(&mut self, key: &FileKey, labels: &Labels, contents: Vec<u8>) -> Attributes {
        let attributes = Attributes {
            size: contents.len() as u64,
            created_ms: 784_111_777_500,
            crc32: 0,
            blake3: Checksum(*blake3::hash(&contents).as_bytes()),
            content_type: labels.content_type().to_owned(),
            name: labels.name().to_owned(),
        };
        self.files.insert(key.clone(), attributes.clone());
        self.writes.contents.insert(key.clone(), contents);
        attributes
    }
}
