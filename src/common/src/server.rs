//! The accept loop: permits, the one loop that turns frames into calls of a service, and a clean stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tnv_proto::{Command, ErrorCode, Failure, Server};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clients::{Client, Clients};
use crate::connection::{Connection, Interrupt, Reply};
use crate::limits::Limits;
use crate::metrics::{Ending, Exchange, Metrics};
use crate::reactors::Dealer;
use crate::socket;

/// Connections over the limit that are being told so, at once. More wait in the kernel's queue.
const MAX_REFUSALS: usize = 64;

/// A server's commands.
pub trait Service: Send + Sync + 'static {
    /// Which kind of server this is: it decides the commands and the reply byte.
    const SERVER: Server;

    /// What a connection remembers between its requests.
    type Session: Default + Send;

    /// Answers one request. The command's body length has been checked; the body is still on the connection.
    fn call(
        &self,
        command: Command,
        connection: &mut Connection,
        session: &mut Self::Session,
    ) -> impl Future<Output = Result<Reply, Interrupt>> + Send;
}

/// A listening socket that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", reason(.error))]
pub struct BindError {
    /// Where it was to listen.
    pub address: SocketAddr,
    /// What the system said. Not a `source`: the message has it already.
    pub error: io::Error,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is taken by another program; choose another one".to_owned(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need root; choose a higher one".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        _ => error.to_string(),
    }
}

/// Opens a listening socket.
///
/// # Errors
/// [`BindError`] with a sentence that says what to do.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    socket::listen(address).map_err(|error| BindError { address, error })
}

/// Counts connections against `max_connections`.
#[derive(Debug, Clone)]
pub struct Admission {
    permits: Arc<Semaphore>,
    max: usize,
}

impl Admission {
    /// Room for `max` connections.
    pub fn new(max: usize) -> Admission {
        Admission { permits: Arc::new(Semaphore::new(max)), max }
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.max - self.permits.available_permits()
    }
}

/// Serves connections until `shutdown`, then lets running requests finish for up to `drain_timeout`.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    limits: Limits,
    admission: Admission,
    shutdown: CancellationToken,
) {
    let drain_timeout = limits.drain_timeout;
    let acceptor = Acceptor {
        service,
        clients: Clients::new(limits.max_connections_per_client, limits.rate_limit),
        limits: Arc::new(limits),
        admission,
        refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
        dealer: Dealer::new(),
        shutdown,
    };
    let mut tasks = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener, &acceptor.shutdown) => match accepted {
                Some(accepted) => accepted,
                None => break,
            },
            // What a connection leaves behind goes when it ends.
            Some(_) = tasks.join_next() => continue,
        };
        acceptor.start(stream, peer, &mut tasks).await;
    }
    drop(listener);
    let finished = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_timeout, finished).await.is_err() {
        tracing::warn!(server = %S::SERVER, connections = tasks.len(), "drain timeout: cutting off what still runs");
        tasks.shutdown().await;
    }
}

/// What connections are made with.
struct Acceptor<S> {
    service: Arc<S>,
    limits: Arc<Limits>,
    clients: Clients,
    admission: Admission,
    refusals: Arc<Semaphore>,
    dealer: Dealer,
    shutdown: CancellationToken,
}

impl<S: Service> Acceptor<S> {
    /// Serves a connection in a task of its own, or refuses it there.
    async fn start(&self, stream: TcpStream, peer: SocketAddr, tasks: &mut JoinSet<()>) {
        let (limits, shutdown) = (self.limits.clone(), self.shutdown.clone());
        // A socket belongs to one reactor.
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%peer, %error, "cannot serve a connection"),
        };
        let connect = move |client| {
            TcpStream::from_std(stream)
                .map(|stream| Connection::new(stream, peer, S::SERVER, limits, client, shutdown))
                .inspect_err(|error| tracing::warn!(%peer, %error, "cannot serve a connection"))
        };
        match self.admit(peer) {
            Ok((permit, client)) => {
                let place = self.dealer.deal();
                let reactor = place.reactor.clone();
                let service = self.service.clone();
                let connected = Metrics::global().connected(S::SERVER);
                let serve = async move {
                    if let Ok(connection) = connect(client) {
                        converse(&*service, connection).await;
                    }
                    drop((permit, place, connected));
                };
                tasks.spawn_on(serve, &reactor);
            }
            Err(failure) => {
                let Ok(slot) = self.refusals.clone().acquire_owned().await else { return };
                tasks.spawn(async move {
                    if let Ok(connection) = connect(Client::unlimited()) {
                        turn_away(connection, &failure).await;
                    }
                    drop(slot);
                });
            }
        }
    }

    /// A place for one more connection, or why there is none.
    fn admit(&self, peer: SocketAddr) -> Result<(OwnedSemaphorePermit, Client), Failure> {
        let refused = |text: String| {
            tracing::warn!(%peer, text, "refused");
            Failure::new(ErrorCode::UNAVAILABLE, text)
        };
        let Ok(permit) = self.admission.permits.clone().try_acquire_owned() else {
            let max = self.admission.max;
            return Err(refused(format!(
                "too many connections: {max} are open; try again later or raise max_connections"
            )));
        };
        let client = self.clients.admit(peer.ip()).ok_or_else(|| {
            let max = self.limits.max_connections_per_client;
            refused(format!(
                "too many connections: {max} are open from your address; try again later or raise \
                 max_connections_per_client"
            ))
        })?;
        Ok((permit, client))
    }
}

