//! Work that stands back behind what clients wait for: threads of a lower priority.
//!
//! Nothing that takes a lock which others wait for belongs here: a thread that may not run keeps it.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that take turns at it; what blocks has others.
const WORKERS: usize = 2;
const MAX_BLOCKING_THREADS: usize = 64;

/// A runtime for such work, running until this is dropped. What is under way then is left where it is.
#[derive(Debug)]
pub struct Background {
    /// Until it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Background {
    /// Starts it, with threads whose nice value is raised by `niceness`: 0 = as any other, 19 = only what others leave.
    ///
    /// # Errors
    /// A runtime or thread that cannot be had.
    pub fn start(niceness: u8) -> io::Result<Background> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .worker_threads(WORKERS)
            .max_blocking_threads(MAX_BLOCKING_THREADS)
            .thread_name("background")
            .on_thread_start(move || {
                // In Linux it is the thread's own. It may always be raised; where it is not, nothing is lost.
                let _ = rustix::process::nice(i32::from(niceness));
            })
            .build()?;
        Ok(Background { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Where it runs.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nice() -> i32 {
        rustix::process::nice(0).unwrap()
    }

    #[tokio::test]
    async fn its_threads_stand_back_and_no_others() {
        let before = nice();
        let background = Background::start(7).unwrap();
        let worker = background.handle().spawn(async { nice() });
        let blocking = background.handle().spawn_blocking(nice);
        let wanted = (before + 7).min(19);
        assert_eq!((worker.await.unwrap(), blocking.await.unwrap(), nice()), (wanted, wanted, before));
    }
}
