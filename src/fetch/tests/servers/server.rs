//! Servers that do what a test wants, byte for byte.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a client has asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The path with its query.
    pub(crate) path: String,
    /// The first byte, and the last one if it was said.
    pub(crate) range: Option<(usize, Option<usize>)>,
    pub(crate) if_range: Option<String>,
    /// Requests to this server before it.
    pub(crate) number: usize,
}

/// What a server does with a connection.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Pause(Duration),
    /// Sends these bytes, so many at a time with a pause behind each.
    Trickle(Vec<u8>, usize, Duration),
    /// Ends it as a crash does.
    Reset,
    /// Never does anything again.
    Hang,
}

/// A server until it is dropped.
pub(crate) struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(behave: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, count, behave) = (Arc::clone(&requests), Arc::new(AtomicUsize::new(0)), Arc::new(behave));
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (seen, count, behave) = (Arc::clone(&seen), Arc::clone(&count), Arc::clone(&behave));
                tokio::spawn(async move {
                    let _ = answer(stream, &seen, &count, &*behave).await;
                });
            }
        });
        Server { address, requests, task }
    }

    /// The address of its file.
    pub(crate) fn url(&self) -> String {
        self.at("/file.bin")
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.requests().len()
    }
}

async fn answer(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    count: &AtomicUsize,
    behave: &(impl Fn(&Request) -> Vec<Step> + Send + Sync),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let request = parse(&String::from_utf8_lossy(&head), count.fetch_add(1, Ordering::Relaxed));
    seen.lock().unwrap().push(request.clone());
    for step in behave(&request) {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Trickle(bytes, size, pause) => {
                for part in bytes.chunks(size) {
                    stream.write_all(part).await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Step::Reset => {
                stream.set_zero_linger()?;
                return Ok(());
            }
            Step::Hang => std::future::pending().await,
        }
    }
    stream.shutdown().await?;
    // Unread bytes would make it a reset.
    let _ = stream.read(&mut [0; 64]).await;
    Ok(())
}

fn parse(head: &str, number: usize) -> Request {
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line[name.len() + 1..].trim().to_owned())
    };
    let range = header("range").map(|range| {
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        (first.parse().unwrap(), last.parse().ok())
    });
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Request { path, range, if_range: header("if-range"), number }
}

/// A version of a file.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) etag: String,
    /// Further headers, each with its line end.
    pub(crate) headers: String,
}

impl Content {
    pub(crate) fn new(bytes: &[u8], etag: &str) -> Content {
        Content { bytes: Arc::new(bytes.to_vec()), etag: etag.to_owned(), headers: String::new() }
    }

    pub(crate) fn with(mut self, header: &str) -> Content {
        self.headers.push_str(&format!("{header}\r\n"));
        self
    }

    fn etag_header(&self) -> String {
        if self.etag.is_empty() { String::new() } else { format!("ETag: {}\r\n", self.etag) }
    }

    /// The head and the body of a proper answer.
    pub(crate) fn answer(&self, request: &Request) -> (String, Vec<u8>) {
        let same = request.if_range.as_ref().is_none_or(|etag| *etag == self.etag);
        match request.range.filter(|_| same) {
            Some((first, last)) => self.part(first, last),
            None => self.whole(),
        }
    }

    pub(crate) fn whole(&self) -> (String, Vec<u8>) {
        let (len, etag, more) = (self.bytes.len(), self.etag_header(), &self.headers);
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n{etag}{more}Connection: close\r\n\r\n"),
            self.bytes.to_vec(),
        )
    }

    fn part(&self, first: usize, last: Option<usize>) -> (String, Vec<u8>) {
        let size = self.bytes.len();
        if first >= size {
            let head = format!(
                "HTTP/1.1 416 No\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            return (head, Vec::new());
        }
        let last = last.unwrap_or(size - 1).min(size - 1);
        let (len, etag, more) = (last + 1 - first, self.etag_header(), &self.headers);
        let head = format!(
            "HTTP/1.1 206 Partial\r\nContent-Range: bytes {first}-{last}/{size}\r\nContent-Length: {len}\r\n{etag}{more}Connection: close\r\n\r\n"
        );
        (head, self.bytes[first..=last].to_vec())
    }

    /// A proper answer.
    pub(crate) fn steps(&self, request: &Request) -> Vec<Step> {
        let (head, body) = self.answer(request);
        vec![Step::Send([head.into_bytes(), body].concat())]
    }

    /// Gives the first `bytes` of each answer and then does something else.
    pub(crate) fn steps_until(&self, request: &Request, bytes: usize, then: Step) -> Vec<Step> {
        let (head, mut body) = self.answer(request);
        body.truncate(bytes);
        vec![Step::Send([head.into_bytes(), body].concat()), Step::Pause(Duration::from_millis(20)), then]
    }

    /// A server that gives it as it should.
    pub(crate) async fn serve(&self) -> Server {
        let content = self.clone();
        Server::start(move |request| content.steps(request)).await
    }
}

/// An answer without a body.
pub(crate) fn status(line: &str) -> Vec<Step> {
    vec![Step::Send(
        format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes(),
    )]
}

/// A redirection; `more` are further headers, each with its line end.
pub(crate) fn redirect(location: &str, more: &str) -> Vec<Step> {
    let head = format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    vec![Step::Send(head.into_bytes())]
}

/// An address where nobody listens.
pub(crate) async fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/file.bin", listener.local_addr().unwrap())
}
