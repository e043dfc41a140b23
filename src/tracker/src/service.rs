//! The tracker's commands.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::{BufMut, BytesMut};
use tnv_common::cache::Cache;
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_common::server::Service;
use tnv_common::{clock, host};
use tnv_proto::state::{ClusterState, StorageReport};
use tnv_proto::{
    AppId, Beat, Command, ErrorCode, Failure, GroupName, GroupText, Join, Membership, Report, Request,
    Saddrs, Server, StorageAddresses, StorageText, UserId, render_groups,
};

use crate::config::Config;
use crate::registry::{Change, Identity, Now, Purpose, Registry, Status};
use crate::routes::Routes;

/// Addresses in a SADDRS reply, at most.
const MAX_ADDRESSES: usize = 3;
/// The longest id and version in a report, in bytes.
const MAX_NAME: usize = 64;

/// What becomes of a user who has no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unrouted {
    /// It gets one, for ever: it is about to upload.
    Assign,
    /// It gets none: whoever merely looks for a file must not leave a row behind. Some group answers instead, which
    /// has no file of the user, or one that came past the trackers.
    Guess,
}

/// What the tracker knows, behind its commands.
pub(crate) struct TrackerService {
    apps: Vec<AppId>,
    auto_create_groups: bool,
    registry: Mutex<Registry>,
    routes: Arc<dyn Routes>,
    cache: Arc<dyn Cache>,
}

/// Who joined on a connection.
#[derive(Default)]
pub(crate) struct Session {
    joined: Option<(GroupName, Identity)>,
}

pub(crate) fn now() -> Now {
    Now { instant: Instant::now(), unix: clock::unix_seconds() }
}

impl TrackerService {
    pub(crate) fn new(config: &Config, routes: Arc<dyn Routes>, cache: Arc<dyn Cache>) -> TrackerService {
        TrackerService {
            apps: config.apps.clone(),
            auto_create_groups: config.auto_create_groups,
            registry: Mutex::new(Registry::new(config.max_groups, config.max_storages)),
            routes,
            cache,
        }
    }

    /// The registry, held for memory operations only.
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn join(&self, request: Join, ip: IpAddr, session: &mut Session) -> Result<Reply, Interrupt> {
        check_join(&request)?;
        if !self.registry().knows_group(&request.group) {
            self.learn_group(&request.group).await?;
        }
        let identity = self.registry().join(&request, ip, now())?;
        tracing::info!(group = %request.group, host = %identity.host, ip = %identity.ip, port = identity.port,
            version = %request.version, "a storage joined");
        session.joined = Some((request.group, identity));
        Ok(Reply::empty())
    }

    /// Takes a group into the registry that the database knows, or may be taught.
    async fn learn_group(&self, group: &GroupName) -> Result<(), Failure> {
        if self.routes.groups().await?.contains(group) {
            return self.registry().add_group(group);
        }
        if self.auto_create_groups {
            self.registry().check_room_for(group)?;
            self.routes.add_group(group).await?;
            self.registry().add_group(group)?;
            tracing::info!(%group, "a new group");
        }
        Ok(())
    }

    fn beat(&self, request: &Beat, ip: IpAddr, session: &Session) -> Result<Reply, Interrupt> {
        let joined = session
            .joined
            .as_ref()
            .filter(|(group, identity)| *group == request.group && identity.host == request.host)
            .map(|(_, identity)| identity);
        let changes = self.registry().beat(&request.group, &request.host, ip, joined, now())?;
        changes.iter().for_each(log_change);
        Ok(Reply::empty())
    }

    fn report(&self, request: Report, ip: IpAddr) -> Result<Reply, Interrupt> {
        let report: StorageReport = serde_json::from_str(&request.json)
            .map_err(|error| Failure::bad_request(format!("the report is no JSON of a storage: {error}")))?;
        check_report(&report)?;
        let who = Identity { host: request.host, ip, port: request.port };
        self.registry().report(&request.group, &who, report)?;
        Ok(Reply::empty())
    }

