//! The GlusterFS volume of the bed.

use std::fs;
use std::io::Write;

use tnv_testbed::{Gluster, installed};

#[test]
fn files_survive_the_loss_of_a_brick() {
    if !installed(Gluster::PROGRAMS) {
        return;
    }
    let Some(gluster) = Gluster::start() else { return };
    let [here, there] = gluster.mounts();
    fs::write(here.join("a"), "one").unwrap();
    assert_eq!(fs::read_to_string(there.join("a")).unwrap(), "one");

    gluster.kill_brick(0);
    fs::write(there.join("b"), "two").unwrap();
    assert_eq!(fs::read_to_string(here.join("b")).unwrap(), "two");
    assert!(!gluster.brick(0).join("b").exists(), "this one is dead");

    gluster.restart_brick(0);
    assert_eq!(fs::read_to_string(gluster.brick(0).join("b")).unwrap(), "two", "healed");
    gluster.kill_brick(1);
    assert_eq!(fs::read_to_string(here.join("b")).unwrap(), "two");
    gluster.restart_brick(1);
}

#[test]
fn volumes_live_side_by_side_and_leave_nothing_behind() {
    if !installed(Gluster::PROGRAMS) {
        return;
    }
    let Some(first) = Gluster::start() else { return };
    let second = Gluster::start().unwrap();
    fs::write(first.mounts()[0].join("a"), "").unwrap();
    assert!(!second.mounts()[0].join("a").exists());

    let folder = first.brick(0).parent().unwrap().to_owned();
    let mut open = fs::File::create(first.mounts()[1].join("open")).unwrap();
    drop(first);
    assert!(open.write_all(b"late").and_then(|()| open.sync_all()).is_err());
    assert!(!folder.exists());
    let name = folder.to_str().unwrap();
    assert!(!fs::read_to_string("/proc/self/mounts").unwrap().contains(name));
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let arguments = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        assert!(!arguments.contains(name), "{arguments}");
    }
    fs::write(second.mounts()[0].join("a"), "").unwrap();
}
