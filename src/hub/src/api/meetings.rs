//! Meetings: made, changed, begun, ended, told.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::{HeaderValue, LOCATION};
use hyper::http::request::Parts as Head;
use hyper::{Response, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tnv_common::clock::unix_millis;
use tnv_package::{FileEntry, Layout, MeetingId, PackageEntry, crc32_digits};
use tnv_web::Body;
use tnv_web::answer::{empty, json, json_with};
use tnv_web::inflow::Inflow;
use tnv_web::query::Query;

use super::files::file_url;
use super::packages::package_url;
use super::{integer, read_json};
use crate::meetings::{AgendaItem, Meeting, Position, Status, Subject};
use crate::packages::{self, Known};
use crate::refusal::{self, Refusal};
use crate::registry::Asker;
use crate::service::Service;

/// Meetings on a page, where the request does not say it, and at most.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
/// The longest texts, in characters, and the longest agenda.
const MAX_TITLE: usize = 1000;
const MAX_TIME: usize = 255;
const MAX_INTRO: usize = 1_000_000;
const MAX_ITEMS: usize = 1000;

/// What may be said of a meeting. What is left out stays as it is; `null` takes it away.
#[derive(Deserialize)]
struct MeetingBody {
    id: Option<String>,
    title: Option<String>,
    #[serde(default, deserialize_with = "present")]
    time: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    intro: Option<Option<String>>,
    agenda_items: Option<Vec<ItemBody>>,
}

#[derive(Deserialize)]
struct ItemBody {
    title: String,
    #[serde(default, deserialize_with = "integer")]
    position: Option<i64>,
    #[serde(flatten)]
    details: serde_json::Map<String, Value>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A meeting in a list.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    title: &'a str,
    time: Option<&'a str>,
    status: Status,
    intro: Option<&'a str>,
    created_ms: i64,
    changed_ms: i64,
}

#[derive(Serialize)]
struct Page<'a> {
    meetings: Vec<Listed<'a>>,
    next: String,
}

/// A meeting as operators see it.
#[derive(Serialize)]
struct Full<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    agenda_items: Vec<Value>,
    files: Vec<FullFile>,
    package: PackageEntry,
    /// Nodes that hold this very package and could be given clients.
    holders: usize,
}

#[derive(Serialize)]
struct FullFile {
    #[serde(flatten)]
    entry: FileEntry,
    created_ms: i64,
}

/// A meeting as clients see it.
#[derive(Serialize)]
struct Data<'a> {
    id: &'a str,
    title: &'a str,
    time: Option<&'a str>,
    status: Status,
    intro: Option<&'a str>,
    agenda_items: Vec<Value>,
    download_url: String,
    package: PackageEntry,
}

#[derive(Serialize)]
struct Active {
    meetings: Vec<ActiveMeeting>,
}

#[derive(Serialize)]
struct ActiveMeeting {
    id: String,
    title: String,
    time: Option<String>,
    status: Status,
    package: PackageEntry,
}

/// Answers a POST of a new meeting.
pub(crate) async fn create(service: &Service, head: &Head, body: Inflow) -> Result<Response<Body>, Refusal> {
    let body: MeetingBody = read_json(body).await?;
    let id = match &body.id {
        Some(id) => MeetingId::new(id).map_err(|error| Refusal::bad(error.to_string()))?,
        None => new_id()?,
    };
    if id.as_str() == "active" {
        return Err(Refusal::bad("no meeting can be called active: there is a list under that address"));
    }
    let subject = body.subject(Subject::default());
    check(&id, &subject)?;
    let now_ms = unix_millis();
    let meeting = Meeting {
        id: id.to_string(),
        subject,
        status: Status::Pending,
        created_ms: now_ms,
        changed_ms: now_ms,
    };
    let created = service.meetings.create(meeting).await;
    service.packages.forget(&id);
    if !created? {
        return Err(Refusal::conflict(format!("there is a meeting {id} already")));
    }
    tracing::info!(meeting = %id, "a meeting was made");
    let known = known(service, &id).await?;
    let mut response = json_with(StatusCode::CREATED, &full(service, &known, head))?;
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/meetings/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Answers a GET of the list.
pub(crate) async fn list(service: &Service, head: &Head) -> Result<Response<Body>, Refusal> {
    let query = Query::new(head.uri.query());
    let limit = match query.get("limit").map_err(Refusal::bad)?.unwrap_or_default().as_str() {
        "" => DEFAULT_LIMIT,
        limit => limit
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| Refusal::bad(format!("limit is no number from 1 to {MAX_LIMIT}")))?,
    };
    let after = match query.get("cursor").map_err(Refusal::bad)?.unwrap_or_default().as_str() {
        "" => None,
        cursor => {
            Some(position(cursor).ok_or_else(|| Refusal::bad("the cursor is none that a list has given"))?)
        }
    };
    let mut found = service.meetings.list(after.as_ref(), limit + 1).await?;
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let last = found.last().filter(|_| has_more);
    let next = last.map(|meeting| format!("{}.{}", meeting.created_ms, meeting.id)).unwrap_or_default();
    json(&Page { meetings: found.iter().map(listed).collect(), next })
}

