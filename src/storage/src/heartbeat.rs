//! Telling every tracker that this storage is there: JOIN, REPORT and the first BEAT at once, then one of each per
//! interval, over a connection that is made again whenever it breaks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tnv_client::{ClientError, Options, TrackerSession};
use tnv_common::{clock, host};
use tnv_proto::state::StorageReport;
use tnv_proto::{Beat, ErrorCode, GroupName, HostName, Join, Report, Version};
use tokio_util::sync::CancellationToken;

use crate::standing::Changes;

/// Between two attempts to reach a tracker: from the first to the second value, doubling.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Who this storage is and how it is doing, as trackers are told.
pub(crate) struct Presence {
    pub(crate) group: GroupName,
    pub(crate) port: u16,
    pub(crate) started: i64,
    pub(crate) interval: Duration,
    pub(crate) report: Box<dyn Fn() -> StorageReport + Send + Sync>,
    /// When trackers are to be told at once.
    pub(crate) changes: Changes,
}

impl Presence {
    fn host(&self) -> Result<HostName, ClientError> {
        HostName::new(host::name()).map_err(|error| local("the host name", error))
    }

    fn join(&self) -> Result<Join, ClientError> {
        let version: String = env!("CARGO_PKG_VERSION").chars().take(Version::SIZE - 1).collect();
        Ok(Join {
            version: Version::new(&version).map_err(|error| local("the version", error))?,
            group: self.group.clone(),
            host: self.host()?,
            port: self.port,
            started: self.started,
            joined: clock::unix_seconds(),
        })
    }

    fn report(&self) -> Result<Report, ClientError> {
        let json = serde_json::to_string(&(self.report)()).map_err(|error| local("the report", error))?;
        Ok(Report { group: self.group.clone(), host: self.host()?, port: self.port, json })
    }
}

fn local(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> ClientError {
    ClientError::Local { what: what.to_owned(), source: std::io::Error::other(error) }
}

/// Keeps one tracker informed until `shutdown`.
pub(crate) async fn beat(tracker: String, presence: Arc<Presence>, shutdown: CancellationToken) {
    let mut pause = BACK_OFF.0;
    let mut trouble = false;
    loop {
        let begun = Instant::now();
        let mut joined = false;
        let session = attend(&tracker, &presence, &mut joined);
        let ended = tokio::select! {
            ended = session => ended,
            () = shutdown.cancelled() => return,
        };
        trouble &= !joined;
        // A tracker that hangs up as soon as it is joined must not be joined in a tight loop.
        if joined && begun.elapsed() > BACK_OFF.1 {
            pause = BACK_OFF.0;
        }
        // Once per outage: a tracker may be away for long.
        if !trouble {
            tracing::warn!(tracker, error = %ended, "the tracker is lost; trying again");
            trouble = true;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

/// One connection to a tracker, from JOIN until something fails. Returns what failed.
async fn attend(tracker: &str, presence: &Presence, joined: &mut bool) -> ClientError {
    let session = async {
        let mut session = TrackerSession::connect(tracker, &Options::default()).await?;
        session.join(&presence.join()?).await?;
        let mut reports = true;
        let mut changes = presence.changes.clone();
        loop {
            if reports {
                reports = tell(&mut session, presence).await?;
            }
            session.beat(&Beat { group: presence.group.clone(), host: presence.host()? }).await?;
            if !*joined {
                tracing::info!(tracker, group = %presence.group, "joined");
                *joined = true;
            }
            tokio::select! {
                () = tokio::time::sleep(presence.interval) => {}
                // The next beat would find out as well, but only after the interval.
                () = session.closed() => {}
                () = changes.next() => {}
            }
        }
    };
    let ended: Result<std::convert::Infallible, ClientError> = session.await;
    match ended {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

/// Sends the report. `false`: this tracker is of the older system and does not know it.
async fn tell(session: &mut TrackerSession, presence: &Presence) -> Result<bool, ClientError> {
    match session.report(&presence.report()?).await {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.code(), Some(ErrorCode::BAD_REQUEST | ErrorCode::UNSPECIFIED)) => {
            tracing::info!(%error, "the tracker takes no reports");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
