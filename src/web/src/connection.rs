//! One connection from its first request to its end: HTTP/1.1, with a lane of its own for most requests, or HTTP/2 where the client begins with its preface
//! ("prior knowledge", RFC 9113, section 3.3).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tnv_common::clients::Client;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::lane::{Lane, Next, Patience};
use crate::refusal::Refusal;
use crate::seat::Seats;
use crate::served::Served;
use crate::server::Limits;
use crate::site::Site;
use crate::stream::ClientStream;

/// The longest request header, in bytes.
const MAX_HEADER: usize = 16 * 1024;
/// How much of an answer is held for a client that is slower than the storage, in bytes, apart from one
/// chunk.
const MAX_BUFFER: usize = 64 * 1024;
/// HTTP/2: requests under way on one connection.
const MAX_STREAMS: u32 = 64;
/// HTTP/2: bytes of a body, and of all bodies of a connection, that may come before they are asked for.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// HTTP/2: how often a client is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How an HTTP/2 connection begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How connections are served.
pub(crate) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<Tasks>,
    /// How long a connection may be without a request.
    idle: Duration,
    /// How long a client may take nothing.
    progress_timeout: Duration,
    shutdown: CancellationToken,
    abort: CancellationToken,
}

/// Where the requests of HTTP/2 connections run: the server's stop waits for them, and can cut them off.
#[derive(Debug, Clone)]
struct Tasks {
    tracker: TaskTracker,
    abort: CancellationToken,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let abort = self.abort.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = task => {}
                () = abort.cancelled() => {}
            }
        });
    }
}

impl Protocols {
    /// As configured. `shutdown` lets requests under way finish, `abort` does not.
    pub(crate) fn new(
        limits: &Limits,
        tracker: TaskTracker,
        shutdown: CancellationToken,
        abort: CancellationToken,
    ) -> Protocols {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(MAX_HEADER)
            .max_buf_size(MAX_BUFFER);
        let mut http2 = http2::Builder::new(Tasks { tracker, abort: abort.clone() });
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HEADER as u32)
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(MAX_BUFFER)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Protocols {
            http1,
            http2,
            idle: limits.header_timeout,
            progress_timeout: limits.progress_timeout,
            shutdown,
            abort,
        }
    }

    /// Serves a connection until it ends, or until requests under way were answered after `shutdown`. Requests that share it
    /// take their places from `permits`.
    pub(crate) async fn serve<S: Site>(
        &self,
        mut stream: TcpStream,
        (peer, client): (SocketAddr, Client),
        served: Arc<Served<S>>,
        permits: Arc<Semaphore>,
    ) {
        let patience = Patience {
            idle: self.idle,
            progress_timeout: self.progress_timeout,
            shutdown: &self.shutdown,
            abort: &self.abort,
        };
        // What is held to a rate is counted byte by byte, and never sent so fast that a copy mattered.
        let left = match client.is_limited() {
            true => Ok(Next::HandOver(Bytes::new())),
            false => Lane::new(&mut stream, peer, &served, patience).serve().await,
        };
        // What follows is boxed, for most connections wait in the lane, and never need its state, which is large.
        match left {
            Ok(Next::HandOver(read)) => {
                let mut stream = ClientStream::new(stream, self.progress_timeout, client);
                stream.put_back(read);
                Box::pin(self.serve_rest(stream, peer, served, Seats::new(permits))).await;
            }
            Ok(Next::Close) => {
                let mut stream = Box::new(ClientStream::new(stream, self.progress_timeout, client));
                // However it ends, there is nobody left to tell.
                let _ = stream.shutdown().await;
            }
            Ok(Next::Drop) => {}
            Err(error) => tracing::debug!(%peer, %error, "connection ended"),
        }
    }

    /// Serves what the lane leaves: HTTP/2, and HTTP/1.1 from the first request on that is no plain one.
    async fn serve_rest<S: Site>(
        &self,
        mut stream: ClientStream<TcpStream>,
        peer: SocketAddr,
        served: Arc<Served<S>>,
        seats: Seats,
    ) {
        let is_http2 = tokio::select! {
            told = begins_with_preface(&mut stream, self.idle) => told,
            () = self.shutdown.cancelled() => return,
        };
        let answer = service_fn(|request| {
            let (served, seats) = (served.clone(), seats.clone());
            async move { Ok::<_, Infallible>(served.answer(request, peer, &seats).await) }
        });
        let ended = match is_http2 {
            Ok(true) => {
                let connection = self.http2.serve_connection(TokioIo::new(stream), answer);
                self.finish(connection, peer, Some(&seats)).await
            }
            Ok(false) => {
                // An idle one ends by its header timeout.
                let connection = self.http1.serve_connection(TokioIo::new(stream), answer);
                self.finish(connection, peer, None).await
            }
            Err(error) => return tracing::debug!(%peer, %error, "connection ended"),
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }

    /// Reads one request of a connection over a limit, so that the answer is not lost to a reset, and answers `full`.
    pub(crate) async fn turn_away<S: Site>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        served: Arc<Served<S>>,
        full: Refusal,
        patience: Duration,
    ) {
        let stream = ClientStream::new(stream, self.progress_timeout, Client::unlimited());
        let answer = service_fn(move |request| {
            std::future::ready(Ok::<_, Infallible>(served.turn_away(request, peer, full.clone())))
        });
        let connection = self.http1.clone().keep_alive(false).serve_connection(TokioIo::new(stream), answer);
        // However it ends, there is nobody left to tell.
        let _ = tokio::time::timeout(patience, connection).await;
    }

    /// Drives a connection to its end. No more requests are taken after `shutdown`, and when none of `seats` has been
    /// taken for too long; should that last, nobody takes what was answered either.
    async fn finish<C: GracefulConnection<Error = hyper::Error>>(
        &self,
        connection: C,
        peer: SocketAddr,
        seats: Option<&Seats>,
    ) -> hyper::Result<()> {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = self.shutdown.cancelled() => {}
            () = idle(seats, self.idle) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection => ended,
            () = self.abort.cancelled() => {
                tracing::info!(%peer, "connection cut off: the server is stopping");
                Ok(())
            }
            () = idle(seats, self.progress_timeout) => Ok(()),
        }
    }
}

