//! Numbers for new files, leased from the id servers a range at a time.

use std::collections::HashMap;

use tnv_client::{ClientError, IdClient};
use tnv_proto::{ErrorCode, Failure, IdGet, IdRange};
use tokio::sync::Mutex;

use crate::layout::MAX_NUMBER;
use crate::volume::StorePath;

/// Ranges that are not used up, by store path. What is left of them at the end is skipped.
pub(crate) struct Numbers {
    ids: IdClient,
    lease: u32,
    ranges: HashMap<u32, Mutex<IdRange>>,
}

impl Numbers {
    /// Numbers for these store paths, `lease` at a time.
    pub(crate) fn new<'a>(ids: IdClient, lease: u32, paths: impl Iterator<Item = &'a StorePath>) -> Numbers {
        let empty = || Mutex::new(IdRange { first: 0, count: 0 });
        Numbers { ids, lease, ranges: paths.map(|path| (path.index(), empty())).collect() }
    }

    /// The next number for `path`.
    ///
    /// # Errors
    /// 503 when no id server answers, 507 when there are no more numbers that a path can be made of.
    pub(crate) async fn next(&self, path: &StorePath) -> Result<i64, Failure> {
        let Some(range) = self.ranges.get(&path.index()) else {
            return Err(Failure::new(ErrorCode::INTERNAL, format!("no numbers for {}", path.written())));
        };
        let mut range = range.lock().await;
        if range.count == 0 {
            *range = self
                .ids
                .lease(&key(path.written()), self.lease)
                .await
                .map_err(|error| unavailable(&error))?;
        }
        let number = range.first;
        if number > MAX_NUMBER {
            let text =
                format!("{} has used up its {} numbers; add a store path", path.written(), MAX_NUMBER + 1);
            return Err(Failure::new(ErrorCode::NO_SPACE, text));
        }
        *range = IdRange { first: number + 1, count: range.count - 1 };
        Ok(number)
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
    use super::*;

    #[test]
    fn keys_fit_and_differ() {
        assert_eq!(key("../data"), "../data");
        let long = |n: usize| key(&format!("/srv/{}/{n}", "x".repeat(80)));
        assert_eq!(long(1).len(), IdGet::MAX_KEY);
        assert_ne!(long(1), long(2));
    }
}
