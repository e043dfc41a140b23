//! A database that servers of the older system made and filled, and go on filling, served as it is.

use std::path::Path;

use tnv_testbed::{MariaDb, installed};

use crate::harness::frames::{DELETE, FILESIZE, ID_GET, SADDRS, STAT, Wire, addresses, id_key, key};
use crate::harness::lab::{APP, Lab, Role, Server, USER, wait_active};
use crate::harness::pattern::Pattern;
use crate::harness::web::{Web, get};
use crate::harness::{contents_below, eventually, temps_below};

/// As the older system's own script has it: no keys but the primary ones, one database's character set, no nulls, and
/// the times that it writes itself.
const TABLES: &str = "
CREATE DATABASE tnv_trackerdb CHARACTER SET utf8mb3; USE tnv_trackerdb;
CREATE TABLE t_groups_info (
    id INT NOT NULL AUTO_INCREMENT, group_name VARCHAR(32) DEFAULT NULL,
    create_time TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP, update_time TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (id)) ENGINE = InnoDB;
CREATE TABLE t_router (
    id INT NOT NULL AUTO_INCREMENT, appid VARCHAR(32) DEFAULT NULL, userid VARCHAR(128) DEFAULT NULL,
    group_name VARCHAR(32) DEFAULT NULL, create_time TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
    update_time TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (id)) ENGINE = InnoDB;
INSERT INTO t_groups_info (group_name) VALUES ('group001'), ('group002');
INSERT INTO t_router (appid, userid, group_name, create_time) VALUES
    ('tnvideo', 'tnv001', 'group001', '2020-09-26 13:16:34'),
    ('tnvideo', 'twice', 'group001', '2020-09-26 13:16:35'), ('tnvideo', 'twice', 'group002', '2020-09-26 13:16:35');

CREATE DATABASE tnv_idsdb CHARACTER SET utf8mb3; USE tnv_idsdb;
CREATE TABLE t_id_gen (
    id VARCHAR(64) NOT NULL DEFAULT '', id_value BIGINT DEFAULT NULL,
    create_time TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP, update_time TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (id)) ENGINE = InnoDB;
INSERT INTO t_id_gen (id, id_value) VALUES ('../data', 700);

CREATE DATABASE tnv_storagedb CHARACTER SET utf8mb3; USE tnv_storagedb;
CREATE TABLE t_file_01 (
    id VARCHAR(64) NOT NULL DEFAULT '', appid VARCHAR(32) DEFAULT NULL, userid VARCHAR(128) DEFAULT NULL,
    status TINYINT DEFAULT NULL, file_path VARCHAR(64) DEFAULT NULL, file_size BIGINT DEFAULT NULL,
    create_time TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP, update_time TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (id)) ENGINE = InnoDB;
CREATE TABLE t_file_02 LIKE t_file_01;
CREATE TABLE t_file_03 LIKE t_file_01;
";

/// Ids of 36 characters, as the older clients make them.
const OLD: &str = "5f9e3fa7085e5aa25387c8cf7b5f29000117";
const SHORT: &str = "5f9e3fa7085e5aa25387c8cf7b5f29000218";
const LATER: &str = "5f9e3fa7085e5aa25387c8cf7b5f29000319";
const STRAY: &str = "5f9e3fa7085e5aa25387c8cf7b5f29000420";
const NEW: &str = "6640c41807ffea386043bad2c6ee25000197";

/// Hexadecimal digits, as the older system's newer versions write them; ours have decimal ones.
const OLD_PATH: &str = "000/000/0A1/5F6E7AD2_1FF";

