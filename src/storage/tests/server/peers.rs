//! Groups with a member that does not answer, or breaks off.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tnv_proto::{Command, ErrorCode, HEADER_LEN, Header, Read, Request, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::copies::Group;
use crate::lab::{Wire, key, pattern, until};

/// Long enough that nothing is forgotten by itself.
const LONG: Duration = Duration::from_secs(60);

impl Group {
    /// A member that is no storage of ours.
    pub(crate) fn join(&self, id: &str, address: SocketAddr) {
        self.0
            .sql()
            .execute(
                "INSERT INTO t_storage (id, group_name, host, address, replication, state, created_ms, seen_ms)
                 VALUES (?, 'group001', 'host', ?, 'copies', 'active', 1, 1)",
                [id, &address.to_string()],
            )
            .unwrap();
    }

    /// Says that this member has a copy of this file.
    fn give(&self, id: &str, file: &str) {
        self.0
            .sql()
            .execute(
                "INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
                 SELECT ?1, 0, ?2, file_table, file_id, 'present' FROM t_copy WHERE file_id = ?2 LIMIT 1",
                [id, file],
            )
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_remember_of_a_deleted_file_is_forgotten_before_the_reply() {
    let mut group = Group::new().await;
    group.0.config.row_lease = LONG;
    let (one, two) = (group.start("one").await, group.start("two").await);
    for n in 0..10 {
        let file = format!("file{n}");
        one.upload(&file, &pattern(1_000, n)).await.unwrap();
        until(|| group.orders() == 0).await;
        // Twice: the second one has the row in memory.
        for _ in 0..2 {
            assert_eq!(one.download(&file).await.unwrap(), pattern(1_000, n));
            assert_eq!(two.download(&file).await.unwrap(), pattern(1_000, n));
        }
        two.delete(&file).await.unwrap();
        assert_eq!(one.download(&file).await.unwrap_err().code, ErrorCode::NOT_FOUND);
        assert_eq!(one.stat(&file).await.unwrap_err().code, ErrorCode::NOT_FOUND);
    }
    group.until_files(&["one", "two"], 0).await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_waits_for_who_does_not_answer_as_long_as_rows_are_remembered() {
    const LEASE: Duration = Duration::from_millis(300);
    let mut group = Group::new().await;
    group.0.config.row_lease = LEASE;
    let one = group.start("one").await;
    // Takes connections and says nothing, as a process that is stopped.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    group.join("mute", mute.local_addr().unwrap());
    one.upload("file", b"bytes").await.unwrap();
    let begun = Instant::now();
    one.delete("file").await.unwrap();
    assert!(begun.elapsed() >= LEASE);
    assert_eq!(one.download("file").await.unwrap_err().code, ErrorCode::NOT_FOUND);
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_breaks_off_in_the_middle_is_followed_by_the_next_at_the_same_byte() {
    const LEN: usize = 3_000_000;
    const FILES: u8 = 8;
    let group = Group::new().await;
    let one = group.start("one").await;
    let breaks_off = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = breaks_off.local_addr().unwrap();
    tokio::spawn(break_off(breaks_off, |file| pattern(LEN, file)));
    group.join("breaks-off", address);
    for n in 0..FILES {
        one.upload(&n.to_string(), &pattern(LEN, n)).await.unwrap();
        group.give("breaks-off", &n.to_string());
    }
    // It has them at once, from one or the other, and soon for good.
    let two = group.start("two").await;
    for n in 0..FILES {
        assert!(two.download(&n.to_string()).await.unwrap() == pattern(LEN, n), "{n}");
    }
    group.until_files(&["two"], FILES.into()).await;
    for path in group.files("two") {
        let bytes = std::fs::read(path).unwrap();
        assert!((0..FILES).any(|n| bytes == pattern(LEN, n)));
    }
    one.stop().await;
    two.stop().await;
}

/// A storage that sends half of what it is asked for and hangs up.
async fn break_off(listener: TcpListener, contents: impl Fn(u8) -> Vec<u8>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut wire = Wire(stream);
        while let Some((header, body)) = wire.frame().await {
            if header.command != Command::Fetch as u8 {
                wire.send(&Header::success(Server::Storage, 0).encode()).await;
                continue;
            }
            let read = Read::decode(&body).unwrap();
            let bytes = contents(read.download.key.file.as_str().parse().unwrap());
            let rest = &bytes[usize::try_from(read.download.offset).unwrap()..];
            let mut half = Header::success(Server::Storage, rest.len() as u64).encode().to_vec();
            half.extend_from_slice(&rest[..rest.len() / 2]);
            let _ = wire.0.write_all(&half).await;
            assert!(half.len() >= HEADER_LEN);
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_nobody_gives_holds_up_no_other() {
    let group = Group::new().await;
    group.start("two").await.stop().await;
    let one = group.start("one").await;
    one.upload("lost", b"lost").await.unwrap();
    one.upload("kept", b"kept").await.unwrap();
    // Its bytes are nowhere, whatever the catalog says.
    let mut sql = group.0.sql();
    let tx = sql.transaction().unwrap();
    tx.execute("UPDATE t_copy SET storage = 'away' WHERE file_id = 'lost'", []).unwrap();
    tx.commit().unwrap();
    let two = group.start("two").await;
    group.until_files(&["two"], 1).await;
    assert_eq!(two.download("lost").await.unwrap_err().code, ErrorCode::UNAVAILABLE);
    assert_eq!(group.orders(), 1);
    assert_eq!(two.stat("lost").await.unwrap().size, 4);
    let wire = &mut two.connect().await;
    wire.send(&key("kept").to_frame(Command::FileSize)).await;
    assert_eq!(wire.reply().await.unwrap(), 4_i64.to_be_bytes());
    one.stop().await;
    two.stop().await;
}
