//! The machine this process runs on.

use std::sync::OnceLock;

/// The host name, cut to the 128 bytes that fit the wire; `localhost` if the system has none.
pub fn name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let system = rustix::system::uname();
        let mut name = String::from_utf8_lossy(system.nodename().to_bytes()).into_owned();
        while name.len() > 128 {
            name.pop();
        }
        if name.is_empty() { "localhost".to_owned() } else { name }
    })
}

/// Raises the soft limit on open files to the hard one: every connection and every file being read costs one.
pub fn raise_open_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }
}
