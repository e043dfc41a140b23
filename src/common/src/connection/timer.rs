//! One timer for all the waits of a connection.

use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Tells when a deadline has passed. Deadlines mostly move on before they pass: the timer stays where it is until it
/// goes off and looks for the deadline of that moment. So a wait costs no change of the timer wheel.
#[derive(Debug)]
pub(super) struct Timer {
    /// Goes off at or before every deadline that is waited for.
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// A timer for deadlines that are `usual` away. Belongs to the runtime it is made in.
    pub(super) fn new(usual: Duration) -> Timer {
        Timer { sleep: Box::pin(sleep_until(Instant::now() + usual)) }
    }

    /// Ready when the deadline has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if deadline <= self.sleep.deadline() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// Waits for `io` until the deadline.
    ///
    /// # Errors
    /// Those of `io`, and one that says of `what` that it took too long.
    pub(super) async fn before<T>(
        &mut self,
        deadline: Instant,
        what: &str,
        io: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut io = pin!(io);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = io.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            self.poll(cx, deadline).map(|()| Err(too_long(what)))
        })
        .await
    }

    /// Waits for `io` for at most `patience`. Returns how long it was waited for as well: nothing, and no look at the
    /// clock, if it was done at once.
    ///
    /// # Errors
    /// As [`Timer::before`].
    pub(super) async fn within<T>(
        &mut self,
        patience: Duration,
        what: &str,
        io: impl Future<Output = io::Result<T>>,
    ) -> io::Result<(T, Duration)> {
        let mut io = pin!(io);
        let mut since = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = io.as_mut().poll(cx) {
                let waited = since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
                return Poll::Ready(result.map(|value| (value, waited)));
            }
            let since = *since.get_or_insert_with(Instant::now);
            self.poll(cx, since + patience).map(|()| Err(too_long(what)))
        })
        .await
    }
}

fn too_long(what: &str) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("{what} took too long"))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn every_deadline_is_kept_whether_it_moves_on_or_back() {
        let begun = Instant::now();
        let mut timer = Timer::new(10 * SECOND);
        for (deadline, usual) in [(10, 10), (12, 12), (20, 20), (20, 20), (50, 50)] {
            poll_fn(|cx| timer.poll(cx, begun + deadline * SECOND)).await;
            // A timer of tokio's is a millisecond late at most.
            assert_eq!(begun.elapsed().as_secs(), usual);
        }
        // One that was far away when the timer was set.
        let mut timer = Timer::new(1000 * SECOND);
        poll_fn(|cx| timer.poll(cx, begun + 60 * SECOND)).await;
        assert_eq!(begun.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moves_on_leaves_the_timer_alone() {
        let begun = Instant::now();
        let mut timer = Timer::new(10 * SECOND);
        for second in 0..9 {
            let deadline = begun + (10 + second) * SECOND;
            tokio::select! {
                biased;
                () = poll_fn(|cx| timer.poll(cx, deadline)) => panic!("too early"),
                () = sleep(SECOND) => {}
            }
            assert_eq!(timer.sleep.deadline(), begun + 10 * SECOND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_waiting_is_counted() {
        let mut timer = Timer::new(SECOND);
        let slow = async {
            sleep(3 * SECOND).await;
            Ok(())
        };
        let ((), waited) = timer.within(5 * SECOND, "it", slow).await.unwrap();
        assert_eq!(waited.as_secs(), 3);
        sleep(100 * SECOND).await;
        let ((), waited) = timer.within(5 * SECOND, "it", async { Ok(()) }).await.unwrap();
        assert_eq!(waited, Duration::ZERO);
        let error = timer.within(5 * SECOND, "it", pending::<io::Result<()>>()).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::TimedOut, "it took too long".to_owned()));
    }
}
