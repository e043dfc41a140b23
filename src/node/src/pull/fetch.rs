//! One member from the hub: as many requests as it takes, each where the last one stopped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderValue};
use reqwest::{Response, StatusCode};

use super::{Progress, PullError};
use crate::config::Network;
use crate::draft::Draft;
use crate::hub::{self, Hub, HubError};
use crate::intake::Intake;
use crate::metrics::NodeMetrics;

/// How much is collected before it is written, in bytes.
const CHUNK: usize = 1024 * 1024;
/// Behind how many bytes it is noted how far a member is.
const NOTE: u64 = 8 * 1024 * 1024;
/// The longest pause between two requests, unless the hub asks for more.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// And the longest that it may ask for.
const MAX_WISH: Duration = Duration::from_secs(300);

/// A member that is fetched.
pub(super) struct Fetch {
    pub(super) draft: Arc<Draft>,
    pub(super) index: usize,
    /// Where it is at the hub.
    pub(super) place: String,
    pub(super) hub: Arc<Hub>,
    pub(super) network: Network,
    pub(super) progress: Arc<Progress>,
}

/// How a request ended that did not bring the rest.
enum Ended {
    /// It may go better the next time, after a pause if the hub asks for one.
    Again(HubError, Option<Duration>),
    /// It will not.
    Hopeless(PullError),
}

impl From<HubError> for Ended {
    fn from(error: HubError) -> Ended {
        match error {
            HubError::Away(_) => Ended::Again(error, None),
            HubError::Busy { after, .. } => Ended::Again(error, after),
            // The hub has another manifest by now.
            HubError::Unknown(_) => Ended::Hopeless(HubError::Changed.into()),
            error => Ended::Hopeless(error.into()),
        }
    }
}

impl From<PullError> for Ended {
    fn from(error: PullError) -> Ended {
        Ended::Hopeless(error)
    }
}

impl Fetch {
    /// Fetches the member until it is there and right.
    ///
    /// # Errors
    /// [`PullError`] if it cannot be had.
    pub(super) async fn run(self) -> Result<(), PullError> {
        let (draft, index) = (self.draft.clone(), self.index);
        let mut intake = Some(super::blocking(move || draft.intake(index)).await?);
        let (mut failures, mut wrong) = (0, 0);
        let mut etag = None;
        loop {
            let had = intake.as_ref().map_or(0, Intake::written);
            let (error, wish) = match self.request(&mut intake, &mut etag).await {
                Ok(()) if self.accept(&mut intake).await? => return Ok(()),
                Ok(()) => {
                    // Perhaps it was changed on its way; perhaps what was here before was wrong.
                    wrong += 1;
                    if wrong >= self.attempts() {
                        return Err(PullError::Wrong { path: self.path() });
                    }
                    tracing::warn!(path = self.path(), "文件内容与清单不符，重新下载");
                    continue;
                }
                Err(Ended::Hopeless(error)) => return Err(error),
                Err(Ended::Again(error, wish)) => (error, wish),
            };
            let has = intake.as_ref().map_or(0, Intake::written);
            failures = if has > had { 0 } else { failures + 1 };
            if failures >= self.attempts() {
                return Err(error.into());
            }
            tracing::warn!(
                path = self.path(), bytes = has, %error,
                "下载文件中断，尝试 {}/{}", failures + 1, self.attempts()
            );
            tokio::time::sleep(self.pause(failures, wish)).await;
        }
    }

    /// Requests in a row that may bring nothing.
    fn attempts(&self) -> u32 {
        self.network.retry_count.max(1)
    }

    fn path(&self) -> String {
        self.draft.member(self.index).map(|member| member.path.to_string()).unwrap_or_default()
    }

    /// Longer after each failure, and never the same for two nodes.
    fn pause(&self, failures: u32, wish: Option<Duration>) -> Duration {
        let doubled = self.network.retry_delay.saturating_mul(1 << failures.saturating_sub(1).min(10));
        let pause = doubled.min(MAX_PAUSE).mul_f64(0.5 + rand::random::<f64>() / 2.0);
        pause.max(wish.unwrap_or_default().min(MAX_WISH))
    }

