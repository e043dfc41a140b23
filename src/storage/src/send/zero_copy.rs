//! Bytes that go from the page cache to the socket within the kernel. A client that does not take them holds no memory.

use std::ops::Range;
use std::time::Duration;

use rustix::io::Errno;
use tnv_proto::HEADER_LEN;
use tokio::time::Instant;

use super::{Halt, Sending};

/// What is looked for in memory, and brought there, before it is sent: at first, and for a reader who goes on.
pub(crate) const FIRST_WINDOW: u64 = 256 * 1024;
const WINDOW: u64 = 1024 * 1024;
/// After so long what was in memory need not be there any more.
const STALE: Duration = Duration::from_secs(1);

/// What is known to be in memory, and what is on its way there.
struct Warm {
    until: u64,
    seen: Instant,
    /// Up to here the disk was told to read; 0 as long as it was not needed.
    ahead: u64,
}

impl Sending<'_> {
    pub(super) async fn zero_copy(&mut self) -> Result<(), Halt> {
        let mut warm = Warm { until: self.range.start, seen: Instant::now(), ahead: 0 };
        let mut window = FIRST_WINDOW.min(self.left());
        loop {
            if self.range.start >= warm.until || warm.seen.elapsed() > STALE {
                let wanted = self.range.start..(self.range.start + window).min(self.range.end);
                self.make_warm(wanted, window == WINDOW, &mut warm).await?;
                window = WINDOW;
            }
            if self.header_sent < HEADER_LEN {
                self.begin().await?;
            }
            if self.range.is_empty() {
                return Ok(());
            }
            // At most a window.
            let len = (warm.until - self.range.start) as usize;
            match self.connection.send_file(&*self.source, self.range.start, len).await {
                Ok(0) => return Err(Halt::File(self.source.ended())),
                Ok(sent) => self.advance(sent),
                // No socket says so.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                    return Err(Halt::File(error));
                }
                Err(error) => return Err(Halt::Peer(error)),
            }
        }
    }

    /// Sends what is left of the header, so that it leaves together with the first bytes.
    async fn begin(&mut self) -> Result<(), Halt> {
        let header = self.connection.success(self.len);
        let sent = if self.header_sent > 0 {
            self.connection.send_ahead(&header[self.header_sent..]).await
        } else if self.range.is_empty() {
            self.connection.begin_reply(0, &[]).await
        } else {
            self.connection.begin_reply_ahead(self.len).await
        };
        self.header_sent = HEADER_LEN;
        sent.map_err(Halt::Peer)
    }

    /// Makes sure that `wanted` is in memory. Whoever reads on has the disk one window ahead of what is being sent.
    async fn make_warm(&mut self, wanted: Range<u64>, goes_on: bool, warm: &mut Warm) -> Result<(), Halt> {
        let ahead = if goes_on { (wanted.end + WINDOW).min(self.range.end) } else { wanted.end };
        (warm.until, warm.seen) = (wanted.end, Instant::now());
        if self.source.is_cached(&wanted) {
            if warm.ahead > 0 && warm.ahead < ahead {
                self.source.read_ahead(warm.ahead..ahead);
                warm.ahead = ahead;
            }
            return Ok(());
        }
        warm.ahead = ahead;
        self.source.warm(wanted, ahead).await.map_err(Halt::File)?;
        warm.seen = Instant::now();
        Ok(())
    }
}
