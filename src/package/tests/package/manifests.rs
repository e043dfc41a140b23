//! A manifest has one version whatever way it came, and one that lies is refused.

use proptest::prelude::*;
use serde_json::{Value, json};
use tnv_package::{
    Layout, MAX_MEMBERS_LEN, Manifest, ManifestError, Meeting, Member, MetadataError, SyncAnswer,
};

use crate::made::{meeting, member, package};

fn manifest(meeting: Meeting, members: &[Member]) -> Manifest {
    Manifest::new(meeting, members.to_vec()).unwrap()
}

fn two() -> Vec<Member> {
    vec![member("1", "a.txt", b"hello"), member("2", "会议/b.txt", b"x")]
}

fn answer() -> SyncAnswer {
    SyncAnswer::new(&Layout::of(&manifest(meeting(), &two())), "active", |member| member.id.clone())
}

proptest! {
    #[test]
    fn the_order_of_the_members_does_not_matter(
        (package, members) in package().prop_flat_map(|package| {
            let members = package.layout.manifest().members().to_vec();
            (Just(package), Just(members).prop_shuffle())
        })
    ) {
        let again = manifest(meeting(), &members);
        prop_assert_eq!(again.version(), package.layout.manifest().version());
        prop_assert_eq!(Layout::of(&again).crc32(), package.layout.crc32());
    }

    #[test]
    fn a_node_makes_the_same_package_of_the_answer(package in package()) {
        let answer = SyncAnswer::new(&package.layout, "active", |member| format!("/uploads/{}", member.id));
        let json = serde_json::to_string(&answer).unwrap();
        let layout = serde_json::from_str::<SyncAnswer>(&json).unwrap().check().unwrap();
        prop_assert_eq!(layout.manifest(), package.layout.manifest());
        prop_assert_eq!((layout.len(), layout.crc32()), (package.layout.len(), package.layout.crc32()));
        prop_assert_eq!(layout.metadata(), package.layout.metadata());
    }

    #[test]
    fn the_metadata_is_the_manifest(package in package()) {
        let read = Manifest::from_metadata(package.layout.metadata()).unwrap();
        prop_assert_eq!(&read, package.layout.manifest());
    }
}

#[test]
fn every_change_of_the_package_is_another_version() {
    let mut versions = vec![manifest(meeting(), &two()).version()];
    let of_meetings: [fn(&mut Meeting); 6] = [
        |meeting| meeting.id = "m-2".parse().unwrap(),
        |meeting| meeting.title.push(' '),
        |meeting| meeting.time = None,
        |meeting| meeting.time = Some(String::new()),
        |meeting| meeting.intro = Some(String::new()),
        |meeting| meeting.agenda_items.clear(),
    ];
    for change in of_meetings {
        let mut meeting = meeting();
        change(&mut meeting);
        versions.push(manifest(meeting, &two()).version());
    }
    let of_members: [fn(&mut Vec<Member>); 7] = [
        |members| members.truncate(1),
        |members| members[0].id.push('x'),
        |members| members[0].path = "b.txt".parse().unwrap(),
        |members| members[0].size += 1,
        |members| members[0].content_type.clear(),
        |members| members[0].crc32 += 1,
        |members| members[0].blake3 = blake3::hash(b"other"),
    ];
    for change in of_members {
        let mut members = two();
        change(&mut members);
        versions.push(manifest(meeting(), &members).version());
    }
    let count = versions.len();
    versions.sort_by_key(|version| *version.as_bytes());
    versions.dedup();
    assert_eq!(versions.len(), count);
}

