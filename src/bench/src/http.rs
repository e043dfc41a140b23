//! GET over HTTP/1.1 with connections kept alive, as lean as the client of tnv's own frames.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::BytesMut;

use crate::contents;
use crate::load::Exchange;
use crate::socket::Socket;
use crate::wire::any_of;

/// GET, each time of any of some files, whole.
pub(crate) struct Gets {
    socket: Socket,
    requests: Arc<[BytesMut]>,
    size: u64,
    /// Whether the bytes have been compared; after that only their number is.
    is_checked: bool,
}

impl Gets {
    /// `size` is what all files have.
    pub(crate) async fn connect(
        server: SocketAddr,
        requests: Arc<[BytesMut]>,
        size: u64,
    ) -> anyhow::Result<Gets> {
        Ok(Gets { socket: Socket::connect(server).await?, requests, size, is_checked: false })
    }

    /// The requests for these paths, each beginning with a slash.
    pub(crate) fn requests(paths: &[String]) -> Arc<[BytesMut]> {
        paths.iter().map(|path| BytesMut::from(request(path, None).as_bytes())).collect()
    }
}

impl Exchange for Gets {
    async fn exchange(&mut self) -> anyhow::Result<()> {
        self.socket.send(any_of(&self.requests)).await?;
        let head = self.socket.head(parse).await?;
        head.expect(200, self.size)?;
        if self.is_checked {
            self.socket.body(head.length, |_, _| Ok(())).await
        } else {
            self.is_checked = true;
            self.socket.body(head.length, contents::check).await
        }
    }
}

/// GET of parts of one file, each time from anywhere in it, all of the same length.
pub(crate) struct Parts {
    socket: Socket,
    path: String,
    size: u64,
    part: u64,
    /// As for [`Gets`].
    is_checked: bool,
}

impl Parts {
    /// `size` is that of the file, `part` what is asked for each time and at most as much.
    pub(crate) async fn connect(
        server: SocketAddr,
        path: String,
        size: u64,
        part: u64,
    ) -> anyhow::Result<Parts> {
        Ok(Parts { socket: Socket::connect(server).await?, path, size, part, is_checked: false })
    }
}

impl Exchange for Parts {
    async fn exchange(&mut self) -> anyhow::Result<()> {
        let begin = rand::random_range(0..=self.size - self.part);
        let request = request(&self.path, Some(begin..begin + self.part));
        self.socket.send(request.as_bytes()).await?;
        self.socket.head(parse).await?.expect(206, self.part)?;
        if self.is_checked {
            self.socket.body(self.part, |_, _| Ok(())).await
        } else {
            self.is_checked = true;
            self.socket.body(self.part, |offset, bytes| contents::check(begin + offset, bytes)).await
        }
    }
}

/// A GET of a path, which begins with a slash: of the whole, or of these bytes.
pub(crate) fn request(path: &str, range: Option<Range<u64>>) -> String {
    let range =
        range.map_or_else(String::new, |range| format!("Range: bytes={}-{}\r\n", range.start, range.end - 1));
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{range}\r\n")
}

/// What counts of the head of an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Content-Length.
    pub(crate) length: u64,
}

impl Head {
    /// # Errors
    /// If it is another status or length.
    pub(crate) fn expect(&self, status: u16, length: u64) -> anyhow::Result<()> {
        if (self.status, self.length) != (status, length) {
            bail!("status {} with {} bytes, not {status} with {length}", self.status, self.length);
        }
        Ok(())
    }
}

/// The head of an answer and its length with the empty line; None while that has not come.
///
/// # Errors
/// If it is no head, or the length of what follows does not stand in it.
pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Head, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).context("the head of an answer is no text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
    let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    match (status, length) {
        (Some(status), Some(length)) => Ok(Some((Head { status, length }, end + 4))),
        _ => bail!("not an answer with a length: {head}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length:  42 \r\n\r\nbody";
        assert_eq!(parse(&answer[..answer.len() - 5]).unwrap(), None);
        assert_eq!(parse(answer).unwrap(), Some((Head { status: 200, length: 42 }, answer.len() - 4)));
    }

    #[test]
    fn a_range_names_its_last_byte() {
        let head = "GET /a HTTP/1.1\r\nHost: localhost\r\n";
        assert_eq!(request("/a", None), format!("{head}\r\n"));
        assert_eq!(request("/a", Some(5..7)), format!("{head}Range: bytes=5-6\r\n\r\n"));
    }

    #[test]
    fn without_a_length_it_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\nContent-Length: 1\r\n\r\n").is_err());
    }
}
