//! Which servers are asked, and what is said when none of them helps.

use bytes::Bytes;
use tnv_client::{Client, ClientError, IdClient, Options, Source};
use tnv_proto::{Checksum, Command, ErrorCode, Server};

use crate::fake::{Answer, Fake, nobody, storage_list};
use crate::{app, client, key, user};

async fn storage_saying(answer: Answer) -> Fake {
    Fake::answering(Server::Storage, move |_| answer.clone()).await
}

fn size(size: i64) -> Answer {
    Answer::Success(size.to_be_bytes().to_vec())
}

/// A cluster of these storages, asked for a file's size.
async fn file_size_from(storages: &[&str]) -> Result<u64, ClientError> {
    let tracker = Fake::tracker(storages).await;
    client(&tracker).file_size(&key()).await
}

#[tokio::test]
async fn every_tracker_is_tried() {
    let good = Fake::tracker(&["10.0.0.1:23000"]).await;
    let bad = Fake::answering(Server::Tracker, |_| Answer::Failure(ErrorCode::UNAVAILABLE)).await;
    // Often enough that the random start falls on each of them.
    for _ in 0..20 {
        let trackers = vec![nobody().await, good.address.clone(), bad.address.clone()];
        let storages = Client::new(trackers, Options::default()).storages(&app(), &user()).await.unwrap();
        assert_eq!(storages.addresses, ["10.0.0.1:23000"]);
    }
}

#[tokio::test]
async fn the_error_names_every_tracker() {
    let refusing = Fake::answering(Server::Tracker, |_| Answer::Failure(ErrorCode::FORBIDDEN)).await;
    let gone = nobody().await;
    let trackers = vec![gone.clone(), refusing.address.clone()];
    let error = Client::new(trackers, Options::default()).storages(&app(), &user()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::FORBIDDEN));
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("tracker {} refused: [fake] forbidden (403)", refusing.address)),
        "{text}"
    );
    assert!(text.contains(&format!("tracker {gone} is out of reach: ")), "{text}");
}

#[tokio::test]
async fn no_tracker_is_a_local_error() {
    let error = Client::new(Vec::new(), Options::default()).groups().await.unwrap_err();
    assert!(matches!(error, ClientError::Local { .. }));
}

#[tokio::test]
async fn the_next_storage_is_asked() {
    let good = storage_saying(size(5)).await;
    for answer in [
        Answer::Close,
        Answer::Failure(ErrorCode::NOT_FOUND),
        Answer::Failure(ErrorCode::INTERNAL),
        Answer::Failure(ErrorCode::UNAVAILABLE),
        Answer::Failure(ErrorCode::UNSPECIFIED),
        Answer::Success(b"not a size".to_vec()),
        size(-1),
    ] {
        let bad = storage_saying(answer).await;
        assert_eq!(file_size_from(&[&bad.address, &good.address]).await.unwrap(), 5);
    }
    assert_eq!(file_size_from(&[&nobody().await, &good.address]).await.unwrap(), 5);
}

