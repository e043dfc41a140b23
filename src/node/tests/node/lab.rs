//! A hub and a node beside it, in a folder of their own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tnv_node::{ConfigFile, FileNode, Overrides};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;

/// Whatever takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Lab {
    pub(crate) hub: Hub,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) client: Client,
    node: Option<Running>,
    settings: Value,
}

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Lab {
    /// A hub alone; [`Lab::start`] starts the node.
    pub(crate) async fn new() -> Lab {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let hub = Hub::start().await;
        let settings = json!({
            "mainServerUrl": format!("http://{}", hub.address),
            "nodeId": "node-1",
            "nodeHost": "127.0.0.1",
            "nodePort": 0,
            "syncInterval": 1,
            "heartbeat": {"interval": 1, "timeout": 5},
            "network": {"retryDelay": 0},
            "logging": {"fileEnabled": false},
            "limits": {"drainTimeout": 0},
        });
        let folder = tempfile::tempdir().unwrap();
        Lab { hub, folder, client: Client::builder().no_proxy().build().unwrap(), node: None, settings }
    }

    /// The same with a running node.
    pub(crate) async fn running() -> Lab {
        let mut lab = Lab::new().await;
        lab.start().await;
        lab
    }

    /// Sets a top-level key of the configuration for the next start.
    pub(crate) fn set(&mut self, key: &str, value: Value) {
        self.settings[key] = value;
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.folder.path().join("node_config.json")
    }

    pub(crate) fn meeting_folder(&self, id: &str) -> PathBuf {
        self.folder.path().join(format!("storage/meeting_{id}"))
    }

    /// Starts the node, with the file as it is if there is one.
    pub(crate) async fn start(&mut self) {
        if !self.config_path().exists() {
            std::fs::write(self.config_path(), self.settings.to_string()).unwrap();
        }
        let file = ConfigFile::read(&self.config_path(), Overrides::default()).unwrap();
        let node = FileNode::bind(file).await.unwrap();
        let (address, stop) = (node.local_addr(), CancellationToken::new());
        let task = tokio::spawn(node.run(stop.clone()));
        self.node = Some(Running { address, stop, task });
    }

    pub(crate) async fn stop(&mut self) {
        let node = self.node.take().unwrap();
        node.stop.cancel();
        node.task.await.unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.node.as_ref().unwrap().address)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    /// Posts a text: the status, and the answer.
    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> (u16, Value) {
        let response = self.client.post(self.url(path)).body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    pub(crate) async fn status(&self) -> Value {
        self.json("/api/status").await
    }

    /// The package of a meeting, whole.
    pub(crate) async fn download(&self, id: &str) -> Vec<u8> {
        let response = self.get(&package_path(id)).await;
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap().to_vec()
    }

    /// Waits until the node has this version of a meeting.
    #[track_caller]
    pub(crate) fn until_held(&self, id: &str, version: &str) -> impl Future<Output = ()> {
        let path = format!("/api/v1/node/meetings/{id}/status");
        self.until(async move |lab| lab.json(&path).await["version"] == version)
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn until(&self, is: impl AsyncFn(&Lab) -> bool) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let poll = async {
                while !is(self).await {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            if tokio::time::timeout(DEADLINE, poll).await.is_err() {
                panic!("{caller}: it never became so; the node says {:#}", self.status().await);
            }
        }
    }
}

pub(crate) fn package_path(id: &str) -> String {
    format!("/api/v1/meetings/{id}/download-package")
}