    async fn addresses(&self, request: &Saddrs, unrouted: Unrouted) -> Result<Reply, Interrupt> {
        if !self.apps.contains(&request.app) {
            return Err(Failure::new(
                ErrorCode::FORBIDDEN,
                format!("the app {} is not served here; add it to the tracker's apps", request.app),
            )
            .into());
        }
        let group = self.group_of(&request.app, &request.user, unrouted).await?;
        let purpose = match unrouted {
            Unrouted::Assign => Purpose::Uploads,
            Unrouted::Guess => Purpose::Reading,
        };
        let start = rand::random_range(0..=usize::MAX / 2);
        let addresses = self.registry().active(&group, purpose, start, MAX_ADDRESSES);
        if addresses.is_empty() {
            return Err(Failure::new(
                ErrorCode::UNAVAILABLE,
                format!("no storage of {group} is active; it serves {}", request.user),
            )
            .into());
        }
        let mut body = BytesMut::new();
        StorageAddresses { group, addresses }.encode(&mut body);
        Ok(Reply::Body(body))
    }

    /// The user's group: from the cache, else from the database, else as `unrouted` says.
    async fn group_of(&self, app: &AppId, user: &UserId, unrouted: Unrouted) -> Result<GroupName, Failure> {
        let key = format!("tnv:route:{app}:{user}");
        if let Some(group) = self.cache.get(&key).await.and_then(|name| GroupName::new(&name).ok()) {
            return Ok(group);
        }
        let group = match self.routes.group_of(app, user).await? {
            Some(group) => group,
            None if unrouted == Unrouted::Guess => return self.choose_group(),
            None => {
                let group = self.choose_group()?;
                let group = self.routes.assign(app, user, &group).await?;
                tracing::info!(%app, %user, %group, "a user got its group");
                group
            }
        };
        self.cache.set(&key, group.to_string()).await;
        Ok(group)
    }

    fn choose_group(&self) -> Result<GroupName, Failure> {
        let mut groups = self.registry().active_groups();
        if groups.is_empty() {
            return Err(Failure::new(ErrorCode::UNAVAILABLE, "no group has an active storage"));
        }
        Ok(groups.swap_remove(rand::random_range(0..groups.len())))
    }

    fn groups_text(&self) -> Reply {
        let groups: Vec<_> = self
            .registry()
            .snapshot()
            .into_iter()
            .map(|group| GroupText {
                name: group.name,
                storages: group
                    .storages
                    .into_iter()
                    .map(|storage| StorageText {
                        version: storage.version,
                        host: storage.host,
                        address: storage.address,
                        started: local_time(storage.started),
                        joined: local_time(storage.joined),
                        beat: local_time(if storage.last_beat == 0 {
                            storage.joined
                        } else {
                            storage.last_beat
                        }),
                        status: shown_status(storage.status, &storage.membership),
                    })
                    .collect(),
            })
            .collect();
        let mut body = BytesMut::from(render_groups(&groups).as_bytes());
        body.put_u8(0);
        Reply::Body(body)
    }

    fn state(&self) -> Result<Reply, Interrupt> {
        let state = ClusterState {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: host::name().to_owned(),
            now: clock::unix_seconds(),
            groups: self.registry().snapshot(),
        };
        let json = serde_json::to_vec(&state)
            .map_err(|error| Failure::new(ErrorCode::INTERNAL, format!("cannot write the state: {error}")))?;
        Ok(Reply::Body(BytesMut::from(json.as_slice())))
    }
}

impl Service for TrackerService {
    const SERVER: Server = Server::Tracker;
    type Session = Session;

    async fn call(
        &self,
        command: Command,
        connection: &mut Connection,
        session: &mut Session,
    ) -> Result<Reply, Interrupt> {
        // An IPv4 storage that comes in over an IPv6 socket must be told to clients as IPv4.
        let ip = connection.peer().ip().to_canonical();
        let body = connection.whole_body().await?;
        match command {
            Command::Join => self.join(Join::decode(&body)?, ip, session).await,
            Command::Beat => self.beat(&Beat::decode(&body)?, ip, session),
            Command::Report => self.report(Report::decode(&body)?, ip),
            Command::Saddrs => self.addresses(&Saddrs::decode(&body)?, Unrouted::Assign).await,
            Command::Locate => self.addresses(&Saddrs::decode(&body)?, Unrouted::Guess).await,
            Command::Groups => Ok(self.groups_text()),
            Command::State => self.state(),
            other => Err(Failure::bad_request(format!("{} is not for a tracker", other.name())).into()),
        }
    }
}

/// A storage's status in GROUPS: who fills looks as if it had only just come, which older programs know; who drains or was
/// removed is called that, and so is not counted as active.
fn shown_status(status: String, membership: &str) -> String {
    const FILLING: &str = Membership::Filling.as_str();
    match membership {
        _ if status != Status::Active.as_str() => status,
        "" => status,
        FILLING => Status::Online.as_str().to_owned(),
        other => other.to_uppercase(),
    }
}