    /// One request for what is missing. The intake is taken out while it is on a blocking thread.
    async fn request(
        &self,
        intake: &mut Option<Intake>,
        etag: &mut Option<HeaderValue>,
    ) -> Result<(), Ended> {
        let Some(has) = intake.as_ref().filter(|intake| intake.missing() > 0).map(Intake::written) else {
            return Ok(());
        };
        let response = match self.hub.member(&self.place, has, etag.as_ref()).await {
            // It is shorter than what is here: nothing of it can be right.
            Err(HubError::Odd { status: 416, .. }) if has > 0 => {
                self.restart(intake);
                return Ok(());
            }
            response => response?,
        };
        if let Some(told) = response.headers().get(ETAG) {
            *etag = Some(told.clone());
        }
        if !begins_at(&response, has)? {
            self.restart(intake);
        }
        self.take(response, intake).await
    }

    fn restart(&self, intake: &mut Option<Intake>) {
        if let Some(intake) = intake {
            intake.restart();
        }
    }

    async fn take(&self, mut response: Response, intake: &mut Option<Intake>) -> Result<(), Ended> {
        let mut held = BytesMut::new();
        loop {
            let come = response.chunk().await;
            let over = !matches!(come, Ok(Some(_)));
            if let Ok(Some(chunk)) = &come {
                self.progress.fetched.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                NodeMetrics::global().bytes_fetched.inc_by(chunk.len() as u64);
                held.extend_from_slice(chunk);
            }
            let missing = intake.as_ref().map_or(0, Intake::missing);
            if held.len() as u64 > missing {
                return Err(PullError::Wrong { path: self.path() }.into());
            }
            if !held.is_empty() && (over || held.len() >= CHUNK || held.len() as u64 == missing) {
                self.write(&mut held, intake).await?;
            }
            match come {
                Ok(Some(_)) => {}
                Ok(None) if intake.as_ref().map_or(0, Intake::missing) == 0 => return Ok(()),
                Ok(None) => {
                    return Err(Ended::Again(HubError::Away("the answer ended early".to_owned()), None));
                }
                Err(error) => return Err(Ended::Again(HubError::Away(hub::reason(&error)), None)),
            }
        }
    }

    /// Writes what is held, on a thread that may wait for the disk.
    async fn write(&self, held: &mut BytesMut, intake: &mut Option<Intake>) -> Result<(), PullError> {
        let Some(mut taken) = intake.take() else { return Err(PullError::Cancelled) };
        let (bytes, draft, index) = (held.split(), self.draft.clone(), self.index);
        let (back, buffer) = super::blocking(move || {
            let before = taken.written();
            taken.take(&bytes)?;
            if before / NOTE < taken.written() / NOTE && taken.missing() > 0 {
                draft.note(index, taken.written())?;
            }
            Ok((taken, bytes))
        })
        .await?;
        *intake = Some(back);
        // Its room is used again.
        *held = buffer;
        held.clear();
        Ok(())
    }

    /// Counts the member if it is right; otherwise it is to begin anew.
    async fn accept(&self, intake: &mut Option<Intake>) -> Result<bool, PullError> {
        let Some(mut taken) = intake.take() else { return Err(PullError::Cancelled) };
        let (draft, index) = (self.draft.clone(), self.index);
        let (back, right) = super::blocking(move || {
            let right = draft.accept(index, &taken)?;
            if !right {
                taken.restart();
            }
            Ok((taken, right))
        })
        .await?;
        *intake = Some(back);
        Ok(right)
    }
}

/// Whether an answer has the bytes from `offset` on, and not from the beginning.
fn begins_at(response: &Response, offset: u64) -> Result<bool, Ended> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(offset == 0);
    }
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
    if first == Some(offset) {
        return Ok(true);
    }
    let message = format!("bytes from {offset} on were asked for, and {range:?} came");
    Err(Ended::Hopeless(HubError::Nonsense(message).into()))
}
