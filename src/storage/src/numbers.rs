//! Numbers for new files, leased from the id servers a range at a time: the next one before the last is used up, so
//! that uploads hardly ever wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tnv_client::{ClientError, IdClient};
use tnv_proto::{ErrorCode, Failure, IdGet, IdRange};
use tokio::sync::Notify;

use crate::layout::MAX_NUMBER;
use crate::volume::StorePath;

/// Ranges that are not used up, by store path. What is left of them at the end is skipped.
pub(crate) struct Numbers {
    supplies: HashMap<u32, Arc<Supply>>,
}

/// The numbers of one store path.
struct Supply {
    ids: Arc<IdClient>,
    key: String,
    lease: u32,
    stock: Mutex<Stock>,
    /// An attempt to get a range has ended.
    ended: Notify,
}

struct Stock {
    range: IdRange,
    /// What comes after it.
    spare: Option<IdRange>,
    is_leasing: bool,
    /// When and how the last attempt failed.
    failed: Option<(Instant, Failure)>,
}

impl Numbers {
    /// Numbers for these store paths, `lease` at a time.
    pub(crate) fn new<'a>(ids: IdClient, lease: u32, paths: impl Iterator<Item = &'a StorePath>) -> Numbers {
        let ids = Arc::new(ids);
        let supply = |path: &StorePath| {
            let range = IdRange { first: 0, count: 0 };
            Arc::new(Supply {
                ids: ids.clone(),
                key: key(path.id_key()),
                lease,
                stock: Mutex::new(Stock { range, spare: None, is_leasing: false, failed: None }),
                ended: Notify::new(),
            })
        };
        Numbers { supplies: paths.map(|path| (path.index(), supply(path))).collect() }
    }

    /// The next number for `path`.
    ///
    /// # Errors
    /// 503 when no id server answers, 507 when there are no more numbers that a path can be made of.
    pub(crate) async fn next(&self, path: &StorePath) -> Result<i64, Failure> {
        let Some(supply) = self.supplies.get(&path.index()) else {
            return Err(Failure::new(ErrorCode::INTERNAL, format!("no numbers for {}", path.written())));
        };
        let number = supply.next().await?;
        if number > MAX_NUMBER {
            let text =
                format!("{} has used up its {} numbers; add a store path", path.written(), MAX_NUMBER + 1);
            return Err(Failure::new(ErrorCode::NO_SPACE, text));
        }
        Ok(number)
    }
}

impl Supply {
    async fn next(self: &Arc<Self>) -> Result<i64, Failure> {
        let asked = Instant::now();
        loop {
            let ended = self.ended.notified();
            {
                let mut stock = self.lock();
                if let Some(number) = stock.take() {
                    if stock.spare.is_none() && stock.range.count <= self.lease / 2 {
                        self.lease_another(&mut stock);
                    }
                    return Ok(number);
                }
                // One attempt speaks for all who waited for it.
                if let Some((_, failure)) = stock.failed.as_ref().filter(|(when, _)| *when >= asked) {
                    return Err(failure.clone());
                }
                self.lease_another(&mut stock);
            }
            ended.await;
        }
    }

    /// Asks for another range, unless somebody does already.
    fn lease_another(self: &Arc<Self>, stock: &mut Stock) {
        if std::mem::replace(&mut stock.is_leasing, true) {
            return;
        }
        let supply = self.clone();
        tokio::spawn(async move {
            let leased = supply.ids.lease(&supply.key, supply.lease).await;
            let mut stock = supply.lock();
            stock.is_leasing = false;
            match leased {
                Ok(range) => stock.spare = Some(range),
                Err(error) => stock.failed = Some((Instant::now(), unavailable(&error))),
            }
            drop(stock);
            supply.ended.notify_waiters();
        });
    }

    fn lock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stock {
    fn take(&mut self) -> Option<i64> {
        if self.range.count == 0 {
            self.range = self.spare.take()?;
        }
        let IdRange { first, count } = self.range;
        self.range = IdRange { first: first.saturating_add(1), count: count.checked_sub(1)? };
        Some(first)
    }
}

fn unavailable(error: &ClientError) -> Failure {
    let code =
        if error.code() == Some(ErrorCode::NO_SPACE) { ErrorCode::NO_SPACE } else { ErrorCode::UNAVAILABLE };
    Failure::new(code, format!("no id server gives a number: {error}"))
}

/// A store path as the id servers' key: as written, or what fits of its checksum if that is too long.
fn key(written: &str) -> String {
    if written.len() <= IdGet::MAX_KEY {
        return written.to_owned();
    }
    let mut key = format!("blake3:{}", blake3::hash(written.as_bytes()).to_hex());
    key.truncate(IdGet::MAX_KEY);
    key
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tnv_client::Options;
    use tnv_common::config::WrittenPath;
    use tnv_proto::GroupName;
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Replication;
    use crate::volume::Candidate;

    #[tokio::test]
    async fn who_waits_for_an_attempt_that_fails_does_not_wait_for_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let attempts = Arc::new(AtomicUsize::new(0));
        let seen = attempts.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                seen.fetch_add(1, Ordering::Relaxed);
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let store = WrittenPath { written: "../store".to_owned(), resolved: folder.path().to_owned() };
        let group = GroupName::new("group001").unwrap();
        let volume = Candidate::inspect(&[store], "tnv", &group, Replication::None, "fresh")
            .unwrap()
            .open(0, None)
            .unwrap();
        let path = volume.paths()[0].clone();
        let ids = IdClient::new(vec![address], Options::default());
        let numbers = Arc::new(Numbers::new(ids, 10, [&*path].into_iter()));
        let asking: Vec<_> = (0..10)
            .map(|_| {
                let (numbers, path) = (numbers.clone(), path.clone());
                tokio::spawn(async move { numbers.next(&path).await })
            })
            .collect();
        for asked in asking {
            assert_eq!(asked.await.unwrap().unwrap_err().code, ErrorCode::UNAVAILABLE);
        }
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        numbers.next(&path).await.unwrap_err();
        assert_eq!(attempts.load(Ordering::Relaxed), 2, "whoever comes later tries again");
    }

    #[test]
    fn keys_fit_and_differ() {
        assert_eq!(key("../data"), "../data");
        let long = |n: usize| key(&format!("/srv/{}/{n}", "x".repeat(80)));
        assert_eq!(long(1).len(), IdGet::MAX_KEY);
        assert_ne!(long(1), long(2));
    }
}
