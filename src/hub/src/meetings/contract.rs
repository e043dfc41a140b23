//! What every database of meetings must do.

use super::{AgendaItem, Joined, Meeting, MeetingFile, Meetings, Position, Status, Subject};

const OK: &str = "the database answers";

fn meeting(id: &str, created_ms: i64) -> Meeting {
    let details = serde_json::json!({"speaker": "李雷", "minutes": 15});
    let item = AgendaItem {
        title: "议程一".to_owned(),
        position: 7,
        details: details.as_object().cloned().unwrap_or_default(),
    };
    let other = AgendaItem { title: String::new(), position: -1, details: serde_json::Map::new() };
    let subject = Subject {
        title: format!("会议 {id}'; DROP TABLE t_meeting; --"),
        time: None,
        intro: Some("a\nb".to_owned()),
        agenda: vec![item, other],
    };
    Meeting { id: id.to_owned(), subject, status: Status::Pending, created_ms, changed_ms: created_ms }
}

fn file(id: &str, meeting: &str, path: &str, created_ms: i64) -> MeetingFile {
    MeetingFile {
        id: id.to_owned(),
        meeting: meeting.to_owned(),
        path: path.to_owned(),
        size: 1 << 40,
        content_type: "text/plain".to_owned(),
        crc32: 0xDEAD_BEEF,
        blake3: "07".repeat(32),
        created_ms,
    }
}

fn hash(name: &str) -> String {
    format!("{name:0>64}")
}

/// What every [`Meetings`] must do; each implementation's tests call it with an empty one.
///
/// # Panics
/// If it does not.
pub async fn contract(meetings: &dyn Meetings) {
    subjects(meetings).await;
    lists(meetings).await;
    files(meetings).await;
    leftovers(meetings).await;
}

async fn subjects(meetings: &dyn Meetings) {
    let new = meeting("m1", 5);
    assert_eq!(meetings.find("m1").await.expect(OK), None);
    assert!(meetings.create(new.clone()).await.expect(OK));
    assert!(!meetings.create(Meeting { subject: Subject::default(), ..new.clone() }).await.expect(OK));
    assert_eq!(meetings.find("m1").await.expect(OK).map(|found| found.meeting), Some(new.clone()));
    assert_eq!(meetings.find("M1").await.expect(OK), None, "letters differ in case");

    let (time, agenda) = (Some("2026-05-15 10:00".to_owned()), new.subject.agenda[1..].to_vec());
    let subject = Subject { title: "new".to_owned(), time, agenda, ..new.subject };
    assert!(meetings.change("m1", subject.clone(), 9).await.expect(OK));
    assert!(!meetings.change("m2", subject.clone(), 9).await.expect(OK));
    let found = meetings.find("m1").await.expect(OK).expect("it is there").meeting;
    assert_eq!((found.subject, found.created_ms, found.changed_ms), (subject, 5, 9));

    assert!(meetings.active().await.expect(OK).is_empty());
    assert!(meetings.set_status("m1", Status::Active).await.expect(OK));
    assert!(meetings.set_status("m1", Status::Active).await.expect(OK));
    assert!(!meetings.set_status("m2", Status::Active).await.expect(OK));
    assert_eq!(meetings.active().await.expect(OK), ["m1"]);
    let found = meetings.find("m1").await.expect(OK).expect("it is there").meeting;
    assert_eq!((found.status, found.changed_ms), (Status::Active, 9));
    assert!(meetings.set_status("m1", Status::Ended).await.expect(OK));
    assert!(meetings.active().await.expect(OK).is_empty());

    assert!(meetings.delete("m1", 9).await.expect(OK));
    assert!(!meetings.delete("m1", 9).await.expect(OK));
    assert_eq!(meetings.find("m1").await.expect(OK), None);
}

async fn lists(meetings: &dyn Meetings) {
    for (id, created_ms) in [("a", 1), ("b", 3), ("c", 3), ("d", 2)] {
        assert!(meetings.create(meeting(id, created_ms)).await.expect(OK));
    }
    for limit in 1..=5 {
        let (mut ids, mut after) = (String::new(), None);
        loop {
            let page = meetings.list(after.as_ref(), limit).await.expect(OK);
            ids.extend(page.iter().map(|meeting| meeting.id.as_str()));
            assert!(page.iter().all(|meeting| meeting.subject.agenda.is_empty()));
            let Some(last) = page.last().filter(|_| page.len() == limit as usize) else { break };
            after = Some(Position { created_ms: last.created_ms, id: last.id.clone() });
        }
        assert_eq!(ids, "cbda", "by {limit}");
    }
    for id in ["a", "b", "c", "d"] {
        assert!(meetings.delete(id, 4).await.expect(OK));
    }
}

