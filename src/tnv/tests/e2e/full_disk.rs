//! A disk that really is full: a small ext4 of its own, mounted on a loop device.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::frames::{Wire, key};
use crate::harness::lab::{APP, Lab, USER, assert_no_temps};
use crate::harness::pattern::Pattern;
use crate::harness::{eventually, installed, say};

/// The size of the disk.
const SIZE: u64 = 64 << 20;

pub(crate) struct Disk {
    pub(crate) folder: PathBuf,
}

impl Disk {
    /// A disk of `size` bytes as `data` in the lab; `None` where this user may not mount.
    pub(crate) fn mount(lab: &Lab, size: u64) -> Option<Disk> {
        Disk::mount_as(lab, "data", size)
    }

    /// The same as another folder of the lab.
    pub(crate) fn mount_as(lab: &Lab, name: &str, size: u64) -> Option<Disk> {
        let (image, folder) = (lab.arg("disk.img"), lab.path(name));
        std::fs::File::create(&image).unwrap().set_len(size).unwrap();
        std::fs::create_dir(&folder).unwrap();
        assert!(Command::new("mkfs.ext4").args(["-q", "-m", "0", &image]).status().unwrap().success());
        let mounted =
            Command::new("mount").args(["-o", "loop", &image]).arg(&folder).status().unwrap().success();
        if !mounted {
            assert!(std::env::var_os("CI").is_none(), "a loop device cannot be mounted");
            say("skipped: a loop device cannot be mounted");
            return None;
        }
        Some(Disk { folder })
    }

    /// Takes every block that is left, as any other program on that disk may.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.folder.join("other-program");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that a failed test left behind may still hold it.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

fn upload(storage: &str, id: &str, pattern: &Pattern) -> u16 {
    let reply = Wire::connect(storage).upload(&key(APP, USER, id), &pattern.bytes());
    if reply.status == 0 { 0 } else { reply.refused() }
}

fn whole(storage: &str, id: &str, pattern: &Pattern) -> bool {
    Wire::connect(storage).download(&key(APP, USER, id), 0, 0).ok() == pattern.bytes()
}

#[test]
fn a_full_disk_refuses_uploads_loses_nothing_and_can_be_freed() {
    if installed(&["mkfs.ext4", "mount"]) {
        for sync in ["always", "group", "none"] {
            fill_and_free(sync);
        }
    }
}

fn fill_and_free(sync: &str) {
    let lab = Lab::new();
    let Some(disk) = Disk::mount(&lab, SIZE) else { return };
    let pattern = |n: u64| Pattern::new(n, 5_000_000);
    let sync = format!("storage.sync={sync:?}");
    let options = ["--set", "storage.reserved_space=0", "--set", sync.as_str()];

    let mut up = lab.up_with(&options);
    let mut stored = 0;
    let code = loop {
        match upload(&up.storage, &format!("file {stored}"), &pattern(stored)) {
            0 => stored += 1,
            code => break code,
        }
    };
    assert_eq!(code, 507);
    assert!(stored >= 5, "{stored} files of 5 MB on a disk of 64 MiB");
    assert_no_temps(Path::new(&disk.folder.join("store")));

    let other = disk.fill();
    let mut small = 0;
    eventually("no room for anyone", || {
        small += 1;
        (upload(&up.storage, &format!("small {small}"), &Pattern::new(1, 100)) == 507).then_some(())
    });
    assert!((0..stored).all(|n| whole(&up.storage, &format!("file {n}"), &pattern(n))));

    // A start on the full disk serves what is there, and a delete makes room.
    up.process.kill();
    drop(up);
    let mut up = lab.up_with(&options);
    assert!((0..stored).all(|n| whole(&up.storage, &format!("file {n}"), &pattern(n))));
    assert!(Wire::connect(&up.storage).call(73, &key(APP, USER, "file 0")).ok().is_empty());
    std::fs::remove_file(other).unwrap();
    eventually("room again", || (upload(&up.storage, "after", &pattern(99)) == 0).then_some(()));
    assert!(whole(&up.storage, "after", &pattern(99)));
    assert!(up.process.terminate().success());
    drop(disk);
}

/// The room was there when it was last measured, and is not when the blocks are asked for.
#[test]
fn an_upload_that_finds_the_disk_full_leaves_nothing_behind_its_refusal() {
    if !installed(&["mkfs.ext4", "mount"]) {
        return;
    }
    let lab = Lab::new();
    let Some(disk) = Disk::mount(&lab, SIZE) else { return };
    let mut up = lab.up_with(&["--set", "storage.reserved_space=0"]);
    assert_eq!(upload(&up.storage, "before", &Pattern::new(1, 100)), 0);
    let other = disk.fill();
    // It may be seen at once that there is no room; then there was nothing to be removed.
    for (n, size) in [30_000_000, 600_000, 5_000].into_iter().enumerate() {
        assert_eq!(upload(&up.storage, &format!("refused {n}"), &Pattern::new(2, size)), 507);
        assert_no_temps(Path::new(&disk.folder.join("store")));
    }
    std::fs::remove_file(other).unwrap();
    eventually("room again", || {
        (upload(&up.storage, "after", &Pattern::new(3, 30_000_000)) == 0).then_some(())
    });
    assert!(whole(&up.storage, "after", &Pattern::new(3, 30_000_000)));
    assert!(up.process.terminate().success());
    drop(disk);
}
