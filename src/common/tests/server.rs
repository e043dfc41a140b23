//! The accept loop and its connections, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_common::limits::Limits;
use tnv_common::server::{Admission, Service, bind, serve};
use tnv_proto::{Command, ErrorCode, Failure, FileKey, HEADER_LEN, Header, STATUS_OK, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Answers FILESIZE when the gate opens, counts the bytes of an UPLOAD, refuses a DELETE without reading its body.
struct Fake {
    entered: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

impl Service for Fake {
    const SERVER: Server = Server::Storage;
    type Session = u64;

    async fn call(
        &self,
        command: Command,
        connection: &mut Connection,
        calls: &mut u64,
    ) -> Result<Reply, Interrupt> {
        *calls += 1;
        match command {
            Command::FileSize => {
                connection.whole_body().await?;
                self.entered.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
                Ok(Reply::Body(BytesMut::from(&calls.to_be_bytes()[..])))
            }
            Command::Upload => {
                let mut buffer = [0; 1000];
                let mut count = 0;
                while connection.body_left() > 0 {
                    count += connection.read_bulk(&mut buffer).await? as u64;
                }
                Ok(Reply::Body(BytesMut::from(&count.to_be_bytes()[..])))
            }
            _ => Err(Failure::new(ErrorCode::NOT_FOUND, "no").into()),
        }
    }
}

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    entered: Arc<Semaphore>,
    gate: Arc<Semaphore>,
    admission: Admission,
    task: JoinHandle<()>,
}

async fn start(limits: Limits) -> Running {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (entered, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let admission = Admission::new(limits.max_connections);
    let service = Arc::new(Fake { entered: entered.clone(), gate: gate.clone() });
    let task = tokio::spawn(serve(listener, service, limits, admission.clone(), stop.clone()));
    Running { address, stop, entered, gate, admission, task }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

fn short(field: fn(&mut Limits) -> &mut Duration) -> Limits {
    let mut limits = Limits::default();
    *field(&mut limits) = Duration::from_millis(50);
    limits
}

fn file_size() -> BytesMut {
    FileKey::new("app", "user", "file").unwrap().to_frame(Command::FileSize)
}

fn frame(command: u8, len: u64) -> [u8; HEADER_LEN] {
    Header { body_len: len, command, status: STATUS_OK }.encode()
}

async fn reply(stream: &mut TcpStream) -> Result<Vec<u8>, Failure> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await.unwrap();
    let header = Header::decode(header).unwrap();
    assert_eq!(header.command, Server::Storage.reply_command());
    let mut body = vec![0; header.body_len as usize];
    stream.read_exact(&mut body).await.unwrap();
    if header.status == STATUS_OK { Ok(body) } else { Err(Failure::decode(&body).unwrap()) }
}

async fn assert_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{rest:?} before the end");
}

#[tokio::test]
async fn frames_follow_each_other_and_share_a_session() {
    let server = start(Limits::default()).await;
    server.gate.add_permits(2);
    let mut stream = server.connect().await;
    stream.write_all(&[file_size(), file_size()].concat()).await.unwrap();
    assert_eq!(reply(&mut stream).await.unwrap(), 1_u64.to_be_bytes());
    assert_eq!(reply(&mut stream).await.unwrap(), 2_u64.to_be_bytes());
}

#[tokio::test]
async fn a_small_refused_body_is_skipped_and_the_connection_lives() {
    let server = start(Limits::default()).await;
    server.gate.add_permits(1);
    let mut stream = server.connect().await;
    for (command, len, code) in [(99, 64 * 1024, 400), (71, 399, 400), (13, 0, 400), (73, 400, 404)] {
        stream.write_all(&frame(command, len)).await.unwrap();
        stream.write_all(&vec![7; len as usize]).await.unwrap();
        assert_eq!(reply(&mut stream).await.unwrap_err().code.0, code, "command {command}");
    }
    stream.write_all(&file_size()).await.unwrap();
    assert_eq!(reply(&mut stream).await.unwrap(), 2_u64.to_be_bytes());
}

#[tokio::test]
async fn a_large_refused_body_is_drained_behind_the_reply() {
    let server = start(Limits::default()).await;
    let mut stream = server.connect().await;
    let len = 8 * 1024 * 1024;
    stream.write_all(&frame(99, len)).await.unwrap();
    // Everything is sent before the reply is read: a server that just closed would reset the connection.
    stream.write_all(&vec![7; len as usize]).await.unwrap();
    assert_eq!(reply(&mut stream).await.unwrap_err().code, ErrorCode::BAD_REQUEST);
    assert_closed(&mut stream).await;
}

#[tokio::test]
async fn a_negative_length_is_refused_and_ends_the_connection() {
    let server = start(Limits::default()).await;
    let mut stream = server.connect().await;
    stream.write_all(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 71, 0]).await.unwrap();
    assert_eq!(reply(&mut stream).await.unwrap_err().code, ErrorCode::BAD_REQUEST);
    assert_closed(&mut stream).await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_and_room_comes_back() {
    let server = start(Limits { max_connections: 1, ..Limits::default() }).await;
    server.gate.add_permits(2);
    let mut first = server.connect().await;
    first.write_all(&file_size()).await.unwrap();
    reply(&mut first).await.unwrap();
    assert_eq!(server.admission.open(), 1);

    let mut second = server.connect().await;
    second.write_all(&file_size()).await.unwrap();
    assert_eq!(reply(&mut second).await.unwrap_err().code, ErrorCode::UNAVAILABLE);
    assert_closed(&mut second).await;

    drop(first);
    loop {
        let mut third = server.connect().await;
        third.write_all(&file_size()).await.unwrap();
        match reply(&mut third).await {
            Ok(_) => break,
            // The server has not seen the first one go yet.
            Err(failure) => assert_eq!(failure.code, ErrorCode::UNAVAILABLE),
        }
    }
}

#[tokio::test]
async fn a_client_with_one_connection_too_many_is_told_and_others_are_not() {
    let server = start(Limits { max_connections_per_client: 1, ..Limits::default() }).await;
    server.gate.add_permits(2);
    let mut first = server.connect().await;
    first.write_all(&file_size()).await.unwrap();
    reply(&mut first).await.unwrap();

    let mut second = server.connect().await;
    second.write_all(&file_size()).await.unwrap();
    let failure = reply(&mut second).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::UNAVAILABLE);
    assert!(failure.text.contains("max_connections_per_client"), "{failure}");
    assert_closed(&mut second).await;

    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let mut other = socket.connect(server.address).await.unwrap();
    other.write_all(&file_size()).await.unwrap();
    assert_eq!(reply(&mut other).await.unwrap(), 1_u64.to_be_bytes());
}

