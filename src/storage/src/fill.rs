//! What a member of a group lacks of the files that were there before it, or that were stored while nobody knew of it: it
//! goes through the catalog and orders them.

use std::sync::Arc;
use std::time::Duration;

use tnv_common::clock;
use tnv_common::database::DbError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::catalog::MemberState;
use crate::service::StorageService;

/// Files that are looked at in one transaction.
const PAGE: u32 = 200;
/// Orders that may wait before more are made: what is stored now queues behind them.
const ENOUGH: u64 = 2_000;
/// Between two looks at what is going on.
const INTERVAL: Duration = Duration::from_secs(1);
/// After a pass there is a second one: what was on its way to the catalog meanwhile is there by then.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Between two lines in the log about how far it is, in looks.
const TELL_EVERY: u64 = 10;

/// Orders what is missing, at the start and whenever the group changes, until `shutdown`.
pub(crate) async fn fill(service: Arc<StorageService>, shutdown: CancellationToken) {
    let work = async {
        loop {
            if let Err(error) = keep_full(&service).await {
                tracing::warn!(%error, "cannot look for what is missing here; trying again");
            }
            sleep(AGAIN_AFTER).await;
        }
    };
    tokio::select! {
        never = work => never,
        () = shutdown.cancelled() => {}
    }
}

/// Passes until nothing is missing, and again when another member comes.
async fn keep_full(service: &StorageService) -> Result<(), DbError> {
    let catalog = service.files.catalog();
    loop {
        let members = catalog.members().await?;
        let own = &service.volume.owner().storage;
        let is_filling =
            members.iter().any(|member| member.id == *own && member.state == MemberState::Filling);
        service.fill_rate.turn(is_filling);
        order_missing(service).await?;
        sleep(AGAIN_AFTER).await;
        order_missing(service).await?;
        wait_until_filled(service, clock::unix_millis()).await?;
        service.fill_rate.turn(false);
        if is_filling {
            // Unless it is to be switched off meanwhile.
            catalog.change_state(own, MemberState::Filling, MemberState::Active).await?;
            tracing::info!("this storage has all files of its group");
        }
        loop {
            sleep(AGAIN_AFTER).await;
            let now = catalog.members().await?;
            let is_new = |id: &String| !members.iter().any(|member| member.id == *id);
            let fills = |state| state == MemberState::Filling;
            if now.iter().any(|member| is_new(&member.id) || member.id == *own && fills(member.state)) {
                break;
            }
        }
    }
}

/// One pass through the catalog.
async fn order_missing(service: &StorageService) -> Result<(), DbError> {
    let catalog = service.files.catalog();
    let (mut after, mut ordered) = (None, 0);
    loop {
        while catalog.backlog().await?.files > ENOUGH {
            sleep(INTERVAL).await;
        }
        let (added, next) = catalog.enlist(after, PAGE).await?;
        if added > 0 {
            ordered += added;
            service.orders.look();
        }
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if ordered > 0 {
        tracing::info!(ordered, "files of the group that are missing here are on their way");
    }
    Ok(())
}

/// Waits until nothing is left of what was ordered until then; what is stored meanwhile is ordered as it comes.
async fn wait_until_filled(service: &StorageService, ordered_ms: i64) -> Result<(), DbError> {
    let (mut looks, mut before) = (0_u64, None);
    loop {
        let backlog = service.files.catalog().backlog().await?;
        service.orders.note_backlog(backlog);
        if backlog.files == 0 || backlog.oldest_ms > ordered_ms {
            return Ok(());
        }
        if looks % TELL_EVERY == 0 {
            let left = before.and_then(|before| time_left(before, backlog.bytes));
            tracing::info!(
                files = backlog.files,
                bytes = backlog.bytes,
                ?left,
                "getting what is missing here"
            );
            before = Some(backlog.bytes);
        }
        looks += 1;
        sleep(INTERVAL).await;
    }
}

/// How long it takes at the pace since the last line. `None`: it does not get less.
fn time_left(before: u64, now: u64) -> Option<Duration> {
    let done = before.checked_sub(now).filter(|done| *done > 0)?;
    let seconds = now as f64 / done as f64 * (INTERVAL.as_secs() * TELL_EVERY) as f64;
    Some(Duration::from_secs(seconds as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_pace() {
        assert_eq!(time_left(100, 50), Some(Duration::from_secs(10)));
        assert_eq!(time_left(100, 10), Some(Duration::from_secs(1)));
        assert_eq!(time_left(50, 50), None);
        assert_eq!(time_left(50, 60), None);
    }
}
