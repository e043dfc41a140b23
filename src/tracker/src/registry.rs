//! The map of groups and storages: join, beat, report, expire. Pure: `now` is passed in, nothing is read or sent.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tnv_proto::state::{GroupState, Load, StorageReport, StorageState};
use tnv_proto::{ErrorCode, Failure, GroupName, HostName, Join, Membership};

/// What a storage says of itself that takes no new files.
const DRAINING: &str = Membership::Draining.as_str();
/// And one that is no member of its group any more.
const REMOVED: &str = Membership::Removed.as_str();

/// A moment on both clocks: the steady one decides who is silent, the wall clock is for people.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The steady clock.
    pub instant: Instant,
    /// Seconds since 1970.
    pub unix: i64,
}

/// Who a storage is within its group. The port is part of it, so that two storages can share a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The host name it told.
    pub host: HostName,
    /// The address its connection came from.
    pub ip: IpAddr,
    /// The port it listens on.
    pub port: u16,
}

/// How alive a storage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Silent for too long.
    Offline,
    /// It has joined, but not beaten yet.
    Online,
    /// It serves.
    Active,
}

impl Status {
    /// As GROUPS and STATE show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Offline => "OFFLINE",
            Status::Online => "ONLINE",
            Status::Active => "ACTIVE",
        }
    }
}

#[derive(Debug, Clone)]
struct Storage {
    version: String,
    started: i64,
    joined: i64,
    last_beat: i64,
    heard: Instant,
    status: Status,
    id: String,
    advertise: String,
    membership: String,
    load: Option<Load>,
}

impl Storage {
    /// Whether clients are sent to it at all.
    fn serves(&self) -> bool {
        self.status == Status::Active && self.membership != REMOVED
    }

    /// Whether it takes new files.
    fn takes_uploads(&self) -> bool {
        self.serves() && self.membership != DRAINING
    }
}

/// What a client wants of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To store new files.
    Uploads,
    /// Everything else.
    Reading,
}

/// A storage whose status has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its group.
    pub group: GroupName,
    /// Who it is.
    pub storage: Identity,
    /// What it is now.
    pub status: Status,
}

/// All groups and their storages.
#[derive(Debug, Default)]
pub struct Registry {
    groups: BTreeMap<GroupName, BTreeMap<Identity, Storage>>,
    max_groups: usize,
    max_storages: usize,
}

impl Registry {
    /// An empty map that takes so many groups, and so many storages over all groups.
    pub fn new(max_groups: usize, max_storages: usize) -> Registry {
        Registry { groups: BTreeMap::new(), max_groups, max_storages }
    }

    /// Whether the group is known or could be made so.
    ///
    /// # Errors
    /// 507 when there are `max_groups`.
    pub fn check_room_for(&self, group: &GroupName) -> Result<(), Failure> {
        if !self.groups.contains_key(group) && self.groups.len() >= self.max_groups {
            return Err(Failure::new(
                ErrorCode::NO_SPACE,
                format!("there are {} groups already, as many as max_groups allows", self.groups.len()),
            ));
        }
        Ok(())
    }

    /// Makes a group known. One that is known already stays as it is.
    ///
    /// # Errors
    /// As [`Registry::check_room_for`].
    pub fn add_group(&mut self, group: &GroupName) -> Result<(), Failure> {
        self.check_room_for(group)?;
        self.groups.entry(group.clone()).or_default();
        Ok(())
    }

    /// Whether the group is known.
    pub fn knows_group(&self, group: &GroupName) -> bool {
        self.groups.contains_key(group)
    }

    /// A storage enters its group, or comes back to it, and is ONLINE until its first beat.
    ///
    /// # Errors
    /// 404 for an unknown group, 507 when there are `max_storages` and none of them is OFFLINE.
    pub fn join(&mut self, join: &Join, ip: IpAddr, now: Now) -> Result<Identity, Failure> {
        let identity = Identity { host: join.host.clone(), ip, port: join.port };
        let Some(group) = self.groups.get(&join.group) else { return Err(unknown_group(&join.group)) };
        if !group.contains_key(&identity) {
            self.make_room()?;
        }
        let group = self.groups.entry(join.group.clone()).or_default();
        let before = group.remove(&identity);
        let (id, advertise, membership, load) = before
            .map(|storage| (storage.id, storage.advertise, storage.membership, storage.load))
            .unwrap_or_default();
        let storage = Storage {
            version: join.version.to_string(),
            started: join.started,
            joined: join.joined,
            last_beat: 0,
            heard: now.instant,
            status: Status::Online,
            id,
            advertise,
            membership,
            load,
        };
        group.insert(identity.clone(), storage);
        Ok(identity)
    }

