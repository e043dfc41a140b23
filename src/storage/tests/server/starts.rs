//! What a start makes of what the last stop, or crash, has left.

use tnv_common::database::DatabaseConfig;
use tnv_storage::Replication;

use crate::lab::{Lab, pattern, written};

#[tokio::test]
async fn temporary_names_are_settled_as_the_catalog_says() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("kept", &pattern(1000, 1)).await.unwrap();
    storage.stop().await;
    let file = lab.only_file();
    let with_row = format!("{}.tmp", file.display());
    std::fs::rename(&file, &with_row).unwrap();
    let without_row = file.with_file_name("5F6E7AD2_077.tmp");
    std::fs::write(&without_row, "half a fil").unwrap();

    let storage = lab.start().await;
    assert_eq!(lab.only_file(), file);
    assert_eq!(storage.download("kept").await.unwrap(), pattern(1000, 1));
}

#[tokio::test]
async fn a_file_whose_rename_is_missing_is_served_all_the_same() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("kept", &pattern(1000, 1)).await.unwrap();
    let file = lab.only_file();
    std::fs::rename(&file, format!("{}.tmp", file.display())).unwrap();
    assert_eq!(storage.download("kept").await.unwrap(), pattern(1000, 1));
    storage.delete("kept").await.unwrap();
    assert!(lab.files().is_empty());
}

#[tokio::test]
async fn another_catalog_is_refused_and_nothing_is_touched() {
    let mut lab = Lab::new().await;
    let storage = lab.start().await;
    storage.upload("kept", &pattern(1000, 1)).await.unwrap();
    storage.stop().await;
    let file = lab.only_file();
    let temp = format!("{}.tmp", file.display());
    std::fs::rename(&file, &temp).unwrap();

    let right = lab.config.database.clone();
    lab.config.database = DatabaseConfig::sqlite(lab.folder.path().join("other.db"));
    let refused = loop {
        match lab.try_start().await {
            Err(error) if error.to_string().contains("in use") => tokio::task::yield_now().await,
            outcome => break outcome.err().expect("the wrong catalog").to_string(),
        }
    };
    assert!(refused.contains("which the catalog does not know; check database.url"), "{refused}");
    assert_eq!(std::fs::read(&temp).unwrap(), pattern(1000, 1));

    lab.config.database = right;
    let storage = lab.start().await;
    assert_eq!(storage.download("kept").await.unwrap(), pattern(1000, 1));
}

#[tokio::test]
async fn a_number_of_a_store_path_that_is_away_is_not_given_to_another() {
    let mut lab = Lab::new().await;
    lab.config.store_paths = vec![written(lab.folder.path(), "store")];
    let storage = lab.start().await;
    storage.upload("kept", &pattern(1000, 1)).await.unwrap();
    storage.stop().await;
    // A second folder comes, with a file in it, goes away, and a third one comes.
    let folder = |name: &str| written(lab.folder.path(), name);
    let (one, two, three) = (folder("store"), folder("two"), folder("three"));
    lab.config.store_paths = vec![one.clone(), two.clone()];
    lab.start().await.stop().await;
    lab.sql().execute_batch("UPDATE t_copy SET path_index = 1").unwrap();
    let place = lab.only_file().strip_prefix(lab.store()).unwrap().to_owned();
    std::fs::create_dir_all(two.resolved.join(&place).parent().unwrap()).unwrap();
    std::fs::rename(lab.only_file(), two.resolved.join(&place)).unwrap();

    lab.config.store_paths = vec![one.clone(), three.clone()];
    lab.start().await.stop().await;
    lab.config.store_paths = vec![one, three, two];
    let storage = lab.start().await;
    assert_eq!(storage.download("kept").await.unwrap(), pattern(1000, 1));
}

#[tokio::test]
async fn a_storage_that_was_removed_from_its_group_does_not_start() {
    let mut lab = Lab::new().await;
    lab.config.replication = Replication::Copies;
    let storage = lab.start().await;
    lab.sql()
        .execute_batch(
            "INSERT INTO t_storage (id, group_name, host, address, replication, state, created_ms, seen_ms)
             SELECT 'other', group_name, 'h', 'a', 'copies', 'active', 1, 1 FROM t_storage",
        )
        .unwrap();
    storage.upload("kept", &pattern(1000, 1)).await.unwrap();
    assert_eq!(lab.count("SELECT count(*) FROM t_pending WHERE storage = 'other' AND file_size = 1000"), 1);
    storage.stop().await;

    lab.sql().execute_batch("UPDATE t_storage SET state = 'removed' WHERE id <> 'other'").unwrap();
    let refused = loop {
        match lab.try_start().await {
            Err(error) if error.to_string().contains("in use") => tokio::task::yield_now().await,
            outcome => break outcome.err().expect("it was removed").to_string(),
        }
    };
    assert!(refused.contains("which was removed from its group"), "{refused}");
}
