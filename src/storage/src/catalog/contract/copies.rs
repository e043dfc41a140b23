//! The same for a group whose members keep a copy of each file each.

use futures_util::future::{join, join_all, join3};
use tnv_proto::{Checksum, FileKey, PushedPlace};

use super::file;
use crate::catalog::{
    Backlog, Catalog, CopyAt, Enlisted, LandedCopy, Leftover, Location, MemberState, NewFile, PendingCopy,
    StorageRow,
};
use crate::config::Replication;

const OK: &str = "the database answers";

/// What every [`Catalog`] must do for a group of copies; each implementation's tests call it with an empty one as the
/// storages "one", "two" and "three" of "group001" see it, all of which replicate.
///
/// # Panics
/// If it does not.
pub async fn copies_contract(catalogs: [&dyn Catalog; 3]) {
    let [one, two, three] = catalogs;
    members(one, two).await;
    orders(one, two).await;
    pushes(one, two).await;
    landings(one, two).await;
    deletes(one, two).await;
    damages(one, two).await;
    joining(one, two, three).await;
    enlisting(one, two, three).await;
    races(one, two, three).await;
    removal(one, two, three).await;
}

async fn join_group(catalog: &dyn Catalog, id: &str, replication: Replication) -> MemberState {
    let row = StorageRow {
        id: id.to_owned(),
        group: "group001".to_owned(),
        host: "alpha".to_owned(),
        address: format!("{id}:23000"),
        replication,
        seen_ms: 5,
    };
    catalog.register(row).await.expect(OK)
}

/// A file with contents of its own, as the storage called `at` takes it.
fn new(id: &str, at: &str, contents: u8) -> NewFile {
    NewFile {
        blake3: Checksum([contents; 32]),
        ..file("copies", id, &format!("000/{at}/{contents:03}/{id}"))
    }
}

fn key(id: &str) -> FileKey {
    FileKey::new("tnvideo", "copies", id).expect("a valid key")
}

/// The same file, as it comes to the storage called `at` from another.
fn landed(file: &NewFile, at: &str) -> LandedCopy {
    LandedCopy {
        key: file.key.clone(),
        blake3: file.blake3,
        path_index: 0,
        path: format!("001/{at}/{:03}/{}", file.blake3.0[0], file.key.file),
    }
}

fn order(file: &NewFile, tries: u32) -> PendingCopy {
    PendingCopy {
        key: file.key.clone(),
        size: file.size,
        crc32: file.crc32,
        blake3: file.blake3,
        created_ms: file.created_ms,
        tries,
    }
}

async fn ordered(catalog: &dyn Catalog) -> Vec<String> {
    let orders = catalog.pending(i64::MAX, 1000).await.expect(OK);
    let mut ids: Vec<String> = orders.iter().map(|order| order.key.file.to_string()).collect();
    ids.sort();
    ids
}

async fn location(catalog: &dyn Catalog, id: &str) -> Option<Location> {
    catalog.find(&key(id)).await.expect(OK).map(|row| row.location)
}

/// The places where a storage has to remove bytes; they are forgotten.
async fn swept(catalog: &dyn Catalog) -> Vec<String> {
    let leftovers = catalog.leftovers(None, 1000).await.expect(OK);
    catalog.forget(leftovers.clone()).await.expect(OK);
    leftovers.into_iter().map(|Leftover { path, .. }| path).collect()
}

async fn members(one: &dyn Catalog, two: &dyn Catalog) {
    assert!(one.members().await.expect(OK).is_empty());
    // The first has all files there are, another has to fill, and each keeps its state.
    assert_eq!(join_group(one, "one", Replication::Copies).await, MemberState::Active);
    assert_eq!(join_group(two, "two", Replication::None).await, MemberState::Active);
    assert_eq!(one.members().await.expect(OK).len(), 1, "only who replicates is a member");
    assert_eq!(join_group(two, "two", Replication::Copies).await, MemberState::Filling);
    assert_eq!(join_group(one, "one", Replication::Copies).await, MemberState::Active);
    let (filling, active, draining) = (MemberState::Filling, MemberState::Active, MemberState::Draining);
    for (from, to) in [(filling, active), (active, draining)] {
        // By whichever member, and not from another state.
        assert!(one.change_state("two", from, to).await.expect(OK));
        assert!(!two.change_state("two", from, to).await.expect(OK));
        assert_eq!(join_group(two, "two", Replication::Copies).await, to);
        assert_eq!(one.member_state("two").await.expect(OK), Some(to));
    }
    assert_eq!(one.member_state("nobody").await.expect(OK), None);
    let members = one.members().await.expect(OK);
    let seen: Vec<_> = members.iter().map(|m| (m.id.as_str(), m.address.as_str(), m.state)).collect();
    let expected = [("one", "one:23000", MemberState::Active), ("two", "two:23000", MemberState::Draining)];
    assert_eq!(seen, expected);
    assert_eq!((members[0].host.as_str(), members[0].seen_ms), ("alpha", 5));
    assert!(two.change_state("two", draining, active).await.expect(OK));
}

