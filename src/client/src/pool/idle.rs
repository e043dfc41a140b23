//! Connections at rest. A socket is driven by the runtime that it was opened on, and whoever used it on another one would
//! have a second thread woken for each byte: so every runtime finds its own here.

use std::collections::{HashMap, VecDeque};

use tokio::runtime;

use crate::connection::Connection;

/// The connections at rest to one server.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// Those of each runtime, the one used last at the end.
    homes: HashMap<runtime::Id, VecDeque<Connection>>,
    len: usize,
}

impl Idle {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Of those that this runtime drives, the one used last.
    pub(super) fn take(&mut self, home: runtime::Id) -> Option<Connection> {
        let connection = self.homes.get_mut(&home)?.pop_back()?;
        self.len -= 1;
        Some(connection)
    }

    /// Puts one in.
    pub(super) fn put(&mut self, connection: Connection) {
        self.homes.entry(connection.home()).or_default().push_back(connection);
        self.len += 1;
    }

    /// Leaves `limit` of them. Those that have rested longest are closed, whoever drives them: so no runtime keeps what
    /// others need.
    pub(super) fn shrink(&mut self, limit: usize) {
        while self.len > limit {
            let rested = |home: &&mut VecDeque<Connection>| home.front().map(Connection::idle);
            let Some(home) = self.homes.values_mut().max_by_key(rested) else { return };
            home.pop_front();
            self.len -= 1;
        }
    }

    /// Closes those that `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(&Connection) -> bool) {
        self.homes.retain(|_, connections| {
            connections.retain(&keep);
            !connections.is_empty()
        });
        self.len = self.homes.values().map(VecDeque::len).sum();
    }
}
