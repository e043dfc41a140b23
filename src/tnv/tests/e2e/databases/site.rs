//! A cluster with a process for each role, on databases and a cache that the test has started.

use tnv_testbed::MariaDb;

use crate::harness::eventually;
use crate::harness::frames::{DELETE, Wire, key};
use crate::harness::lab::{APP, Lab, Role, Server, USER, wait_active};
use crate::kill::ledger::{Ledger, State};

/// `database.timeout`: well above what a busy machine needs, and short enough to be waited for.
const PATIENCE: &str = "2s";

pub(super) struct Site {
    pub(super) tracker: Server,
    pub(super) id: Server,
    pub(super) storage: Server,
    pub(super) http: Server,
    pub(super) storage_role: Role,
    /// Last, so that the folder is there until all of them are gone.
    pub(super) lab: Lab,
}

impl Site {
    /// Returns when a storage is active.
    #[track_caller]
    pub(super) fn start(databases: &[String], cache: &str) -> Site {
        let lab = Lab::new();
        let on = |role: Role| role.databases(databases).set("database.timeout", PATIENCE);
        let tracker = on(Role::tracker(&lab)).set("cache.url", cache).start(&lab);
        // A small step: the database is asked often.
        let id = on(Role::id(&lab)).set("step", 10).start(&lab);
        let storage_role = on(Role::storage(&lab, "store", &[&tracker.address], &[&id.address]))
            .set("id_lease", 5)
            .set("cache.url", cache);
        let storage = storage_role.start(&lab);
        let http = Role::http(&[&tracker.address]).start(&lab);
        wait_active(&tracker.address, USER);
        Site { tracker, id, storage, http, storage_role, lab }
    }

    /// How often the storage has found its cache, at the start and after each time it was away.
    pub(super) fn times_cached(&self) -> usize {
        self.storage.process.log().matches("the cache answers").count()
    }

    /// Waits until the storage has found its cache more often than that.
    #[track_caller]
    pub(super) fn await_cache(&self, times: usize) {
        eventually("the cache to be found", || (self.times_cached() > times).then_some(()));
    }

    /// After an outage: what was acknowledged is there and whole, what was deleted is gone, and bytes, rows and copies
    /// are as many as there are files.
    #[track_caller]
    pub(super) fn check(&self, ledger: &mut Ledger, database: &MariaDb) {
        self.wake_the_sweeper();
        ledger.check(&self.storage.address, &self.lab.path("store"));
        let files = ledger.count(State::Present);
        let wanted = format!("{files}\t{files}\t0");
        let mut counted = String::new();
        eventually("as many rows and copies as files", || {
            counted = rows(database);
            (counted == wanted).then_some(())
        });
    }

    /// A delete does it; else what an outage kept it from comes about a minute later.
    #[track_caller]
    fn wake_the_sweeper(&self) {
        let key = key(APP, USER, "short-lived");
        let mut wire = Wire::connect(&self.storage.address);
        eventually("an upload", || (wire.upload(&key, b"x").status == 0).then_some(()));
        wire.call(DELETE, &key).ok();
    }
}

/// Files, copies of theirs, and copies whose bytes are still to be removed.
#[track_caller]
fn rows(database: &MariaDb) -> String {
    database.query(
        "USE tnv_storagedb;
         SELECT (SELECT COUNT(*) FROM t_file_01) + (SELECT COUNT(*) FROM t_file_02) + (SELECT COUNT(*) FROM t_file_03),
                (SELECT COUNT(*) FROM t_copy WHERE state = 'present'),
                (SELECT COUNT(*) FROM t_copy WHERE state <> 'present' AND file_table > 0)",
    )
}
