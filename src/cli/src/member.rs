//! `drain`, `undrain` and `remove`: members of a group that keeps copies.

use std::time::Duration;

use serde_json::{Value, json};
use tnv_client::{ClientError, StorageClient};
use tnv_proto::state::{ClusterState, StorageState};
use tnv_proto::{MAX_IDENTITY_LEN, MemberAction, MemberRequest, MemberStatus, Membership};
use tokio::time::sleep;

use crate::console::Console;
use crate::error::{Error, Kind};
use crate::session::Context;

/// Between two looks at a storage that is waited for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The status of a storage that trackers send clients to.
const ACTIVE: &str = "ACTIVE";

/// Have a storage take no new uploads, so that it can be switched off
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS drain [OPTIONS] STORAGE",
    after_help = "\
STORAGE is an address (host:port) or an identity, or how one begins, as `groups --json` shows them. A draining storage \
finishes what it is taking and goes on reading; the others of its group fetch what only it has. It stays so over restarts \
until `undrain` or `remove`. With --wait this ends when the storage may be switched off, and its disks wiped.

Examples:
  client 127.0.0.1:21000 drain 10.0.0.3:23000 --wait
  client 127.0.0.1:21000 drain 8b209875 --json"
)]
pub(crate) struct Drain {
    /// Which one: host:port, or how its identity begins
    storage: String,
    /// Wait until it may be switched off without loss
    #[arg(long)]
    wait: bool,
    /// Also if nobody else in its group takes uploads
    #[arg(long)]
    force: bool,
}

/// Have a storage that drains take uploads again
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS undrain [OPTIONS] STORAGE",
    after_help = "Example:\n  client 127.0.0.1:21000 undrain 10.0.0.3:23000"
)]
pub(crate) struct Undrain {
    /// Which one: host:port, or how its identity begins
    storage: String,
}

/// End a storage's membership in its group, for good
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS remove [OPTIONS] STORAGE",
    after_help = "\
For a storage that is gone, or drained: its orders and the rows of its copies go from the catalog, and nobody waits for it any \
more. Refused while there are files that no other member in reach has; with --force they are given up. It may join again as a \
new member, with empty store paths. One that trackers have forgotten is told by its whole identity.

Examples:
  client 127.0.0.1:21000 remove 10.0.0.3:23000
  client 127.0.0.1:21000 remove 8b209875-08fe-4353-a8c1-07588c6dadc3"
)]
pub(crate) struct Remove {
    /// Which one: host:port, or its identity, or how that begins
    storage: String,
    /// Also if files are lost by it
    #[arg(long)]
    force: bool,
}

pub(crate) async fn drain(drain: Drain, context: &Context, console: &mut Console) -> Result<(), Error> {
    let member = Member::find(&drain.storage, context).await?;
    let mut status = member.ask(MemberAction::Drain, drain.force).await?;
    let mut told = None;
    while drain.wait && !status.may_go() {
        if !status.is_itself {
            let text = format!("{} does not answer for itself: start it, or remove it", member.id);
            return Err(Error::new(Kind::Unreachable, text));
        }
        if status.state != Membership::Draining {
            let text = format!("{} is {} by now, and not draining", member.id, status.state.as_str());
            return Err(Error::new(Kind::Refused, text));
        }
        if told.replace((status.uploads, status.only_here)) != Some((status.uploads, status.only_here)) {
            console.remark(&text(&member.id, &status));
        }
        sleep(LOOK_INTERVAL).await;
        status = member.ask(MemberAction::Status, false).await?;
    }
    console.result(&text(&member.id, &status), &describe(&member.id, &status))
}

pub(crate) async fn undrain(undrain: Undrain, context: &Context, console: &mut Console) -> Result<(), Error> {
    let member = Member::find(&undrain.storage, context).await?;
    let status = member.ask(MemberAction::Undrain, false).await?;
    console.result(&text(&member.id, &status), &describe(&member.id, &status))
}

