//! The cluster, each server its own process, and what they hold open.

use std::path::PathBuf;

use super::Settings;
use crate::harness::eventually;
use crate::harness::frames::{DELETE, DOWNLOAD, Wire, key, range};
use crate::harness::lab::{APP, Lab, Role, Server, USER, wait_active};
use crate::harness::web::Web;

/// What the gateway keeps open for later at most: connections to the other servers, pipes. Far fewer than its clients had.
const KEPT: usize = 256;

pub(super) struct Site {
    tracker: Server,
    id: Server,
    storage: Server,
    http: Server,
    addresses: Addresses,
    /// Last, so that the folder is there until all of them are gone.
    lab: Lab,
}

/// What clients connect to.
#[derive(Clone)]
pub(super) struct Addresses {
    pub(super) storage: String,
    pub(super) http: String,
}

/// How many descriptors each server has.
#[derive(Debug)]
pub(super) struct Descriptors {
    tracker: usize,
    id: usize,
    storage: usize,
    http: usize,
}

impl Site {
    pub(super) fn start(settings: &Settings) -> Site {
        let lab = Lab::new();
        let with = |role: Role, settings: &[(&str, &str)]| {
            settings.iter().fold(role, |role, (key, value)| role.set(key, value))
        };
        let tracker = Role::tracker(&lab).start(&lab);
        let id = Role::id(&lab).start(&lab);
        let storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]);
        let storage = with(storage, settings.storage).start(&lab);
        wait_active(&tracker.address, USER);
        // A client may wait for its turn on a loaded machine for longer than the default.
        let http = Role::http(&[&tracker.address]).set("header_timeout", "5m");
        let http = with(http, settings.http).start(&lab);
        let addresses = Addresses { storage: storage.address.clone(), http: http.address.clone() };
        let site = Site { tracker, id, storage, http, addresses, lab };
        site.warm_up();
        site
    }

    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(super) fn store(&self) -> PathBuf {
        self.lab.path("store")
    }

    /// What is opened once and kept is open after this.
    fn warm_up(&self) {
        let file = key(APP, USER, "first");
        let mut wire = Wire::connect(&self.storage.address);
        wire.upload(&file, b"first").ok();
        assert_eq!(wire.call(DOWNLOAD, &range(&file, 0, 0)).ok(), b"first");
        assert_eq!(Web::connect(&self.http.address).get("/files/first", &[]).body, b"first");
        wire.call(DELETE, &file).ok();
    }

    /// As they are when nobody is connected.
    pub(super) fn descriptors(&self) -> Descriptors {
        let mut last = self.count();
        // Those of the warm-up are closed in their own time: until two looks see the same.
        eventually("the descriptors to settle", || {
            let now = self.count();
            let is_same = format!("{now:?}") == format!("{last:?}");
            last = now;
            is_same.then_some(())
        });
        last
    }

    fn count(&self) -> Descriptors {
        Descriptors {
            tracker: descriptors(&self.tracker),
            id: descriptors(&self.id),
            storage: descriptors(&self.storage),
            http: descriptors(&self.http),
        }
    }

    /// Waits until the servers have no more open than before; but for what the gateway keeps, and without the gateway
    /// there is nothing of that either, and for what the storage keeps open to the id server: a connection for each of its
    /// reactors that took ids, of which the warm-up has shown one.
    #[track_caller]
    pub(super) fn assert_descriptors(&mut self, before: &Descriptors) {
        eventually("the gateway to close what it had open", || {
            (descriptors(&self.http) <= before.http + KEPT).then_some(())
        });
        assert!(self.http.process.terminate().success());
        let reactors = std::thread::available_parallelism().map_or(1, usize::from);
        eventually("the servers to close what they had open", || {
            let is_back = descriptors(&self.tracker) <= before.tracker
                && descriptors(&self.id) <= before.id + reactors
                && descriptors(&self.storage) <= before.storage + reactors;
            is_back.then_some(())
        });
    }
}

fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.process.pid())).unwrap().count()
}
