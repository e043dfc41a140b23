//! What is asked of the hub, and what its answers mean.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, IF_MATCH, IF_NONE_MATCH, RANGE, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tnv_package::{Layout, MeetingId, SyncAnswer};

use crate::config::Config;

/// A hub whose member sends nothing for so long is given up for this time.
const STALL: Duration = Duration::from_secs(30);
/// How long the hub may take to answer a question, its manifest included.
const ANSWER: Duration = Duration::from_secs(60);
/// The longest answers that are taken, in bytes: a manifest of some hundred thousand files, and all else.
const MAX_MANIFEST: usize = 128 * 1024 * 1024;
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// The longest explanation that is taken over, in characters.
const MAX_DETAIL: usize = 300;

/// Why the hub has not answered as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubError {
    /// It cannot be reached, or does not end its answer.
    #[error("the hub cannot be reached: {0}")]
    Away(String),
    /// It cannot answer now.
    #[error("the hub cannot answer now ({status}){detail}", detail = behind(.detail))]
    Busy { status: u16, detail: String, after: Option<Duration> },
    /// It does not take this node's word.
    #[error("the hub refuses this node ({status}){detail}; is apiKey right?", detail = behind(.detail))]
    Refused { status: u16, detail: String },
    /// It does not know what was asked about.
    #[error("the hub does not know it{detail}", detail = behind(.0))]
    Unknown(String),
    /// What was asked about has changed meanwhile.
    #[error("it has changed at the hub")]
    Changed,
    /// Another answer than there may be.
    #[error("the hub answered {status}{detail}", detail = behind(.detail))]
    Odd { status: u16, detail: String },
    /// An answer that cannot be true.
    #[error("the hub's answer is not what it should be: {0}")]
    Nonsense(String),
}

fn behind(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

/// A meeting as the hub tells it to a node.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Its package.
    pub(crate) layout: Layout,
    /// Whether it has ended.
    pub(crate) ended: bool,
    /// Where each member's bytes are, below the hub's address.
    pub(crate) places: Vec<String>,
}

/// What the hub says a meeting is now.
#[derive(Debug)]
pub(crate) enum Manifested {
    /// As it was.
    Same,
    /// This.
    Now(Box<Told>),
}

/// The body of `register` and of a heartbeat: what the two generations of hubs ask for, side by side.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Presence {
    pub(crate) node_id: String,
    pub(crate) address: String,
    pub(crate) id: String,
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) status: &'static str,
    pub(crate) health: f64,
    pub(crate) storage_capacity: u64,
    pub(crate) storage_used: u64,
    pub(crate) weight: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<String>,
    /// Downloads that run.
    pub(crate) downloads: usize,
    /// Bytes a second that go out.
    pub(crate) rate: u64,
    /// Packages that are held whole.
    pub(crate) packages: Vec<HeldPackage>,
    /// The program's version.
    pub(crate) software: &'static str,
}

/// A package as the hub is told of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HeldPackage {
    pub(crate) id: MeetingId,
    pub(crate) version: String,
    pub(crate) size: u64,
}

#[derive(Deserialize)]
struct Registered {
    #[serde(default)]
    id: Option<String>,
}

#[derive(Deserialize)]
struct Active {
    meetings: Vec<ActiveMeeting>,
}

#[derive(Deserialize)]
struct ActiveMeeting {
    id: MeetingId,
}

#[derive(Deserialize)]
struct Detail {
    detail: String,
}

/// The hub, as the configuration says how it is reached.
#[derive(Debug)]
pub(crate) struct Hub {
    http: Client,
    base: Url,
    key: Option<HeaderValue>,
    node_id: String,
    heartbeat_timeout: Duration,
    download_timeout: Duration,
}

impl Hub {
    /// As configured. Nothing is asked yet.
    ///
    /// # Errors
    /// Where there is no TLS to be had, or the address is none.
    pub(crate) fn new(config: &Config) -> Result<Hub, HubError> {
        let wrong = |error: &dyn std::fmt::Display| HubError::Nonsense(error.to_string());
        // A redirect would send the key to somebody else.
        let http = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(config.network.connection_timeout)
            .read_timeout(STALL)
            .pool_idle_timeout(Duration::from_secs(50))
            .build()
            .map_err(|error| wrong(&error))?;
        let base = Url::parse(&format!("{}/", config.hub)).map_err(|error| wrong(&error))?;
        let key = config.api_key.as_ref().map(|key| format!("Bearer {}", key.reveal()));
        let key = key.and_then(|key| HeaderValue::from_str(&key).ok()).map(|mut key| {
            key.set_sensitive(true);
            key
        });
        Ok(Hub {
            http,
            base,
            key,
            node_id: config.node_id.clone(),
            heartbeat_timeout: config.heartbeat.timeout,
            download_timeout: config.network.download_timeout,
        })
    }