/// GROUPS shows these texts line by line, on terminals.
fn check_join(join: &Join) -> Result<(), Failure> {
    if join.host.as_str().contains(char::is_control) || join.version.as_str().contains(char::is_control) {
        return Err(Failure::bad_request("host name and version must not have control characters"));
    }
    Ok(())
}

/// What a report says is kept and shown to everybody, so it has limits.
fn check_report(report: &StorageReport) -> Result<(), Failure> {
    let is_odd = |c: char| c.is_control() || c.is_whitespace();
    for (what, text) in [("id", &report.id), ("version", &report.version)] {
        if text.len() > MAX_NAME || text.contains(is_odd) {
            return Err(Failure::bad_request(format!(
                "the {what} in the report is not a word of {MAX_NAME} bytes"
            )));
        }
    }
    if !report.membership.is_empty()
        && !Membership::ALL.iter().any(|membership| membership.as_str() == report.membership)
    {
        return Err(Failure::bad_request("the membership in the report is none that is known"));
    }
    let is_address = |address: &str| {
        let (host, port) = address.rsplit_once(':')?;
        let fits = address.len() <= 255 && !host.is_empty() && !host.contains(';') && !host.contains(is_odd);
        (fits && port.parse::<u16>().is_ok_and(|port| port != 0)).then_some(())
    };
    if !report.advertise.is_empty() && is_address(&report.advertise).is_none() {
        return Err(Failure::bad_request("the advertised address is not host:port"));
    }
    Ok(())
}

pub(crate) fn log_change(change: &Change) {
    let Change { group, storage, status } = change;
    tracing::info!(%group, host = %storage.host, ip = %storage.ip, port = storage.port, status = status.as_str(),
        "a storage changed");
}

/// As C's `ctime` writes it, like `Fri Nov 20 10:25:28 2026`, in the machine's time zone.
fn local_time(unix: i64) -> String {
    match jiff::Timestamp::from_second(unix) {
        Ok(time) => time.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string(),
        Err(_) => unix.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tnv_proto::{HostName, Version};

    use super::*;

    #[test]
    fn names_do_not_forge_lines_of_groups() {
        for (host, version, fits) in
            [("alpha", "1.0", true), ("a\n STATUS: ACTIVE", "1.0", false), ("a", "\x1b[31m", false)]
        {
            let join = Join {
                version: Version::new(version).unwrap(),
                group: GroupName::new("group001").unwrap(),
                host: HostName::new(host).unwrap(),
                port: 1,
                started: 0,
                joined: 0,
            };
            assert_eq!(check_join(&join).is_ok(), fits, "{host:?} {version:?}");
        }
    }

    #[test]
    fn what_a_member_does_is_shown_as_its_status() {
        for (status, membership, shown) in [
            ("ACTIVE", "", "ACTIVE"),
            ("ACTIVE", "filling", "ONLINE"),
            ("ACTIVE", "draining", "DRAINING"),
            ("ACTIVE", "removed", "REMOVED"),
            ("OFFLINE", "draining", "OFFLINE"),
        ] {
            assert_eq!(shown_status(status.to_owned(), membership), shown, "{status} {membership}");
        }
    }

    #[test]
    fn reports_are_held_to_their_limits() {
        let good = StorageReport {
            id: "2f1c7c1e-0000-4000-8000-000000000000".to_owned(),
            version: "0.1.0".to_owned(),
            advertise: "[::1]:23000".to_owned(),
            ..StorageReport::default()
        };
        check_report(&good).unwrap();
        check_report(&StorageReport { advertise: String::new(), ..good.clone() }).unwrap();
        for bad in ["x".repeat(10_000), "1.0\nSTATUS: ACTIVE".to_owned(), "a\0b".to_owned()] {
            check_report(&StorageReport { version: bad.clone(), ..good.clone() }).unwrap_err();
            check_report(&StorageReport { id: bad, ..good.clone() }).unwrap_err();
        }
        check_report(&StorageReport { membership: "draining".to_owned(), ..good.clone() }).unwrap();
        check_report(&StorageReport { membership: "DRAINING".to_owned(), ..good.clone() }).unwrap_err();
        for bad in ["host", "host:0", "host:70000", ":1", "a;b:1", "a b:1", "a\nb:1", "a:1;b:2"] {
            check_report(&StorageReport { advertise: bad.to_owned(), ..good.clone() }).unwrap_err();
        }
    }
}
