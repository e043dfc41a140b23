//! What a body gives next, and the request's place while it does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::ReusableBoxFuture;

use super::BodyError;
use super::reader::{Bookmark, Reader};
use crate::seat::{Seat, Seats};

/// A body's bytes. A client that takes none of them for too long is not asked: what it holds up is let go, and got again
/// should it go on.
pub(super) struct Supply {
    content: Content,
    seat: Option<(Seat, Seats)>,
    /// When bytes were asked for last.
    asked: Instant,
    /// Who asked for bytes that are not there yet.
    waiting: Option<Waker>,
}

enum Content {
    Text(Bytes),
    Pieces(Flow),
    /// Let go, with what is needed to go on.
    Parked(Option<(Bookmark, Seats)>),
    /// Everything was given, or an error.
    Over,
}

/// The next chunk on its way, and the reader that fetches it.
struct Flow {
    next: ReusableBoxFuture<'static, (Box<Reader>, Result<Bytes, BodyError>)>,
    bookmark: Bookmark,
}

impl Supply {
    pub(super) fn text(text: Bytes) -> Supply {
        Supply::new(Content::Text(text))
    }

    pub(super) fn pieces(reader: Box<Reader>) -> Supply {
        let bookmark = reader.bookmark();
        Supply::new(Content::Pieces(Flow { next: ReusableBoxFuture::new(reader.next()), bookmark }))
    }

    fn new(content: Content) -> Supply {
        Supply { content, seat: None, asked: Instant::now(), waiting: None }
    }

    /// Holds the request's place as long as bytes are taken.
    pub(super) fn sit(&mut self, seat: Seat, seats: Seats) {
        self.seat = Some((seat, seats));
    }

    /// The next bytes, of which there are some; `left` are missing.
    pub(super) fn poll_chunk(&mut self, left: u64, cx: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>> {
        self.asked = Instant::now();
        self.waiting = None;
        if matches!(self.content, Content::Parked(_)) {
            self.unpark()?;
        }
        match &mut self.content {
            Content::Text(text) => Poll::Ready(Ok(std::mem::take(text))),
            Content::Pieces(flow) => {
                let Poll::Ready((reader, chunk)) = flow.next.poll(cx) else {
                    self.waiting = Some(cx.waker().clone());
                    return Poll::Pending;
                };
                match &chunk {
                    Ok(bytes) if (bytes.len() as u64) < left => {
                        flow.bookmark.advance(bytes.len());
                        flow.next.set(reader.next());
                    }
                    _ => self.content = Content::Over,
                }
                Poll::Ready(chunk)
            }
            Content::Parked(_) | Content::Over => Poll::Ready(Err(BodyError::Length("too little"))),
        }
    }

    /// Lets go of what nobody takes: the storage's connection, and the place.
    fn park(&mut self) {
        let place = self.seat.take().map(|(_, seats)| seats);
        self.content = match std::mem::replace(&mut self.content, Content::Over) {
            Content::Text(_) => Content::Parked(None),
            Content::Pieces(flow) => Content::Parked(place.map(|seats| (flow.bookmark, seats))),
            rest => rest,
        };
    }

    fn unpark(&mut self) -> Result<(), BodyError> {
        let Content::Parked(Some((bookmark, seats))) = std::mem::replace(&mut self.content, Content::Over)
        else {
            return Err(BodyError::Stalled);
        };
        self.seat = Some((seats.take().ok_or(BodyError::Crowded)?, seats));
        self.content =
            Content::Pieces(Flow { next: ReusableBoxFuture::new(bookmark.reader().next()), bookmark });
        Ok(())
    }

    /// Parks it if nothing has been asked for since `patience`. When to look again.
    fn look_after(&mut self, patience: Duration) -> Instant {
        if self.asked.elapsed() < patience {
            return self.asked + patience;
        }
        match self.waiting.take() {
            // It may be that the storage is slow, or that nobody looks at what it has sent: only who wants the bytes asks
            // again when woken.
            Some(asker) => asker.wake(),
            None => self.park(),
        }
        self.asked = Instant::now();
        self.asked + patience
    }
}

/// Looks after a supply until it is gone.
pub(super) async fn look_after(supply: Weak<Mutex<Supply>>, patience: Duration) {
    let mut next = Instant::now() + patience;
    loop {
        sleep_until(next).await;
        let Some(supply) = supply.upgrade() else { return };
        next = lock(&supply).look_after(patience);
    }
}

/// Never for long: whoever has it only polls.
pub(super) fn lock(supply: &Arc<Mutex<Supply>>) -> MutexGuard<'_, Supply> {
    // A panic in a poll leaves content that fails when polled.
    supply.lock().unwrap_or_else(PoisonError::into_inner)
}