#[test]
fn a_database_of_the_older_system_is_served_as_it_is() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let older = Older::start();
    let (old, short) = (Pattern::new(1, 1_500_000), Pattern::new(2, 11));
    older.store(OLD, OLD_PATH, &old);
    older.store(SHORT, "000/000/001/5F6E7AD3_0B7", &short);
    let [tracker, id, storage, http] = older.serve();
    let mut wire = Wire::connect(&storage.address);

    let (group, found) = addresses(&Wire::connect(&tracker.address).call(SADDRS, &key(APP, USER, OLD)).ok());
    assert_eq!((group.as_str(), found), ("group001", vec![storage.address.clone()]));
    // Two older trackers chose at once: the first row holds, and somebody should know.
    let route = Wire::connect(&tracker.address).call(SADDRS, &key(APP, "twice", "")).ok();
    assert_eq!(addresses(&route).0, "group001");
    let log = tracker.process.log();
    assert!(log.contains("WARN") && log.contains("tnvideo/twice: group001,group002"), "{log}");

    older.assert_reads(&mut wire, &http, OLD, &old);
    older.assert_reads(&mut wire, &http, SHORT, &short);
    assert_eq!(listed(&http), [OLD, SHORT]);

    // Ours beside it: counted on from where the older id server was, in the same folder.
    let new = Pattern::new(3, 300_000);
    wire.upload(&key(APP, USER, NEW), &new.bytes()).ok();
    older.assert_reads(&mut wire, &http, NEW, &new);
    let numbers: Vec<u64> = contents_below(&older.store).into_iter().map(|(number, _)| number).collect();
    assert!(numbers.len() == 1 && numbers[0] >= 700, "{numbers:?}");
    assert!(Wire::connect(&id.address).call(ID_GET, &id_key("../data")).integer() > 700);
    assert_eq!(
        older
            .database
            .query(&format!("SELECT LEFT(file_path, 20) FROM tnv_storagedb.t_file_02 WHERE id = '{NEW}'")),
        "../data/000/000/001/"
    );

    // An older server goes on beside ours.
    let later = Pattern::new(4, 70_000);
    assert_eq!(wire.call(FILESIZE, &key(APP, USER, LATER)).refused(), 404);
    older.store(LATER, "000/000/0A1/5F6E7AD4_1FE", &later);
    older.assert_reads(&mut wire, &http, LATER, &later);
    assert_eq!(listed(&http).len(), 4);

    // Rows whose path lies elsewhere are refused, never followed.
    older.row(STRAY, "../database/000/000/000/5F6E7AD2_000", 5);
    let reason = wire.download(&key(APP, USER, STRAY), 0, 0).reason(503);
    assert!(reason.contains("not configured here"), "{reason}");
    older.database.execute(&format!(
        "UPDATE tnv_storagedb.t_file_02 SET file_path = '../data/../tracker.toml' WHERE id = '{STRAY}'"
    ));
    wire.download(&key(APP, USER, STRAY), 0, 0).reason(503);

    // Other users' files, and the id of one asked for as another's, stay what they are.
    assert_eq!(wire.call(FILESIZE, &key(APP, "tnv002", OLD)).refused(), 404);
    assert_eq!(wire.upload(&key(APP, USER, OLD), b"again").refused(), 409);

    for (file, path) in [(OLD, OLD_PATH), (LATER, "000/000/0A1/5F6E7AD4_1FE")] {
        assert!(wire.call(DELETE, &key(APP, USER, file)).ok().is_empty());
        assert_eq!(wire.call(FILESIZE, &key(APP, USER, file)).refused(), 404);
        eventually("the bytes to be removed", || (!older.store.join(path).exists()).then_some(()));
        assert_eq!(older.count(&format!("t_file_02 WHERE id = '{file}'")), "0");
    }
    // What stood for them while they were removed is forgotten: one copy, that of our file, is left.
    eventually("the copies", || (older.count("t_copy") == "1").then_some(()));
    older.assert_reads(&mut wire, &http, SHORT, &short);
    older.assert_reads(&mut wire, &http, NEW, &new);
    assert!(temps_below(&older.store).is_empty());
}

#[test]
fn a_file_that_an_older_server_deletes_is_gone_at_once() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let older = Older::start();
    let old = Pattern::new(1, 5_000);
    older.store(OLD, OLD_PATH, &old);
    let [_tracker, _id, storage, http] = older.serve();
    let mut wire = Wire::connect(&storage.address);
    older.assert_reads(&mut wire, &http, OLD, &old);
    older.database.execute(&format!("DELETE FROM tnv_storagedb.t_file_02 WHERE id = '{OLD}'"));
    std::fs::remove_file(older.store.join(OLD_PATH)).unwrap();
    for command in [FILESIZE, STAT, DELETE] {
        assert_eq!(wire.call(command, &key(APP, USER, OLD)).refused(), 404);
    }
    assert_eq!(wire.download(&key(APP, USER, OLD), 0, 0).refused(), 404);
    get(&http.address, &format!("/files/{OLD}"), &[]).assert_refused(404, "a deleted file");
}