/// An insert orders a copy for every other member, and orders are told, postponed and counted.
async fn orders(one: &dyn Catalog, two: &dyn Catalog) {
    let (first, mut second) = (new("a", "one", 1), new("b", "one", 1));
    second.created_ms += 1;
    assert!(one.insert(first.clone()).await.expect(OK));
    assert!(!two.insert(new("a", "two", 2)).await.expect(OK));
    let inserted = tokio::task::block_in_place(|| one.insert_all(vec![second.clone()]));
    assert!(inserted.into_iter().all(|outcome| outcome.expect(OK)));

    assert!(one.pending(i64::MAX, 9).await.expect(OK).is_empty());
    assert_eq!(one.pending_of(&key("a")).await.expect(OK), None);
    assert_eq!(two.pending(0, 9).await.expect(OK), [order(&first, 0), order(&second, 0)], "the oldest first");
    assert_eq!(two.pending(0, 1).await.expect(OK), [order(&first, 0)]);
    assert_eq!(two.pending_of(&key("a")).await.expect(OK), Some(order(&first, 0)));
    assert_eq!(location(two, "a").await, Some(Location::Elsewhere));
    assert_eq!(two.holders(&key("a")).await.expect(OK), ["one"]);
    assert!(one.holders(&key("a")).await.expect(OK).is_empty(), "itself is no other");

    let stranger = FileKey { app: "other".parse().expect("an app"), ..key("a") };
    assert_eq!(two.pending_of(&stranger).await.expect(OK), None);
    assert!(two.holders(&stranger).await.expect(OK).is_empty());

    let backlog = Backlog { files: 2, bytes: 14, oldest_ms: first.created_ms };
    assert_eq!(two.backlog().await.expect(OK), backlog);
    assert_eq!(one.backlog().await.expect(OK), Backlog::default());

    two.postpone(&key("a"), 100).await.expect(OK);
    assert_eq!(two.pending(99, 9).await.expect(OK), [order(&second, 0)]);
    assert_eq!(two.pending(100, 9).await.expect(OK), [order(&second, 0), order(&first, 1)]);
    assert_eq!(two.pending_of(&key("a")).await.expect(OK), Some(order(&first, 1)));
    assert_eq!(two.backlog().await.expect(OK), backlog, "it is still to be got");
    one.postpone(&key("a"), 100).await.expect(OK);
}

/// Who has a new file before its rows are written has its copy with them, and no order. A place that was sealed before gets
/// none, and then the file has no rows at all.
async fn pushes(one: &dyn Catalog, two: &dyn Catalog) {
    let at = |path: &str| {
        let place = PushedPlace { path_index: 3, path: path.to_owned() };
        vec![CopyAt { storage: "two".to_owned(), place }]
    };
    let before = ordered(two).await;
    let pushed = NewFile { copies: at("pushed/1"), ..new("pushed-1", "one", 1) };
    assert!(one.insert(pushed).await.expect(OK));
    let there = Location::Here { path_index: 3, path: "pushed/1".to_owned() };
    assert_eq!(location(two, "pushed-1").await, Some(there));
    assert!(two.seal(3, "pushed/1").await.expect(OK), "it has its rows");
    assert_eq!(one.holders(&key("pushed-1")).await.expect(OK), ["two"]);
    assert_eq!(ordered(two).await, before);

    let together = [("pushed-2", at("pushed/2")), ("pushed-3", Vec::new()), ("pushed-1", at("pushed/4"))]
        .map(|(id, copies)| NewFile { copies, ..new(id, "one", 2) });
    let inserted = tokio::task::block_in_place(|| one.insert_all(together.to_vec()));
    let inserted: Vec<bool> = inserted.into_iter().map(|outcome| outcome.expect(OK)).collect();
    assert_eq!(inserted, [true, true, false]);
    assert!(two.seal(3, "pushed/2").await.expect(OK));
    assert!(!two.seal(3, "pushed/4").await.expect(OK), "the id was taken");
    assert_eq!(ordered(two).await, [before.as_slice(), &["pushed-3".to_owned()]].concat());

    assert!(!two.seal(3, "pushed/5").await.expect(OK));
    let late = NewFile { copies: at("pushed/5"), ..new("pushed-5", "one", 1) };
    one.insert(late).await.expect_err("its place was given up");
    assert_eq!(location(one, "pushed-5").await, None);
    let strange = vec![CopyAt {
        storage: "nobody".to_owned(),
        place: PushedPlace { path_index: 0, path: "x".to_owned() },
    }];
    let file = NewFile { copies: strange, ..new("pushed-6", "one", 1) };
    assert!(one.insert(file).await.expect(OK), "one that is no member has no copy");
    assert_eq!(one.holders(&key("pushed-6")).await.expect(OK), Vec::<String>::new());
    for id in ["pushed-1", "pushed-2", "pushed-3", "pushed-6"] {
        assert!(one.delete(&key(id), None).await.expect(OK));
    }
    assert_eq!(ordered(two).await, before);
    assert_eq!(swept(two).await, ["pushed/1", "pushed/2"]);
    swept(one).await;
}

