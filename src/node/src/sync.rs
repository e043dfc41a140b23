//! The round that the node makes: which meetings run, whose packages are to be brought up to date, which can go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tnv_common::clock::unix_millis;
use tnv_package::MeetingId;

use crate::clean::{self, For, Marks};
use crate::hub::{Hub, HubError, Manifested};
use crate::node::{Node, Service};
use crate::pulls::Pulls;

/// The longest pause while the hub is away.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A hub tells its meetings to nodes that it knows: so long a round waits for that.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// So often the hub is asked about one and the same meeting that does not run.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// One round after the other, as long as the service runs, until the process ends.
pub(crate) async fn run(node: Arc<Node>) {
    let mut rounds = Rounds { node: node.clone(), failures: 0, asked: HashMap::new(), was_empty: false };
    let (mut service, mut changes) = (node.watch_service(), node.watch_changes());
    loop {
        let now = *service.borrow_and_update();
        changes.mark_unchanged();
        let pause = match now {
            Service::Running => rounds.round().await,
            Service::Stopped => Duration::MAX,
            Service::Ending => return,
        };
        // The senders live as long as the node does.
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = service.changed() => {}
            _ = changes.changed() => {}
        }
    }
}

struct Rounds {
    node: Arc<Node>,
    /// Lists in a row that did not come whole.
    failures: u32,
    /// When the hub was last asked about a meeting that does not run.
    asked: HashMap<MeetingId, Instant>,
    was_empty: bool,
}

impl Rounds {
    /// How long to wait then.
    async fn round(&mut self) -> Duration {
        // If it does not come to that, the round is made all the same.
        let _ = tokio::time::timeout(KNOWN_WITHIN, self.node.registered()).await;
        let hub = self.node.supply.hub();
        let interval = self.node.config().sync_interval;
        match hub.active().await {
            Ok(active) => {
                self.failures = 0;
                self.note(&active);
                let pulls = self.node.pulls();
                pulls.note_active(&active);
                for meeting in &active {
                    pulls.sync(meeting);
                }
                self.clean(&hub, &pulls).await;
                interval
            }
            // Whatever is not known to have ended stays.
            Err(error) => {
                self.failures += 1;
                if self.failures == 1 {
                    tracing::error!(%error, "获取活动会议失败");
                }
                self.node.last_sync().error = Some(error.to_string());
                let pause = interval.saturating_mul(1 << (self.failures - 1).min(6));
                pause.min(MAX_PAUSE.max(interval)).mul_f64(0.5 + rand::random::<f64>() / 2.0)
            }
        }
    }

    fn note(&mut self, active: &[MeetingId]) {
        let is_empty = active.is_empty() && !self.node.standing().refused;
        // A hub that refuses the node has said nothing about that.
        if is_empty && !self.was_empty {
            tracing::info!("当前没有活动会议");
        }
        self.was_empty = is_empty;
        let mut last = self.node.last_sync();
        last.at_ms = Some(unix_millis());
        last.active = active.iter().map(MeetingId::to_string).collect();
        last.error = None;
    }

    /// Removes packages of meetings that have ended, and what is above the high mark.
    async fn clean(&mut self, hub: &Hub, pulls: &Pulls) {
        let config = self.node.config();
        if config.cleanup.enabled && config.cleanup.clean_ended_meetings {
            let mut doubtful = clean::doubtful(&pulls.held(), config.cleanup.clean_on_startup);
            doubtful.extend(pulls.leftovers().await);
            let ended = self.ended(hub, doubtful).await;
            pulls.remove(ended, "会议已结束").await;
        }
        if config.storage.auto_cleanup {
            let marks = Marks { high: config.storage.high_mark(), low: config.storage.low_mark() };
            let surplus = clean::surplus(&pulls.held(), marks, pulls.coming(), For::Sync);
            pulls.remove(surplus, "存储空间不足").await;
        }
    }

    /// Those of which the hub itself says that they have ended or that it does not know them. That they are not in its
    /// list is not enough: a list may be short for other reasons, and a meeting may not have begun.
    async fn ended(&mut self, hub: &Hub, doubtful: Vec<MeetingId>) -> Vec<MeetingId> {
        self.asked.retain(|_, at| at.elapsed() < ASK_AGAIN);
        let mut ended = Vec::new();
        for meeting in doubtful {
            if self.asked.contains_key(&meeting) {
                continue;
            }
            self.asked.insert(meeting.clone(), Instant::now());
            match hub.manifest(&meeting, None).await {
                Ok(Manifested::Now(told)) if told.ended => ended.push(meeting),
                Err(HubError::Unknown(_)) => ended.push(meeting),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, %meeting, "the hub does not say whether it has ended");
                    break;
                }
            }
        }
        ended
    }
}
