//! The other storages of a group that keeps copies: where they are, and whom to ask for a file.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::seq::SliceRandom;
use tnv_client::{ClientError, Options, StorageClient, TrackerClient};
use tnv_common::database::DbError;
use tnv_proto::state::ClusterState;
use tnv_proto::{FileKey, Keep, MemberAction, MemberRequest, PushedPlace};
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, CopyAt, Member, MemberState};
use crate::standing::Standing;

/// Between two looks for who is there.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// The least time between two of them, however many ask.
const LOOK_PAUSE: Duration = Duration::from_millis(300);
/// How long a tracker or a peer may take for a short answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a peer that failed is asked after all others.
const DISTRUST: Duration = Duration::from_secs(10);
/// Places that one of them is still to be told of; of more it finds out by itself.
const MAX_KEPT: usize = 16 * Keep::MAX;
/// What trackers call a storage that beats.
const ACTIVE: &str = "ACTIVE";

/// How peers are waited for: somebody else waits meanwhile.
fn options() -> Options {
    Options {
        connect_timeout: Duration::from_secs(1),
        reply_timeout: Duration::from_secs(3),
        progress_timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

/// The other members of this storage's group.
pub(crate) struct Peers {
    catalog: Arc<dyn Catalog>,
    /// The identity of this storage.
    own: String,
    standing: Arc<Standing>,
    trackers: Vec<TrackerClient>,
    known: Mutex<HashMap<String, Peer>>,
    /// Somebody waits for what the next look finds.
    look: Notify,
    last_look: tokio::sync::Mutex<Option<Instant>>,
    news: News,
    kept: Kept,
}

/// What others hold for this storage until they are told that its rows are there, by their identity.
#[derive(Default)]
struct Kept {
    places: Mutex<HashMap<String, Vec<PushedPlace>>>,
    wake: Notify,
}

/// A storage that gets an upload while it comes in.
pub(crate) struct Companion {
    /// Its identity.
    pub(crate) id: String,
    pub(crate) client: StorageClient,
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
    /// With connections of its own: news do not wait behind bytes.
    news: StorageClient,
    is_active: bool,
    /// Whether a tracker has said where it is.
    is_told: bool,
    /// Whether it takes uploads, and what others push to it.
    takes_uploads: bool,
    failed: Option<Instant>,
}

impl Peer {
    fn has_failed(&self) -> bool {
        self.failed.is_some_and(|failed| failed.elapsed() < DISTRUST)
    }

    /// Where no tracker has told of anybody yet, none is known to be away.
    fn is_there(&self) -> bool {
        self.is_active || !self.is_told
    }
}

impl Peers {
    /// For the storage with this identity. Nobody is known before [`Peers::keep`] has looked.
    pub(crate) fn new(
        catalog: Arc<dyn Catalog>,
        own: String,
        standing: Arc<Standing>,
        trackers: &[String],
    ) -> Peers {
        let trackers = trackers.iter().map(|tracker| TrackerClient::new(tracker, options())).collect();
        Peers {
            catalog,
            own,
            standing,
            trackers,
            known: Mutex::default(),
            look: Notify::new(),
            last_look: tokio::sync::Mutex::default(),
            news: News::default(),
            kept: Kept::default(),
        }
    }

    /// Those with these identities that can be reached, in the order in which they should be asked: any that beats first,
    /// one that failed a short while ago last. If any of them is not known yet, it is looked where it is.
    pub(crate) async fn find(&self, ids: &[String]) -> Vec<StorageClient> {
        let found = self.known_of(ids);
        if found.len() == ids.len() {
            return found;
        }
        // Also where only one is not known: it may be the one that is there. One look for all who wait.
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
            .map(|peer| (peer.has_failed(), !peer.is_active, peer.client.clone()))
            .collect();
        if found.len() < ids.len() {
            self.look.notify_one();
        }
        drop(known);
        found.shuffle(&mut rand::rng());
        found.sort_by_key(|(has_failed, is_away, _)| (*has_failed, *is_away));
        found.into_iter().map(|(_, _, client)| client).collect()
    }

    /// Those that can take a copy now, in the order in which to ask them: who failed a short while ago comes last, and only if
    /// `all` are to be tried.
    pub(crate) fn reachable(&self, all: bool) -> Vec<Companion> {
        let known = self.known();
        let mut found: Vec<(bool, Companion)> = known
            .iter()
            .filter(|(_, peer)| peer.is_there() && peer.takes_uploads && (all || !peer.has_failed()))
            .map(|(id, peer)| (peer.has_failed(), Companion { id: id.clone(), client: peer.client.clone() }))
            .collect();
        drop(known);
        found.shuffle(&mut rand::rng());
        found.sort_by_key(|(has_failed, _)| *has_failed);
        found.into_iter().map(|(_, companion)| companion).collect()
    }

    /// Those of these that answer: each is asked, for what others have said of it may be old.
    pub(crate) async fn in_reach(&self, ids: &[String]) -> Vec<String> {
        self.find(ids).await;
        let asked: Vec<(String, StorageClient)> = {
            let known = self.known();
            ids.iter().filter_map(|id| Some((id.clone(), known.get(id)?.news.clone()))).collect()
        };
        let ask = |(id, peer): (String, StorageClient)| async move {
            let status = MemberRequest { action: MemberAction::Presence, force: false, storage: id.clone() };
            let answer = timeout(PATIENCE, peer.member(&status)).await;
            matches!(answer, Ok(Ok(status)) if status.is_itself).then_some(id)
        };
        join_all(asked.into_iter().map(ask)).await.into_iter().flatten().collect()
    }

    /// Has those who hold these told that their rows are there. Nobody waits for it, and who is not told finds out.
    pub(crate) fn have_kept(&self, copies: Vec<CopyAt>) {
        if copies.is_empty() {
            return;
        }
        let mut places = self.kept.places.lock().unwrap_or_else(PoisonError::into_inner);
        for CopyAt { storage, place } in copies {
            let of_one = places.entry(storage).or_default();
            if of_one.len() < MAX_KEPT {
                of_one.push(place);
            }
        }
        drop(places);
        self.kept.wake.notify_one();
    }

    async fn tell_kept(&self) {
        let kept = std::mem::take(&mut *self.kept.places.lock().unwrap_or_else(PoisonError::into_inner));
        let client = |id: &String| self.known().get(id).map(|peer| peer.news.clone());
        let tells = kept.into_iter().filter_map(|(id, places)| Some((client(&id)?, places)));
        let tell = |(peer, places): (StorageClient, Vec<PushedPlace>)| async move {
            for places in places.chunks(Keep::MAX) {
                if !matches!(timeout(PATIENCE, peer.keep(places.to_vec())).await, Ok(Ok(()))) {
                    tracing::debug!(
                        peer = peer.address(),
                        "a peer was not told what to keep; it finds out by itself"
                    );
                    return;
                }
            }
        };
        join_all(tells.map(tell)).await;
    }

    /// Notes that this one has failed.
    pub(crate) fn doubt(&self, address: &str) {
        let mut known = self.known();
        for peer in known.values_mut().filter(|peer| peer.client.address() == address) {
            peer.failed = Some(Instant::now());
        }
        self.look.notify_one();
    }

    /// Notes that all these have failed.
    pub(crate) fn doubt_all(&self, addresses: impl IntoIterator<Item: AsRef<str>>) {
        addresses.into_iter().for_each(|address| self.doubt(address.as_ref()));
    }

    /// Has the others told that the catalog has news of this file. Nobody waits for it.
    pub(crate) fn tell(&self, key: &FileKey) {
        *self.news.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        self.news.wake.notify_one();
    }

    /// Returns when no other member remembers the row of this file, which is gone from the catalog: each has said so, or its
    /// process is gone and its memory with it, or it is `forgotten`, when nobody uses what was read before.
    pub(crate) async fn settle_delete(&self, key: &FileKey, forgotten: tokio::time::Instant) {
        let asked = timeout_at(forgotten, async {
            let members = self.catalog.members().await?;
            let others: HashMap<String, String> = members
                .into_iter()
                .filter(|member| member.id != self.own)
                .map(|member| (member.id, member.address))
                .collect();
            let ids: Vec<_> = others.keys().cloned().collect();
            let is_known = self.find(&ids).await.len() == ids.len();
            let listener = |(id, peer): (&String, &Peer)| Listener {
                client: peer.news.clone(),
                // Each writes its address before it reads the first row: whoever has moved reads none that is gone.
                is_where_it_began: others
                    .get(id)
                    .is_some_and(|began| port(began) == port(peer.news.address())),
            };
            let listeners = self.known().iter().map(listener).collect();
            Ok::<bool, DbError>(self.notify(listeners, key).await && is_known)
        });
        if !matches!(asked.await, Ok(Ok(true))) {
            sleep_until(forgotten).await;
        }
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
        let tell_kept = async {
            loop {
                self.kept.wake.notified().await;
                self.tell_kept().await;
            }
        };
        tokio::select! {
            () = look => {}
            () = tell => {}
            () = tell_kept => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn look_around(&self) {
        let look = self.standing.look();
        let Ok(members) = self.catalog.members().await else { return };
        let own = members.iter().find(|member| member.id == self.own);
        self.standing.note(look, own.map_or(MemberState::Removed, |own| own.state));
        let told = self.told_by_trackers().await;
        let mut known = self.known();
        known.retain(|id, _| members.iter().any(|member| member.id == *id));
        let is_told = |id: &String| told.as_ref().is_some_and(|told| told.contains_key(id));
        for Member { id, address, state, .. } in members.into_iter().filter(|member| member.id != self.own) {
            let takes_uploads = state != MemberState::Draining;
            if let Some(peer) = known.get_mut(&id) {
                peer.takes_uploads = takes_uploads;
            }
            let (address, is_active) = match told.as_ref().map(|told| told.get(&id)) {
                Some(Some((seen, is_active))) => (seen.clone(), *is_active),
                // What trackers said last is still good while they are away.
                None if known.get(&id).is_some_and(|peer| peer.is_told) => continue,
                // No tracker has seen it: what it says itself, if others can make use of that.
                _ if is_specific(&address) => (address, false),
                _ => continue,
            };
            match known.get_mut(&id) {
                Some(peer) if peer.client.address() == address => {
                    (peer.is_active, peer.is_told) = (is_active, is_told(&id));
                }
                _ => {
                    let client = StorageClient::new(&address, options()).peer();
                    let is_told = is_told(&id);
                    let news = StorageClient::new(&address, options());
                    known.insert(id, Peer { client, news, is_active, is_told, takes_uploads, failed: None });
                }
            }
        }
    }

    /// Addresses by identity, and who is active. `None`: no tracker answers.
    async fn told_by_trackers(&self) -> Option<HashMap<String, (String, bool)>> {
        for tracker in &self.trackers {
            match timeout(PATIENCE, tracker.state()).await {
                Ok(Ok(state)) => {
                    return Some(seen(state));
                }
                Ok(Err(error)) => tracing::debug!(tracker = tracker.address(), %error, "no state"),
                Err(_) => tracing::debug!(tracker = tracker.address(), "no state in time"),
            }
        }
        None
    }

    /// Tells all but those that have just failed: who does not listen holds up the others, and looks by itself later.
    async fn tell_all(&self, file: &FileKey) {
        let listening = |peer: &&Peer| !peer.has_failed();
        let listener = |peer: &Peer| Listener { client: peer.news.clone(), is_where_it_began: false };
        let listeners = self.known().values().filter(listening).map(listener).collect();
        self.notify(listeners, file).await;
    }

    /// Whether each of these has heard of it, or remembers nothing.
    async fn notify(&self, listeners: Vec<Listener>, file: &FileKey) -> bool {
        let tell = |Listener { client, is_where_it_began }: Listener| async move {
            let told = timeout(PATIENCE, client.notice(file)).await;
            if matches!(told, Ok(Ok(()))) {
                return true;
            }
            tracing::debug!(peer = client.address(), "a peer was not told; it looks by itself later");
            self.doubt(client.address());
            is_where_it_began && matches!(told, Ok(Err(error)) if is_refused(&error))
        };
        join_all(listeners.into_iter().map(tell)).await.into_iter().all(|told| told)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Peer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A member that is told of something.
struct Listener {
    client: StorageClient,
    /// Whether it is looked for where its last process has listened from its beginning on.
    is_where_it_began: bool,
}

/// Whether nothing listens there. A process that hangs has its connections accepted by the system, and one whose host is out
/// of reach does not answer at all.
fn is_refused(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused)
}

/// What stands behind the host: that may be written in several ways.
fn port(address: &str) -> Option<&str> {
    address.rsplit_once(':').map(|(_, port)| port)
}

/// Addresses by identity, and who is active. One that has moved stands there twice: where it is active counts.
fn seen(state: ClusterState) -> HashMap<String, (String, bool)> {
    let mut seen = HashMap::new();
    for storage in state.groups.into_iter().flat_map(|group| group.storages) {
        let is_active = storage.status == ACTIVE;
        if !storage.id.is_empty() && (is_active || !seen.contains_key(&storage.id)) {
            seen.insert(storage.id, (storage.address, is_active));
        }
    }
    seen
}

/// Whether others can connect to it: not `0.0.0.0:port`, which every storage may have.
fn is_specific(address: &str) -> bool {
    address
        .parse::<std::net::SocketAddr>()
        .map_or(!address.is_empty(), |address| !address.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use tnv_proto::state::{GroupState, StorageState};

    use super::*;

    #[test]
    fn a_storage_that_has_moved_is_where_it_is_active() {
        let at = |address: &str, status: &str| StorageState {
            id: "a".to_owned(),
            address: address.to_owned(),
            status: status.to_owned(),
            ..StorageState::default()
        };
        let [old, new] = [at("10.0.0.1:1", "OFFLINE"), at("10.0.0.2:1", ACTIVE)];
        for storages in [vec![old.clone(), new.clone()], vec![new, old]] {
            let groups = vec![GroupState { storages, ..GroupState::default() }];
            let seen = seen(ClusterState { groups, ..ClusterState::default() });
            assert_eq!(seen["a"], ("10.0.0.2:1".to_owned(), true));
        }
    }

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