    /// Host and port, to find out which address leads there.
    pub(crate) fn target(&self) -> (String, u16) {
        let host = self.base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        (host, self.base.port_or_known_default().unwrap_or(80))
    }

    /// Makes the node known: the id that it has there.
    pub(crate) async fn register(&self, presence: &Presence) -> Result<String, HubError> {
        let request = self.request(Method::POST, &["api", "v1", "nodes", "register"])?.json(presence);
        let registered: Registered = self.ask(request, self.heartbeat_timeout, MAX_ANSWER).await?;
        Ok(registered.id.unwrap_or_else(|| self.node_id.clone()))
    }

    /// Says that the node is there. [`HubError::Unknown`]: it has to register.
    pub(crate) async fn heartbeat(&self, id: &str, presence: &Presence) -> Result<(), HubError> {
        let request = self.request(Method::POST, &["api", "v1", "nodes", id, "heartbeat"])?.json(presence);
        let _: serde_json::Value = self.ask(request, self.heartbeat_timeout, MAX_ANSWER).await?;
        Ok(())
    }

    /// Says that the node goes.
    pub(crate) async fn unregister(&self, id: &str) -> Result<(), HubError> {
        let request = self.request(Method::POST, &["api", "v1", "nodes", id, "unregister"])?;
        let _: serde_json::Value = self.ask(request, Duration::from_secs(5), MAX_ANSWER).await?;
        Ok(())
    }

    /// The meetings that run.
    pub(crate) async fn active(&self) -> Result<Vec<MeetingId>, HubError> {
        let request = self.request(Method::GET, &["api", "v1", "meetings", "active"])?;
        let active: Active = self.ask(request, ANSWER, MAX_ANSWER).await?;
        Ok(active.meetings.into_iter().map(|meeting| meeting.id).collect())
    }