/// Copies take the place of orders, and nothing else does.
async fn landings(one: &dyn Catalog, two: &dyn Catalog) {
    let file = new("a", "one", 1);
    let copy = landed(&file, "two");
    let other = LandedCopy { blake3: Checksum([9; 32]), ..copy.clone() };
    assert!(!two.land(other).await.expect(OK), "other bytes");
    let stranger = FileKey { app: "other".parse().expect("an app"), ..key("a") };
    assert!(!two.land(LandedCopy { key: stranger, ..copy.clone() }).await.expect(OK), "another's file");
    let sealed = LandedCopy { path: "000/000/000/sealed".to_owned(), ..copy.clone() };
    assert!(!two.seal(0, &sealed.path).await.expect(OK));
    two.land(sealed).await.expect_err("its place is sealed");
    assert_eq!(two.pending_of(&key("a")).await.expect(OK), Some(order(&file, 1)), "nothing was changed");

    assert!(two.land(copy.clone()).await.expect(OK));
    let here = Some(Location::Here { path_index: 0, path: copy.path.clone() });
    assert_eq!(location(two, "a").await, here);
    assert_eq!(one.holders(&key("a")).await.expect(OK), ["two"]);
    assert_eq!(ordered(two).await, ["b"]);
    assert!(two.land(copy.clone()).await.expect(OK), "it stands");
    let again = LandedCopy { path: "001/000/000/again".to_owned(), ..copy };
    assert!(!two.land(again).await.expect(OK), "it is not ordered any more");
    assert!(!one.land(landed(&file, "one")).await.expect(OK), "it never was");
    assert_eq!(location(two, "a").await, here);
}

/// Whatever is deleted is ordered no more, and each storage has its own bytes to remove.
async fn deletes(one: &dyn Catalog, two: &dyn Catalog) {
    let (first, second) = (new("a", "one", 1), new("b", "one", 1));
    assert!(two.delete(&key("a"), None).await.expect(OK) && two.delete(&key("b"), None).await.expect(OK));
    assert!(ordered(two).await.is_empty());
    assert!(!two.land(landed(&second, "two")).await.expect(OK), "it was deleted meanwhile");
    assert_eq!(swept(one).await, [first.path.clone(), second.path.clone()]);
    assert_eq!(swept(two).await, [landed(&first, "two").path]);

    // The same id again with other contents: what comes of the old ones is late.
    assert!(one.insert(first.clone()).await.expect(OK));
    assert!(one.delete(&key("a"), None).await.expect(OK));
    let newer = new("a", "one", 3);
    assert!(one.insert(newer.clone()).await.expect(OK));
    assert!(!two.land(landed(&first, "two")).await.expect(OK));
    assert_eq!(two.pending_of(&key("a")).await.expect(OK), Some(order(&newer, 0)));
    assert!(two.land(landed(&newer, "two")).await.expect(OK));
    assert_eq!(swept(one).await, [first.path]);
    assert!(swept(two).await.is_empty());
}