    /// A storage is alive. `joined` is who joined on the same connection; without it the beat counts for every
    /// storage of that host name and address. Returns those that became ACTIVE by it.
    ///
    /// # Errors
    /// 404 if no such storage has joined: it should join (again).
    pub fn beat(
        &mut self,
        group: &GroupName,
        host: &HostName,
        ip: IpAddr,
        joined: Option<&Identity>,
        now: Now,
    ) -> Result<Vec<Change>, Failure> {
        let storages = self.groups.get_mut(group).ok_or_else(|| unknown_group(group))?;
        let mut known = false;
        let mut changes = Vec::new();
        for (identity, storage) in storages.iter_mut() {
            let meant = match joined {
                Some(joined) => identity == joined,
                None => identity.host == *host && identity.ip == ip,
            };
            if !meant {
                continue;
            }
            known = true;
            storage.heard = now.instant;
            storage.last_beat = now.unix;
            if storage.status != Status::Active {
                storage.status = Status::Active;
                changes.push(Change {
                    group: group.clone(),
                    storage: identity.clone(),
                    status: Status::Active,
                });
            }
        }
        if known { Ok(changes) } else { Err(unknown_storage(host, group)) }
    }

    /// A storage tells what JOIN has no field for.
    ///
    /// # Errors
    /// 404 if it has not joined.
    pub fn report(
        &mut self,
        group: &GroupName,
        who: &Identity,
        report: StorageReport,
    ) -> Result<(), Failure> {
        let storage = self
            .groups
            .get_mut(group)
            .and_then(|storages| storages.get_mut(who))
            .ok_or_else(|| unknown_storage(&who.host, group))?;
        storage.id = report.id;
        storage.advertise = report.advertise;
        storage.membership = report.membership;
        storage.load = Some(report.load);
        if !report.version.is_empty() {
            storage.version = report.version;
        }
        Ok(())
    }

    /// Marks storages OFFLINE that were not heard of for longer than `silence`, and returns them.
    pub fn expire(&mut self, now: Now, silence: Duration) -> Vec<Change> {
        let mut changes = Vec::new();
        for (group, storages) in &mut self.groups {
            for (identity, storage) in storages {
                let silent = now.instant.saturating_duration_since(storage.heard) > silence;
                if silent && storage.status != Status::Offline {
                    storage.status = Status::Offline;
                    changes.push(Change {
                        group: group.clone(),
                        storage: identity.clone(),
                        status: Status::Offline,
                    });
                }
            }
        }
        changes
    }

    /// The addresses of up to `count` ACTIVE storages of a group, beginning with the one that `start` falls on. Those that
    /// are draining come last, and for uploads only where there is nobody else: they say themselves why they take none.
    pub fn active(&self, group: &GroupName, purpose: Purpose, start: usize, count: usize) -> Vec<String> {
        let named = |is_named: fn(&Storage) -> bool| -> Vec<String> {
            let storages = self.groups.get(group).into_iter().flatten();
            let named: Vec<_> = storages
                .filter(|(_, storage)| is_named(storage))
                .map(|(identity, storage)| address(identity, storage))
                .collect();
            let start = start.checked_rem(named.len()).unwrap_or(0);
            named.iter().cycle().skip(start).take(named.len()).cloned().collect()
        };
        let mut found = named(Storage::takes_uploads);
        if found.is_empty() || purpose == Purpose::Reading {
            found.extend(named(|storage| storage.serves() && !storage.takes_uploads()));
        }
        found.truncate(count);
        found
    }