/// The older system: its database, and its folder `data` beside the folder of the config files.
struct Older {
    database: MariaDb,
    store: std::path::PathBuf,
    lab: Lab,
}

impl Older {
    fn start() -> Older {
        let (database, lab) = (MariaDb::start(), Lab::new());
        database.load(Path::new(&lab.file("older.sql", TABLES)));
        let store = lab.path("data");
        Older { database, store, lab }
    }

    /// What an older storage does when a file comes.
    fn store(&self, id: &str, path: &str, contents: &Pattern) {
        let file = self.store.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, contents.bytes()).unwrap();
        self.row(id, &format!("../data/{path}"), contents.len());
    }

    fn row(&self, id: &str, path: &str, size: u64) {
        // It leaves nothing to the defaults but our columns, which it does not know.
        self.database.execute(&format!(
            "INSERT INTO tnv_storagedb.t_file_02 SET id = '{id}', appid = '{APP}', userid = '{USER}', status = 0,
                 file_path = '{path}', file_size = {size}, create_time = NOW(), update_time = NOW()"
        ));
    }

    fn count(&self, of: &str) -> String {
        self.database.query(&format!("SELECT COUNT(*) FROM tnv_storagedb.{of}"))
    }

    /// Our servers in place of its own, configured by files in `etc`.
    fn serve(&self) -> [Server; 4] {
        std::fs::create_dir(self.lab.path("etc")).unwrap();
        let database = format!("[database]\nurl = \"{}\"\n", self.database.url());
        let configured = |role: &'static str, text: String| {
            let file = self.lab.file(&format!("etc/{role}.toml"), text);
            Role::configured(role, &file).start(&self.lab)
        };
        let tracker = configured("tracker", database.clone());
        let id = configured("id", database.clone());
        let (trackers, ids) = (format!("[\"{}\"]", tracker.address), format!("[\"{}\"]", id.address));
        let storage = configured(
            "storage",
            format!(
                "group = \"group001\"\nstore_paths = [\"../data\"]\ntrackers = {trackers}\nids = {ids}\n{database}"
            ),
        );
        let http = configured("http", format!("trackers = {trackers}\n"));
        wait_active(&tracker.address, USER);
        [tracker, id, storage, http]
    }

    /// Every way to read a file gives its bytes.
    #[track_caller]
    fn assert_reads(&self, wire: &mut Wire, http: &Server, id: &str, contents: &Pattern) {
        let (key, len) = (key(APP, USER, id), contents.len());
        assert_eq!(wire.call(FILESIZE, &key).integer() as u64, len);
        assert!(wire.download(&key, 0, 0).ok() == contents.bytes(), "{id}");
        let (from, size) = (len / 3, len / 2);
        let part = wire.download(&key, from as i64, size as i64).ok();
        assert!(part.len() as u64 == size && contents.has(from, &part), "{id}");
        let mut web = Web::connect(&http.address);
        let path = format!("/files/{id}");
        let whole = web.get(&path, &[]);
        assert!(whole.status == 200 && whole.body == contents.bytes(), "{id}: {}", whole.status);
        let part = web.get(&path, &[("Range", &format!("bytes={from}-{}", from + size - 1))]);
        assert_eq!((part.status, part.body.len() as u64), (206, size), "{id}");
        assert!(contents.has(from, &part.body), "{id}");
        let end = web.get(&path, &[("Range", "bytes=-5")]);
        assert!(end.status == 206 && contents.has(len - 5, &end.body), "{id}");
    }
}

/// The ids in the gateway's list, sorted.
fn listed(http: &Server) -> Vec<String> {
    let page = get(&http.address, "/api/files?limit=1000", &[]).json();
    let files = page["files"].as_array().unwrap_or_else(|| panic!("{page}"));
    let mut ids: Vec<String> = files.iter().map(|file| file["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}