async fn idle(seats: Option<&Seats>, patience: Duration) {
    match seats {
        Some(seats) => seats.idle(patience).await,
        None => std::future::pending().await,
    }
}

/// Reads as much of a connection as tells the two protocols apart, and puts it back.
async fn begins_with_preface(
    stream: &mut ClientStream<impl AsyncRead + Unpin>,
    patience: Duration,
) -> io::Result<bool> {
    let mut read = BytesMut::with_capacity(PREFACE.len());
    let told = tokio::time::timeout(patience, async {
        while read.len() < PREFACE.len() && PREFACE.starts_with(&read) {
            let mut buffer = [0; PREFACE.len()];
            match stream.read(&mut buffer[..PREFACE.len() - read.len()]).await? {
                0 => break,
                len => read.extend_from_slice(&buffer[..len]),
            }
        }
        Ok::<bool, io::Error>(read == PREFACE)
    });
    let told = told.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.put_back(read.freeze());
    Ok(told)
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn the_preface_is_told_from_requests_and_nothing_is_lost() {
        let http2 = [PREFACE, b"\0\0\0\x04"].concat();
        for (sent, told) in [
            (&http2[..], true),
            (b"GET / HTTP/1.1\r\n\r\n", false),
            (b"PUT / HTTP/1.1\r\n\r\n", false),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", false),
            (b"PRI", false),
            (b"", false),
        ] {
            let (mut client, server) = duplex(7);
            let mut server = ClientStream::new(server, Duration::from_secs(3600), Client::unlimited());
            let send = async {
                client.write_all(sent).await.unwrap();
                drop(client);
            };
            let read = async {
                assert_eq!(begins_with_preface(&mut server, Duration::from_secs(3600)).await.unwrap(), told);
                let mut all = Vec::new();
                server.read_to_end(&mut all).await.unwrap();
                assert_eq!(all, sent);
            };
            tokio::join!(send, read);
        }
    }

    #[tokio::test]
    async fn silence_is_not_waited_for_without_end() {
        let (_client, server) = duplex(7);
        let mut server = ClientStream::new(server, Duration::from_secs(3600), Client::unlimited());
        let error = begins_with_preface(&mut server, Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
