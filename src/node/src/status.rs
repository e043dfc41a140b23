//! What the node tells of itself, to the hub, to the page and to whoever asks.

use std::sync::atomic::Ordering;

use hyper::Response;
use serde_json::{Value, json};
use tnv_package::MeetingId;
use tnv_web::answer::json;
use tnv_web::{Body, Refusal};

use crate::health;
use crate::node::{LastSync, Node, Service, Standing, address};
use crate::pulls::{Pulls, Stage};

/// `GET /api/v1/node/meetings/{id}/status`: whether a package is here, and whether it is the newest that is known.
pub(crate) fn of_meeting(node: &Node, meeting: Option<&MeetingId>) -> Result<Response<Body>, Refusal> {
    let pulls = node.pulls();
    let package = meeting.and_then(|meeting| pulls.store.peek(meeting));
    let Some((meeting, package)) = meeting.zip(package) else {
        return json(&json!({"exists": false, "outdated": false, "size": 0, "version": null}));
    };
    // A newer one is on its way, or was and did not come.
    let running = pulls.running().into_iter().find(|(id, _)| id == meeting);
    let coming = running.is_some_and(|(_, job)| matches!(job.stage(), Stage::Pulling(_)));
    let failed = pulls.troubles().iter().any(|(id, _)| id == meeting);
    json(&json!({
        "exists": true,
        "outdated": coming || failed,
        "size": package.layout.len(),
        "version": package.version().to_string(),
    }))
}

/// `GET /api/v1/node/status`: how the node fares.
pub(crate) fn of_node(node: &Node) -> Result<Response<Body>, Refusal> {
    let config = node.config();
    let load = node.gauge.look();
    let disk = health::disk(node.pulls().store.root());
    let percent = if disk.total > 0 { disk.used as f64 / disk.total as f64 * 100.0 } else { 0.0 };
    let standing = node.standing();
    let host = standing.address.as_deref().and_then(|address| address.rsplit_once(':'));
    json(&json!({
        "id": config.node_id,
        "ip": host.map_or_else(|| node.local_addr.ip().to_string(), |(host, _)| host.to_owned()),
        "port": node.public_port(&config),
        "status": service_name(node.service(), "active"),
        "health": health::score(load),
        "storage": {"total": disk.total, "used": disk.used, "free": disk.free, "percent_used": percent},
        "meetings": {"count": node.pulls().store.all().len()},
        "system": {
            "cpu_percent": load.map_or(0.0, |load| load.cpu_percent),
            "memory_percent": load.map_or(0.0, |load| load.memory_percent),
        },
        "uptime": node.started.elapsed().as_secs_f64(),
        "downloads": node.downloads.load(Ordering::Relaxed),
        "software": env!("CARGO_PKG_VERSION"),
    }))
}

/// `GET /api/status`: all that the page shows.
pub(crate) fn of_all(node: &Node) -> Result<Response<Body>, Refusal> {
    let (config, pulls, load) = (node.config(), node.pulls(), node.gauge.look());
    let (standing, last) = (node.standing(), node.last_sync().clone());
    let used = pulls.store.bytes();
    let own = address(&node.local_addr.ip().to_string(), node.local_addr.port());
    json(&json!({
        "node_id": config.node_id,
        "status": service_name(node.service(), "running"),
        "service_running": node.service() == Service::Running,
        "software": env!("CARGO_PKG_VERSION"),
        "listens": own,
        "address": standing.address,
        "main_server": config.hub,
        "connected": standing.error.is_none() && standing.heard_ms.is_some(),
        "registered": standing.registered.is_some(),
        "connection_error": standing.error,
        "api_key_refused": standing.refused,
        "last_heartbeat": standing.heard_ms.map(seconds),
        "last_sync_time": last.at_ms.map(seconds),
        "last_sync_status": sync_status(&pulls, &last, &standing),
        "active_meetings": last.active,
        "meetings": meetings(&pulls),
        "pulls": running(&pulls),
        "problems": problems(&pulls),
        "storage": {
            "path": pulls.store.root().display().to_string(),
            "max_size": config.storage.max_size,
            "used": used,
            "capacity": node.capacity(&config, used),
            "disk": health::disk(pulls.store.root()),
        },
        "downloads": node.downloads.load(Ordering::Relaxed),
        "bytes_sent": node.sent.load(Ordering::Relaxed),
        "uptime": node.started.elapsed().as_secs_f64(),
        "health": health::score(load),
        "cpu_percent": load.map(|load| load.cpu_percent),
        "memory_percent": load.map(|load| load.memory_percent),
        "warnings": node.supply.file.warnings(),
        "overridden": node.supply.file.overridden(),
    }))
}

fn service_name(service: Service, running: &'static str) -> &'static str {
    match service {
        Service::Running => running,
        Service::Stopped => "stopped",
        Service::Ending => "draining",
    }
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// How far the node is behind the hub, in one sentence.
fn sync_status(pulls: &Pulls, last: &LastSync, standing: &Standing) -> String {
    let pulling = pulls.running().iter().any(|(_, job)| matches!(job.stage(), Stage::Pulling(_)));
    match (&last.error, pulls.troubles().first()) {
        _ if standing.refused => "同步失败: API 密钥被主控服务器拒绝".to_owned(),
        (Some(error), _) => format!("同步出错: {error}"),
        (None, Some((meeting, trouble))) => format!("同步失败: {meeting}: {}", trouble.error),
        (None, None) if pulling => "同步中".to_owned(),
        (None, None) if last.at_ms.is_none() => "未同步".to_owned(),
        (None, None) => "同步成功".to_owned(),
    }
}

fn meetings(pulls: &Pulls) -> Vec<Value> {
    let held = pulls.held().into_iter();
    let described = held.filter_map(|held| {
        let package = pulls.store.peek(&held.meeting)?;
        let manifest = package.layout.manifest();
        Some(json!({
            "id": held.meeting,
            "title": manifest.meeting().title,
            "size": held.size,
            "files": manifest.members().len(),
            "version": manifest.version().to_string(),
            "active": held.active,
            "reading": package.is_read(),
            "last_used": seconds(held.used_ms),
        }))
    });
    described.collect()
}

fn running(pulls: &Pulls) -> Vec<Value> {
    let jobs = pulls.running().into_iter();
    let described = jobs.filter_map(|(meeting, job)| {
        let Stage::Pulling(draft) = job.stage() else { return None };
        Some(json!({
            "id": meeting,
            "title": draft.layout.manifest().meeting().title,
            "version": draft.layout.manifest().version().to_string(),
            "size": draft.layout.len(),
            "bytes_verified": draft.verified.bytes(),
            "bytes_to_fetch": job.progress.wanted.load(Ordering::Relaxed),
            "bytes_fetched": job.progress.fetched.load(Ordering::Relaxed),
        }))
    });
    described.collect()
}

fn problems(pulls: &Pulls) -> Vec<Value> {
    let troubles = pulls.troubles().into_iter();
    troubles.map(|(meeting, trouble)| json!({"id": meeting, "error": trouble.error.to_string()})).collect()
}