async fn files(meetings: &dyn Meetings) {
    assert!(meetings.create(meeting("m", 1)).await.expect(OK));
    let paths = async || {
        let whole = meetings.find("m").await.expect(OK).expect("it is there");
        whole.files.iter().map(|file| format!("{}={}", file.path, file.id)).collect::<Vec<_>>()
    };
    let join = async |file: MeetingFile, name: &str| {
        meetings.expect_file(&file.id, &file.meeting, &file.path, 2).await.expect(OK);
        meetings.join(file, &hash(name), 2).await.expect(OK)
    };
    meetings.expect_file("f1", "m", "b.txt", 2).await.expect(OK);
    assert!(paths().await.is_empty());
    assert_eq!(meetings.file("f1").await.expect(OK), None, "it has no bytes yet");
    let first = file("f1", "m", "b.txt", 3);
    assert_eq!(meetings.join(first.clone(), &hash("b"), 2).await.expect(OK), Joined::Present);
    assert_eq!(meetings.file("f1").await.expect(OK), Some(first.clone()));
    assert_eq!(meetings.find("m").await.expect(OK).expect("it is there").files, std::slice::from_ref(&first));
    assert_eq!(meetings.find("m").await.expect(OK).expect("it is there").meeting.changed_ms, 3);

    // Byte by byte: capitals come first.
    assert_eq!(join(file("f2", "m", "C.txt", 4), "c").await, Joined::Present);
    assert_eq!(paths().await, ["C.txt=f2", "b.txt=f1"]);
    assert_eq!(join(file("f3", "m", "c.TXT", 4), "c").await, Joined::Collides("C.txt".to_owned()));
    assert_eq!(join(file("f4", "m", "d.txt", 4), "d").await, Joined::Full);
    assert_eq!(join(file("f5", "no", "d.txt", 4), "d").await, Joined::Gone);
    assert_eq!(paths().await, ["C.txt=f2", "b.txt=f1"]);

    // A file that takes the place of another leaves its bytes for a while.
    assert_eq!(join(file("f6", "m", "b.txt", 5), "b").await, Joined::Present);
    assert_eq!(paths().await, ["C.txt=f2", "b.txt=f6"]);
    assert_eq!(meetings.file("f1").await.expect(OK), Some(first));
    assert!(!meetings.remove_file("m", "f1", 6).await.expect(OK));
    assert!(!meetings.remove_file("other", "f2", 6).await.expect(OK));
    assert!(meetings.remove_file("m", "f2", 6).await.expect(OK));
    assert_eq!(paths().await, ["b.txt=f6"]);
    assert_eq!(join(file("f7", "m", "c.TXT", 7), "c").await, Joined::Present);

    // What was given up does not come back.
    meetings.expect_file("f8", "m", "e.txt", 7).await.expect(OK);
    meetings.abandon("f8").await.expect(OK);
    assert_eq!(meetings.join(file("f8", "m", "e.txt", 7), &hash("e"), 9).await.expect(OK), Joined::Gone);
    meetings.abandon("f7").await.expect(OK);
    assert_eq!(paths().await, ["b.txt=f6", "c.TXT=f7"]);
}

async fn leftovers(meetings: &dyn Meetings) {
    assert!(meetings.delete("m", 20).await.expect(OK));
    let ids = async |gone_ms, expected_ms, after: &str, limit| {
        let found = meetings.leftovers(gone_ms, expected_ms, after, limit).await.expect(OK);
        found.into_iter().map(|file| format!("{}/{}", file.meeting, file.id)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(1, 0, "", 9).await, "m/f3 m/f4 no/f5 m/f8", "nobody has them");
    assert_eq!(ids(20, 0, "", 9).await, "m/f1 m/f2 m/f3 m/f4 no/f5 m/f8");
    assert_eq!(ids(21, 0, "f4", 9).await, "no/f5 m/f6 m/f7 m/f8");
    assert_eq!(ids(21, 0, "", 3).await, "m/f1 m/f2 m/f3");
    meetings.expect_file("f9", "m", "x", 30).await.expect(OK);
    assert_eq!(ids(0, 30, "", 9).await, "");
    assert_eq!(ids(0, 31, "", 9).await, "m/f9");
    assert!(meetings.create(meeting("m", 1)).await.expect(OK));
    meetings.expect_file("f10", "m", "x", 30).await.expect(OK);
    let last = file("f10", "m", "x", 31);
    assert_eq!(meetings.join(last, &hash("x"), 1).await.expect(OK), Joined::Present);
    meetings.forget(["f1", "f3", "f9", "f10"].map(str::to_owned).to_vec()).await.expect(OK);
    assert_eq!(ids(99, 99, "", 9).await, "m/f2 m/f4 no/f5 m/f6 m/f7 m/f8");
    assert!(meetings.file("f10").await.expect(OK).is_some());
    assert_eq!(meetings.file("f1").await.expect(OK), None);
}