    /// The groups that have an ACTIVE storage: of those with one that takes uploads, if there are any.
    pub fn active_groups(&self) -> Vec<GroupName> {
        let having = |fits: fn(&Storage) -> bool| -> Vec<GroupName> {
            let groups = self.groups.iter().filter(|(_, storages)| storages.values().any(fits));
            groups.map(|(name, _)| name.clone()).collect()
        };
        let taking = having(Storage::takes_uploads);
        if taking.is_empty() { having(Storage::serves) } else { taking }
    }

    /// Everything, for GROUPS and STATE.
    pub fn snapshot(&self) -> Vec<GroupState> {
        let storage = |(identity, storage): (&Identity, &Storage)| StorageState {
            id: storage.id.clone(),
            host: identity.host.to_string(),
            address: address(identity, storage),
            version: storage.version.clone(),
            status: storage.status.as_str().to_owned(),
            membership: storage.membership.clone(),
            started: storage.started,
            joined: storage.joined,
            last_beat: storage.last_beat,
            load: storage.load.clone(),
        };
        self.groups
            .iter()
            .map(|(name, storages)| {
                let (total_bytes, free_bytes) = space(storages.values());
                GroupState {
                    name: name.to_string(),
                    total_bytes,
                    free_bytes,
                    storages: storages.iter().map(storage).collect(),
                }
            })
            .collect()
    }

    /// Forgets the storage that has been OFFLINE longest, if there are too many.
    fn make_room(&mut self) -> Result<(), Failure> {
        let count: usize = self.groups.values().map(BTreeMap::len).sum();
        if count < self.max_storages {
            return Ok(());
        }
        let longest = self
            .groups
            .iter()
            .flat_map(|(group, storages)| storages.iter().map(move |(who, storage)| (group, who, storage)))
            .filter(|(_, _, storage)| storage.status == Status::Offline)
            .min_by_key(|(_, _, storage)| storage.heard)
            .map(|(group, who, _)| (group.clone(), who.clone()));
        let Some((group, who)) = longest else {
            return Err(Failure::new(
                ErrorCode::NO_SPACE,
                format!("there are {count} storages already, as many as max_storages allows"),
            ));
        };
        if let Some(storages) = self.groups.get_mut(&group) {
            storages.remove(&who);
        }
        Ok(())
    }
}

/// Total and free bytes of a group. Storages with one id share their store paths: the one that was heard of last speaks
/// for all.
fn space<'a>(storages: impl Iterator<Item = &'a Storage>) -> (u64, u64) {
    let mut volumes: BTreeMap<&str, &Storage> = BTreeMap::new();
    let (mut total, mut free) = (0_u64, 0_u64);
    let mut add = |storage: &Storage| {
        if let Some(load) = &storage.load {
            total = total.saturating_add(load.total_bytes);
            free = free.saturating_add(load.free_bytes);
        }
    };
    for storage in storages.filter(|storage| storage.load.is_some()) {
        if storage.id.is_empty() {
            add(storage);
        } else {
            let newest = volumes.entry(&storage.id).or_insert(storage);
            if storage.heard > newest.heard {
                *newest = storage;
            }
        }
    }
    volumes.into_values().for_each(add);
    (total, free)
}

fn address(identity: &Identity, storage: &Storage) -> String {
    if storage.advertise.is_empty() {
        std::net::SocketAddr::new(identity.ip, identity.port).to_string()
    } else {
        storage.advertise.clone()
    }
}

fn unknown_group(group: &GroupName) -> Failure {
    Failure::new(
        ErrorCode::NOT_FOUND,
        format!("the group {group} is not known; add it to t_groups_info or set auto_create_groups = true"),
    )
}