/// Answers a GET of the meetings that run. All of them or none: whoever asks removes what is not there.
pub(crate) async fn active(service: &Service) -> Result<Response<Body>, Refusal> {
    let mut active = Vec::new();
    for id in service.meetings.active().await? {
        let Ok(id) = MeetingId::new(&id) else { continue };
        // One that has just been deleted.
        let Some(known) = service.packages.known(&id).await? else { continue };
        let meeting = &known.whole.meeting;
        active.push(ActiveMeeting {
            id: meeting.id.clone(),
            title: meeting.subject.title.clone(),
            time: meeting.subject.time.clone(),
            status: Status::Active,
            package: package(&known.layout),
        });
    }
    json(&Active { meetings: active })
}

/// Answers a GET of a meeting.
pub(crate) async fn read(service: &Service, id: &MeetingId, head: &Head) -> Result<Response<Body>, Refusal> {
    json(&full(service, &*known(service, id).await?, head))
}

/// Answers a PUT.
pub(crate) async fn change(
    service: &Service,
    id: &MeetingId,
    head: &Head,
    body: Inflow,
) -> Result<Response<Body>, Refusal> {
    let body: MeetingBody = read_json(body).await?;
    if body.id.as_ref().is_some_and(|other| other != id.as_str()) {
        return Err(Refusal::bad("a meeting keeps its id"));
    }
    // Nobody else changes it between the look and the change.
    let _turn = service.intake.turn(id).await;
    let before = known(service, id).await?;
    let subject = body.subject(before.whole.meeting.subject.clone());
    check(id, &subject)?;
    let changed = service.meetings.change(id.as_str(), subject, unix_millis()).await;
    service.packages.forget(id);
    if !changed? {
        return Err(refusal::no_meeting(id));
    }
    json(&full(service, &*known(service, id).await?, head))
}

