//! What every catalog must do.

mod copies;

use tnv_proto::{Checksum, FileKey, ListOrder};

use super::{
    Backlog, Catalog, Leftover, Location, MemberState, NewFile, OwnCopy, Page, Position, StorageRow,
};
use crate::config::Replication;

pub use copies::copies_contract;

fn file(user: &str, id: &str, path: &str) -> NewFile {
    NewFile {
        key: FileKey::new("tnvideo", user, id).expect("a valid key"),
        group: "group001".to_owned(),
        file_path: format!("../data/{path}"),
        path_index: 0,
        path: path.to_owned(),
        size: 7,
        created_ms: 1_700_000_000_123,
        crc32: 0xDEAD_BEEF,
        blake3: Checksum([7; 32]),
        content_type: "video/mp4".to_owned(),
        name: format!("{id}.mp4"),
        copies: Vec::new(),
    }
}

/// A user's files in both orders, page by page, while others have files of the same names.
async fn pages(catalog: &dyn Catalog) {
    let ok = "the database answers";
    let user = "lists";
    let add = |id: &str, name: &str, created_ms: i64| NewFile {
        name: name.to_owned(),
        created_ms,
        ..file(user, id, &format!("000/000/007/{id}"))
    };
    for new in [add("1", "b/x", 5), add("2", "", 7), add("3", "b/a", 7), add("4", "B", 1), add("5", "b/%", 9)]
    {
        assert!(catalog.insert(new).await.expect(ok));
    }
    let stranger =
        NewFile { key: FileKey::new("other", user, "6").expect("a valid key"), ..add("6", "b/z", 6) };
    assert!(catalog.insert(stranger).await.expect(ok));

    let owner = FileKey::new("tnvideo", user, "x").expect("a valid key");
    for (order, prefix, expected) in [
        (ListOrder::Newest, "", "53214"),
        (ListOrder::Name, "", "24531"),
        (ListOrder::Newest, "b/", "531"),
        (ListOrder::Name, "b/", "531"),
        (ListOrder::Name, "b/%", "5"),
        (ListOrder::Name, "nothing", ""),
    ] {
        for limit in 1..=6 {
            let (mut ids, mut after) = (String::new(), None);
            loop {
                let page = Page { order, after: after.take(), prefix: prefix.to_owned(), limit };
                let rows = catalog.list(&owner.app, &owner.user, page).await.expect(ok);
                ids.extend(rows.iter().map(|(id, _)| id.as_str()));
                let Some((id, row)) = rows.last().filter(|_| rows.len() == limit) else { break };
                after = Some(match order {
                    ListOrder::Newest => Position::Age { created_ms: row.created_ms, id: id.clone() },
                    ListOrder::Name => Position::Name { name: row.name.clone(), id: id.clone() },
                });
            }
            assert_eq!(ids, expected, "{order:?} {prefix:?} by {limit}");
        }
    }
}