#[test]
fn keys_of_the_agenda_come_in_one_order() {
    let version = |item: &str| {
        let agenda_items = vec![serde_json::from_str(item).unwrap()];
        manifest(Meeting { agenda_items, ..meeting() }, &[]).version()
    };
    let one = version(r#"{"b": {"y": -1, "x": [2]}, "a": "会"}"#);
    assert_eq!(one, version(r#"{ "a":"\u4f1a","b":{"x":[2],"y":-1}}"#));
    assert_eq!(one, version(r#"{"a":"会","b":{"x":[2.0],"y":-1e0}}"#));
    assert_ne!(one, version(r#"{"a":"会","b":{"x":[2],"y":1}}"#));
}

#[test]
fn numbers_are_integers() {
    for (number, fine) in
        [(json!(u64::MAX), true), (json!(i64::MIN), true), (json!(0.5), false), (json!(1e17), false)]
    {
        let agenda_items = vec![json!({"title": "x"}), json!({"at": [1, number]})];
        let result = Manifest::new(Meeting { agenda_items, ..meeting() }, vec![]);
        let at = match &result {
            Err(ManifestError::NotAnInteger { at, .. }) => at,
            _ => "",
        };
        assert_eq!((result.is_ok(), at), if fine { (true, "") } else { (false, "/1/at/1") });
    }
}

#[test]
fn members_that_cannot_be_are_refused_by_name() {
    let with = |change: fn(&mut Member)| {
        let mut members = two();
        change(&mut members[1]);
        Manifest::new(meeting(), members).unwrap_err().to_string()
    };
    for (error, names) in [
        (with(|member| member.id = "1".into()), "会议/b.txt"),
        (with(|member| member.id.clear()), "会议/b.txt"),
        (with(|member| member.id = "a\n".into()), "会议/b.txt"),
        (with(|member| member.content_type = "a\r\nb".into()), "会议/b.txt"),
        (with(|member| member.content_type = "x".repeat(129)), "会议/b.txt"),
        (with(|member| member.size = MAX_MEMBERS_LEN), "会议/b.txt"),
        (with(|member| member.size = u64::MAX), "会议/b.txt"),
        (with(|member| member.size = 0), "会议/b.txt"),
        (with(|member| member.path = "a.txt".parse().unwrap()), "a.txt"),
        (with(|member| member.path = "A.TXT".parse().unwrap()), "A.TXT"),
        (with(|member| member.path = "a.txt/b".parse().unwrap()), "a.txt/b"),
    ] {
        assert!(error.contains(names), "{error}");
    }
}

#[test]
fn an_answer_that_lies_is_refused() {
    assert!(answer().check().is_ok());
    let lie = |change: fn(&mut SyncAnswer)| {
        let mut answer = answer();
        change(&mut answer);
        answer.check().unwrap_err().to_string()
    };
    for (error, names) in [
        (lie(|answer| answer.package.version = "0".repeat(64)), "version"),
        (lie(|answer| answer.package.version.clear()), "version"),
        (lie(|answer| answer.package.size += 1), "size"),
        (lie(|answer| answer.package.checksum = "00000000".into()), "checksum"),
        (lie(|answer| answer.package.checksum = "+0000000".into()), "checksum"),
        (lie(|answer| answer.title.push('x')), "version"),
        (lie(|answer| answer.id = "../m".into()), "meeting's id"),
        (lie(|answer| answer.files[1].size = u64::MAX), "会议/b.txt"),
        (lie(|answer| answer.files[1].path = "../b.txt".into()), "../b.txt"),
        (lie(|answer| answer.files[1].path = "C:/b.txt".into()), "C:/b.txt"),
        (lie(|answer| answer.files[1].path = "A.txt".into()), "A.txt"),
        (lie(|answer| answer.files[1].checksum.truncate(63)), "会议/b.txt"),
        (lie(|answer| answer.files[1].crc32 = "xyz".into()), "会议/b.txt"),
        (lie(|answer| answer.files[1].crc32 = "00000000".into()), "version"),
        (lie(|answer| answer.files.truncate(1)), "version"),
        (lie(|answer| answer.files.push(answer.files[0].clone())), "a.txt"),
    ] {
        assert!(error.contains(names), "{error}");
    }
}

#[test]
fn what_is_not_in_the_package_may_change() {
    let mut changed = answer();
    changed.status = "ended".into();
    changed.files.reverse();
    changed.files[0].url = "http://elsewhere/".into();
    changed.package.version.make_ascii_uppercase();
    assert_eq!(changed.check().unwrap().manifest(), answer().check().unwrap().manifest());
    // An answer with fields of a later release, and without those that may be left out.
    let mut json: Value = serde_json::to_value(answer()).unwrap();
    json["later"] = json!({"x": 1.5});
    json["files"][0]["later"] = json!(true);
    json.as_object_mut().unwrap().remove("intro");
    assert!(serde_json::from_value::<SyncAnswer>(json).unwrap().check().is_ok());
}

#[test]
fn changed_metadata_is_refused() {
    let layout = Layout::of(&manifest(meeting(), &two()));
    let text = String::from_utf8(layout.metadata().to_vec()).unwrap();
    let read = |text: &str| Manifest::from_metadata(text.as_bytes());
    assert!(matches!(read(&text.replace("预算", "决算")), Err(MetadataError::Version { .. })));
    assert!(matches!(read(&text.replace("a.txt", "/a.txt")), Err(MetadataError::File(_))));
    assert!(matches!(read(&text.replace("a.txt", "会议")), Err(MetadataError::Manifest(_))));
    assert!(matches!(read("{}"), Err(MetadataError::Json(_))));
}