/// The next connection; `None` when the server is to stop. Running out of descriptors is waited out.
pub async fn accept(listener: &TcpListener, shutdown: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
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

/// One connection from its first frame to its end.
async fn converse<S: Service>(service: &S, mut connection: Connection) {
    let peer = connection.peer();
    let mut session = S::Session::default();
    tracing::trace!(%peer, "connected");
    loop {
        match exchange(service, &mut connection, &mut session).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                tracing::debug!(%peer, %error, "connection ended");
                break;
            }
        }
    }
}

/// One request and its reply. `false`: the connection is to be closed.
async fn exchange<S: Service>(
    service: &S,
    connection: &mut Connection,
    session: &mut S::Session,
) -> io::Result<bool> {
    let Some(header) = connection.next_header().await? else { return Ok(false) };
    let (header, command) = match connection.check(header) {
        Ok(checked) => checked,
        Err(failure) => {
            log_refusal(connection, "?", &failure);
            connection.begin_body(u64::MAX);
            return connection.refuse(&failure).await;
        }
    };
    connection.begin_body(header.body_len);
    let (command, outcome) = match command {
        // Boxed, so that only a connection that is being served has the memory for it: it is the largest part.
        Ok(command) => (Some(command), Box::pin(service.call(command, connection, session)).await),
        Err(failure) => (None, Err(Interrupt::Refused(failure))),
    };
    let (ending, replied) = reply(connection, command.map_or("?", Command::name), outcome).await;
    Metrics::global().exchanged(&Exchange {
        server: S::SERVER,
        command,
        ending: if replied.is_ok() { ending } else { Ending::Broken },
        took: connection.begun().elapsed(),
        bytes_in: header.body_len.saturating_sub(connection.body_left()),
        bytes_out: connection.bytes_out(),
    });
    replied
}

/// Sends what is left to be said. `false`: the connection is to be closed.
async fn reply(
    connection: &mut Connection,
    command: &str,
    outcome: Result<Reply, Interrupt>,
) -> (Ending, io::Result<bool>) {
    match outcome {
        Ok(Reply::Body(body)) => {
            let sent = connection.reply(&body).await;
            tracing::debug!(peer = %connection.peer(), command, bytes = body.len(), "answered");
            (Ending::Succeeded, sent.map(|()| connection.body_left() == 0))
        }
        Ok(Reply::Sent) => (Ending::Succeeded, Ok(connection.body_left() == 0)),
        Err(Interrupt::Refused(failure)) => {
            log_refusal(connection, command, &failure);
            (Ending::Refused(failure.code), connection.refuse(&failure).await)
        }
        Err(Interrupt::Broken(error)) => (Ending::Broken, Err(error)),
    }
}

fn log_refusal(connection: &Connection, command: &str, failure: &Failure) {
    let (peer, code, reason) = (connection.peer(), failure.code.0, &failure.text);
    if failure.code.0 >= 500 {
        tracing::warn!(%peer, command, code, reason, "refused");
    } else {
        tracing::debug!(%peer, command, code, reason, "refused");
    }
}

/// Tells a connection over a limit that it is one too many.
async fn turn_away(mut connection: Connection, failure: &Failure) {
    // The request that is on its way must be read, or the close would reset the connection under the reply.
    connection.begin_body(u64::MAX);
    let farewell = connection.refuse(failure);
    let _ = tokio::time::timeout(Duration::from_secs(2), farewell).await;
}
