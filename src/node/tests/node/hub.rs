//! A hub that does what a test tells it to.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tnv_package::{Layout, Manifest, Meeting, MeetingId, Member, MemberPath, Segment, SyncAnswer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

type Body = BoxBody<Bytes, std::io::Error>;

/// What the hub knows and how it behaves.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) meetings: BTreeMap<String, Held>,
    /// Every other key is refused.
    pub(crate) key: Option<String>,
    /// Nodes that are known.
    pub(crate) nodes: BTreeSet<String>,
    /// What nodes said when they came, and of each heartbeat.
    pub(crate) registrations: Vec<Value>,
    pub(crate) heartbeats: Vec<Value>,
    pub(crate) unregistered: Vec<String>,
    /// Bytes of members that were sent, and how often each was asked for.
    pub(crate) sent: u64,
    pub(crate) asked: BTreeMap<String, Vec<u64>>,
    /// The list of meetings ends in the middle.
    pub(crate) list_is_cut: bool,
    /// Connections are closed without an answer.
    pub(crate) is_away: bool,
    /// What is changed in the answer to a node before it goes out.
    pub(crate) lie: Option<fn(&mut Value)>,
    /// Members whose bytes are others than those of the manifest, and for how many requests.
    pub(crate) corrupt: BTreeMap<String, u32>,
    /// An answer breaks off behind so many bytes of a member.
    pub(crate) breaks_after: Option<usize>,
    /// Ranges are not known here.
    pub(crate) ignores_ranges: bool,
    /// Members of these paths wait for a permit before each of their chunks.
    pub(crate) gate: Option<(String, Arc<Semaphore>)>,
}

/// A meeting: title, status, files.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) status: &'static str,
    pub(crate) files: Vec<(String, Bytes)>,
}

pub(crate) struct Hub {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hub {
    pub(crate) async fn start() -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(accept(listener, state.clone()));
        Hub { address, state, task }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Adds a running meeting, or gives it other files.
    pub(crate) fn put(&self, id: &str, files: &[(&str, Bytes)]) {
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.clone())).collect();
        self.lock().meetings.insert(id.to_owned(), Held { status: "active", files });
    }

    pub(crate) fn set_status(&self, id: &str, status: &'static str) {
        self.lock().meetings.get_mut(id).unwrap().status = status;
    }

    /// Has members of this path wait; each permit lets one chunk of 64 KiB through.
    pub(crate) fn gate(&self, path: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.lock().gate = Some((path.to_owned(), gate.clone()));
        gate
    }

    /// The package as it must be, byte by byte, and its version.
    pub(crate) fn package(&self, id: &str) -> (Vec<u8>, String) {
        let held = self.lock().meetings[id].clone();
        let layout = layout(id, &held);
        let mut bytes = Vec::new();
        for segment in layout.segments(0..layout.len()) {
            match segment {
                Segment::Bytes(piece) => bytes.extend_from_slice(&piece),
                Segment::Member { index, offset, len } => {
                    let path = layout.manifest().members()[index].path.as_str();
                    let (_, contents) = held.files.iter().find(|(name, _)| name == path).unwrap();
                    bytes.extend_from_slice(&contents[offset as usize..(offset + len) as usize]);
                }
            }
        }
        (bytes, layout.manifest().version().to_string())
    }
}

fn layout(id: &str, held: &Held) -> Layout {
    let meeting = Meeting {
        id: MeetingId::new(id).unwrap(),
        title: format!("会议 {id}"),
        time: None,
        intro: None,
        agenda_items: Vec::new(),
    };
    let members = held.files.iter().map(|(path, bytes)| Member {
        id: blake3::Hasher::new().update(path.as_bytes()).update(bytes).finalize().to_hex()[..16].to_owned(),
        path: MemberPath::new(path).unwrap(),
        size: bytes.len() as u64,
        content_type: "application/octet-stream".to_owned(),
        crc32: crc32fast::hash(bytes),
        blake3: blake3::hash(bytes),
    });
    Layout::of(&Manifest::new(meeting, members.collect()).unwrap())
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let state = state.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let state = state.clone();
                async move { answer(&state, request).await }
            });
            // An answer that breaks off breaks the connection.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(
    state: &Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut state_now = state.lock().unwrap();
    if state_now.is_away {
        return Err(std::io::ErrorKind::ConnectionAborted.into());
    }
    let path = parts.uri.path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let shown = parts.headers.get("authorization").and_then(|key| key.to_str().ok());
    let expected = state_now.key.as_ref().map(|key| format!("Bearer {key}"));
    if !matches!(segments[..], ["api", "v1", "meetings", "active"])
        && expected.is_some()
        && shown != expected.as_deref()
    {
        return Ok(refuse(StatusCode::UNAUTHORIZED, "Invalid API key"));
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(match segments[..] {
        ["api", "v1", "nodes", "register"] => {
            let id = said["id"].as_str().unwrap().to_owned();
            state_now.nodes.insert(id.clone());
            state_now.registrations.push(said);
            json_body(&json!({"id": id, "status": "registered"}))
        }
        ["api", "v1", "nodes", id, "heartbeat"] if state_now.nodes.contains(id) => {
            state_now.heartbeats.push(said);
            json_body(&json!({"status": "ok"}))
        }
        ["api", "v1", "nodes", _, "heartbeat"] => refuse(StatusCode::NOT_FOUND, "Node not found"),
        ["api", "v1", "nodes", id, "unregister"] => {
            state_now.nodes.remove(id);
            state_now.unregistered.push(id.to_owned());
            json_body(&json!({"status": "ok"}))
        }
        ["api", "v1", "meetings", "active"] => list(&state_now),
        ["api", "v1", "sync", "meetings", id] => match state_now.meetings.get(id) {
            None => refuse(StatusCode::NOT_FOUND, "Meeting not found"),
            Some(held) => {
                let layout = layout(id, held);
                let url = |member: &Member| format!("http://elsewhere.invalid/uploads/{id}/{}", member.id);
                let mut told = serde_json::to_value(SyncAnswer::new(&layout, held.status, url)).unwrap();
                if let Some(lie) = state_now.lie {
                    lie(&mut told);
                }
                json_body(&told)
            }
        },
        ["uploads", id, member] => {
            let range = parts.headers.get("range").and_then(|range| range.to_str().ok()).map(str::to_owned);
            upload(&mut state_now, state, id, member, range.as_deref())
        }
        _ => refuse(StatusCode::NOT_FOUND, "Not Found"),
    })
}