/// Answers a DELETE.
pub(crate) async fn delete(service: &Service, id: &MeetingId) -> Result<Response<Body>, Refusal> {
    let deleted = service.meetings.delete(id.as_str(), unix_millis()).await;
    service.packages.forget(id);
    if !deleted? {
        return Err(refusal::no_meeting(id));
    }
    tracing::info!(meeting = %id, "a meeting was deleted");
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Begins or ends a meeting.
pub(crate) async fn set_status(
    service: &Service,
    id: &MeetingId,
    status: Status,
    head: &Head,
) -> Result<Response<Body>, Refusal> {
    let set = service.meetings.set_status(id.as_str(), status).await;
    service.packages.forget(id);
    if !set? {
        return Err(refusal::no_meeting(id));
    }
    tracing::info!(meeting = %id, status = status.as_str(), "a meeting goes on");
    json(&full(service, &*known(service, id).await?, head))
}

/// Answers a client that asks for a meeting: with the address of its package at the best node, or here.
pub(crate) async fn data(
    service: &Service,
    id: &MeetingId,
    head: &Head,
    peer: IpAddr,
) -> Result<Response<Body>, Refusal> {
    let known = known(service, id).await?;
    // It may never come: who only asks is not counted.
    let asker = Asker { client: peer, goes: false, has_fallback: true };
    let chosen = service.nodes.lock().choose(id, known.version(), asker, Instant::now(), &mut rand::rng());
    let base = chosen.map_or_else(|| service.base_url(head), |node| format!("http://{}", node.address));
    let Meeting { id: text, subject, status, .. } = &known.whole.meeting;
    json(&Data {
        id: text,
        title: &subject.title,
        time: subject.time.as_deref(),
        status: *status,
        intro: subject.intro.as_deref(),
        agenda_items: subject.agenda.iter().map(AgendaItem::to_json).collect(),
        download_url: package_url(&base, id, known.version()),
        package: package(&known.layout),
    })
}

/// A meeting and its package.
///
/// # Errors
/// 404 if there is none.
pub(crate) async fn known(service: &Service, id: &MeetingId) -> Result<Arc<Known>, Refusal> {
    service.packages.known(id).await?.ok_or_else(|| refusal::no_meeting(id))
}

/// What is told of a package.
pub(crate) fn package(layout: &Layout) -> PackageEntry {
    PackageEntry {
        size: layout.len(),
        checksum: crc32_digits(layout.crc32()),
        version: layout.manifest().version().to_string(),
    }
}

impl MeetingBody {
    /// What it says of a meeting, of which this was said before.
    fn subject(self, before: Subject) -> Subject {
        let agenda = self.agenda_items.map(|items| {
            let item = |(place, ItemBody { title, position, details }): (usize, ItemBody)| AgendaItem {
                title,
                position: position.unwrap_or(place as i64 + 1),
                details,
            };
            items.into_iter().enumerate().map(item).collect()
        });
        Subject {
            title: self.title.unwrap_or(before.title),
            time: self.time.unwrap_or(before.time),
            intro: self.intro.unwrap_or(before.intro),
            agenda: agenda.unwrap_or(before.agenda),
        }
    }
}

fn check(id: &MeetingId, subject: &Subject) -> Result<(), Refusal> {
    let Subject { title, time, intro, agenda } = subject;
    if title.trim().is_empty() {
        return Err(Refusal::bad("a meeting needs a title"));
    }
    let too_long = |what: &str, most: usize| Refusal::bad(format!("{what} has more than {most} characters"));
    let longer = |text: &Option<String>, most| text.as_ref().is_some_and(|text| text.chars().count() > most);
    if title.chars().count() > MAX_TITLE || agenda.iter().any(|item| item.title.chars().count() > MAX_TITLE) {
        return Err(too_long("a title", MAX_TITLE));
    }
    if longer(time, MAX_TIME) {
        return Err(too_long("time", MAX_TIME));
    }
    if longer(intro, MAX_INTRO) {
        return Err(too_long("intro", MAX_INTRO));
    }
    if agenda.len() > MAX_ITEMS {
        return Err(Refusal::bad(format!("the agenda has more than {MAX_ITEMS} items")));
    }
    packages::check(id, subject).map_err(|error| Refusal::bad(error.to_string()))
}

fn new_id() -> Result<MeetingId, Refusal> {
    let id = uuid::Uuid::new_v4().to_string();
    MeetingId::new(&id).map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The place that a cursor names.
fn position(cursor: &str) -> Option<Position> {
    let (created_ms, id) = cursor.split_once('.')?;
    Some(Position { created_ms: created_ms.parse().ok()?, id: id.to_owned() })
}

fn listed(meeting: &Meeting) -> Listed<'_> {
    let Meeting { id, subject, status, created_ms, changed_ms } = meeting;
    Listed {
        id,
        title: &subject.title,
        time: subject.time.as_deref(),
        status: *status,
        intro: subject.intro.as_deref(),
        created_ms: *created_ms,
        changed_ms: *changed_ms,
    }
}

fn full<'a>(service: &Service, known: &'a Known, head: &Head) -> Full<'a> {
    let base = service.base_url(head);
    let manifest = known.layout.manifest();
    let id = &manifest.meeting().id;
    let times: HashMap<&str, i64> =
        known.whole.files.iter().map(|file| (file.id.as_str(), file.created_ms)).collect();
    let files = manifest.members().iter().map(|member| FullFile {
        entry: FileEntry::new(member, file_url(&base, id, &member.id, member.path.as_str())),
        created_ms: times.get(member.id.as_str()).copied().unwrap_or(0),
    });
    Full {
        listed: listed(&known.whole.meeting),
        agenda_items: known.whole.meeting.subject.agenda.iter().map(AgendaItem::to_json).collect(),
        files: files.collect(),
        package: package(&known.layout),
        holders: service.nodes.lock().holders(id, known.version(), Instant::now()),
    }
}
