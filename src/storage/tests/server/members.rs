//! Members of a group of copies that are drained, undrained and removed.

use tnv_proto::{
    Command, ErrorCode, Failure, MemberAction, MemberRequest, MemberStatus, Membership, Request, Store,
};
use tnv_storage::StartError;

use crate::copies::Group;
use crate::lab::{Running, key, pattern, until};

impl Running {
    async fn member(&self, action: MemberAction, id: &str, force: bool) -> Result<MemberStatus, Failure> {
        let mut wire = self.connect().await;
        wire.send(&MemberRequest { action, force, storage: id.to_owned() }.to_frame()).await;
        Ok(MemberStatus::decode(&wire.reply().await?).unwrap())
    }

    async fn status(&self, id: &str) -> MemberStatus {
        self.member(MemberAction::Status, id, false).await.unwrap()
    }

    /// Waits until others have all that this one has.
    async fn until_it_may_go(&self, id: &str) {
        while !self.status(id).await.may_go() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Group {
    /// The identity of the storage with these store paths.
    fn id(&self, name: &str) -> String {
        let mark = std::fs::read_to_string(self.0.folder.path().join(name).join(".tnv-storage")).unwrap();
        let known: Vec<String> = {
            let sql = self.0.sql();
            let mut ids = sql.prepare("SELECT id FROM t_storage").unwrap();
            ids.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        known.into_iter().find(|id| mark.contains(id.as_str())).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drains_takes_nothing_new_and_may_go_when_others_have_all_of_it() {
    let group = Group::new().await;
    let (one, two) = (group.start("one").await, group.start("two").await);
    let (first, second) = (group.id("one"), group.id("two"));
    let nobody = one.member(MemberAction::Status, "nobody", false).await.unwrap_err();
    assert_eq!(nobody.code, ErrorCode::NOT_FOUND);
    two.stop().await;
    // An upload that is under way is finished, and counted until then.
    let mut running = one.connect().await;
    running.begin_upload("running", 200_000).await;
    until_uploads(&one, &first, 1).await;
    let alone = one.member(MemberAction::Drain, &first, false).await.unwrap_err();
    assert_eq!(alone.code, ErrorCode::CONFLICT, "nobody else takes uploads: {alone}");
    one.upload("before", &pattern(5_000, 1)).await.unwrap();
    let status = one.member(MemberAction::Drain, &first, true).await.unwrap();
    assert_eq!((status.state, status.is_itself, status.uploads), (Membership::Draining, true, 1));
    assert_eq!((status.only_here, status.may_go()), (1, false));
    let refused = one.upload("late", b"late").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::UNAVAILABLE);
    assert!(refused.text.contains("draining"), "{refused}");
    running.send(&pattern(200_000, 2)).await;
    assert!(running.reply().await.unwrap().is_empty());
    let status = one.status(&first).await;
    assert_eq!((status.uploads, status.only_here, status.may_go()), (0, 2, false));
    one.stop().await;

    // It is so after a restart, reads, deletes, and gives what only it has.
    let one = group.start("one").await;
    assert_eq!(one.upload("late", b"late").await.unwrap_err().code, ErrorCode::UNAVAILABLE);
    assert_eq!(one.download("before").await.unwrap(), pattern(5_000, 1));
    let two = group.start("two").await;
    one.until_it_may_go(&first).await;
    assert_eq!(two.status(&first).await.only_here, 0);
    assert!(!two.status(&first).await.may_go(), "only it knows whether it is taking something");
    group.until_files(&["two"], 2).await;
    two.upload("late", b"late").await.unwrap();
    assert_eq!(two.member(MemberAction::Drain, &second, false).await.unwrap_err().code, ErrorCode::CONFLICT);

    let status = one.member(MemberAction::Undrain, &first, false).await.unwrap();
    assert_eq!(status.state, Membership::Active);
    one.upload("again", b"again").await.unwrap();
    one.stop().await;
    two.stop().await;
}

async fn until_uploads(storage: &Running, id: &str, count: u32) {
    while storage.status(id).await.uploads != count {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_leaves_no_rows_and_takes_nothing_more() {
    let group = Group::new().await;
    let (one, two) = (group.start("one").await, group.start("two").await);
    let (first, second) = (group.id("one"), group.id("two"));
    two.stop().await;
    for n in 0..3_u8 {
        one.upload(&n.to_string(), &pattern(3_000, n)).await.unwrap();
    }
    assert_eq!(group.orders(), 3);
    let kept = one.member(MemberAction::Remove, &first, false).await.unwrap_err();
    assert_eq!(kept.code, ErrorCode::CONFLICT);
    assert!(kept.text.starts_with("[") && kept.text.contains("3 files"), "{kept}");
    let removed = one.member(MemberAction::Remove, &second, false).await.unwrap();
    assert_eq!((removed.state, removed.is_itself), (Membership::Removed, false));
    assert_eq!(group.orders(), 0);
    for action in [MemberAction::Drain, MemberAction::Undrain] {
        assert_eq!(one.member(action, &second, true).await.unwrap_err().code, ErrorCode::CONFLICT);
    }
    one.upload("later", b"later").await.unwrap();
    assert_eq!(group.orders(), 0, "nothing is ordered for it any more");
    let mut config = group.0.config.clone();
    config.store_paths = vec![crate::lab::written(group.0.folder.path(), "two")];
    assert!(matches!(group.0.try_start_with(config).await, Err(StartError::Removed { .. })));
    // Empty it begins anew.
    std::fs::remove_dir_all(group.0.folder.path().join("two")).unwrap();
    let two = group.start("two").await;
    group.until_files(&["two"], 4).await;

    // One that runs while it is removed takes nothing that would be its own.
    until(|| group.orders() == 0).await;
    let second = group.id("two");
    assert_eq!(one.member(MemberAction::Remove, &second, false).await.unwrap().state, Membership::Removed);
    two.upload("late", b"late").await.unwrap_err();
    assert_eq!(two.status(&second).await.state, Membership::Removed);
    assert!(two.upload("late", b"late").await.unwrap_err().text.contains("removed"));
    assert_eq!(one.stat("late").await.unwrap_err().code, ErrorCode::NOT_FOUND);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_force_files_are_given_up() {
    let group = Group::new().await;
    let (one, two) = (group.start("one").await, group.start("two").await);
    let second = group.id("two");
    one.stop().await;
    two.upload("lost", b"lost").await.unwrap();
    two.stop().await;
    let one = group.start("one").await;
    let kept = one.member(MemberAction::Remove, &second, false).await.unwrap_err();
    assert_eq!(kept.code, ErrorCode::CONFLICT);
    assert_eq!(one.member(MemberAction::Remove, &second, true).await.unwrap().state, Membership::Removed);
    assert_eq!(
        one.download("lost").await.unwrap_err().code,
        ErrorCode::UNAVAILABLE,
        "its row is still there"
    );
    one.ask("lost", Command::Delete).await.unwrap();
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_begin_an_upload_is_refused_and_none_to_go_on() {
    use tnv_proto::{Append, Begin, Checksum, Finish, Labels, NewUpload, Push, Upload};
    let group = Group::new().await;
    let (one, two) = (group.start("one").await, group.start("two").await);
    let first = group.id("one");
    let new = |file: &str| NewUpload { key: key(file), size: 5, labels: Labels::default(), ack_copies: 0 };
    let begin = |file: &str| Begin(new(file)).to_frame();
    let ask = async |frame: Vec<u8>| {
        let mut wire = one.connect().await;
        wire.send(&frame).await;
        wire.reply().await
    };
    ask(begin("parts").to_vec()).await.unwrap();
    one.member(MemberAction::Drain, &first, true).await.unwrap();
    let blake3 = blake3::hash(b"hello");
    let store = [&Store(new("a")).to_frame()[..], b"hello", blake3.as_bytes()].concat();
    let push =
        [&Push(Upload { key: key("a"), size: 5 }).to_frame()[..], b"hello", blake3.as_bytes()].concat();
    for frame in [store, push, begin("other").to_vec()] {
        assert_eq!(ask(frame).await.unwrap_err().code, ErrorCode::UNAVAILABLE);
    }
    ask(begin("parts").to_vec()).await.unwrap();
    ask([&Append { key: key("parts"), offset: 0, len: 5 }.to_frame()[..], b"hello"].concat()).await.unwrap();
    let finish = Finish { key: key("parts"), expected: Checksum(*blake3.as_bytes()) };
    ask(finish.to_frame().to_vec()).await.unwrap();
    assert_eq!(two.download("parts").await.unwrap(), b"hello");
    one.stop().await;
    two.stop().await;
}
