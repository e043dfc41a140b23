//! What the database asks of accounts, what a server says that may not do what it must, and that nobody hears of a
//! password.

use tnv_testbed::{MariaDb, installed};

use crate::harness::files_below;
use crate::harness::frames::{DELETE, FILESIZE, Wire, key};
use crate::harness::lab::{APP, Lab, Role, USER, list, own_address, wait_active};
use crate::harness::process::{run, text, tnv};
use crate::harness::web::get;

/// What no output may hold.
const SECRETS: [&str; 3] = ["owners-word", "hunter2", "wrong-word"];
const ROLES: [&str; 3] = ["tracker", "id", "storage"];

const ACCOUNTS: &str = "
CREATE USER owner@'%' IDENTIFIED BY 'owners-word';
GRANT ALL PRIVILEGES ON tnv_trackerdb.* TO owner@'%';
GRANT ALL PRIVILEGES ON tnv_idsdb.* TO owner@'%';
GRANT ALL PRIVILEGES ON tnv_storagedb.* TO owner@'%';
CREATE USER server@'%' IDENTIFIED BY 'hunter2';
GRANT SELECT, INSERT, UPDATE, DELETE ON tnv_trackerdb.* TO server@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON tnv_idsdb.* TO server@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON tnv_storagedb.* TO server@'%';
CREATE USER reader@'%' IDENTIFIED BY 'hunter2';
GRANT SELECT ON tnv_trackerdb.* TO reader@'%';
GRANT SELECT ON tnv_idsdb.* TO reader@'%';
GRANT SELECT ON tnv_storagedb.* TO reader@'%';
CREATE USER nobody@'%' IDENTIFIED BY 'hunter2'";

#[test]
fn four_privileges_are_enough_once_the_tables_are_made() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let (lab, database) = (Lab::new(), MariaDb::start());
    database.execute(ACCOUNTS);
    let (owner, server) = (database.url_of("owner", "owners-word"), database.url_of("server", "hunter2"));
    let house = House { lab: &lab, database: &database };

    for role in ROLES {
        let said = house.refused(role, &server, &[]);
        assert!(said.contains("up to date") && said.contains("denied"), "{said}");
        let said = house.refused(role, &server, &["--set", "database.migrate=false"]);
        assert!(said.contains("--migrate"), "{said}");
    }
    for _ in 0..2 {
        for role in ROLES {
            let said = house.done(role, &owner, &["--migrate"]);
            assert!(said.contains("up to date") && said.contains(&database.address()), "{said}");
        }
    }
    for role in ROLES {
        let said = house.done(role, &server, &["--check"]);
        assert!(said.contains(&database.address()) && said.contains("MariaDB"), "{said}");
        assert!(said.contains(&format!("{role} tables up to date")), "{said}");
    }

    // The password from the environment, from a file and from the address.
    let bare = server.replace(":hunter2", "");
    let file = lab.file("password", "hunter2\n");
    let tracker = Role::tracker(&lab).databases(std::slice::from_ref(&server)).start(&lab);
    let id = Role::id(&lab)
        .databases(std::slice::from_ref(&bare))
        .set("database.password_file", &file)
        .start(&lab);
    let storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address])
        .databases(&[bare])
        .set("database.password", "hunter2")
        .start(&lab);
    let http = Role::http(&[&tracker.address]).start(&lab);
    wait_active(&tracker.address, USER);
    let mut wire = Wire::connect(&storage.address);
    wire.upload(&key(APP, USER, "file"), b"contents").ok();
    assert_eq!(get(&http.address, "/files/file", &[]).body, b"contents");
    assert!(wire.call(DELETE, &key(APP, USER, "file")).ok().is_empty());
    assert_eq!(wire.call(FILESIZE, &key(APP, USER, "file")).refused(), 404);
    drop([tracker, id, storage, http]);
    house.assert_no_secrets();
}

