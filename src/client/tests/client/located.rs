//! What a tracker said is relied on for a while, and never against a file that is there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tnv_client::{Client, Options};
use tnv_proto::{Checksum, ErrorCode, Server};

use crate::fake::{Answer, Fake, nobody, storage_list};
use crate::key;

/// A tracker that names whichever storages stand there, and counts how often it was asked.
struct Tracker {
    fake: Fake,
    storages: Arc<Mutex<Vec<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Tracker {
    async fn naming(storages: &[&str]) -> Tracker {
        let storages: Vec<String> = storages.iter().map(|address| (*address).to_owned()).collect();
        let (storages, asked) = (Arc::new(Mutex::new(storages)), Arc::new(AtomicUsize::new(0)));
        let (named, counter) = (Arc::clone(&storages), Arc::clone(&asked));
        let fake = Fake::answering(Server::Tracker, move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            let named = named.lock().unwrap();
            Answer::Success(storage_list(&named.iter().map(String::as_str).collect::<Vec<_>>()))
        })
        .await;
        Tracker { fake, storages, asked }
    }

    fn names(&self, storages: &[&str]) {
        *self.storages.lock().unwrap() = storages.iter().map(|address| (*address).to_owned()).collect();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn client(&self, locate_ttl: Duration) -> Client {
        Client::new(vec![self.fake.address.clone()], Options { locate_ttl, ..Options::default() })
    }
}

async fn storage_of(size: i64) -> Fake {
    Fake::answering(Server::Storage, move |_| Answer::Success(size.to_be_bytes().to_vec())).await
}

async fn storage_without() -> Fake {
    Fake::answering(Server::Storage, |_| Answer::Failure(ErrorCode::NOT_FOUND)).await
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_tracker_is_asked_once_by_all_clones() {
    let storage = storage_of(5).await;
    let tracker = Tracker::naming(&[&storage.address]).await;
    let client = tracker.client(LONG);
    for _ in 0..5 {
        assert_eq!(client.clone().file_size(&key()).await.unwrap(), 5);
    }
    assert_eq!(tracker.asked(), 1);
}

#[tokio::test]
async fn without_a_ttl_it_is_asked_each_time() {
    let storage = storage_of(5).await;
    let tracker = Tracker::naming(&[&storage.address]).await;
    let client = tracker.client(Duration::ZERO);
    for _ in 0..3 {
        assert_eq!(client.file_size(&key()).await.unwrap(), 5);
    }
    assert_eq!(tracker.asked(), 3);
}

#[tokio::test]
async fn a_file_that_came_to_a_new_storage_is_found_at_once() {
    let (old, new) = (storage_without().await, storage_of(8).await);
    let tracker = Tracker::naming(&[&old.address]).await;
    let client = tracker.client(LONG);
    assert!(client.file_size(&key()).await.unwrap_err().is_not_found());
    let asked = tracker.asked();
    tracker.names(&[&old.address, &new.address]);
    assert_eq!(client.file_size(&key()).await.unwrap(), 8);
    assert_eq!(tracker.asked(), asked + 1);
    let download = client.download(&key(), 0, 8, Checksum::UNKNOWN).await.unwrap();
    assert_eq!(download.size(), 8);
}

#[tokio::test]
async fn a_file_that_is_nowhere_is_asked_for_once_at_each_storage() {
    let (first, second) = (storage_without().await, storage_without().await);
    let tracker = Tracker::naming(&[&first.address, &second.address]).await;
    let client = tracker.client(LONG);
    for _ in 0..2 {
        let error = client.file_size(&key()).await.unwrap_err();
        assert!(error.is_not_found());
        assert_eq!(error.to_string().matches("refused").count(), 2, "{error}");
    }
}

#[tokio::test]
async fn a_storage_that_is_gone_is_asked_for_no_longer_than_it_must() {
    let (gone, good) = (nobody().await, storage_of(5).await);
    let tracker = Tracker::naming(&[&gone, &good.address]).await;
    let client = tracker.client(LONG);
    assert_eq!(client.file_size(&key()).await.unwrap(), 5);
    tracker.names(&[&good.address]);
    for _ in 0..3 {
        assert_eq!(client.file_size(&key()).await.unwrap(), 5);
    }
    assert_eq!(tracker.asked(), 2, "it was doubted once");
}

#[tokio::test]
async fn storages_take_turns_as_with_a_tracker() {
    let (first, second) = (storage_of(1).await, storage_of(2).await);
    let tracker = Tracker::naming(&[&first.address, &second.address]).await;
    let client = tracker.client(LONG);
    let mut sizes = Vec::new();
    for _ in 0..4 {
        sizes.push(client.file_size(&key()).await.unwrap());
    }
    assert_eq!(sizes, [1, 2, 1, 2]);
}