#[tokio::test]
async fn not_found_takes_that_every_answer_says_so() {
    let missing = storage_saying(Answer::Failure(ErrorCode::NOT_FOUND)).await;
    let elsewhere = storage_saying(Answer::Failure(ErrorCode::UNAVAILABLE)).await;
    let broken = storage_saying(Answer::Failure(ErrorCode::INTERNAL)).await;
    let strange = storage_saying(Answer::Success(b"?".to_vec())).await;
    let (missing, gone) = (missing.address.as_str(), nobody().await);

    assert!(file_size_from(&[missing, missing]).await.unwrap_err().is_not_found());
    assert!(file_size_from(&[&gone, missing]).await.unwrap_err().is_not_found());
    assert!(file_size_from(&[missing, &gone]).await.unwrap_err().is_not_found());
    assert!(!file_size_from(&[&gone]).await.unwrap_err().is_not_found());
    assert!(!file_size_from(&[missing, &strange.address]).await.unwrap_err().is_not_found());
    let error = file_size_from(&[missing, &elsewhere.address]).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UNAVAILABLE));
    let error = file_size_from(&[missing, &broken.address, &elsewhere.address]).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::INTERNAL));
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_not_repeated() {
    let refusing = storage_saying(Answer::Failure(ErrorCode::FORBIDDEN)).await;
    let other = storage_saying(size(5)).await;
    let error = file_size_from(&[&refusing.address, &other.address]).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::FORBIDDEN));
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn a_delete_whose_answer_got_lost_and_that_worked_is_a_success() {
    let lost = storage_saying(Answer::Close).await;
    let missing = storage_saying(Answer::Failure(ErrorCode::NOT_FOUND)).await;
    let tracker = Fake::tracker(&[&lost.address, &missing.address]).await;
    client(&tracker).delete(&key()).await.unwrap();

    let tracker = Fake::tracker(&[&nobody().await, &missing.address]).await;
    assert!(client(&tracker).delete(&key()).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn every_id_server_is_tried() {
    let good = Fake::answering(Server::Id, |request| match request.command {
        Command::IdGet => Answer::Success(42_i64.to_be_bytes().to_vec()),
        _ => Answer::Success([&100_i64.to_be_bytes()[..], &8_u32.to_be_bytes()].concat()),
    })
    .await;
    for _ in 0..20 {
        let ids = IdClient::new(vec![nobody().await, good.address.clone()], Options::default());
        assert_eq!(ids.get("../data").await.unwrap(), 42);
        let range = ids.lease("../data", 8).await.unwrap();
        assert_eq!((range.first, range.count), (100, 8));
        let error = ids.lease("../data", 7).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    }
}

#[tokio::test]
async fn requests_can_be_spawned() {
    let tracker = Fake::answering(Server::Tracker, |request| match request.command {
        Command::State => Answer::Success(br#"{"version":"0.1.0","unknown":1}"#.to_vec()),
        _ => Answer::Success(storage_list(&["127.0.0.1:1"])),
    })
    .await;
    let client = client(&tracker);
    let spawned = tokio::spawn(async move {
        let state = client.state().await.unwrap();
        let key = key();
        let lost = [
            client.stat(&key).await.err(),
            client.delete(&key).await.err(),
            client.upload(&key, Source::Memory(Bytes::new())).await.err(),
            client.download(&key, 0, 0, Checksum::UNKNOWN).await.err(),
        ];
        (state, lost)
    });
    let (state, lost) = spawned.await.unwrap();
    assert_eq!(state.version, "0.1.0");
    for error in lost {
        assert!(matches!(error, Some(ClientError::Unreachable { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn readers_go_on_when_every_tracker_is_gone() {
    let storage = storage_saying(size(7)).await;
    let list = storage_list(&[&storage.address]);
    // Answers once, and then hangs up on whoever comes.
    let tracker = Fake::scripted(Server::Tracker, move |number, mut wire| {
        let list = list.clone();
        async move {
            if number == 0 && wire.request().await.is_some() {
                wire.success(&list).await;
            }
        }
    })
    .await;
    let client = client(&tracker);
    assert_eq!(client.file_size(&key()).await.unwrap(), 7);
    assert_eq!(client.file_size(&key()).await.unwrap(), 7);
    let other = tnv_proto::FileKey::new("app", "somebody else", "file").unwrap();
    assert!(matches!(client.file_size(&other).await, Err(ClientError::Unreachable { .. })));
}

#[tokio::test]
async fn readers_locate_and_ask_an_older_tracker_as_uploads_do() {
    let storage = storage_saying(size(7)).await;
    let list = storage_list(&[&storage.address]);
    let tracker = Fake::answering(Server::Tracker, move |request| match request.command {
        Command::Saddrs => Answer::Success(list.clone()),
        _ => Answer::Failure(ErrorCode::UNSPECIFIED),
    })
    .await;
    assert_eq!(client(&tracker).file_size(&key()).await.unwrap(), 7);

    let strict = Fake::answering(Server::Tracker, |request| match request.command {
        Command::Locate => Answer::Failure(ErrorCode::NOT_FOUND),
        _ => Answer::Failure(ErrorCode::INTERNAL),
    })
    .await;
    assert!(client(&strict).file_size(&key()).await.unwrap_err().is_not_found());
}
