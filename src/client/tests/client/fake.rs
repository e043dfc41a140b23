//! A server whose every answer is written down by the test.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use tnv_proto::{
    Append, Command, ErrorCode, Failure, GroupName, HEADER_LEN, Header, NewUploadFixed, Server,
    StorageAddresses, Upload,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A fake server; it is gone when dropped.
pub(crate) struct Fake {
    pub(crate) address: String,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Runs `script` for every connection, with its number from 0.
    pub(crate) async fn scripted<F, Fut>(kind: Server, script: F) -> Fake
    where
        F: Fn(usize, Wire) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(number, Wire { kind, stream }));
            }
        });
        Fake { address, accepted, task }
    }

    /// Runs `script` for one connection, and refuses all others.
    pub(crate) async fn once<F, Fut>(kind: Server, script: F) -> Fake
    where
        F: FnOnce(Wire) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            drop(listener);
            counter.store(1, Ordering::SeqCst);
            stream.set_nodelay(true).unwrap();
            script(Wire { kind, stream }).await;
        });
        Fake { address, accepted, task }
    }

    /// Answers every request on every connection with what `answer` says.
    pub(crate) async fn answering<F>(kind: Server, answer: F) -> Fake
    where
        F: Fn(&Incoming) -> Answer + Clone + Send + Sync + 'static,
    {
        Fake::scripted(kind, move |_, mut wire| {
            let answer = answer.clone();
            async move {
                while let Some(request) = wire.request().await {
                    match answer(&request) {
                        Answer::Success(body) => wire.success(&body).await,
                        Answer::Failure(code) => wire.failure(code).await,
                        Answer::Close => return,
                    }
                }
            }
        })
        .await
    }

    /// A tracker that names these storages.
    pub(crate) async fn tracker(storages: &[&str]) -> Fake {
        let body = storage_list(storages);
        Fake::answering(Server::Tracker, move |_| Answer::Success(body.clone())).await
    }

    /// How many connections have come so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
pub(crate) enum Answer {
    Success(Vec<u8>),
    Failure(ErrorCode),
    Close,
}

/// A request without its bulk.
pub(crate) struct Incoming {
    pub(crate) command: Command,
    pub(crate) body: Vec<u8>,
    /// Bytes that follow: an upload's contents, and the checksum behind those of a STORE.
    pub(crate) bulk: u64,
}

/// The server's end of a connection.
pub(crate) struct Wire {
    kind: Server,
    pub(crate) stream: TcpStream,
}

impl Wire {
    /// The next request; `None` when the client hangs up.
    pub(crate) async fn request(&mut self) -> Option<Incoming> {
        let mut header = [0; HEADER_LEN];
        self.stream.read_exact(&mut header).await.ok()?;
        let header = Header::decode(header).unwrap();
        let command = Command::check(header, self.kind).unwrap();
        let fixed = match command {
            Command::Upload => Upload::LEN,
            Command::Store => NewUploadFixed::LEN,
            Command::Append => Append::LEN,
            _ => header.body_len as usize,
        };
        let mut body = vec![0; fixed];
        self.stream.read_exact(&mut body).await.ok()?;
        if command == Command::Store {
            body.resize(fixed + NewUploadFixed::decode(&body).unwrap().labels_len(), 0);
            self.stream.read_exact(&mut body[fixed..]).await.ok()?;
        }
        Some(Incoming { command, bulk: header.body_len - body.len() as u64, body })
    }

    /// Reads so many bytes of an upload.
    pub(crate) async fn bulk(&mut self, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        self.stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    pub(crate) async fn success(&mut self, body: &[u8]) {
        self.success_header(body.len() as u64).await;
        self.raw(body).await;
    }

    pub(crate) async fn success_header(&mut self, len: u64) {
        self.raw(&Header::success(self.kind, len).encode()).await;
    }

    pub(crate) async fn failure(&mut self, code: ErrorCode) {
        let mut body = BytesMut::new();
        Failure::new(code, code.meaning()).encode("fake", &mut body);
        let mut frame = Header::failure(self.kind, body.len() as u64).encode().to_vec();
        frame.extend_from_slice(&body);
        self.raw(&frame).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Waits until the client hangs up.
    pub(crate) async fn closed(&mut self) {
        let mut sink = vec![0; 65536];
        while let Ok(1..) = self.stream.read(&mut sink).await {}
    }
}

pub(crate) fn storage_list(storages: &[&str]) -> Vec<u8> {
    let mut body = BytesMut::new();
    let addresses = storages.iter().map(|address| (*address).to_owned()).collect();
    StorageAddresses { group: GroupName::new("group001").unwrap(), addresses }.encode(&mut body);
    body.to_vec()
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}