fn unknown_storage(host: &HostName, group: &GroupName) -> Failure {
    Failure::new(ErrorCode::NOT_FOUND, format!("no storage on {host} has joined {group}; send JOIN first"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tnv_proto::Version;

    use super::*;

    const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    fn group(name: &str) -> GroupName {
        GroupName::new(name).unwrap()
    }

    fn join(name: &str, port: u16) -> Join {
        Join {
            version: Version::new("1.0").unwrap(),
            group: group(name),
            host: HostName::new("alpha").unwrap(),
            port,
            started: 100,
            joined: 101,
        }
    }

    fn at(start: Instant, seconds: u64) -> Now {
        Now { instant: start + Duration::from_secs(seconds), unix: 1000 + seconds as i64 }
    }

    fn registry() -> (Registry, Instant) {
        let mut registry = Registry::new(2, 2);
        registry.add_group(&group("group001")).unwrap();
        (registry, Instant::now())
    }

    fn statuses(registry: &Registry) -> Vec<String> {
        registry
            .snapshot()
            .into_iter()
            .flat_map(|group| group.storages)
            .map(|storage| storage.status)
            .collect()
    }

    #[test]
    fn join_is_online_beat_is_active_silence_is_offline() {
        let (mut registry, start) = registry();
        let silence = Duration::from_secs(30);
        let who = registry.join(&join("group001", 1), IP, at(start, 0)).unwrap();
        assert_eq!(statuses(&registry), ["ONLINE"]);
        assert!(registry.active(&group("group001"), Purpose::Uploads, 0, 3).is_empty());

        let changes = registry.beat(&group("group001"), &who.host, IP, Some(&who), at(start, 0)).unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(registry.active(&group("group001"), Purpose::Uploads, 7, 3), ["10.0.0.1:1"]);
        assert!(
            registry.beat(&group("group001"), &who.host, IP, Some(&who), at(start, 10)).unwrap().is_empty()
        );

        assert!(registry.expire(at(start, 40), silence).is_empty());
        assert_eq!(registry.expire(at(start, 41), silence).len(), 1);
        assert!(registry.expire(at(start, 42), silence).is_empty());
        assert_eq!(statuses(&registry), ["OFFLINE"]);
        assert!(registry.active_groups().is_empty());

        registry.beat(&group("group001"), &who.host, IP, None, at(start, 50)).unwrap();
        assert_eq!(statuses(&registry), ["ACTIVE"]);
    }

    #[test]
    fn a_joined_connection_beats_for_itself_another_for_the_host() {
        let (mut registry, start) = registry();
        let one = registry.join(&join("group001", 1), IP, at(start, 0)).unwrap();
        registry.join(&join("group001", 2), IP, at(start, 0)).unwrap();
        registry.beat(&group("group001"), &one.host, IP, Some(&one), at(start, 0)).unwrap();
        assert_eq!(statuses(&registry), ["ACTIVE", "ONLINE"]);
        registry.beat(&group("group001"), &one.host, IP, None, at(start, 0)).unwrap();
        assert_eq!(statuses(&registry), ["ACTIVE", "ACTIVE"]);
        let elsewhere = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
        let refused =
            registry.beat(&group("group001"), &one.host, elsewhere, None, at(start, 0)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::NOT_FOUND);
    }

    #[test]
    fn addresses_start_anywhere_and_go_round() {
        let mut registry = Registry::new(1, 9);
        registry.add_group(&group("g")).unwrap();
        let now = at(Instant::now(), 0);
        for port in 1..=4 {
            let who = registry.join(&join("g", port), IP, now).unwrap();
            registry.beat(&group("g"), &who.host, IP, Some(&who), now).unwrap();
        }
        assert_eq!(
            registry.active(&group("g"), Purpose::Uploads, 3, 3),
            ["10.0.0.1:4", "10.0.0.1:1", "10.0.0.1:2"]
        );
    }

    #[test]
    fn limits_are_told_and_offline_storages_make_room() {
        let (mut registry, start) = registry();
        assert_eq!(
            registry.join(&join("unknown", 1), IP, at(start, 0)).unwrap_err().code,
            ErrorCode::NOT_FOUND
        );
        registry.add_group(&group("group002")).unwrap();
        assert_eq!(registry.add_group(&group("group003")).unwrap_err().code, ErrorCode::NO_SPACE);
        registry.join(&join("group001", 1), IP, at(start, 0)).unwrap();
        registry.join(&join("group002", 2), IP, at(start, 9)).unwrap();
        assert_eq!(
            registry.join(&join("group001", 3), IP, at(start, 9)).unwrap_err().code,
            ErrorCode::NO_SPACE
        );
        registry.expire(at(start, 10), Duration::from_secs(5));
        registry.join(&join("group001", 3), IP, at(start, 10)).unwrap();
        assert_eq!(statuses(&registry), ["ONLINE", "ONLINE"]);
    }

    #[test]
    fn a_volume_is_counted_once_and_its_storages_are_kept_apart() {
        let mut registry = Registry::new(1, 9);
        registry.add_group(&group("g")).unwrap();
        let start = Instant::now();
        let report = |id: &str, total_bytes, free_bytes| StorageReport {
            id: id.to_owned(),
            load: Load { total_bytes, free_bytes, ..Load::default() },
            ..StorageReport::default()
        };
        let space = |registry: &Registry| {
            let group = registry.snapshot().remove(0);
            (group.total_bytes, group.free_bytes)
        };
        assert_eq!(space(&registry), (0, 0));
        for (port, report) in [
            (1, report("volume", 100, 40)),
            (2, report("volume", 100, 30)),
            (3, report("own", 1000, 500)),
            (4, report("", 7, 3)),
            (5, report("", 7, 3)),
        ] {
            let now = at(start, u64::from(port));
            let who = registry.join(&join("g", port), IP, now).unwrap();
            registry.report(&group("g"), &who, report).unwrap();
            registry.beat(&group("g"), &who.host, IP, Some(&who), now).unwrap();
        }
        registry.join(&join("g", 6), IP, at(start, 6)).unwrap();
        assert_eq!(space(&registry), (1114, 536));
        assert_eq!(registry.active(&group("g"), Purpose::Uploads, 0, 2), ["10.0.0.1:1", "10.0.0.1:2"]);
        // The one that is heard of last says how it is.
        let one = Identity { host: HostName::new("alpha").unwrap(), ip: IP, port: 1 };
        registry.beat(&group("g"), &one.host, IP, Some(&one), at(start, 7)).unwrap();
        assert_eq!(space(&registry), (1114, 546));
    }

    #[test]
    fn who_drains_is_named_to_readers_last_and_who_is_removed_to_nobody() {
        let mut registry = Registry::new(2, 9);
        let (now, g) = (at(Instant::now(), 0), group("g"));
        registry.add_group(&g).unwrap();
        let say = |registry: &mut Registry, port, membership: &str| {
            let who = registry.join(&join("g", port), IP, now).unwrap();
            let report = StorageReport { membership: membership.to_owned(), ..StorageReport::default() };
            registry.report(&g, &who, report).unwrap();
            registry.beat(&g, &who.host, IP, Some(&who), now).unwrap();
        };
        for (port, membership) in [(1, "draining"), (2, ""), (3, "filling"), (4, "removed")] {
            say(&mut registry, port, membership);
        }
        let named = |registry: &Registry, purpose| registry.active(&group("g"), purpose, 0, 3);
        let [one, two, three] = ["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"];
        assert_eq!(named(&registry, Purpose::Uploads), [two, three]);
        assert_eq!(named(&registry, Purpose::Reading), [two, three, one]);
        for port in 2..=3 {
            say(&mut registry, port, "removed");
        }
        assert_eq!(named(&registry, Purpose::Uploads), [one], "it says itself why it takes none");
        // A user who is new goes where uploads are taken.
        registry.add_group(&group("other")).unwrap();
        assert_eq!(registry.active_groups(), [group("g")]);
        let who = registry.join(&join("other", 9), IP, now).unwrap();
        registry.beat(&group("other"), &who.host, IP, Some(&who), now).unwrap();
        assert_eq!(registry.active_groups(), [group("other")]);
        let shown: Vec<_> =
            registry.snapshot().remove(0).storages.into_iter().map(|s| s.membership).collect();
        assert_eq!(shown, ["draining", "removed", "removed", "removed"]);
    }

    #[test]
    fn a_report_changes_the_address() {
        let (mut registry, start) = registry();
        let who = registry.join(&join("group001", 1), IP, at(start, 0)).unwrap();
        let report = StorageReport { advertise: "files.example:9".to_owned(), ..StorageReport::default() };
        registry.report(&group("group001"), &who, report).unwrap();
        registry.join(&join("group001", 1), IP, at(start, 1)).unwrap();
        registry.beat(&group("group001"), &who.host, IP, Some(&who), at(start, 1)).unwrap();
        assert_eq!(registry.active(&group("group001"), Purpose::Uploads, 0, 3), ["files.example:9"]);
    }
}
