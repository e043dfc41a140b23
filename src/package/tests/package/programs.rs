//! Programs that people have read our packages: `unzip` and Python's zipfile.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tnv_package::archive::{End, Limits, Plan};
use tnv_package::{Layout, Manifest, Member, Segment};

use crate::made::{Package, meeting, member, member_of_zeros};

/// Whether a program is there. If not the test is skipped and says so; in CI that is a failure.
#[allow(clippy::print_stderr, reason = "whoever runs the tests has to know")]
fn installed(program: &str, version: &str) -> bool {
    let found =
        Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    assert!(found || std::env::var("CI").as_deref() != Ok("true"), "{program} must be installed in CI");
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// What a program prints, which must succeed.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {out}{err}");
    out.into_owned()
}

fn unzip(arguments: &[&str]) -> Option<String> {
    installed("unzip", "-v").then(|| run("unzip", arguments))
}

/// Runs a script with the archive `z` open.
fn python(zip: &Path, script: &str) -> Option<String> {
    let script = format!("import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\n{script}");
    installed("python3", "--version").then(|| run("python3", &["-c", &script, zip.to_str().unwrap()]))
}

/// A package of members of zeros in a file that has holes for them.
fn sparse(folder: &TempDir, members: Vec<Member>) -> (Layout, PathBuf) {
    let layout = Layout::of(&Manifest::new(meeting(), members).unwrap());
    let path = folder.path().join("package.zip");
    let mut file = std::io::BufWriter::new(File::create_new(&path).unwrap());
    for segment in layout.segments(0..layout.len()) {
        match segment {
            Segment::Bytes(bytes) => file.write_all(&bytes).unwrap(),
            Segment::Member { len, .. } => file.seek_relative(len as i64).unwrap(),
        }
    }
    assert_eq!(file.stream_position().unwrap(), layout.len());
    file.flush().unwrap();
    (layout, path)
}

/// The plan of our own reader, made of a file's end and its directory.
fn plan(path: &Path) -> Plan {
    let mut file = File::open(path).unwrap();
    let len = file.metadata().unwrap().len();
    let mut read = |from: u64, to: u64| {
        let mut bytes = vec![0; (to - from) as usize];
        file.seek(SeekFrom::Start(from)).unwrap();
        file.read_exact(&mut bytes).unwrap();
        bytes
    };
    let end = End::find(&read(len.saturating_sub(End::TAIL_LEN), len), len).unwrap();
    let directory = end.directory();
    Plan::new(&read(directory.start, directory.end), &end, &Limits::default()).unwrap()
}

#[test]
fn chinese_names_are_intact() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("package.zip");
    let package = Package::new(&[
        ("会议资料/第一项 预算（草案）.txt", "你好".as_bytes()),
        ("été.txt", b"x"),
        ("空.txt", b""),
        ("👩‍👩‍👧.txt", b"family"),
    ]);
    std::fs::write(&path, package.whole()).unwrap();
    let zip = path.to_str().unwrap();

    if let Some(tested) = unzip(&["-t", zip]) {
        assert!(tested.contains("No errors detected"), "{tested}");
        let target = folder.path().join("out");
        unzip(&["-q", zip, "-d", target.to_str().unwrap()]);
        let read = |path: &str| std::fs::read(target.join(path)).unwrap();
        assert_eq!(read("files/会议资料/第一项 预算（草案）.txt"), "你好".as_bytes());
        assert_eq!(read("metadata.json"), &package.layout.metadata()[..]);
    }
    let script = "assert z.testzip() is None\n\
                  sys.stdout.buffer.write('\\n'.join(z.namelist()).encode())";
    if let Some(names) = python(&path, script) {
        let members = package.layout.manifest().members().iter();
        let expected: Vec<String> = members.map(|member| format!("files/{}", member.path)).collect();
        assert_eq!(names, format!("metadata.json\n{}", expected.join("\n")));
    }
}

#[test]
fn a_package_without_members() {
    let folder = TempDir::new().unwrap();
    let (_, path) = sparse(&folder, vec![]);
    unzip(&["-t", path.to_str().unwrap()]);
    python(&path, "assert z.namelist() == ['metadata.json'] and z.testzip() is None");
    assert_eq!(plan(&path).entries().len(), 1);
}

#[test]
fn members_of_more_than_four_gib() {
    let folder = TempDir::new().unwrap();
    let members = vec![
        member_of_zeros("1", "a.bin", (1 << 32) - 2),
        member_of_zeros("2", "b.bin", (1 << 32) - 1),
        member_of_zeros("3", "c.bin", 5 << 30),
        member("4", "d.txt", &[0; 5]),
    ];
    let (layout, path) = sparse(&folder, members.clone());
    let sizes = members.iter().map(|member| (format!("files/{}", member.path), member.size, member.crc32));
    let found = plan(&path);
    let found = found.entries()[1..].iter().map(|entry| (entry.path.to_string(), entry.size, entry.crc32));
    assert!(found.eq(sizes));

    let script = "for i in z.infolist(): print(i.filename, i.file_size, i.header_offset)\n\
                  assert z.read('files/d.txt') == bytes(5)\n\
                  assert z.open('files/c.bin').read(9) == bytes(9)";
    if let Some(listed) = python(&path, script) {
        let lines: Vec<_> = listed.lines().skip(1).map(str::to_owned).collect();
        let expected = members.iter().enumerate().map(|(n, member)| {
            let header = 30 + 11 + if member.size >= u64::from(u32::MAX) { 20 } else { 0 };
            let offset = layout.member_range(n).unwrap().start - header;
            format!("files/{} {} {offset}", member.path, member.size)
        });
        assert!(lines.iter().cloned().eq(expected), "{lines:?}");
    }
    if let Some(listed) = unzip(&["-l", path.to_str().unwrap()]) {
        assert!(members.iter().all(|member| listed.contains(&member.size.to_string())), "{listed}");
        // It is behind 13 GiB, so its offset is one of ZIP64.
        unzip(&["-tq", path.to_str().unwrap(), "files/d.txt"]);
    }
}

#[test]
fn more_members_than_a_zip_without_zip64_has() {
    // With metadata.json 65,534 entries, 65,535 and more: the second is the first that needs ZIP64.
    for count in [65_533, 65_534, 70_000] {
        let folder = TempDir::new().unwrap();
        let members = (0..count).map(|n| member_of_zeros(&n.to_string(), &format!("{n:05}.txt"), n % 4));
        let (_, path) = sparse(&folder, members.collect());
        assert_eq!(plan(&path).entries().len() as u64, count + 1);
        let counted = python(&path, "print(len(z.namelist()), z.testzip())");
        assert!(counted.is_none_or(|counted| counted.trim() == format!("{} None", count + 1)));
        let listed = unzip(&["-tqq", path.to_str().unwrap()]);
        assert!(listed.is_none_or(|listed| listed.is_empty()));
    }
}
