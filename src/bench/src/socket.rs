//! A connection that costs as little as it can: the clients share the machine with the servers.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// What is read at a time, at most.
const BUFFER: usize = 256 * 1024;

/// One connection with the buffer that bodies are read into and dropped from.
pub(crate) struct Socket {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// What has come and is not yet taken.
    filled: Range<usize>,
}

impl Socket {
    /// # Errors
    /// If nobody listens there.
    pub(crate) async fn connect(server: SocketAddr) -> anyhow::Result<Socket> {
        let stream =
            TcpStream::connect(server).await.with_context(|| format!("cannot connect to {server}"))?;
        Socket::of(stream, BUFFER)
    }

    /// From another address of this machine than it would take by itself, with a buffer of this many bytes.
    ///
    /// # Errors
    /// If it has no such address; if nobody listens there.
    pub(crate) async fn connect_from(
        client: IpAddr,
        server: SocketAddr,
        buffer: usize,
    ) -> anyhow::Result<Socket> {
        let socket = if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(client, 0)).with_context(|| format!("cannot be {client}"))?;
        let stream = socket.connect(server).await;
        Socket::of(stream.with_context(|| format!("cannot connect to {server} from {client}"))?, buffer)
    }

    fn of(stream: TcpStream, buffer: usize) -> anyhow::Result<Socket> {
        stream.set_nodelay(true)?;
        Ok(Socket { stream, buffer: vec![0; buffer].into(), filled: 0..0 })
    }

    /// Sends it all.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Takes the head of an answer: `parse` gets what has come so far, and says what it makes of it and how long it is,
    /// or None to get more.
    ///
    /// # Errors
    /// Those of the connection and of `parse`; if the server hangs up; if the head does not fit into the buffer.
    pub(crate) async fn head<T>(
        &mut self,
        mut parse: impl FnMut(&[u8]) -> anyhow::Result<Option<(T, usize)>>,
    ) -> anyhow::Result<T> {
        loop {
            if let Some((head, length)) = parse(&self.buffer[self.filled.clone()])? {
                self.filled.start += length;
                return Ok(head);
            }
            self.receive().await?;
        }
    }

    /// Takes a body piece by piece; `take` gets the offset and the bytes of each.
    ///
    /// # Errors
    /// Those of the connection and of `take`; if the server hangs up before the end.
    pub(crate) async fn body(
        &mut self,
        length: u64,
        mut take: impl FnMut(u64, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut offset = 0;
        while offset < length {
            if self.filled.is_empty() {
                self.receive().await?;
            }
            let end = self.filled.end.min(self.filled.start.saturating_add((length - offset) as usize));
            let piece = self.filled.start..end;
            self.filled.start = end;
            take(offset, &self.buffer[piece.clone()])?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// A body of at most a few KiB.
    ///
    /// # Errors
    /// As for [`body`](Socket::body).
    pub(crate) async fn small_body(&mut self, length: u64) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        self.body(length, |_, bytes| {
            body.extend_from_slice(bytes);
            Ok(())
        })
        .await?;
        Ok(body)
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
        let room = &mut self.buffer[self.filled.end..];
        if room.is_empty() {
            bail!("the head of an answer is too long");
        }
        match self.stream.read(room).await? {
            0 => bail!("the server hung up"),
            read => self.filled.end += read,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn two_answers_in_one_packet_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut socket = Socket::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"3abc2de").await.unwrap();
        drop(peer);

        let parse = |bytes: &[u8]| Ok(bytes.first().map(|digit| (u64::from(digit - b'0'), 1)));
        let length = socket.head(parse).await.unwrap();
        assert_eq!(socket.small_body(length).await.unwrap(), b"abc");
        let length = socket.head(parse).await.unwrap();
        assert_eq!(socket.small_body(length).await.unwrap(), b"de");
        assert!(socket.head(parse).await.unwrap_err().to_string().contains("hung up"));
    }

    #[tokio::test]
    async fn a_body_that_is_cut_short_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut socket = Socket::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"abc").await.unwrap();
        drop(peer);
        assert!(socket.body(4, |_, _| Ok(())).await.is_err());
    }
}
