//! A buffer for each thread, so that a connection that waits for its next request needs none of its own.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// How much one read may bring, in bytes: any request without bulk, and a small upload with all its bytes.
const READ_LEN: usize = 16 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_LEN].into_boxed_slice());
}

/// Reads what has come, up to 16 KiB, and gives it to `keep`, which must not read in turn. Ready with how many bytes that
/// were; 0 at the end.
pub fn poll_read(
    cx: &mut Context<'_>,
    stream: &mut (impl AsyncRead + Unpin),
    keep: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        // One read of more than has come tells the reactor that there is no more, without a second one.
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        keep(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}
