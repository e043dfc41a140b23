//! What the hub takes at most: disk for uploads, and memory for downloads.

use std::io::Read;

use super::Site;
use crate::full_disk::Disk;
use crate::harness::lab::{Lab, Role, wait_active};
use crate::harness::pattern::Pattern;
use crate::harness::web::{Web, get, request};
use crate::harness::{installed, say};
use crate::memory::peak_kib;

/// A form with one file.
fn form(contents: &[u8]) -> Vec<u8> {
    let mut form =
        b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n".to_vec();
    form.extend_from_slice(contents);
    form.extend_from_slice(b"\r\n--b--\r\n");
    form
}

#[test]
fn a_form_that_the_disk_has_no_room_for_is_told_so() {
    if !installed(&["mkfs.ext4", "mount"]) {
        return;
    }
    let lab = Lab::new();
    std::fs::create_dir(lab.path("data")).unwrap();
    let Some(disk) = Disk::mount_as(&lab, "data/uploads", 16 << 20) else { return };
    let site = Site::start(&lab, &[], 0);
    site.meeting("m1", b"small files need no disk");
    disk.fill();
    let large = Pattern::new(61, 2_000_000).bytes();
    let kind = [("Content-Type", "multipart/form-data; boundary=b")];
    let refused = Web::connect(&site.hub).post("/api/v1/meetings/m1/files", &kind, &form(&large));
    assert_eq!(refused.status, 507, "{}", refused.text());
    assert!(refused.text().contains("PUT with a Content-Length"), "{}", refused.text());
    let put = Web::connect(&site.hub).send_body("PUT", "/api/v1/meetings/m1/files/b.bin", &[], &large);
    assert_eq!(put.status, 201, "{}", put.text());
    let files = get(&site.hub, "/api/v1/meetings/m1", &[]).json();
    assert_eq!(files["files"].as_array().unwrap().len(), 2, "{files}");
}

const CLIENTS: usize = 300;
/// What send_memory is enough for by default.
const SERVED: usize = 51;
const BAR_KIB: u64 = 64 * 1024;

/// A hub in a process of its own, and many clients that ask for a package and take next to nothing of it.
#[test]
fn stalled_downloads_leave_the_hub_below_64_mib() {
    crate::harness::raise_descriptor_limit(2 * CLIENTS as u64);
    let lab = Lab::new();
    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    let _storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]).start(&lab);
    wait_active(&tracker.address, "meeting-m1");
    let hub = Role::hub(&lab, &[&tracker.address]).start(&lab);
    let site = Site { process: hub.process, hub: hub.address, nodes: Vec::new() };
    site.meeting("m1", &Pattern::new(62, 24 << 20).bytes());
    let path = "/api/v1/meetings/m1/download-package";
    let mut clients: Vec<Web> = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Web::connect(&site.hub);
        client.send(request("GET", path, &[]).as_bytes());
        clients.push(client);
    }
    let mut statuses: Vec<String> = Vec::new();
    for client in &mut clients {
        let mut status = [0; 12];
        client.stream.read_exact(&mut status).unwrap();
        statuses.push(String::from_utf8_lossy(&status[9..]).into_owned());
    }
    let count = |status: &str| statuses.iter().filter(|found| *found == status).count();
    let (served, refused) = (count("200"), count("503"));
    let peak = peak_kib(site.process.pid());
    say(&format!("{served} stalled downloads, {refused} refused: peak resident KiB of the hub {peak}"));
    assert_eq!((served, refused), (SERVED, CLIENTS - SERVED));
    assert!(peak < BAR_KIB, "{peak} KiB, the bar is {BAR_KIB}");
    clients.truncate(1);
    let whole = get(&site.hub, path, &[]);
    assert_eq!((whole.status, whole.body.len() > 24 << 20), (200, true));
}
