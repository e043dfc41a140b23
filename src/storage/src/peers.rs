//! The other storages of a group that keeps copies: where they are, and whom to ask for a file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::seq::SliceRandom;
use tnv_client::{Options, StorageClient, TrackerClient};
use tnv_proto::FileKey;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Member};

/// Between two looks for who is there.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// The least time between two of them, however many ask.
const LOOK_PAUSE: Duration = Duration::from_millis(300);
/// How long a tracker or a peer may take to answer a short question.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a peer that failed is asked after all others.
const DISTRUST: Duration = Duration::from_secs(10);
/// What trackers call a storage that beats.
const ACTIVE: &str = "ACTIVE";

/// How peers are waited for: somebody else waits meanwhile.
fn options() -> Options {
    Options {
        connect_timeout: Duration::from_secs(1),
        reply_timeout: Duration::from_secs(10),
        progress_timeout: Duration::from_secs(10),
        ..Options::default()
    }
}

/// The other members of this storage's group.
pub(crate) struct Peers {
    catalog: Arc<dyn Catalog>,
    /// The identity of this storage.
    own: String,
    trackers: Vec<TrackerClient>,
    known: Mutex<HashMap<String, Peer>>,
    /// Somebody waits for what the next look finds.
    look: Notify,
    last_look: tokio::sync::Mutex<Option<Instant>>,
    news: News,
}

/// What the others are to be told: that there is something new. Which file it is does not matter, so one that is told of
/// stands for all that came while another telling was under way.
#[derive(Default)]
struct News {
    file: Mutex<Option<FileKey>>,
    wake: Notify,
}

struct Peer {
    client: StorageClient,
    is_active: bool,
    failed: Option<Instant>,
}

impl Peers {
    /// For the storage with this identity. Nobody is known before [`Peers::keep`] has looked.
    pub(crate) fn new(catalog: Arc<dyn Catalog>, own: String, trackers: &[String]) -> Peers {
        let trackers = trackers.iter().map(|tracker| TrackerClient::new(tracker, options())).collect();
        Peers {
            catalog,
            own,
            trackers,
            known: Mutex::default(),
            look: Notify::new(),
            last_look: tokio::sync::Mutex::default(),
            news: News::default(),
        }
    }

    /// Those with these identities that can be reached, in the order in which they should be asked: any that beats first,
    /// one that failed a short while ago last. If none of them is known yet, it is looked where they are.
    pub(crate) async fn find(&self, ids: &[String]) -> Vec<StorageClient> {
        let found = self.known_of(ids);
        if !found.is_empty() || ids.is_empty() {
            return found;
        }
        // One look for all who wait.
        let mut last = self.last_look.lock().await;
        if last.is_none_or(|last| last.elapsed() > LOOK_PAUSE) {
            self.look_around().await;
            *last = Some(Instant::now());
        }
        self.known_of(ids)
    }

    fn known_of(&self, ids: &[String]) -> Vec<StorageClient> {
        let known = self.known();
        let mut found: Vec<(bool, bool, StorageClient)> = ids
            .iter()
            .filter_map(|id| known.get(id))
            .map(|peer| {
                let has_failed = peer.failed.is_some_and(|failed| failed.elapsed() < DISTRUST);
                (has_failed, !peer.is_active, peer.client.clone())
            })
            .collect();
        if found.len() < ids.len() {
            self.look.notify_one();
        }
        drop(known);
        found.shuffle(&mut rand::rng());
        found.sort_by_key(|(has_failed, is_away, _)| (*has_failed, *is_away));
        found.into_iter().map(|(_, _, client)| client).collect()
    }

    /// Notes that this one has failed.
    pub(crate) fn doubt(&self, address: &str) {
        let mut known = self.known();
        for peer in known.values_mut().filter(|peer| peer.client.address() == address) {
            peer.failed = Some(Instant::now());
        }
        self.look.notify_one();
    }

    /// Has the others told that the catalog has news of this file. Nobody waits for it.
    pub(crate) fn tell(&self, key: &FileKey) {
        *self.news.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        self.news.wake.notify_one();
    }

    /// Looks again and again for who is there, and tells them what is new, until `shutdown`.
    pub(crate) async fn keep(self: Arc<Self>, shutdown: CancellationToken) {
        let look = async {
            loop {
                self.look_around().await;
                tokio::select! {
                    () = sleep(LOOK_INTERVAL) => {}
                    () = self.look.notified() => sleep(LOOK_PAUSE).await,
                }
            }
        };
        let tell = async {
            loop {
                self.news.wake.notified().await;
                let file = self.news.file.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(file) = file {
                    self.tell_all(&file).await;
                }
            }
        };
        tokio::select! {
            () = look => {}
            () = tell => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn look_around(&self) {
        let Ok(members) = self.catalog.members().await else { return };
        let told = self.told_by_trackers().await;
        let mut known = self.known();
        known.retain(|id, _| members.iter().any(|member| member.id == *id));
        for Member { id, address, .. } in members.into_iter().filter(|member| member.id != self.own) {
            let (address, is_active) = match told.as_ref().map(|told| told.get(&id)) {
                Some(Some((seen, is_active))) => (seen.clone(), *is_active),
                // No tracker answers, or none has seen it: what it says itself, if others can make use of that.
                _ if is_specific(&address) => (address, false),
                _ => continue,
            };
            match known.get_mut(&id) {
                Some(peer) if peer.client.address() == address => peer.is_active = is_active,
                _ => {
                    let client = StorageClient::new(&address, options()).peer();
                    known.insert(id, Peer { client, is_active, failed: None });
                }
            }
        }
    }

    /// Addresses by identity, and who is active. `None`: no tracker answers.
    async fn told_by_trackers(&self) -> Option<HashMap<String, (String, bool)>> {
        for tracker in &self.trackers {
            match timeout(PATIENCE, tracker.state()).await {
                Ok(Ok(state)) => {
                    let storages = state.groups.into_iter().flat_map(|group| group.storages);
                    let seen = |storage: tnv_proto::state::StorageState| {
                        (storage.id, (storage.address, storage.status == ACTIVE))
                    };
                    return Some(storages.filter(|storage| !storage.id.is_empty()).map(seen).collect());
                }
                Ok(Err(error)) => tracing::debug!(tracker = tracker.address(), %error, "no state"),
                Err(_) => tracing::debug!(tracker = tracker.address(), "no state in time"),
            }
        }
        None
    }

    async fn tell_all(&self, file: &FileKey) {
        let peers: Vec<StorageClient> = self.known().values().map(|peer| peer.client.clone()).collect();
        let tell = |peer: StorageClient| async move {
            if let Ok(Err(error)) = timeout(PATIENCE, peer.notice(file)).await {
                tracing::debug!(peer = peer.address(), %error, "a peer was not told; it looks for itself later");
            }
        };
        join_all(peers.into_iter().map(tell)).await;
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Peer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether others can connect to it: not `0.0.0.0:port`, which every storage may have.
fn is_specific(address: &str) -> bool {
    address
        .parse::<std::net::SocketAddr>()
        .map_or(!address.is_empty(), |address| !address.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_stand_for_all_interfaces_are_of_no_use_to_others() {
        for (address, expected) in [
            ("10.0.0.1:1", true),
            ("storage-a:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("", false),
        ] {
            assert_eq!(is_specific(address), expected, "{address}");
        }
    }
}
