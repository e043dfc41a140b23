//! What is looked for in memory, and brought there, before it is sent.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::DiskFile;

/// How much that is at first, and for a reader who goes on, in bytes.
pub const FIRST_WINDOW: u64 = 256 * 1024;
const WINDOW: u64 = 1024 * 1024;
/// After so long what was in memory need not be there any more.
const STALE: Duration = Duration::from_secs(1);

/// What of a file is known to be in memory, and what is on its way there, as somebody reads on in it.
#[derive(Debug)]
pub struct Window {
    until: u64,
    seen: Instant,
    /// How much is made sure of the next time.
    size: u64,
    /// Up to here the disk was told to read; 0 as long as it was not needed.
    ahead: u64,
}

impl Window {
    /// One that nothing is known of, for a reader who begins at `start`.
    pub fn at(start: u64) -> Window {
        Window { until: start, seen: Instant::now(), size: FIRST_WINDOW, ahead: 0 }
    }

    /// Makes sure that the beginning of `left`, which is all that is left to send, is in memory. Returns how many bytes of
    /// it are, at least one if there are any. Whoever reads on has the disk one window ahead of what is being sent.
    ///
    /// # Errors
    /// As [`DiskFile::warm`].
    pub async fn advance(&mut self, file: &Arc<DiskFile>, left: &Range<u64>) -> io::Result<usize> {
        if left.start >= self.until || self.seen.elapsed() > STALE {
            let goes_on = self.size == WINDOW;
            let wanted = left.start..(left.start + self.size).min(left.end);
            self.size = WINDOW;
            self.warm(file, wanted, goes_on, left.end).await?;
        }
        // At most a window.
        Ok((self.until.min(left.end) - left.start) as usize)
    }

    async fn warm(
        &mut self,
        file: &Arc<DiskFile>,
        wanted: Range<u64>,
        goes_on: bool,
        end: u64,
    ) -> io::Result<()> {
        let ahead = if goes_on { (wanted.end + WINDOW).min(end) } else { wanted.end };
        (self.until, self.seen) = (wanted.end, Instant::now());
        if file.is_cached(&wanted) {
            if self.ahead > 0 && self.ahead < ahead {
                let behind = self.ahead..ahead;
                // What had gone from memory need not be all of it: the disk is only told what it has to read.
                if !file.is_cached(&behind) {
                    file.read_ahead(behind);
                }
                self.ahead = ahead;
            }
            return Ok(());
        }
        self.ahead = ahead;
        file.warm(wanted, ahead).await?;
        self.seen = Instant::now();
        Ok(())
    }
}
