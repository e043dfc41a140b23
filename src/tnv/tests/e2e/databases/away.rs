//! What goes on while no database answers, and what is refused, why and how early.

use tnv_testbed::{MariaDb, installed};

use super::site::Site;
use crate::harness::eventually;
use crate::harness::frames::{DELETE, FILESIZE, ID_GET, Reply, SADDRS, STAT, Wire, id_key, key};
use crate::harness::lab::{APP, USER, assert_no_temps, wait_active};
use crate::harness::pattern::Pattern;
use crate::harness::web::{Web, get};

#[test]
fn what_is_cached_goes_on_and_everything_else_is_refused_with_the_reason() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let mut database = MariaDb::start();
    let site = Site::start(&[database.url()], "memory:");
    let (seen, unseen) = (Pattern::new(1, 400_000), Pattern::new(2, 5_000));
    let mut wire = Wire::connect(&site.storage.address);
    wire.upload(&key(APP, USER, "seen"), &seen.bytes()).ok();
    wire.upload(&key(APP, USER, "unseen"), &unseen.bytes()).ok();
    let away = Away { site: &site, address: database.address(), seen: &seen };
    assert_eq!(get(&site.http.address, "/files/seen", &[]).body, seen.bytes());

    database.kill();
    away.assert();
    database.restart();
    away.assert_back(&unseen);

    // What is read once is cached, and the next user has a group.
    wire.upload(&key(APP, USER, "other"), b"other").ok();
    database.pause();
    away.assert_for("unseen-user-2", "other");
    database.resume();
    eventually("the database again", || (try_upload(&site, "after") == 0).then_some(()));
    assert_no_temps(&site.lab.path("store"));
}

#[test]
fn servers_wait_a_little_for_a_database_that_starts_with_them() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let mut database = MariaDb::start();
    let mut site = Site::start(&[database.url()], "memory:");
    Wire::connect(&site.storage.address).upload(&key(APP, USER, "before"), b"before").ok();
    site.storage.process.kill();
    database.kill();
    let storage = std::thread::scope(|scope| {
        let starting = scope.spawn(|| site.storage_role.start(&site.lab));
        eventually("it waits", || {
            site.storage.process.log().contains("waiting for a database").then_some(())
        });
        database.restart();
        starting.join().unwrap()
    });
    assert_eq!(Wire::connect(&storage.address).download(&key(APP, USER, "before"), 0, 0).ok(), b"before");
}

struct Away<'a> {
    site: &'a Site,
    /// Of the database, which every reason must name.
    address: String,
    /// A file that was read before.
    seen: &'a Pattern,
}

impl Away<'_> {
    fn assert(&self) {
        self.assert_for("unseen-user", "unseen");
    }

    /// `user` has neither group nor numbers yet, and `file` was never read.
    #[track_caller]
    fn assert_for(&self, user: &str, file: &str) {
        let mut storage = Wire::connect(&self.site.storage.address);
        let (cached, other) = (key(APP, USER, "seen"), key(APP, USER, file));
        assert!(storage.download(&cached, 0, 0).ok() == self.seen.bytes());
        assert_eq!(storage.call(FILESIZE, &cached).integer() as u64, self.seen.len());
        self.refused(&storage.download(&other, 0, 0));
        for command in [FILESIZE, STAT, DELETE] {
            self.refused(&storage.call(command, &other));
        }
        // Not even of what is cached: the row must go first.
        self.refused(&storage.call(DELETE, &cached));
        self.refuses_uploads_early();

        let mut tracker = Wire::connect(&self.site.tracker.address);
        tracker.call(SADDRS, &key(APP, USER, "")).ok();
        self.refused(&tracker.call(SADDRS, &key(APP, user, "")));
        self.refused(&Wire::connect(&self.site.id.address).call(ID_GET, &id_key(user)));

        let mut web = Web::connect(&self.site.http.address);
        let part = web.get("/files/seen", &[("Range", "bytes=100000-299999")]);
        assert_eq!(part.status, 206);
        assert!(self.seen.has(100_000, &part.body) && part.body.len() == 200_000);
        web.get(&format!("/files/{file}"), &[]).assert_refused(503, "a file that was not read before");
        web.post("/files", &[], b"contents").assert_refused(503, "an upload");
    }

    /// Only the fixed part is sent: the refusal does not wait for a single byte.
    #[track_caller]
    fn refuses_uploads_early(&self) {
        let mut wire = Wire::connect(&self.site.storage.address);
        wire.begin_upload(&key(APP, USER, "refused"), 10_000_000).unwrap();
        self.refused(&wire.reply());
        assert_no_temps(&self.site.lab.path("store"));
    }

    #[track_caller]
    fn refused(&self, reply: &Reply) {
        let reason = reply.reason(503);
        assert!(reason.contains("no database answers") && reason.contains(&self.address), "{reason}");
    }

    #[track_caller]
    fn assert_back(&self, unseen: &Pattern) {
        wait_active(&self.site.tracker.address, "unseen-user");
        eventually("uploads", || (try_upload(self.site, "refused") == 0).then_some(()));
        let mut wire = Wire::connect(&self.site.storage.address);
        assert!(wire.download(&key(APP, USER, "unseen"), 0, 0).ok() == unseen.bytes());
        assert!(wire.call(DELETE, &key(APP, USER, "unseen")).ok().is_empty());
        assert_eq!(wire.call(FILESIZE, &key(APP, USER, "unseen")).refused(), 404);
        let numbers = || Wire::connect(&self.site.id.address).call(ID_GET, &id_key("unseen-user")).status;
        eventually("numbers", || (numbers() == 0).then_some(()));
        let files = || get(&self.site.http.address, "/files/seen", &[]).status;
        assert_eq!(files(), 200);
    }
}

fn try_upload(site: &Site, file: &str) -> u16 {
    let reply = Wire::connect(&site.storage.address).upload(&key(APP, USER, file), b"contents");
    if reply.status == 0 { 0 } else { reply.refused() }
}