fn list(state: &State) -> Response<Body> {
    let running = state.meetings.iter().filter(|(_, held)| held.status == "active");
    let ids: Vec<Value> = running.map(|(id, _)| json!({"id": id})).collect();
    let text = json!({"meetings": ids}).to_string();
    let (body, cut) = (Bytes::from(text.clone()), state.list_is_cut);
    if cut { broken(text.len(), body.slice(..text.len() / 2)) } else { whole(body) }
}

/// The bytes of a member, the way the test wants them.
fn upload(
    state: &mut State,
    shared: &Arc<Mutex<State>>,
    meeting: &str,
    id: &str,
    range: Option<&str>,
) -> Response<Body> {
    let Some(held) = state.meetings.get(meeting) else {
        return refuse(StatusCode::NOT_FOUND, "File not found");
    };
    let layout = layout(meeting, held);
    let Some(member) = layout.manifest().members().iter().find(|member| member.id == id) else {
        return refuse(StatusCode::NOT_FOUND, "File not found");
    };
    let path = member.path.as_str().to_owned();
    let (_, contents) = held.files.iter().find(|(name, _)| *name == path).unwrap();
    let mut contents = contents.clone();
    let range = range.filter(|_| !state.ignores_ranges);
    let from: usize =
        range.map_or(0, |range| range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap());
    state.asked.entry(path.clone()).or_default().push(from as u64);
    if let Some(left) = state.corrupt.get_mut(&path).filter(|left| **left > 0) {
        *left -= 1;
        let mut bytes = contents.to_vec();
        bytes[0] ^= 1;
        contents = bytes.into();
    }
    let total = contents.len();
    let rest = contents.slice(from..);
    let gate = state.gate.clone().filter(|(gated, _)| *gated == path).map(|(_, gate)| gate);
    let mut response = stream(shared, rest, gate, state.breaks_after);
    let headers = response.headers_mut();
    headers.insert("etag", format!("\"{id}\"").parse().unwrap());
    headers.insert("content-length", (total - from).to_string().parse().unwrap());
    if range.is_some() {
        headers.insert("content-range", format!("bytes {from}-{}/{total}", total - 1).parse().unwrap());
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// Sends bytes in chunks, each behind the gate; an end that comes too early breaks the connection.
fn stream(
    shared: &Arc<Mutex<State>>,
    mut rest: Bytes,
    gate: Option<Arc<Semaphore>>,
    breaks_after: Option<usize>,
) -> Response<Body> {
    let (sender, mut receiver) = mpsc::channel::<Result<Frame<Bytes>, std::io::Error>>(1);
    let shared = shared.clone();
    tokio::spawn(async move {
        let mut left = breaks_after.unwrap_or(usize::MAX);
        while !rest.is_empty() {
            if let Some(gate) = &gate {
                gate.acquire().await.unwrap().forget();
            }
            let chunk = rest.split_to(rest.len().min(64 * 1024).min(left));
            left -= chunk.len();
            shared.lock().unwrap().sent += chunk.len() as u64;
            if sender.send(Ok(Frame::data(chunk))).await.is_err() {
                return;
            }
            if left == 0 && !rest.is_empty() {
                let _ = sender.send(Err(std::io::ErrorKind::ConnectionReset.into())).await;
                return;
            }
        }
    });
    let frames = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    Response::new(BodyExt::boxed(StreamBody::new(frames)))
}

fn whole(body: Bytes) -> Response<Body> {
    Response::new(Full::new(body).map_err(|never: Infallible| match never {}).boxed())
}

/// An answer that says that it has `len` bytes, and has fewer.
fn broken(len: usize, start: Bytes) -> Response<Body> {
    let frames = [Ok(Frame::data(start)), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames))));
    response.headers_mut().insert("content-length", len.to_string().parse().unwrap());
    response
}

fn json_body(value: &Value) -> Response<Body> {
    whole(value.to_string().into())
}

fn refuse(status: StatusCode, detail: &str) -> Response<Body> {
    let mut response = json_body(&json!({"detail": detail}));
    *response.status_mut() = status;
    response
}

/// Bytes that are the same for the same seed.
pub(crate) fn bytes(len: usize, seed: u8) -> Bytes {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut out);
    out.into()
}