/// A damaged copy is ordered anew where another has it, and what comes takes its place.
async fn damages(one: &dyn Catalog, two: &dyn Catalog) {
    let alone = new("alone", "one", 1);
    assert!(one.insert(alone.clone()).await.expect(OK));
    assert!(one.mark_damaged(0, &alone.path).await.expect(OK));
    assert!(ordered(one).await.is_empty(), "nobody has it");
    assert!(two.holders(&alone.key).await.expect(OK).is_empty(), "no more than this storage");
    assert!(one.delete(&alone.key, None).await.expect(OK));

    let file = new("a", "one", 3);
    assert!(one.mark_damaged(0, &file.path).await.expect(OK));
    assert!(!one.mark_damaged(0, &file.path).await.expect(OK));
    assert_eq!(one.pending(0, 9).await.expect(OK), [order(&file, 0)]);
    assert!(two.holders(&key("a")).await.expect(OK).is_empty());
    let copy = landed(&file, "one");
    assert!(one.land(copy.clone()).await.expect(OK));
    assert_eq!(location(one, "a").await, Some(Location::Here { path_index: 0, path: copy.path }));
    assert!(ordered(one).await.is_empty());
    assert_eq!(swept(one).await, [alone.path, file.path]);
    assert!(one.delete(&key("a"), None).await.expect(OK));
    assert_eq!((swept(one).await.len(), swept(two).await.len()), (1, 1));
}

/// A file that comes while a member joins is ordered by the insert, or found when that member fills.
async fn joining(one: &dyn Catalog, two: &dyn Catalog, three: &dyn Catalog) {
    let ids: Vec<String> = (0..24).map(|n| format!("joining{n:02}")).collect();
    let takes = |n: usize| if n.is_multiple_of(2) { (one, "one") } else { (two, "two") };
    let inserts = ids.iter().enumerate().map(|(n, id)| async move {
        let (catalog, at) = takes(n);
        assert!(catalog.insert(new(id, at, 1)).await.expect(OK));
    });
    let (_, state) = join(join_all(inserts), join_group(three, "three", Replication::Copies)).await;
    assert_eq!(state, MemberState::Filling);
    let by_inserts = ordered(three).await.len() as u64;
    assert_eq!(by_inserts + enlist_all(three, 5).await, ids.len() as u64);
    assert_eq!(ordered(three).await, ids);
    for id in &ids {
        assert!(one.delete(&key(id), None).await.expect(OK));
    }
    assert!(
        ordered(three).await.is_empty() && ordered(one).await.is_empty() && ordered(two).await.is_empty()
    );
    assert_eq!((swept(one).await.len(), swept(two).await.len()), (12, 12));
}

async fn enlist_all(catalog: &dyn Catalog, limit: u32) -> u64 {
    let (mut ordered, mut after) = (0, None);
    loop {
        let (more, next) = catalog.enlist(after, limit).await.expect(OK);
        assert!(more <= u64::from(limit));
        ordered += more;
        after = match next {
            Some(next) => Some(next),
            None => return ordered,
        };
    }
}

/// Who has lost all its rows gets orders for what others have, and for nothing else.
async fn enlisting(one: &dyn Catalog, two: &dyn Catalog, three: &dyn Catalog) {
    for (user, id) in [("tnv001", "in 2"), ("tnv002", "in 3"), ("tnv003", "in 1"), ("tnv001", "damaged")] {
        let file = file(user, id, &format!("003/000/000/{id}"));
        assert!(one.insert(file).await.expect(OK));
    }
    let foreign = NewFile { group: "group002".to_owned(), ..new("foreign", "one", 1) };
    assert!(one.insert(foreign.clone()).await.expect(OK));
    assert!(one.mark_damaged(0, "003/000/000/damaged").await.expect(OK));
    assert_eq!(enlist_all(three, 2).await, 0, "all are ordered");
    // As if it had come later.
    for order in three.pending(i64::MAX, 9).await.expect(OK) {
        let path = format!("003/000/001/{}", order.key.file);
        let copy = LandedCopy { key: order.key, blake3: order.blake3, path_index: 0, path };
        assert!(three.land(copy).await.expect(OK));
    }
    assert_eq!(enlist_all(three, 2).await, 0, "it has all");
    assert_eq!(enlist_all(two, 1000).await, 0, "all are ordered");
    assert_eq!(enlist_all(one, 1).await, 1, "what is damaged here and not elsewhere is");
    assert_eq!(ordered(one).await, ["damaged"]);
    let after = Some(Enlisted { table: 3, id: "z".to_owned() });
    assert_eq!(three.enlist(after, 9).await.expect(OK), (0, None));
    for (user, id) in [("tnv001", "in 2"), ("tnv002", "in 3"), ("tnv003", "in 1"), ("tnv001", "damaged")] {
        let key = FileKey::new("tnvideo", user, id).expect("a valid key");
        assert!(one.delete(&key, None).await.expect(OK));
    }
    assert!(one.delete(&foreign.key, None).await.expect(OK));
    assert_eq!((swept(one).await.len(), swept(two).await.len(), swept(three).await.len()), (5, 0, 5));
}

