//! The one place where servers read the wall clock; everything that decides by time has `now` passed in.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970; 0 if the clock stands before that.
pub fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Seconds since 1970; 0 if the clock stands before that.
pub fn unix_seconds() -> i64 {
    unix_millis() / 1000
}
