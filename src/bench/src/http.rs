//! GET over HTTP/1.1 with connections kept alive, as lean as the client of tnv's own frames.

use std::net::SocketAddr;
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
        let get = |path: &String| {
            BytesMut::from(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
        };
        paths.iter().map(get).collect()
    }
}

impl Exchange for Gets {
    async fn exchange(&mut self) -> anyhow::Result<()> {
        self.socket.send(any_of(&self.requests)).await?;
        let head = self.socket.head(parse).await?;
        if (head.status, head.length) != (200, self.size) {
            bail!("a file of {} bytes: status {}, {} bytes", self.size, head.status, head.length);
        }
        if self.is_checked {
            self.socket.body(head.length, |_, _| Ok(())).await
        } else {
            self.is_checked = true;
            self.socket.body(head.length, contents::check).await
        }
    }
}

/// What counts of the head of an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Content-Length.
    pub(crate) length: u64,
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
    fn without_a_length_it_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\nContent-Length: 1\r\n\r\n").is_err());
    }
}