pub(crate) async fn remove(remove: Remove, context: &Context, console: &mut Console) -> Result<(), Error> {
    let member = Member::find(&remove.storage, context).await?;
    let status = member.ask(MemberAction::Remove, remove.force).await?;
    // A process of it that still runs learns of it now, and else a while later.
    if let Some(itself) = &member.itself {
        let _ = itself.member(&member.request(MemberAction::Presence, false)).await;
    }
    console.result(&text(&member.id, &status), &describe(&member.id, &status))
}

/// A member that is meant, and whom to ask about it.
struct Member {
    id: String,
    /// Where it is itself, if it is there.
    itself: Option<StorageClient>,
    /// Others that may be members of its group.
    others: Vec<StorageClient>,
}

impl Member {
    async fn find(meant: &str, context: &Context) -> Result<Member, Error> {
        let state = context.client.state().await?;
        let storage = |storage: &StorageState| context.client.storage(&storage.address);
        let is_there = |storage: &&StorageState| storage.status == ACTIVE;
        let Some((group, id)) = identify(meant, &state)? else {
            // Trackers do not know it: it is in whichever group says so.
            let all = state.groups.iter().flat_map(|group| &group.storages);
            let others = all.filter(is_there).map(storage).collect();
            return Ok(Member { id: meant.to_owned(), itself: None, others });
        };
        let members =
            state.groups.iter().filter(|found| found.name == group).flat_map(|group| &group.storages);
        let (own, others): (Vec<_>, Vec<_>) = members.filter(is_there).partition(|found| found.id == id);
        let itself = own.first().map(|own| storage(own));
        Ok(Member { id, itself, others: others.into_iter().map(storage).collect() })
    }

    fn request(&self, action: MemberAction, force: bool) -> MemberRequest {
        MemberRequest { action, force, storage: self.id.clone() }
    }

