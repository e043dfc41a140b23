//! How much memory the servers take at their peak.

use std::io::{Read, Write};

use crate::harness::frames::{DOWNLOAD, FILESIZE, Wire, frame, key, range};
use crate::harness::lab::{APP, Lab, Role, USER, wait_active};
use crate::harness::pattern::Pattern;
use crate::harness::web::{Web, request};
use crate::harness::{raise_descriptor_limit, say};

const IDLE: usize = 3000;
const SIZE: u64 = 2 << 30;
const BAR_KIB: u64 = 128 * 1024;

const UPLOAD: u64 = 1 << 30;
const GATEWAY_BAR_KIB: u64 = 64 * 1024;

/// A 2 GiB file up, down and through the gateway beside 3,000 idle connections.
#[test]
fn the_peak_stays_below_128_mib() {
    // Both ends of each connection.
    raise_descriptor_limit(2 * IDLE as u64);
    let lab = Lab::new();
    let up = lab.up();
    let ports = [&up.tracker, &up.id, &up.storage, &up.http];
    let idle: Vec<Wire> = (0..IDLE).map(|n| Wire::connect(ports[n % 4])).collect();

    let pattern = Pattern::new(41, SIZE);
    let file = key(APP, USER, "large");
    let mut wire = Wire::connect(&up.storage);
    wire.begin_upload(&file, SIZE).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut source = pattern.reader(0);
    loop {
        match source.read(&mut buffer).unwrap() {
            0 => break,
            // If it is refused, the reply says why.
            count if wire.stream.write_all(&buffer[..count]).is_err() => break,
            _ => {}
        }
    }
    assert!(wire.reply().ok().is_empty());
    let uploaded = peak_kib(up.process.pid());

    wire.send(&frame(DOWNLOAD, &range(&file, 0, 0)));
    let (len, _, status) = wire.try_reply_header().unwrap();
    assert_eq!((len, status), (SIZE, 0));
    pattern.check(0, SIZE, &mut (&mut wire.stream).take(SIZE));
    let downloaded = peak_kib(up.process.pid());

    let mut web = Web::connect(&up.http);
    web.send(request("GET", "/files/large", &[]).as_bytes());
    assert_eq!(web.head().unwrap().len(), SIZE);
    pattern.check(0, SIZE, &mut web.stream.by_ref().take(SIZE));
    let served = peak_kib(up.process.pid());

    say(&format!("peak resident KiB after upload {uploaded}, download {downloaded}, gateway {served}"));
    assert!(served < BAR_KIB, "{served} KiB, the bar is {BAR_KIB}");
    let alive = idle.iter().filter(|wire| wire.stream.peer_addr().is_ok()).count();
    assert_eq!(alive, IDLE);
    for (n, mut wire) in idle.into_iter().enumerate().filter(|(n, _)| n % 4 == 2) {
        assert_eq!(wire.call(FILESIZE, &file).integer(), SIZE as i64, "idle connection {n} still answers");
    }
}

/// A gateway in a process of its own passes on 1 GiB by tus, in a single request and in chunks, and by a form.
#[test]
fn the_gateways_peak_stays_below_64_mib() {
    let lab = Lab::new();
    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    let _storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]).start(&lab);
    wait_active(&tracker.address, USER);
    let http = Role::http(&[&tracker.address]).start(&lab);
    let pattern = Pattern::new(42, UPLOAD);
    let whole = tus(&http.address, &pattern, UPLOAD);
    let in_one = peak_kib(http.process.pid());
    tus(&http.address, &pattern, 8 << 20);
    let in_chunks = peak_kib(http.process.pid());
    form(&http.address, &pattern);
    let by_form = peak_kib(http.process.pid());
    let mut web = Web::connect(&http.address);
    web.send(request("GET", &whole, &[]).as_bytes());
    assert_eq!(web.head().unwrap().len(), UPLOAD);
    pattern.check(0, UPLOAD, &mut web.stream.by_ref().take(UPLOAD));
    say(&format!(
        "gateway's peak resident KiB after 1 GiB by tus {in_one}, in chunks {in_chunks}, by form {by_form}"
    ));
    assert!(by_form < GATEWAY_BAR_KIB, "{by_form} KiB, the bar is {GATEWAY_BAR_KIB}");
}

/// Uploads by tus, so many bytes a request; the file's path.
fn tus(http: &str, pattern: &Pattern, chunk: u64) -> String {
    let mut web = Web::connect(http);
    let (version, size) = (("Tus-Resumable", "1.0.0"), pattern.len().to_string());
    let begun = web.post("/tus/", &[version, ("Upload-Length", &size)], b"");
    assert_eq!(begun.status, 201, "{}", begun.text());
    let path = begun.header("location").unwrap().to_owned();
    let kind = ("Content-Type", "application/offset+octet-stream");
    let mut source = pattern.reader(0);
    for offset in (0..pattern.len()).step_by(chunk as usize) {
        let len = chunk.min(pattern.len() - offset);
        let (offset, len_text) = (offset.to_string(), len.to_string());
        let headers = [version, kind, ("Upload-Offset", &*offset), ("Content-Length", &*len_text)];
        web.send(request("PATCH", &path, &headers).as_bytes());
        send(&mut web, &mut source, len);
        let answer = web.response("PATCH");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    path.replace("/tus/", "/files/")
}

fn form(http: &str, pattern: &Pattern) {
    let mut web = Web::connect(http);
    let start = "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
    let end = "\r\n--X--\r\n";
    let len = (start.len() as u64 + pattern.len() + end.len() as u64).to_string();
    let kind = ("Content-Type", "multipart/form-data; boundary=X");
    web.send(request("POST", "/files", &[kind, ("Content-Length", &len)]).as_bytes());
    web.send(start.as_bytes());
    send(&mut web, &mut pattern.reader(0), pattern.len());
    let _ = web.stream.get_mut().write_all(end.as_bytes());
    let answer = web.response("POST");
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn send(web: &mut Web, source: &mut impl Read, len: u64) {
    let mut buffer = vec![0; 1 << 20];
    let mut left = len;
    while left > 0 {
        let most = buffer.len().min(left as usize);
        source.read_exact(&mut buffer[..most]).unwrap();
        // If it is refused, the answer says why.
        if web.stream.get_mut().write_all(&buffer[..most]).is_err() {
            return;
        }
        left -= most as u64;
    }
}

/// VmHWM: the most that was ever resident.
pub(crate) fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
