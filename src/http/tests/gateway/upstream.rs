//! What becomes of trouble behind the gateway.

use std::time::Duration;

use tnv_proto::ErrorCode;

use crate::cluster::{Cluster, bytes_of, with_clip};
use crate::http::{Connection, get};

#[tokio::test]
async fn refusals_get_the_status_that_fits() {
    let cases = [
        (ErrorCode::FORBIDDEN, 403),
        (ErrorCode::NOT_FOUND, 404),
        (ErrorCode::RANGE, 416),
        (ErrorCode::CHANGED, 503),
        (ErrorCode::BUSY, 503),
        (ErrorCode::UNAVAILABLE, 503),
        (ErrorCode::INTERNAL, 502),
        (ErrorCode::UNSPECIFIED, 502),
    ];
    for (code, status) in cases {
        let (cluster, gateway) = with_clip().await;
        cluster.fault(|faults| faults.reads = Some(code));
        let answer = get(gateway.address, "/files/clip", &[]).await;
        assert_eq!(answer.status, status, "{code} when reading");
        assert_eq!(answer.header("retry-after"), (status == 503).then_some("2"), "{code}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{code}");
        assert!(
            !answer.text().contains("as scripted"),
            "what servers say is not for clients: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_in_between_is_not_mixed_with_the_old_one() {
    let (cluster, gateway) = with_clip().await;
    cluster.fault(|faults| faults.replaced = true);
    assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 503);
    assert_eq!(cluster.seen().reads, 0);
}

#[tokio::test]
async fn an_app_that_is_not_served_is_a_403() {
    let (cluster, gateway) = with_clip().await;
    cluster.fault(|faults| faults.tracker = Some(ErrorCode::FORBIDDEN));
    assert_eq!(get(gateway.address, "/files/other/u/clip", &[]).await.status, 403);
}

#[tokio::test]
async fn no_storage_and_no_tracker_are_503() {
    let (cluster, gateway) = with_clip().await;
    cluster.fault(|faults| faults.tracker = Some(ErrorCode::UNAVAILABLE));
    for path in ["/files/clip", "/api/cluster"] {
        let answer = get(gateway.address, path, &[]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{path}");
    }
    // A port that nobody listens on.
    let unused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gateway = cluster.gateway(|config| config.trackers = vec![unused.to_string()]).await;
    for path in ["/files/clip", "/api/cluster"] {
        let answer = get(gateway.address, path, &[]).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")), "{path}");
    }
}

#[tokio::test]
async fn a_storage_that_stays_silent_is_a_503() {
    let (cluster, _) = with_clip().await;
    cluster.fault(|faults| faults.stall = true);
    let gateway = cluster.gateway(|config| config.reply_timeout = Duration::from_millis(200)).await;
    assert_eq!(get(gateway.address, "/files/clip", &[]).await.status, 503);
}

#[tokio::test]
async fn an_answer_that_cannot_be_finished_is_cut_off() {
    let cluster = Cluster::start().await;
    cluster.add("film", 10_000_000, "video/mp4", "");
    cluster.fault(|faults| faults.die_after = Some(1_000_000));
    let gateway = cluster.gateway(|_| {}).await;
    let mut connection = Connection::open(gateway.address).await;
    connection.request("GET", "/files/film", &[]).await;
    let head = connection.head().await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("10000000")));
    let (body, _) = connection.rest().await;
    assert!(body.len() <= 1_000_000, "{} bytes came", body.len());
    assert!(body == bytes_of(0..body.len() as u64));
}

#[tokio::test]
async fn a_storage_of_an_older_version() {
    let (cluster, gateway) = with_clip().await;
    cluster.add("b", 1000, "video/mp4", "");
    cluster.fault(|faults| faults.old = true);
    let answer = get(gateway.address, "/files/clip", &["Range: bytes=990-"]).await;
    assert_eq!((answer.status, &answer.body), (206, &bytes_of(990..1000)));
    assert_eq!(answer.header("last-modified"), None);
    let etag = answer.header("etag").unwrap();
    assert!(etag.starts_with("\"3e8-") && etag.len() == 22, "{etag}");
    let if_range = format!("If-Range: {etag}");
    let again = get(gateway.address, "/files/clip", &["Range: bytes=990-", &if_range]).await;
    assert_eq!(again.status, 206);
    let other = get(gateway.address, "/files/b", &["Range: bytes=990-", &if_range]).await;
    assert_eq!(other.status, 200);
}