    /// Asks the storage itself, which alone knows what it is taking; others where it does not answer, or is to be removed.
    async fn ask(&self, action: MemberAction, force: bool) -> Result<MemberStatus, Error> {
        let mut last = None;
        let (mut first, mut then) = (self.itself.iter().collect::<Vec<_>>(), self.others.iter().collect());
        if action == MemberAction::Remove {
            std::mem::swap(&mut first, &mut then);
        }
        for storage in first.into_iter().chain(then) {
            match storage.member(&self.request(action, force)).await {
                Ok(status) => return Ok(status),
                // Of another group, of none, or away.
                Err(error) if goes_on(&error) => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or_else(
            || {
                Error::new(
                    Kind::Unreachable,
                    format!("no storage is active that could be asked about {}", self.id),
                )
            },
            Error::from,
        ))
    }
}

/// Whether somebody else may know better.
fn goes_on(error: &ClientError) -> bool {
    error.is_not_found() || error.code().is_none() || error.code() == Some(tnv_proto::ErrorCode::BAD_REQUEST)
}

/// Group and identity of the storage that is meant. `None`: trackers do not know it, and it may be a whole identity.
fn identify(meant: &str, state: &ClusterState) -> Result<Option<(String, String)>, Error> {
    let mut found: Vec<(&str, &StorageState)> = Vec::new();
    for group in &state.groups {
        let fits = |storage: &&StorageState| {
            storage.address == meant || (!meant.is_empty() && storage.id.starts_with(meant))
        };
        found.extend(group.storages.iter().filter(fits).map(|storage| (group.name.as_str(), storage)));
    }
    // Somebody else may have had the address before.
    if found.iter().any(|(_, storage)| storage.status == ACTIVE && storage.address == meant) {
        found.retain(|(_, storage)| storage.status == ACTIVE);
    }
    let mut ids: Vec<&str> = found.iter().map(|(_, storage)| storage.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    match (ids.as_slice(), found.first()) {
        ([""], _) => {
            Err(Error::usage(format!("the storage at {meant} tells no identity: it is of an older system")))
        }
        ([id], Some((group, _))) => Ok(Some(((*group).to_owned(), (*id).to_owned()))),
        ([], _) if is_identity(meant) => Ok(None),
        ([], _) => Err(Error::new(
            Kind::NotFound,
            format!("no tracker knows a storage {meant}; see `groups --json`, or give its whole identity"),
        )),
        (several, _) => {
            Err(Error::usage(format!("{meant} may be any of {}; say more of it", several.join(", "))))
        }
    }
}

fn is_identity(text: &str) -> bool {
    const UUID: usize = 36;
    let fits = |c: char| c.is_ascii_hexdigit() || c == '-';
    (UUID..=MAX_IDENTITY_LEN).contains(&text.len()) && text.chars().all(fits)
}

fn text(id: &str, status: &MemberStatus) -> String {
    let MemberStatus { state, is_itself, uploads, only_here, backlog } = status;
    let mut text = format!("{id} is {}", state.as_str());
    match state {
        Membership::Removed => text.push_str(": its rows are gone, and nobody waits for it"),
        Membership::Draining if status.may_go() => {
            text.push_str(" and may be switched off: others have all of its files")
        }
        Membership::Draining => {
            let still = if *is_itself { format!("{uploads} uploads under way, ") } else { String::new() };
            text.push_str(&format!(
                "; it must stay: {still}{only_here} files that no other member in reach has"
            ));
        }
        Membership::Active | Membership::Filling => {
            text.push_str(&format!("; {backlog} files are still to come"))
        }
    }
    text
}

fn describe(id: &str, status: &MemberStatus) -> Value {
    json!({
        "id": id,
        "membership": status.state.as_str(),
        "may_be_switched_off": status.may_go(),
        "answers": status.is_itself,
        "uploads": status.uploads,
        "only_here": status.only_here,
        "backlog": status.backlog,
    })
}

#[cfg(test)]
mod tests {
    use tnv_proto::state::GroupState;

    use super::*;

    fn cluster(storages: &[(&str, &str, &str)]) -> ClusterState {
        let storage = |(id, address, status): &(&str, &str, &str)| StorageState {
            id: (*id).to_owned(),
            address: (*address).to_owned(),
            status: (*status).to_owned(),
            ..StorageState::default()
        };
        let storages = storages.iter().map(storage).collect();
        let group = GroupState { name: "group001".to_owned(), storages, ..GroupState::default() };
        ClusterState { groups: vec![group], ..ClusterState::default() }
    }

    #[test]
    fn a_storage_is_told_by_its_address_or_how_its_identity_begins() {
        let state = cluster(&[
            ("aaaa-1", "10.0.0.1:1", "OFFLINE"),
            ("aaaa-2", "10.0.0.2:1", "ACTIVE"),
            ("bbbb-3", "10.0.0.1:1", "ACTIVE"),
            ("", "10.0.0.4:1", "ACTIVE"),
        ]);
        let meant = |meant: &str| identify(meant, &state).map(|found| found.map(|(_, id)| id));
        assert_eq!(meant("10.0.0.2:1").unwrap().unwrap(), "aaaa-2");
        assert_eq!(meant("10.0.0.1:1").unwrap().unwrap(), "bbbb-3", "who is there now");
        assert_eq!(meant("aaaa-1").unwrap().unwrap(), "aaaa-1");
        assert_eq!(meant("aaaa").unwrap_err().kind, Kind::Usage);
        assert_eq!(meant("10.0.0.4:1").unwrap_err().kind, Kind::Usage);
        assert_eq!(meant("10.0.0.9:1").unwrap_err().kind, Kind::NotFound);
        assert_eq!(meant("8b209875-08fe-4353-a8c1-07588c6dadc3").unwrap(), None);
    }

    #[test]
    fn the_words_say_whether_it_may_go() {
        let status = |state, uploads, only_here| MemberStatus {
            state,
            is_itself: true,
            uploads,
            only_here,
            backlog: 4,
        };
        assert!(text("a", &status(Membership::Draining, 0, 0)).contains("may be switched off"));
        for status in [status(Membership::Draining, 1, 0), status(Membership::Draining, 0, 7)] {
            assert!(text("a", &status).contains("must stay"));
            assert_eq!(describe("a", &status)["may_be_switched_off"], false);
        }
        assert!(text("a", &status(Membership::Active, 0, 9)).contains("4 files are still to come"));
        assert!(text("a", &status(Membership::Removed, 0, 0)).contains("removed"));
    }
}