/// What every [`Catalog`] must do; each implementation's tests call it with an empty one as two storages of a group
/// see it.
///
/// # Panics
/// If it does not.
pub async fn contract(one: &dyn Catalog, two: &dyn Catalog) {
    let ok = "the database answers";
    let new = file("tnv001", "a'; DROP TABLE t_file_02; --", "000/000/000/5F6E7AD2_000");
    let key = new.key.clone();
    assert_eq!(one.find(&key).await.expect(ok), None);
    assert!(one.insert(new.clone()).await.expect(ok));

    let row = one.find(&key).await.expect(ok).expect("it was inserted");
    assert_eq!(row.location, Location::Here { path_index: 0, path: new.path.clone() });
    assert_eq!((row.size, row.created_ms, row.crc32), (7, new.created_ms, new.crc32));
    assert_eq!((row.checksum(), row.content_type.as_str()), (new.blake3, "video/mp4"));
    assert_eq!(two.find(&key).await.expect(ok).expect("one catalog").location, Location::Elsewhere);

    // An id is taken for everyone in its table, and belongs to its app and user alone.
    let again = NewFile { path: "000/000/000/5F6E7AD2_001".to_owned(), ..new.clone() };
    assert!(!two.insert(again.clone()).await.expect(ok));
    assert!(two.is_taken(&key).await.expect(ok));
    assert!(!one.has_copy(0, &again.path).await.expect(ok));
    let stranger = FileKey { app: "other".parse().expect("an app"), ..key.clone() };
    assert_eq!(one.find(&stranger).await.expect(ok), None);
    assert!(!one.delete(&stranger, None).await.expect(ok));

    let own = |new: &NewFile| OwnCopy {
        key: new.key.clone(),
        size: new.size,
        blake3: new.blake3,
        path_index: new.path_index,
        path: new.path.clone(),
    };
    assert_eq!(one.copies(None, 2).await.expect(ok), (vec![own(&new)], None));
    let (first, next) = one.copies(None, 1).await.expect(ok);
    assert_eq!(first, [own(&new)]);
    assert_eq!(one.copies(next.as_ref(), 1).await.expect(ok), (Vec::new(), None));
    assert_eq!(two.copies(None, 10).await.expect(ok), (Vec::new(), None));

    // A damaged copy is still that file's: it can be looked up, listed and deleted, and its place is taken.
    assert!(!two.mark_damaged(0, &new.path).await.expect(ok), "it is the other one's");
    assert!(one.mark_damaged(0, &new.path).await.expect(ok));
    assert!(!one.mark_damaged(0, &new.path).await.expect(ok));
    let damaged = Location::Damaged { path_index: 0, path: new.path.clone() };
    assert_eq!(one.find(&key).await.expect(ok).map(|row| row.location), Some(damaged));
    assert_eq!(two.find(&key).await.expect(ok).map(|row| row.location), Some(Location::Elsewhere));
    assert!(one.seal(0, &new.path).await.expect(ok));

    // What is damaged is none of those that are to be well.
    assert_eq!(one.copies(None, 10).await.expect(ok), (Vec::new(), None));

    // A delete leaves its copies to be removed, and the id is free again.
    assert!(one.has_copy(0, &new.path).await.expect(ok));
    assert!(two.delete(&key, None).await.expect(ok));
    assert!(!two.delete(&key, None).await.expect(ok));
    assert_eq!(one.find(&key).await.expect(ok), None);
    assert!(!one.has_copy(0, &new.path).await.expect(ok));
    assert!(one.insert(again.clone()).await.expect(ok));
    let gone = vec![Leftover { path_index: 0, path: new.path.clone() }];
    assert_eq!(one.leftovers(None, 10).await.expect(ok), gone);
    assert!(two.leftovers(None, 10).await.expect(ok).is_empty());
    one.forget(gone).await.expect(ok);
    one.forget(vec![Leftover { path_index: 0, path: again.path.clone() }]).await.expect(ok);
    assert!(one.leftovers(None, 10).await.expect(ok).is_empty());
    assert!(one.has_copy(0, &again.path).await.expect(ok), "only what is being deleted can be forgotten");

    // A sealed place takes no copy any more, and is no leftover; one that has a copy cannot be sealed.
    let late = NewFile { path: "000/000/000/5F6E7AD2_002".to_owned(), ..file("tnv001", "late", "") };
    assert!(one.seal(0, &again.path).await.expect(ok));
    assert!(!one.seal(0, &late.path).await.expect(ok) && !one.seal(0, &late.path).await.expect(ok));
    one.insert(late.clone()).await.expect_err("its place is sealed");
    assert!(!one.is_taken(&late.key).await.expect(ok));
    assert!(one.leftovers(None, 10).await.expect(ok).is_empty());
    assert!(two.insert(late.clone()).await.expect(ok), "another storage's places are others");
    assert!(two.delete(&late.key, None).await.expect(ok));
    two.forget(vec![Leftover { path_index: 0, path: late.path }]).await.expect(ok);

    // Bytes without a copy are listed as well, and the list can be read piece by piece.
    let older = |path_index, path: &str| Leftover { path_index, path: path.to_owned() };
    assert!(one.delete(&key, Some(older(0, "000/000/000/5F6E7AD2_008"))).await.expect(ok));
    assert!(
        !one.delete(&key, Some(older(9, "000/000/000/5F6E7AD2_009"))).await.expect(ok),
        "it is gone already"
    );
    let listed = [older(0, "000/000/000/5F6E7AD2_001"), older(0, "000/000/000/5F6E7AD2_008")];
    assert_eq!(one.leftovers(None, 10).await.expect(ok), listed);
    assert_eq!(one.leftovers(None, 1).await.expect(ok), listed[..1]);
    assert_eq!(one.leftovers(Some(&listed[0]), 10).await.expect(ok), listed[1..]);
    assert_eq!(
        (one.last_path_index().await.expect(ok), two.last_path_index().await.expect(ok)),
        (Some(0), None)
    );

    pages(one).await;

    // Users are spread over the tables, and all of them work.
    for user in ["tnv001", "tnv002", "tnv003"] {
        let new = file(user, "same id", &format!("000/000/001/5F6E7AD2_{user}"));
        assert!(one.insert(new).await.expect(ok));
    }

    assert!(!one.knows_storage("one").await.expect(ok));
    for seen_ms in [1, 2] {
        let row = StorageRow {
            id: "one".to_owned(),
            group: "group001".to_owned(),
            host: "alpha".to_owned(),
            address: "127.0.0.1:23000".to_owned(),
            replication: Replication::None,
            seen_ms,
        };
        assert_eq!(one.register(row).await.expect(ok), MemberState::Active);
    }
    assert!(two.knows_storage("one").await.expect(ok));
    let at = ("alpha", "127.0.0.1:23000");
    assert_eq!(two.other_storage_at(at.0, at.1).await.expect(ok).as_deref(), Some("one"));
    assert_eq!(one.other_storage_at(at.0, at.1).await.expect(ok), None, "itself is no other");
    assert_eq!(two.other_storage_at(at.0, "127.0.0.1:1").await.expect(ok), None);

    // Who does not replicate is no member and orders nothing.
    assert!(one.members().await.expect(ok).is_empty());
    assert_eq!(two.backlog().await.expect(ok), Backlog::default());
}
