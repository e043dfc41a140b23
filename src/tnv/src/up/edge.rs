//! A hub and its file service nodes beside the cluster: the whole picture on one machine.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tnv_common::config::Settings;
use tnv_node::{ConfigFile, FileNode, Overrides};
use tokio_util::sync::CancellationToken;

use super::{READY_POLL, READY_TIMEOUT, Running, SAMPLE};
use crate::role::say;

/// Where the first node listens; each other one at the next port that is free.
const FIRST_PORT: u16 = 8001;
const DEMO: &str = "demo";

/// What `tnv up` is told of hub and nodes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EdgeArgs {
    /// Run a hub too, and have it listen there, such as 127.0.0.1:8000
    #[arg(long, value_name = "ADDR")]
    hub: Option<SocketAddr>,
    /// Run so many file service nodes too, from port 8001 on
    #[arg(long, value_name = "N", default_value_t = 0, requires = "hub")]
    nodes: u16,
}

impl EdgeArgs {
    /// What the hub is told, if there is to be one.
    pub(super) fn plan(&self, hub: &mut Settings, data: &str) -> Option<tnv_hub::Config> {
        if let Some(listen) = self.hub {
            hub.set("listen", &listen.to_string(), "--hub");
            hub.set("upload_dir", &format!("{data}/uploads"), "--data");
        }
        // Read in any case: what is wrong with its keys is told in any case.
        let config = tnv_hub::Config::read(hub);
        self.hub.map(|_| config)
    }
}

/// Hub and nodes that run; the outermost comes first.
#[derive(Default)]
pub(super) struct Edge {
    pub(super) servers: Vec<(String, Running)>,
    hub: Option<SocketAddr>,
}

impl Edge {
    /// Starts them, and waits until the hub knows its nodes.
    pub(super) async fn start(
        args: &EdgeArgs,
        config: Option<tnv_hub::Config>,
        trackers: Vec<String>,
        data: &Path,
    ) -> anyhow::Result<Edge> {
        let Some(mut config) = config else { return Ok(Edge::default()) };
        config.trackers = trackers;
        let hub = start_hub(config).await?;
        let at = hub.address;
        let mut servers = vec![("hub".to_owned(), hub)];
        let mut port = FIRST_PORT;
        for number in 1..=args.nodes {
            let node = start_node(number, &mut port, at, data).await?;
            servers.insert(0, (format!("node-{number}"), node));
        }
        let edge = Edge { servers, hub: Some(at) };
        edge.wait_until_known(usize::from(args.nodes)).await?;
        Ok(edge)
    }

    /// Asks the hub until as many nodes as there are can be given clients.
    async fn wait_until_known(&self, nodes: usize) -> anyhow::Result<()> {
        if nodes == 0 {
            return Ok(());
        }
        let ask = async {
            let client = client()?;
            let url = format!("{}/api/v1/nodes/list", self.url());
            loop {
                let list = client.get(&url).send().await?.bytes().await?;
                let list: Value = serde_json::from_slice(&list)?;
                let online = |node: &&Value| node["online"] == true;
                let known = list["nodes"].as_array().map_or(0, |nodes| nodes.iter().filter(online).count());
                if known >= nodes {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(READY_POLL).await;
            }
        };
        tokio::time::timeout(READY_TIMEOUT, ask).await.context("the hub did not find its nodes in time")?
    }

    /// Makes a meeting with the sample clip, unless it is there, and says how to have its package.
    pub(super) async fn demo(&self) -> anyhow::Result<()> {
        if self.hub.is_none() {
            return Ok(());
        }
        let (client, meetings) = (client()?, format!("{}/api/v1/meetings", self.url()));
        let meeting = json!({
            "id": DEMO,
            "title": "示例会议 / A sample meeting",
            "intro": "tnv up --demo",
            "agenda_items": [{"title": "观看示例 / Watch the clip", "position": 1}],
        });
        let made = post(&client, &meetings, "application/json", meeting.to_string().into_bytes()).await?;
        if made != StatusCode::CONFLICT {
            let (content_type, form) = form("sample.mp4", SAMPLE);
            post(&client, &format!("{meetings}/{DEMO}/files"), &content_type, form).await?;
        }
        post(&client, &format!("{meetings}/{DEMO}/start"), "application/json", b"{}".to_vec()).await?;
        say(&format!(
            "A sample meeting is at {meetings}/{DEMO}/data; have its package, from one of the nodes, with"
        ))?;
        say(&format!("  curl -L -OJ {meetings}/{DEMO}/download-package"))
    }

    fn url(&self) -> String {
        self.hub.map(|hub| format!("http://{hub}")).unwrap_or_default()
    }
}

async fn start_hub(config: tnv_hub::Config) -> anyhow::Result<Running> {
    let hub = match tnv_hub::Hub::bind(config).await {
        Err(error @ tnv_hub::StartError::Bind(_)) => bail!("{error} with --hub; or is tnv running already?"),
        hub => hub?,
    };
    let (address, stop) = (hub.local_addr(), CancellationToken::new());
    let task = tokio::spawn(hub.run(stop.clone()));
    Ok(Running { address, stop, task })
}

/// Starts a node at the next port that is free.
async fn start_node(number: u16, port: &mut u16, hub: SocketAddr, data: &Path) -> anyhow::Result<Running> {
    let folder = data.join(format!("node-{number}"));
    std::fs::create_dir_all(&folder).with_context(|| format!("--data {}", folder.display()))?;
    loop {
        let mut overrides = Overrides::default();
        for (key, value) in [
            ("mainServerUrl", format!("http://{hub}")),
            ("nodeId", format!("node-{number}")),
            ("nodeHost", hub.ip().to_string()),
            ("nodePort", port.to_string()),
            ("syncInterval", "2".to_owned()),
            ("logging.fileEnabled", "false".to_owned()),
        ] {
            overrides.set(key, &value, "tnv up");
        }
        let file = ConfigFile::read(&folder.join("node_config.json"), overrides)?;
        let taken = |error: &tnv_node::StartError| matches!(error, tnv_node::StartError::Bind(bind) if bind.error.kind() == std::io::ErrorKind::AddrInUse);
        *port = port.checked_add(1).context("no port is free for a node")?;
        match FileNode::bind(file).await {
            Err(error) if taken(&error) => {}
            node => {
                let node = node?;
                let (address, stop) = (node.local_addr(), CancellationToken::new());
                let task = tokio::spawn(node.run(stop.clone()));
                return Ok(Running { address, stop, task });
            }
        }
    }
}

fn client() -> anyhow::Result<Client> {
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build();
    client.context("cannot prepare requests to the hub")
}

/// Posts something to the hub. That it is there already is no failure.
async fn post(client: &Client, url: &str, content_type: &str, body: Vec<u8>) -> anyhow::Result<StatusCode> {
    let response = client.post(url).header("content-type", content_type).body(body).send().await?;
    let status = response.status();
    if !status.is_success() && status != StatusCode::CONFLICT {
        bail!(
            "cannot make the sample meeting: {url}: {status}: {}",
            response.text().await.unwrap_or_default()
        );
    }
    Ok(status)
}

/// One file as a form's body, with its content type.
fn form(name: &str, contents: &[u8]) -> (String, Vec<u8>) {
    const BOUNDARY: &str = "tnv-up-demo-boundary";
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: video/mp4\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(contents);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
