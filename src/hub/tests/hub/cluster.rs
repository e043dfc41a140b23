//! A tracker, an id server, a storage and a hub, all in this process, in a folder of their own.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tnv_common::config::Settings;
use tnv_hub::{Config, Hub};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::http::{Answer, Call, in_time};

/// The servers; they end when it is dropped.
pub(crate) struct Cluster {
    folder: TempDir,
    tracker: SocketAddr,
    _guard: DropGuard,
}

/// A hub that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Cluster {
    pub(crate) async fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let settings = |role: &'static str, pairs: &[(&str, String)]| {
            let mut settings = Settings::built_in(role);
            settings.set("listen", "127.0.0.1:0", "test");
            settings.set("database.url", &database(folder.path()), "test");
            for (key, value) in pairs {
                settings.set(key, value, "test");
            }
            settings
        };
        let mut tracker = settings("tracker", &[("check_interval", "1s".to_owned())]);
        let tracker = tnv_tracker::Tracker::bind(tnv_tracker::Config::read(&mut tracker)).await.unwrap();
        let ids = tnv_id::IdServer::bind(tnv_id::Config::read(&mut settings("id", &[]))).await.unwrap();
        let (at, ids_at) = (tracker.local_addr(), ids.local_addr());
        tokio::spawn(tracker.run(stop.clone()));
        tokio::spawn(ids.run(stop.clone()));
        let mut storage = settings(
            "storage",
            &[
                ("trackers", at.to_string()),
                ("ids", ids_at.to_string()),
                ("store_paths", folder.path().join("store").display().to_string()),
                ("reserved_space", "0".to_owned()),
                ("heartbeat_interval", "100ms".to_owned()),
                ("sync", "none".to_owned()),
            ],
        );
        let storage = tnv_storage::Storage::bind(tnv_storage::Config::read(&mut storage)).await.unwrap();
        tokio::spawn(storage.run(stop.clone()));
        let client = tnv_client::Client::new(vec![at.to_string()], tnv_client::Options::default());
        in_time(async {
            let is_active = |state: tnv_proto::state::ClusterState| {
                state
                    .groups
                    .iter()
                    .flat_map(|group| &group.storages)
                    .any(|storage| storage.status == "ACTIVE")
            };
            while !client.state().await.is_ok_and(is_active) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
        Cluster { folder, tracker: at, _guard: stop.drop_guard() }
    }

    /// A hub in front, its configuration changed by `change`.
    pub(crate) async fn hub(&self, change: impl FnOnce(&mut Config)) -> Running {
        let mut settings = Settings::built_in("hub");
        settings.set("listen", "127.0.0.1:0", "test");
        settings.set("trackers", &self.tracker.to_string(), "test");
        settings.set("database.url", &database(self.folder.path()), "test");
        settings.set("upload_dir", &self.folder.path().join("uploads").display().to_string(), "test");
        let mut config = Config::read(&mut settings);
        settings.finish().unwrap();
        change(&mut config);
        let hub = Hub::bind(config).await.unwrap();
        let (address, stop) = (hub.local_addr(), CancellationToken::new());
        let ended = tokio::spawn(hub.run(stop.clone()));
        Running { address, stop, ended }
    }

    pub(crate) fn client(&self) -> tnv_client::Client {
        tnv_client::Client::new(vec![self.tracker.to_string()], tnv_client::Options::default())
    }
}

fn database(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("tnv.db").display())
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        in_time(self.ended).await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Call::get(path).send(self.address).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Call::new("POST", path).json(&body).send(self.address).await
    }

    /// A meeting with these files.
    pub(crate) async fn meeting(&self, id: &str, files: &[(&str, &[u8])]) -> Value {
        let made = self.post("/api/v1/meetings", json!({"id": id, "title": format!("会议 {id}")})).await;
        assert_eq!(made.status, 201, "{made:?}");
        for (path, bytes) in files {
            self.put(id, path, bytes).await;
        }
        self.get(&format!("/api/v1/meetings/{id}")).await.json()
    }

    /// Puts a file into a meeting.
    pub(crate) async fn put(&self, meeting: &str, path: &str, bytes: &[u8]) -> Value {
        let path = percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC);
        let call = Call::new("PUT", &format!("/api/v1/meetings/{meeting}/files/{path}"));
        let answer = call.body(bytes.to_vec()).send(self.address).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }
}

/// Bytes that differ from place to place.
pub(crate) fn sample(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| ((at + seed).wrapping_mul(31) >> 3) as u8).collect()
}