#[tokio::test]
async fn half_a_header_or_half_a_body_or_nothing_at_all_is_not_waited_for() {
    for (limits, bytes) in [
        (short(|limits| &mut limits.header_timeout), &file_size()[..5]),
        (short(|limits| &mut limits.header_timeout), &file_size()[..50]),
        (short(|limits| &mut limits.idle_timeout), &[]),
        (short(|limits| &mut limits.progress_timeout), &[&frame(70, 5000)[..], &[7; 600][..]].concat()),
    ] {
        let server = start(limits).await;
        let mut stream = server.connect().await;
        stream.write_all(bytes).await.unwrap();
        assert_closed(&mut stream).await;
    }
}

#[tokio::test]
async fn a_body_ends_where_its_frame_ends() {
    let server = start(Limits::default()).await;
    server.gate.add_permits(1);
    let mut stream = server.connect().await;
    let bytes = [&frame(70, 4321)[..], &[7; 4321], &file_size()].concat();
    stream.write_all(&bytes).await.unwrap();
    assert_eq!(reply(&mut stream).await.unwrap(), 4321_u64.to_be_bytes());
    assert_eq!(reply(&mut stream).await.unwrap(), 2_u64.to_be_bytes());
}

#[tokio::test]
async fn stopping_lets_a_request_finish_and_closes_the_idle() {
    let server = start(Limits::default()).await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(&file_size()).await.unwrap();
    server.entered.acquire().await.unwrap().forget();
    server.stop.cancel();
    assert_closed(&mut idle).await;
    assert!(!server.task.is_finished());
    server.gate.add_permits(1);
    assert_eq!(reply(&mut busy).await.unwrap(), 1_u64.to_be_bytes());
    assert_closed(&mut busy).await;
    server.task.await.unwrap();
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_off() {
    let server = start(short(|limits| &mut limits.drain_timeout)).await;
    let mut stuck = server.connect().await;
    stuck.write_all(&file_size()).await.unwrap();
    server.entered.acquire().await.unwrap().forget();
    server.stop.cancel();
    server.task.await.unwrap();
    assert_closed(&mut stuck).await;
}
