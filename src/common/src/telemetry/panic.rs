//! Panics in the log.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic;

/// Logs every panic from now on. With `on_stderr_too` the former hook runs as well: if the logs go to a file, standard
/// error should not keep silent about a panic. It also runs if errors are not logged at all.
pub(super) fn log_panics(on_stderr_too: bool) {
    let former = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let backtrace = Backtrace::capture();
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            location = panic.location().map(tracing::field::display),
            backtrace = (backtrace.status() == BacktraceStatus::Captured)
                .then(|| tracing::field::display(&backtrace)),
            "panic: {}",
            text(panic.payload()),
        );
        if on_stderr_too || !tracing::enabled!(tracing::Level::ERROR) {
            former(panic);
        }
    }));
}

fn text(payload: &(dyn Any + Send)) -> &str {
    let owned = || payload.downcast_ref::<String>().map(String::as_str);
    payload.downcast_ref::<&str>().copied().or_else(owned).unwrap_or("(no text)")
}
