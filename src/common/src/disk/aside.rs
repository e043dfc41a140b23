//! Letting go of files without waiting for it.

use tokio::runtime::Handle;

/// Drops a value on a blocking thread: a network file system that hangs hangs in the closing of a file as well, and must
/// not take the reactor along.
pub fn drop_aside<T: Send + 'static>(value: T) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(value))),
        Err(_) => drop(value),
    }
}
