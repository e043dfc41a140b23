//! A node that only says who it is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::cluster::Running;
use crate::http::{Answer, Call, in_time};

/// Listens, and answers every request with the id that it has now.
pub(crate) struct FakeNode {
    pub(crate) address: SocketAddr,
    id: Arc<Mutex<String>>,
}

impl FakeNode {
    pub(crate) async fn start(id: &str) -> FakeNode {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node =
            FakeNode { address: listener.local_addr().unwrap(), id: Arc::new(Mutex::new(id.to_owned())) };
        let id = node.id.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let id = id.clone();
                tokio::spawn(async move {
                    let mut request = vec![0; 4096];
                    let read = stream.read(&mut request).await.unwrap_or(0);
                    let request = String::from_utf8_lossy(&request[..read]).into_owned();
                    let body = json!({"id": *id.lock().unwrap(), "status": "active"}).to_string();
                    let status = if request.starts_with("GET /api/v1/node/status ") {
                        "200 OK"
                    } else {
                        "404 Not Found"
                    };
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    let _ = stream.write_all(head.as_bytes()).await;
                });
            }
        });
        node
    }

    /// What it says when it registers.
    pub(crate) fn registration(&self) -> Value {
        json!({"node_id": *self.id.lock().unwrap(), "address": self.address.to_string(), "status": "online"})
    }

    /// Registers, says what it holds, and waits until the hub has found it.
    pub(crate) async fn join(&self, hub: &Running, packages: &[(&str, &str)]) {
        let answer = hub.post("/api/v1/nodes/register", self.registration()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(self.beat(hub, packages).await.status, 200);
        in_time(async {
            while !self.shown(hub).await["online"].as_bool().unwrap() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) async fn beat(&self, hub: &Running, packages: &[(&str, &str)]) -> Answer {
        let held = packages.iter().map(|(id, version)| json!({"id": id, "version": version}));
        let body = json!({"health": 1.0, "status": "active", "storage_used": 1, "downloads": 0,
                          "packages": held.collect::<Vec<_>>()});
        let path = format!("/api/v1/nodes/{}/heartbeat", self.id.lock().unwrap());
        Call::new("POST", &path).json(&body).send(hub.address).await
    }

    /// How the hub shows it.
    pub(crate) async fn shown(&self, hub: &Running) -> Value {
        let id = self.id.lock().unwrap().clone();
        let list = hub.get("/api/v1/admin/nodes").await.json();
        let nodes = list["nodes"].as_array().unwrap().clone();
        nodes.into_iter().find(|node| node["id"] == id.as_str()).unwrap_or(Value::Null)
    }

    /// Has it answer under another id.
    pub(crate) fn rename(&self, id: &str) {
        *self.id.lock().unwrap() = id.to_owned();
    }
}