/// An insert, a landing and a delete of one file at once leave it whole or gone, and no order without a file.
async fn races(one: &dyn Catalog, two: &dyn Catalog, three: &dyn Catalog) {
    for round in 0..40 {
        let file = new("race", "one", round);
        assert!(one.insert(file.clone()).await.expect(OK));
        let deleted = async { one.delete(&file.key, None).await.expect(OK) };
        let landing = async { two.land(landed(&file, "two")).await.expect(OK) };
        let listed = async { three.enlist(None, 9).await.expect(OK).0 };
        let (deleted, landed_there, listed) = join3(deleted, landing, listed).await;
        assert!(deleted && listed == 0);
        let again = new("race", "two", round + 100);
        let (inserted, late) = join(two.insert(again.clone()), three.land(landed(&file, "three"))).await;
        assert!(inserted.expect(OK) && !late.expect(OK), "what was deleted does not come back");
        assert_eq!(one.pending_of(&file.key).await.expect(OK), Some(order(&again, 0)));
        assert_eq!(ordered(two).await, [""; 0]);
        assert_eq!(swept(one).await.len(), 1);
        assert_eq!(swept(two).await.len(), usize::from(landed_there));
        assert!(one.delete(&again.key, None).await.expect(OK));
        assert!(ordered(one).await.is_empty() && ordered(three).await.is_empty());
        assert_eq!((swept(two).await.len(), swept(three).await.len()), (1, 0));
    }
}

/// Who is removed has no orders and no copies any more, and does not come back.
async fn removal(one: &dyn Catalog, two: &dyn Catalog, three: &dyn Catalog) {
    let (ours, theirs) = (new("ours", "one", 1), new("theirs", "three", 1));
    assert!(one.insert(ours.clone()).await.expect(OK) && three.insert(theirs.clone()).await.expect(OK));
    assert!(two.land(landed(&ours, "two")).await.expect(OK));
    assert_eq!(ordered(three).await, ["ours"]);
    assert_eq!(one.backlog_of("three").await.expect(OK).files, 1);
    // It alone has a file, until another one has it as well.
    let (nobody, both) = (Vec::new(), vec!["one".to_owned(), "two".to_owned()]);
    assert_eq!(one.only_at("three", &nobody).await.expect(OK), 1);
    assert_eq!(one.only_at("one", &both[1..]).await.expect(OK), 0);
    assert_eq!(one.only_at("one", &nobody).await.expect(OK), 1);
    assert_eq!(one.remove_member("three", Some(&both)).await.expect(OK), 1);
    assert_eq!(one.member_state("three").await.expect(OK), Some(MemberState::Filling));
    assert!(two.land(landed(&theirs, "two")).await.expect(OK));
    assert_eq!(one.only_at("three", &both).await.expect(OK), 0);
    assert_eq!(
        one.remove_member("three", Some(&both[..1])).await.expect(OK),
        1,
        "the other one does not count"
    );
    for _ in 0..2 {
        assert_eq!(one.remove_member("three", Some(&both)).await.expect(OK), 0);
    }
    assert_eq!(one.member_state("three").await.expect(OK), Some(MemberState::Removed));
    three.insert(new("late", "three", 1)).await.expect_err("what it takes now is nobody's");
    three.enlist(None, 9).await.expect_err("it needs nothing");
    assert_eq!(location(one, "late").await, None);
    let ids: Vec<String> = two.members().await.expect(OK).into_iter().map(|member| member.id).collect();
    assert_eq!(ids, ["one", "two"]);
    assert!(ordered(three).await.is_empty());
    assert_eq!(one.holders(&ours.key).await.expect(OK), ["two"]);
    assert_eq!(location(one, "theirs").await, Some(Location::Elsewhere), "not where its path would be here");
    assert!(one.insert(new("later", "one", 1)).await.expect(OK));
    assert!(ordered(three).await.is_empty());
    assert!(!three.change_state("three", MemberState::Active, MemberState::Active).await.expect(OK));
    assert_eq!(join_group(three, "three", Replication::Copies).await, MemberState::Removed);
}
