//! Trackers.

use std::sync::Arc;

use tnv_proto::state::ClusterState;
use tnv_proto::{
    AppId, Beat, Command, Header, Join, Report, Request, Saddrs, Server, StorageAddresses, UserId,
};

use crate::connection::{Connection, Peer, SMALL_REPLY};
use crate::pool::Pools;
use crate::{ClientError, Options};

/// The longest description of a cluster that is accepted, in bytes.
const MAX_STATE: u64 = 64 * 1024 * 1024;

/// One tracker, asked over pooled connections. Clones share them.
#[derive(Debug, Clone)]
pub struct TrackerClient {
    address: Arc<str>,
    pools: Pools,
}

impl TrackerClient {
    /// The tracker at `address` (`host:port`). Nothing is connected yet.
    pub fn new(address: impl AsRef<str>, options: Options) -> Self {
        TrackerClient::with_pools(address.as_ref(), Pools::new(options))
    }

    pub(crate) fn with_pools(address: &str, pools: Pools) -> Self {
        TrackerClient { address: address.into(), pools }
    }

    /// Its `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// SADDRS: the user's group and up to three storages that serve it.
    ///
    /// # Errors
    /// Refused with 403 for an app that is not served and 503 if no storage is active.
    pub async fn saddrs(&self, app: &AppId, user: &UserId) -> Result<StorageAddresses, ClientError> {
        let request = Saddrs { app: app.clone(), user: user.clone(), file: None };
        let body = self.pools.call(Server::Tracker, &self.address, &request.to_frame(), SMALL_REPLY).await?;
        StorageAddresses::decode(&body).map_err(|error| self.invalid(error))
    }

    /// LOCATE: as [`TrackerClient::saddrs`], but a user who has no group gets none by it. A tracker too old for it is
    /// asked SADDRS.
    ///
    /// # Errors
    /// As [`TrackerClient::saddrs`].
    pub async fn locate(&self, app: &AppId, user: &UserId) -> Result<StorageAddresses, ClientError> {
        let request = Saddrs { app: app.clone(), user: user.clone(), file: None };
        match self.pools.call(Server::Tracker, &self.address, &request.to_locate_frame(), SMALL_REPLY).await {
            Err(error) if error.is_unknown_command() => self.saddrs(app, user).await,
            answer => StorageAddresses::decode(&answer?).map_err(|error| self.invalid(error)),
        }
    }

    /// GROUPS: all groups and storages as text for people, without its NUL.
    ///
    /// # Errors
    /// If the tracker cannot be asked.
    pub async fn groups(&self) -> Result<String, ClientError> {
        let frame = Header::request(Command::Groups, 0).encode();
        let body = self.pools.call(Server::Tracker, &self.address, &frame, MAX_STATE).await?;
        let text = body.strip_suffix(&[0]).unwrap_or(&body);
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// STATE: all groups and storages.
    ///
    /// # Errors
    /// Refused with 400 by a tracker that does not know the command.
    pub async fn state(&self) -> Result<ClusterState, ClientError> {
        let frame = Header::request(Command::State, 0).encode();
        let body = self.pools.call(Server::Tracker, &self.address, &frame, MAX_STATE).await?;
        serde_json::from_slice(&body).map_err(|error| self.invalid(error))
    }

    fn invalid(&self, what: impl std::fmt::Display) -> ClientError {
        ClientError::protocol(Server::Tracker, &self.address, what)
    }
}

/// One lasting connection to a tracker, for a storage that joins: a tracker ties BEAT and REPORT to the JOIN that
/// came over the same connection. After any error but a refusal the session is over: connect and join again.
#[derive(Debug)]
pub struct TrackerSession {
    connection: Connection,
}

impl TrackerSession {
    /// Connects to the tracker at `address` (`host:port`).
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn connect(address: &str, options: &Options) -> Result<Self, ClientError> {
        let peer =
            Peer { kind: Server::Tracker, address: address.into(), options: Arc::new(options.clone()) };
        Ok(TrackerSession { connection: Connection::open(peer).await? })
    }

    /// JOIN: enters a group.
    ///
    /// # Errors
    /// If the tracker refuses or the connection fails.
    pub async fn join(&mut self, join: &Join) -> Result<(), ClientError> {
        self.tell(join).await
    }

    /// BEAT: says that the storage is still there.
    ///
    /// # Errors
    /// Refused with 404 if the tracker does not know the storage (any more): join again.
    pub async fn beat(&mut self, beat: &Beat) -> Result<(), ClientError> {
        self.tell(beat).await
    }

    /// REPORT: tells identity, advertised address, space and load.
    ///
    /// # Errors
    /// Refused with 400 by a tracker that does not know the command; the session goes on.
    pub async fn report(&mut self, report: &Report) -> Result<(), ClientError> {
        self.tell(report).await
    }

    /// Returns when the tracker hangs up, or says something it was not asked: either way the session is over. Meant
    /// to be awaited between two beats, so that a tracker that restarts is joined again at once.
    pub async fn closed(&self) {
        self.connection.disturbed().await;
    }

    async fn tell(&mut self, request: &impl Request) -> Result<(), ClientError> {
        if self.connection.idle().is_none() {
            let over = std::io::Error::new(std::io::ErrorKind::NotConnected, "the session is over");
            return Err(self.connection.peer().unreachable(over));
        }
        self.connection.call(&request.to_frame(), 0).await.map(drop)
    }
}
