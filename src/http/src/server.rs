//! The listening side: connections with their limits, and a clean stop.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tnv_common::server::BindError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::service::Gateway;
use crate::stream::ClientStream;

/// The longest request header, in bytes.
const MAX_HEADER: usize = 16 * 1024;
/// How much of an answer is held for a client that is slower than the storage, in bytes, apart from one
/// chunk.
const MAX_BUFFER: usize = 64 * 1024;
/// How much of an answer waits in the kernel before it is sent, in bytes; without a limit it can be megabytes
/// for each slow client.
const MAX_UNSENT: u32 = 256 * 1024;
/// Connections over the limit that are being told so, at once. More wait in the kernel's queue.
const MAX_REFUSALS: usize = 64;
/// How long a connection over the limit has to send its request and take the answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The socket cannot be used.
    #[error("cannot use the listening socket: {0}")]
    Socket(#[from] io::Error),
}

/// The gateway, listening.
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: Config,
}

impl Server {
    /// Starts to listen; connections wait until [`Server::run`]. No tracker or storage is asked yet.
    ///
    /// # Errors
    /// [`HttpError`] if the address cannot be had.
    pub async fn bind(config: Config) -> Result<Server, HttpError> {
        let listener = tnv_common::server::bind(config.listen)?;
        Ok(Server { local_addr: listener.local_addr()?, listener, config })
    }

    /// The address it listens on, with the port that was picked if the configuration says 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, then lets running answers finish for up to `drain_timeout`.
    pub async fn run(self, shutdown: CancellationToken) {
        let Server { listener, config, local_addr: address } = self;
        tracing::info!(%address, trackers = config.trackers.join(";"), "the gateway listens");
        let tasks = TaskTracker::new();
        let abort = CancellationToken::new();
        let acceptor = Acceptor {
            gateway: Arc::new(Gateway::new(&config)),
            permits: Arc::new(Semaphore::new(config.max_connections)),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            http: http(&config),
            progress_timeout: config.progress_timeout,
            shutdown,
            abort: abort.clone(),
        };
        while let Some((stream, peer)) = acceptor.accept(&listener).await {
            if !acceptor.start(stream, peer, &tasks).await {
                break;
            }
        }
        drop(listener);
        tasks.close();
        if tokio::time::timeout(config.drain_timeout, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "drain timeout: cutting off what still runs");
            abort.cancel();
            tasks.wait().await;
        }
        tracing::info!("the gateway has stopped");
    }
}

fn http(config: &Config) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_header_size(MAX_HEADER)
        .max_buf_size(MAX_BUFFER);
    http
}

/// What connections are made with.
struct Acceptor {
    gateway: Arc<Gateway>,
    permits: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    http: http1::Builder,
    progress_timeout: Duration,
    shutdown: CancellationToken,
    abort: CancellationToken,
}

impl Acceptor {
    /// The next connection; `None` when the server is to stop. Running out of descriptors is waited out.
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => return Some(accepted),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Serves a connection in a task of its own, or refuses it there. `false` when the server is to stop.
    async fn start(&self, stream: TcpStream, peer: SocketAddr, tasks: &TaskTracker) -> bool {
        prepare(&stream, peer);
        let stream = ClientStream::new(stream, self.progress_timeout);
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            tasks.spawn(self.serve(stream, peer, permit));
            return true;
        }
        let slot = tokio::select! {
            () = self.shutdown.cancelled() => return false,
            slot = self.refusals.clone().acquire_owned() => slot,
        };
        let Ok(slot) = slot else { return false };
        tracing::warn!(%peer, "refused: too many connections");
        tasks.spawn(self.turn_away(stream, peer, slot));
        true
    }

    /// One connection from its first request to its end.
    fn serve(
        &self,
        stream: ClientStream<TcpStream>,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + use<> {
        let (shutdown, abort) = (self.shutdown.clone(), self.abort.clone());
        let gateway = self.gateway.clone();
        let answer = service_fn(move |request| {
            let gateway = gateway.clone();
            async move { Ok::<_, Infallible>(gateway.answer(request, peer).await) }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), answer);
        async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = connection => ended,
                        () = abort.cancelled() => {
                            tracing::info!(%peer, "connection cut off: the server is stopping");
                            Ok(())
                        }
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "connection ended");
            }
            drop(permit);
        }
    }

    /// Reads one request, so that the answer is not lost to a reset, and answers 503.
    fn turn_away(
        &self,
        stream: ClientStream<TcpStream>,
        peer: SocketAddr,
        slot: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + use<> {
        let gateway = self.gateway.clone();
        let answer = service_fn(move |request| {
            std::future::ready(Ok::<_, Infallible>(gateway.turn_away(request, peer)))
        });
        let connection = self.http.clone().keep_alive(false).serve_connection(TokioIo::new(stream), answer);
        async move {
            // However it ends, there is nobody left to tell.
            let _ = tokio::time::timeout(REFUSAL_TIMEOUT, connection).await;
            drop(slot);
        }
    }
}

/// Sets what a connection needs to be quick and to be cheap. Both can be done without.
fn prepare(stream: &TcpStream, peer: SocketAddr) {
    let set = || {
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT)?;
        io::Result::Ok(())
    };
    if let Err(error) = set() {
        tracing::debug!(%peer, %error, "cannot set socket options");
    }
}
