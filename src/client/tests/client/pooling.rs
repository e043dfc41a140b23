//! Connections are used again while they are good, and closed when they are not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tnv_client::{ClientError, Options, StorageClient, TrackerClient, TrackerSession};
use tnv_proto::{Beat, Command, GroupName, Header, HostName, Join, Report, Server, Version};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;

use crate::fake::{Answer, Fake, Incoming, storage_list};
use crate::{app, events, impatient, key, user};

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Fake::answering(Server::Tracker, |_| Answer::Success(b"text\0".to_vec())).await;
    let tracker = TrackerClient::new(&server.address, Options::default());
    for _ in 0..3 {
        assert_eq!(tracker.groups().await.unwrap(), "text");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_connection_that_dies_with_the_request_is_replaced_once() {
    let server = Fake::scripted(Server::Storage, |number, mut wire| async move {
        wire.request().await.unwrap();
        wire.success(&7_i64.to_be_bytes()).await;
        if number == 0 {
            // The connection was quiet when it was taken from the pool, and dies under the next request.
            wire.request().await.unwrap();
        } else {
            wire.closed().await;
        }
    })
    .await;
    let storage = StorageClient::new(&server.address, Options::default());
    assert_eq!(storage.file_size(&key()).await.unwrap(), 7);
    assert_eq!(storage.file_size(&key()).await.unwrap(), 7);
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_new_connection_that_dies_is_not_replaced() {
    let server = Fake::answering(Server::Storage, |_| Answer::Close).await;
    let storage = StorageClient::new(&server.address, Options::default());
    let error = storage.file_size(&key()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable { server: address, .. } if *address == server.address));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_connection_with_stray_bytes_is_not_used_again() {
    let server = Fake::scripted(Server::Storage, |_, mut wire| async move {
        wire.request().await.unwrap();
        let mut frame = Header::success(Server::Storage, 8).encode().to_vec();
        frame.extend_from_slice(&7_i64.to_be_bytes());
        frame.extend_from_slice(b"stray");
        wire.raw(&frame).await;
        wire.closed().await;
    })
    .await;
    let storage = StorageClient::new(&server.address, Options::default());
    assert_eq!(storage.file_size(&key()).await.unwrap(), 7);
    assert_eq!(storage.file_size(&key()).await.unwrap(), 7);
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_being_asked_for() {
    let (closed, mut closures) = events();
    let server = Fake::scripted(Server::Storage, move |_, mut wire| {
        let closed = Arc::clone(&closed);
        async move {
            wire.request().await.unwrap();
            wire.success(&7_i64.to_be_bytes()).await;
            wire.closed().await;
            closed.send(()).unwrap();
        }
    })
    .await;
    let options = Options { idle: Duration::from_millis(20), ..Options::default() };
    let storage = StorageClient::new(&server.address, options);
    storage.file_size(&key()).await.unwrap();
    closures.recv().await.unwrap();
}

#[tokio::test]
async fn idle_connections_over_the_limit_are_closed() {
    let (closed, mut closures) = events();
    let both = Arc::new(Barrier::new(2));
    let server = Fake::scripted(Server::Storage, move |_, mut wire| {
        let (closed, both) = (Arc::clone(&closed), Arc::clone(&both));
        async move {
            wire.request().await.unwrap();
            both.wait().await;
            wire.success(&7_i64.to_be_bytes()).await;
            wire.closed().await;
            closed.send(()).unwrap();
        }
    })
    .await;
    let storage =
        StorageClient::new(&server.address, Options { max_idle_per_server: 1, ..Options::default() });
    let key = key();
    let (first, second) = tokio::join!(storage.file_size(&key), storage.file_size(&key));
    assert_eq!((first.unwrap(), second.unwrap()), (7, 7));
    closures.recv().await.unwrap();
    assert!(closures.try_recv().is_err(), "one of the two stays");
}

#[tokio::test]
async fn connections_to_a_server_are_limited() {
    let server = Fake::scripted(Server::Storage, |_, mut wire| async move {
        wire.request().await.unwrap();
        wire.success_header(1000).await;
        wire.closed().await;
    })
    .await;
    let storage = StorageClient::new(&server.address, Options { max_per_server: 1, ..impatient() });
    let _held = storage.download(&key(), 0, 1000, tnv_proto::Checksum::UNKNOWN).await.unwrap();
    let error = storage.file_size(&key()).await.unwrap_err();
    assert!(error.to_string().contains("all 1 connections"), "{error}");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn silence_is_an_error_and_the_request_is_not_repeated() {
    let server = Fake::scripted(Server::Storage, |_, mut wire| async move {
        wire.request().await.unwrap();
        wire.success(&7_i64.to_be_bytes()).await;
        wire.closed().await;
    })
    .await;
    let storage = StorageClient::new(&server.address, impatient());
    storage.file_size(&key()).await.unwrap();
    let error = storage.file_size(&key()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Unreachable { source, .. } if source.kind() == io::ErrorKind::TimedOut),
        "{error}"
    );
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn replies_of_the_wrong_kind_or_size_are_refused() {
    let too_long = Header::success(Server::Tracker, 1 << 40).encode().to_vec();
    let from_storage = Header::success(Server::Storage, 0).encode().to_vec();
    let negative = vec![0xff; 10];
    let failure_too_long = Header::failure(Server::Tracker, 1 << 40).encode().to_vec();
    let no_group = Header::success(Server::Tracker, 0).encode().to_vec();
    for reply in [too_long, from_storage, negative, failure_too_long, no_group] {
        let sent = reply.clone();
        let server = Fake::scripted(Server::Tracker, move |_, mut wire| {
            let sent = sent.clone();
            async move {
                wire.request().await.unwrap();
                wire.raw(&sent).await;
                wire.closed().await;
            }
        })
        .await;
        let tracker = TrackerClient::new(&server.address, Options::default());
        let error = tracker.saddrs(&app(), &user()).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{reply:?}: {error}");
    }
}

#[tokio::test]
async fn join_report_and_beat_share_one_connection() {
    let (seen, mut commands) = events();
    let server = Fake::answering(Server::Tracker, move |request| {
        seen.send(request.command).unwrap();
        match request.command {
            Command::Report => Answer::Failure(tnv_proto::ErrorCode::BAD_REQUEST),
            _ => Answer::Success(Vec::new()),
        }
    })
    .await;
    let (group, host) = (GroupName::new("group001").unwrap(), HostName::new("host").unwrap());
    let join = Join {
        version: Version::new("0.1.0").unwrap(),
        group: group.clone(),
        host: host.clone(),
        port: 23000,
        started: 1,
        joined: 2,
    };
    let mut session = TrackerSession::connect(&server.address, &Options::default()).await.unwrap();
    session.join(&join).await.unwrap();
    let report = Report { group: group.clone(), host: host.clone(), port: 23000, json: "{}".to_owned() };
    assert!(session.report(&report).await.unwrap_err().code().is_some());
    session.beat(&Beat { group, host }).await.unwrap();
    for command in [Command::Join, Command::Report, Command::Beat] {
        assert_eq!(commands.recv().await, Some(command));
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn the_storage_list_is_read() {
    let server =
        Fake::answering(Server::Tracker, |_| Answer::Success(storage_list(&["10.0.0.1:1", "[::1]:2"]))).await;
    let tracker = TrackerClient::new(&server.address, Options::default());
    let storages = tracker.saddrs(&app(), &user()).await.unwrap();
    assert_eq!(storages.group.as_str(), "group001");
    assert_eq!(storages.addresses, ["10.0.0.1:1", "[::1]:2"]);
}

/// Two runtimes that share what is given to both, and one for servers.
struct Runtimes {
    one: Runtime,
    other: Runtime,
    servers: Runtime,
}

fn runtimes() -> Runtimes {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    Runtimes { one: runtime(), other: runtime(), servers: Runtime::new().unwrap() }
}

fn seven(servers: &Runtime) -> Fake {
    let seven = |_: &Incoming| Answer::Success(7_i64.to_be_bytes().to_vec());
    servers.block_on(Fake::answering(Server::Storage, seven))
}

#[test]
fn every_runtime_uses_its_own_connection() {
    let Runtimes { one, other, servers } = runtimes();
    let server = seven(&servers);
    let storage = StorageClient::new(&server.address, Options::default());
    for _ in 0..3 {
        for runtime in [&one, &other] {
            assert_eq!(runtime.block_on(storage.file_size(&key())).unwrap(), 7);
        }
    }
    assert_eq!(server.accepted(), 2);
    drop(one);
    assert_eq!(other.block_on(storage.file_size(&key())).unwrap(), 7);
    assert_eq!(server.accepted(), 2);
}

#[test]
fn runtimes_share_what_may_be_idle_and_the_one_used_last_stays() {
    let Runtimes { one, other, servers } = runtimes();
    let server = seven(&servers);
    let storage =
        StorageClient::new(&server.address, Options { max_idle_per_server: 1, ..Options::default() });
    for (runtime, accepted) in [(&one, 1), (&other, 2), (&other, 2), (&one, 3), (&one, 3)] {
        assert_eq!(runtime.block_on(storage.file_size(&key())).unwrap(), 7);
        assert_eq!(server.accepted(), accepted);
    }
}

#[test]
fn a_connection_at_rest_on_another_runtime_makes_room() {
    let Runtimes { one, other, servers } = runtimes();
    let (closed, mut closures) = events();
    let server = servers.block_on(Fake::scripted(Server::Storage, move |_, mut wire| {
        let closed = Arc::clone(&closed);
        async move {
            wire.request().await.unwrap();
            wire.success(&7_i64.to_be_bytes()).await;
            wire.closed().await;
            closed.send(()).unwrap();
        }
    }));
    let storage = StorageClient::new(&server.address, Options { max_per_server: 1, ..Options::default() });
    for runtime in [&one, &other] {
        assert_eq!(runtime.block_on(storage.file_size(&key())).unwrap(), 7);
    }
    servers.block_on(closures.recv()).unwrap();
    assert!(closures.try_recv().is_err(), "the second one stays");
}