    /// What a meeting's package is now; `held` is the version that the node has.
    pub(crate) async fn manifest(
        &self,
        meeting: &MeetingId,
        held: Option<blake3::Hash>,
    ) -> Result<Manifested, HubError> {
        let mut request = self.request(Method::GET, &["api", "v1", "sync", "meetings", meeting.as_str()])?;
        request = request.query(&[("node_id", self.node_id.as_str())]);
        if let Some(held) = held {
            request = request.header(IF_NONE_MATCH, format!("\"{held}\""));
        }
        let response = send(request.timeout(ANSWER)).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Manifested::Same);
        }
        let text = body(checked(response).await?, MAX_MANIFEST).await?;
        // A manifest may be large, and its package is laid out.
        let told = tokio::task::spawn_blocking(move || read_manifest(&text)).await;
        let told = told.map_err(|error| HubError::Nonsense(error.to_string()))??;
        if told.layout.manifest().meeting().id != *meeting {
            return Err(HubError::Nonsense("it is about another meeting".to_owned()));
        }
        Ok(Manifested::Now(Box::new(told)))
    }

    /// Asks for a member's bytes from `offset` on; `etag` is what was said of it before.
    ///
    /// # Errors
    /// [`HubError`] if there is no answer with bytes.
    pub(crate) async fn member(
        &self,
        place: &str,
        offset: u64,
        etag: Option<&HeaderValue>,
    ) -> Result<Response, HubError> {
        let request = self.at(Method::GET, self.base.join(place).map_err(nonsense)?);
        let mut request = request.query(&[("node_id", self.node_id.as_str())]);
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        if let Some(etag) = etag.filter(|_| offset > 0) {
            request = request.header(IF_MATCH, etag);
        }
        checked(send(request.timeout(self.download_timeout)).await?).await
    }

    fn request(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, HubError> {
        let mut url = self.base.clone();
        let mut segments = url.path_segments_mut().map_err(|()| nonsense("the hub's address"))?;
        segments.pop_if_empty().extend(path);
        drop(segments);
        Ok(self.at(method, url))
    }

    fn at(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self
            .http
            .request(method, url)
            .header(USER_AGENT, concat!("tnv-node/", env!("CARGO_PKG_VERSION")));
        match &self.key {
            Some(key) => request.header(AUTHORIZATION, key.clone()),
            None => request,
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        request: RequestBuilder,
        patience: Duration,
        limit: usize,
    ) -> Result<T, HubError> {
        let text = body(checked(send(request.timeout(patience)).await?).await?, limit).await?;
        serde_json::from_slice(&text).map_err(nonsense)
    }
}

fn nonsense(error: impl std::fmt::Display) -> HubError {
    HubError::Nonsense(error.to_string())
}

/// What a node makes of the hub's answer, none of which it takes on trust.
fn read_manifest(text: &[u8]) -> Result<Told, HubError> {
    let answer: SyncAnswer = serde_json::from_slice(text).map_err(nonsense)?;
    let layout = answer.check().map_err(nonsense)?;
    // The members of a manifest are in another order than the files of the answer may be.
    let mut urls: std::collections::HashMap<&str, &str> =
        answer.files.iter().map(|file| (file.id.as_str(), file.url.as_str())).collect();
    let places = layout.manifest().members().iter().map(|member| {
        let url = urls.remove(member.id.as_str()).unwrap_or_default();
        place(url).ok_or_else(|| nonsense(format!("{:?} has no address", member.path.as_str())))
    });
    let places = places.collect::<Result<_, _>>()?;
    Ok(Told { ended: answer.status == "ended", layout, places })
}

/// The path of a member's address, to be asked for at the hub's own: whatever host the hub takes itself for, and wherever
/// a manifest would like this node to go, the key goes to the configured address only.
fn place(url: &str) -> Option<String> {
    let anywhere = Url::parse("http://hub/").ok()?;
    let url = anywhere.join(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let mut place = url.path().trim_start_matches('/').to_owned();
    if place.is_empty() {
        return None;
    }
    // A colon in the first segment would make it a scheme.
    place.insert_str(0, "./");
    if let Some(query) = url.query() {
        // Writing to a `String` does not fail.
        let _ = write!(place, "?{query}");
    }
    Some(place)
}

async fn send(request: RequestBuilder) -> Result<Response, HubError> {
    request.send().await.map_err(|error| HubError::Away(reason(&error)))
}

/// The innermost reason: what is around it says what everybody knows.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time" } else { "no answer in time" }.to_owned();
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

/// The answer if it is one of success.
async fn checked(response: Response) -> Result<Response, HubError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    let detail = body(response, 16 * 1024).await.unwrap_or_default();
    let detail: String = serde_json::from_slice::<Detail>(&detail)
        .map(|body| body.detail.chars().filter(|c| !c.is_control()).take(MAX_DETAIL).collect())
        .unwrap_or_default();
    let number = status.as_u16();
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => HubError::Refused { status: number, detail },
        // Some other server knows nothing of this path either; the hub says so in its own words.
        StatusCode::NOT_FOUND | StatusCode::GONE if !detail.is_empty() => HubError::Unknown(detail),
        StatusCode::PRECONDITION_FAILED => HubError::Changed,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            HubError::Busy { status: number, detail, after: after.map(Duration::from_secs) }
        }
        _ if status.is_server_error() => {
            HubError::Busy { status: number, detail, after: after.map(Duration::from_secs) }
        }
        _ => HubError::Odd { status: number, detail },
    })
}

/// A whole body, if it is not too long.
async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, HubError> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| HubError::Away(reason(&error)))? {
        if text.len() + chunk.len() > limit {
            return Err(nonsense(format!("longer than {limit} bytes")));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_asked_for_at_the_configured_hub_only() {
        let base = Url::parse("https://hub:8000/x/").unwrap();
        for (url, asked) in [
            ("http://10.0.0.1/uploads/a%20b.pdf", "https://hub:8000/x/uploads/a%20b.pdf"),
            ("/uploads/a:b?c=d", "https://hub:8000/x/uploads/a:b?c=d"),
            ("https://evil.example/steal", "https://hub:8000/x/steal"),
            ("//evil.example/steal", "https://hub:8000/x/steal"),
            ("uploads/../../y", "https://hub:8000/x/y"),
            ("/http://evil.example/", "https://hub:8000/x/http://evil.example/"),
        ] {
            let place = place(url).unwrap();
            assert_eq!(base.join(&place).unwrap().as_str(), asked, "{url}");
        }
        for url in ["", "http://hub", "/", "ftp://hub/x", "file:///etc/passwd", "http://[/x"] {
            assert_eq!(place(url), None, "{url}");
        }
    }
}
