//! An HTTP client that shows every byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// No test waits longer than this for anything that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fails the test if what must come does not.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing came for too long")
}

/// An answer, its header line by line as sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line.
    pub(crate) first: String,
    pub(crate) lines: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header; it must not come twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.lines.iter().filter_map(|line| {
            line.split_once(": ")
                .filter(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} comes twice");
        value
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Connection {
        Connection::on(in_time(TcpStream::connect(address)).await.unwrap())
    }

    pub(crate) fn on(stream: TcpStream) -> Connection {
        Connection { stream: BufReader::new(stream) }
    }

    /// The socket, behind what was read of it.
    pub(crate) fn stream(&mut self) -> &mut BufReader<TcpStream> {
        &mut self.stream
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        in_time(self.stream.write_all(bytes)).await.unwrap();
    }

    /// Both directions, for a test that sends until an answer comes.
    pub(crate) fn split(self) -> (tokio::net::tcp::OwnedReadHalf, tokio::net::tcp::OwnedWriteHalf) {
        assert!(self.stream.buffer().is_empty(), "an answer was there already");
        self.stream.into_inner().into_split()
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Sends a request without a body; `fields` are whole lines.
    pub(crate) async fn request(&mut self, method: &str, path: &str, fields: &[&str]) {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
        for field in fields {
            text += field;
            text += "\r\n";
        }
        self.send(&(text + "\r\n")).await;
    }

    /// Reads status line and header.
    pub(crate) async fn head(&mut self) -> Answer {
        let mut lines = Vec::new();
        let mut line = Vec::new();
        in_time(async {
            loop {
                let byte = self.stream.read_u8().await.expect("the connection ended within a header");
                line.push(byte);
                if line.ends_with(b"\r\n") {
                    line.truncate(line.len() - 2);
                    if line.is_empty() {
                        return;
                    }
                    lines.push(String::from_utf8(std::mem::take(&mut line)).unwrap());
                }
            }
        })
        .await;
        let first = lines.remove(0);
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, first, lines, body: Vec::new() }
    }

    /// Reads an answer and its body, which must be as long as its header says.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if !matches!(answer.status, 100 | 204 | 304) {
            let len: usize = answer.header("content-length").expect("no Content-Length").parse().unwrap();
            answer.body = self.bytes(len).await;
        }
        answer
    }

    pub(crate) async fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        in_time(self.stream.read_exact(&mut bytes)).await.expect("the body is cut short");
        bytes
    }

    /// What still comes until the connection ends, and whether it ended without a reset.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let ended = in_time(self.stream.read_to_end(&mut bytes)).await;
        (bytes, ended.is_ok())
    }

    /// The connection must be closed with nothing more on it.
    pub(crate) async fn ends(&mut self) {
        assert_eq!(self.rest().await, (Vec::new(), true));
    }
}

/// One GET on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str, fields: &[&str]) -> Answer {
    let mut connection = Connection::open(address).await;
    connection.request("GET", path, fields).await;
    connection.answer().await
}

/// One request with a body, on a connection of its own.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[&str],
    body: &[u8],
) -> Answer {
    let mut connection = Connection::open(address).await;
    let length = format!("Content-Length: {}", body.len());
    connection.request(method, path, &[fields, &[&length]].concat()).await;
    connection.send_bytes(body).await;
    connection.answer().await
}

/// One HEAD; nothing may come behind the header.
pub(crate) async fn head(address: SocketAddr, path: &str, fields: &[&str]) -> Answer {
    let mut connection = Connection::open(address).await;
    connection.request("HEAD", path, &[fields, &["Connection: close"]].concat()).await;
    let answer = connection.head().await;
    connection.ends().await;
    answer
}
