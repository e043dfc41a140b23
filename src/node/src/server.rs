//! A node that listens.

use std::net::SocketAddr;
use std::sync::Arc;

use tnv_common::telemetry::{LogConfig, LogFormat, RotateEvery, Rotation};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::{self, ConfigFile};
use crate::node::{Node, Service, StartError};
use crate::service::Site;
use crate::{membership, scrub, sync};

/// What the log calls a node.
const LOG_NAME: &str = "file_node";

/// A node, listening.
pub struct FileNode {
    listener: TcpListener,
    node: Arc<Node>,
}

impl FileNode {
    /// Opens the storage and starts to listen; connections wait until [`FileNode::run`], and the hub is not asked before.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(config: ConfigFile) -> Result<FileNode, StartError> {
        let settled = config.settle();
        let now = config.config();
        // It was checked when it was read.
        let host = now.node_host.parse().unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        let listener = tnv_common::server::bind(SocketAddr::new(host, now.node_port))?;
        let local_addr = listener.local_addr()?;
        let opened = tokio::task::spawn_blocking(move || Node::open(config, local_addr)).await;
        let node = opened.map_err(std::io::Error::other)??;
        if let Err(error) = settled {
            tracing::warn!(%error, "配置无法保存，节点ID在重启后可能改变");
        }
        for warning in node.supply.file.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(FileNode { listener, node })
    }

    /// The address it listens on, with the port that was picked if the configuration says 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.node.local_addr
    }

    /// Serves until `shutdown`: then the hub is told first, running answers may finish, and pulls are set aside for the
    /// next time.
    pub async fn run(self, shutdown: CancellationToken) {
        let FileNode { listener, node } = self;
        let config = node.config();
        tracing::info!("文件服务节点已启动 [ID: {}]", config.node_id);
        tracing::info!(address = %node.local_addr, main_server = config.hub, "节点配置");
        let loops = [
            tokio::spawn(membership::run(node.clone())),
            tokio::spawn(sync::run(node.clone())),
            tokio::spawn(scrub::run(node.clone())),
        ];
        let site = Site::new(node.clone());
        let stop = shutdown.clone();
        let ending = node.clone();
        let farewell = tokio::spawn(async move {
            stop.cancelled().await;
            ending.set_service(Service::Ending);
        });
        tnv_web::serve(listener, site, config.limits.clone(), shutdown).await;
        for task in loops.into_iter().chain([farewell]) {
            // It has said why it panicked.
            let _ = task.await;
        }
        node.tasks.close();
        node.tasks.wait().await;
        tracing::info!("文件服务节点已停止 [ID: {}]", config.node_id);
    }
}

/// How a node logs by its configuration.
pub fn log_config(file: &ConfigFile) -> LogConfig {
    let logging = &file.config().logging;
    let path = logging.file_enabled.then(|| config::resolve(&file.folder(), &logging.file_path));
    LogConfig {
        level: logging.level.clone(),
        format: LogFormat::Named(LOG_NAME),
        file: path,
        rotation: Rotation {
            size: logging.max_file_size,
            every: RotateEvery::Never,
            keep: logging.backup_count,
        },
    }
}