#[test]
fn what_a_server_cannot_use_is_named_with_what_to_do_and_without_the_password() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let (lab, database) = (Lab::new(), MariaDb::start());
    database.execute(ACCOUNTS);
    let house = House { lab: &lab, database: &database };
    for role in ROLES {
        house.done(role, &database.url_of("owner", "owners-word"), &["--migrate"]);
    }
    let (server, wrong) = (database.url_of("server", "hunter2"), database.url_of("server", "wrong-word"));

    for role in ROLES {
        for check in [&["--check"][..], &[]] {
            let said = house.refused(role, &wrong, check);
            assert!(
                said.contains("Access denied") && said.contains("check the user and the password"),
                "{said}"
            );
            let said = house.refused(role, &database.url_of("nobody", "hunter2"), check);
            assert!(said.contains("denied") && said.contains("GRANT") && said.contains("tnv_"), "{said}");
        }
    }
    let said = house.refused("storage", &database.url_of("reader", "hunter2"), &[]);
    assert!(said.contains("command denied to user") && said.contains("GRANT the account"), "{said}");

    database.execute("UPDATE tnv_storagedb.t_schema SET version = 99");
    for check in [&["--check"][..], &["--migrate"], &[]] {
        let said = house.refused("storage", &server, check);
        assert!(said.contains("version 99") && said.contains("tnv_storagedb"), "{said}");
        assert!(said.contains("run the version that made them"), "{said}");
    }

    database.execute(
        "DROP DATABASE tnv_storagedb; CREATE DATABASE tnv_storagedb; USE tnv_storagedb;
         CREATE TABLE t_file_01 (id INT PRIMARY KEY, title TEXT); INSERT INTO t_file_01 VALUES (1, 'theirs')",
    );
    for check in [&["--check"][..], &["--migrate"], &[]] {
        let said = house.refused("storage", &database.url_of("owner", "owners-word"), check);
        assert!(said.contains("t_file_01") && said.contains("another program's"), "{said}");
        assert!(said.contains("tnv_storagedb"), "{said}");
    }
    let tables = database.query("SHOW TABLES IN tnv_storagedb; SELECT title FROM tnv_storagedb.t_file_01");
    assert_eq!(tables, "t_file_01\ntheirs", "it is left as it was");

    let nowhere = own_address();
    let said = house.refused("storage", &format!("mysql://server:hunter2@{nowhere}/"), &["--check"]);
    assert!(said.contains(&nowhere) && said.contains("refused"), "{said}");
    house.assert_no_secrets();
}

/// Where programs run that end by themselves.
struct House<'a> {
    lab: &'a Lab,
    database: &'a MariaDb,
}

impl House<'_> {
    fn run(&self, role: &str, url: &str, more: &[&str]) -> (Option<i32>, String, String) {
        let settings = [
            format!("database.urls={}", list(&[url])),
            "listen=127.0.0.1:0".to_owned(),
            format!("log.file={}", self.lab.arg("tnv.log")),
            format!("store_paths={}", list(&[&self.lab.arg("never")])),
        ];
        let of_role = &settings[..if role == "storage" { 4 } else { 3 }];
        let settings = of_role.iter().flat_map(|setting| ["--set", setting]);
        let args: Vec<&str> = [role].into_iter().chain(settings).chain(more.iter().copied()).collect();
        let output = run(tnv(), &args);
        let (stdout, stderr) = text(&output);
        for secret in SECRETS {
            assert!(!stdout.contains(secret) && !stderr.contains(secret), "{stdout}{stderr}");
        }
        (output.status.code(), stdout, stderr)
    }

    /// What a program says that does what it is told.
    #[track_caller]
    fn done(&self, role: &str, url: &str, more: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(role, url, more);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{role} {more:?}");
        stdout
    }

    /// The one sentence of a program that does not; it names the server.
    #[track_caller]
    fn refused(&self, role: &str, url: &str, more: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(role, url, more);
        assert_eq!(code, Some(1), "{role} {more:?}: {stdout}{stderr}");
        assert!(stderr.starts_with("tnv: ") && stderr.lines().count() == 1, "{role} {more:?}: {stderr}");
        if url.contains(&self.database.address()) {
            assert!(stderr.contains(&self.database.address()), "{role} {more:?}: {stderr}");
        }
        stderr
    }

    /// No file that any of them wrote to holds a password, but the one it was read from.
    #[track_caller]
    fn assert_no_secrets(&self) {
        let written = files_below(&self.lab.path(""));
        assert!(written.iter().any(|path| path.ends_with("tnv.log")), "{written:?}");
        for path in written.iter().filter(|path| !path.ends_with("password")) {
            let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
            for secret in SECRETS {
                assert!(!text.contains(secret), "{} has {secret}", path.display());
            }
        }
    }
}
