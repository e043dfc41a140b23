//! The Galera cluster of the bed.

use tnv_testbed::{Galera, eventually, installed};

#[test]
fn nodes_leave_and_come_back_with_what_they_missed() {
    if !installed(Galera::PROGRAMS) {
        return;
    }
    let mut galera = Galera::start(3);
    assert_eq!(galera.urls().len(), 3);
    galera.node(0).execute("CREATE DATABASE seen; CREATE TABLE seen.t (id INT PRIMARY KEY)");
    let write = |galera: &Galera, i, id| galera.node(i).execute(&format!("INSERT INTO seen.t VALUES ({id})"));
    let rows = |galera: &Galera, i| {
        galera
            .node(i)
            .query("SET SESSION wsrep_sync_wait = 1; SELECT group_concat(id ORDER BY id) FROM seen.t")
    };
    let two_left = |galera: &Galera| {
        eventually("the others noticed", || (galera.size_seen_by(0) == 2).then_some(()));
    };
    write(&galera, 1, 1);
    assert_eq!(rows(&galera, 2), "1");

    galera.kill(2);
    two_left(&galera);
    write(&galera, 0, 2);
    galera.restart(2);
    assert_eq!(rows(&galera, 2), "1,2");
    let log = galera.node(2).log();
    assert!(log.contains("rsync IST completed on joiner"), "it asks for what it missed:\n{log}");
    assert_eq!(
        log.matches("rsync SST completed on joiner").count(),
        1,
        "and for everything only once:\n{log}"
    );

    galera.stop(1);
    two_left(&galera);
    write(&galera, 2, 3);
    galera.restart(1);
    assert_eq!(rows(&galera, 1), "1,2,3");

    galera.pause(1);
    two_left(&galera);
    write(&galera, 0, 4);
    galera.resume(1);
    galera.wait_until_synced(1);
    eventually("it is back", || (galera.size_seen_by(1) == 3).then_some(()));
    galera.wait_until_synced(1);
    assert_eq!(rows(&galera, 1), "1,2,3,4");
}

#[test]
fn a_node_alone_refuses_to_write() {
    if !installed(Galera::PROGRAMS) {
        return;
    }
    let mut galera = Galera::start(2);
    galera.kill(1);
    // One of two is no majority.
    eventually("it gives up", || (galera.size_seen_by(0) == 1).then_some(()));
    let refused = std::panic::catch_unwind(|| galera.node(0).execute("CREATE DATABASE refused"));
    let message = refused.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("ERROR 1047 "), "{message}");
}
