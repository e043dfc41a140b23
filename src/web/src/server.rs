//! The listening side: connections with their limits, and a clean stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tnv_common::clients::{Client, Clients};
use tnv_common::reactors::Dealer;
use tnv_common::server::accept;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::Protocols;
use crate::refusal::Refusal;
use crate::served::Served;
use crate::site::Site;

/// Connections over the limit that are being told so, at once. More wait in the kernel's queue.
const MAX_REFUSALS: usize = 64;
/// How long a connection over the limit has to send its request and take the answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// How much a site, and one client of it, may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once, and requests under way; one more is told 503.
    pub max_connections: usize,
    /// And from one client, which is told 429; 0 = no limit of its own.
    pub max_connections_per_client: usize,
    /// Bytes a second that all connections of one client may move, in both directions together; 0 = no limit.
    pub rate_limit: u64,
    /// Until a request's header is complete, counted from the connection's start or the answer before it.
    pub header_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub progress_timeout: Duration,
    /// After `shutdown`, how long running answers may go on.
    pub drain_timeout: Duration,
}

/// Serves a site until `shutdown`, then lets running answers finish for up to `drain_timeout`.
pub async fn serve<S: Site>(listener: TcpListener, site: S, limits: Limits, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    let abort = CancellationToken::new();
    let acceptor = Acceptor {
        served: Arc::new(Served::new(site, limits.progress_timeout)),
        permits: Arc::new(Semaphore::new(limits.max_connections)),
        clients: Clients::new(limits.max_connections_per_client, limits.rate_limit),
        refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
        protocols: Arc::new(Protocols::new(&limits, tasks.clone(), shutdown.clone(), abort.clone())),
        dealer: Dealer::new(),
        shutdown,
    };
    while let Some((stream, peer)) = accept(&listener, &acceptor.shutdown).await {
        if !acceptor.start(stream, peer, &tasks).await {
            break;
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(limits.drain_timeout, tasks.wait()).await.is_err() {
        let connections = tasks.len();
        tracing::warn!(server = S::NAME, connections, "drain timeout: cutting off what still runs");
        abort.cancel();
        tasks.wait().await;
    }
}

/// What connections are made with.
struct Acceptor<S> {
    served: Arc<Served<S>>,
    permits: Arc<Semaphore>,
    clients: Clients,
    refusals: Arc<Semaphore>,
    protocols: Arc<Protocols>,
    dealer: Dealer,
    shutdown: CancellationToken,
}

impl<S: Site> Acceptor<S> {
    /// Serves a connection in a task of its own, or refuses it there. `false` when the server is to stop.
    async fn start(&self, stream: TcpStream, peer: SocketAddr, tasks: &TaskTracker) -> bool {
        match self.admit(peer) {
            Ok(admitted) => {
                self.serve(stream, peer, admitted, tasks)
                    .unwrap_or_else(|error| tracing::warn!(%peer, %error, "cannot serve a connection"));
                true
            }
            Err(full) => self.refuse(stream, peer, full, tasks).await,
        }
    }

    /// Serves a connection on one of the reactors: its socket, and those that storages answer it on, belong there.
    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        (permit, client): (OwnedSemaphorePermit, Client),
        tasks: &TaskTracker,
    ) -> io::Result<()> {
        let stream = stream.into_std()?;
        let place = self.dealer.deal();
        let reactor = place.reactor.clone();
        let connected = self.served.metrics().connected();
        let (protocols, served, permits) =
            (self.protocols.clone(), self.served.clone(), self.permits.clone());
        let serving = async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => protocols.serve(stream, (peer, client), served, permits).await,
                Err(error) => tracing::warn!(%peer, %error, "cannot serve a connection"),
            }
            drop((permit, place, connected));
        };
        tasks.spawn_on(serving, &reactor);
        Ok(())
    }

    async fn refuse(&self, stream: TcpStream, peer: SocketAddr, full: Refusal, tasks: &TaskTracker) -> bool {
        let slot = tokio::select! {
            () = self.shutdown.cancelled() => return false,
            slot = self.refusals.clone().acquire_owned() => slot,
        };
        let Ok(slot) = slot else { return false };
        tracing::warn!(%peer, reason = full.sentence(), "refused");
        let (protocols, served) = (self.protocols.clone(), self.served.clone());
        tasks.spawn(async move {
            protocols.turn_away(stream, peer, served, full, REFUSAL_TIMEOUT).await;
            drop(slot);
        });
        true
    }

    /// A place for one more connection, or why there is none.
    fn admit(&self, peer: SocketAddr) -> Result<(OwnedSemaphorePermit, Client), Refusal> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| Refusal::full())?;
        let client = self.clients.admit(peer.ip()).ok_or_else(Refusal::full_for_client)?;
        Ok((permit, client))
    }
}
