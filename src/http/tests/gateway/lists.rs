//! The list of files.

use serde_json::json;
use tnv_proto::ErrorCode;

use crate::cluster::{Cluster, Running, with_clip};
use crate::http::{Answer, get};

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    json["files"].as_array().unwrap().iter().map(|file| file["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_tells_all_of_a_file() {
    let (cluster, gateway) = with_clip().await;
    cluster.add_for("tnvideo", "somebody else", "x", 1, "", "");
    let answer = get(gateway.address, "/api/files", &[]).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let clip = json!({
        "id": "clip", "name": "holiday.mp4", "size": 1000, "content_type": "video/mp4",
        "created_ms": 784_111_777_500_i64, "url": "/files/clip",
    });
    assert_eq!(answer.json(), json!({"files": [clip], "next": ""}));
}

/// Files `000` to `699`; each hundredth is called a film, the others notes.
async fn with_many() -> (Cluster, Running) {
    let cluster = Cluster::start().await;
    for n in 0..700 {
        let name = if n % 100 == 50 { format!("{n} Étrange FILM.mp4") } else { format!("{n} notes") };
        cluster.add(&format!("{n:03}"), 1, "", &name);
    }
    let gateway = cluster.gateway(|_| {}).await;
    (cluster, gateway)
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let (_cluster, gateway) = with_many().await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = get(gateway.address, &format!("/api/files?limit=300&cursor={cursor}"), &[]).await;
        seen.extend(ids(&answer));
        cursor = answer.json()["next"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    let all: Vec<String> = (0..700).map(|n| format!("{n:03}")).collect();
    assert_eq!(seen, all);
    let named = get(gateway.address, "/api/files?order=name&prefix=65&limit=2", &[]).await;
    assert_eq!(ids(&named), ["065", "650"]);
}

#[tokio::test]
async fn a_search_finds_every_match_once() {
    let (_cluster, gateway) = with_many().await;
    for limit in [1, 2, 5, 6, 7, 100] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/files?search=%C3%A9TRANGE%20film&limit={limit}&cursor={cursor}");
            let answer = get(gateway.address, &path, &[]).await;
            let found = ids(&answer);
            assert!(found.len() <= limit);
            seen.extend(found);
            cursor = answer.json()["next"].as_str().unwrap().to_owned();
            if cursor.is_empty() {
                break;
            }
        }
        assert_eq!(seen, ["050", "150", "250", "350", "450", "550", "650"], "limit {limit}");
    }
    let none = get(gateway.address, "/api/files?search=nothing", &[]).await;
    assert_eq!(none.json(), json!({"files": [], "next": ""}));
}

#[tokio::test]
async fn a_search_looks_at_so_many_files_at_a_time() {
    let cluster = Cluster::start().await;
    for n in 0..6000 {
        cluster.add(&format!("{n:04}"), 1, "", if n == 5500 { "needle" } else { "hay" });
    }
    let gateway = cluster.gateway(|_| {}).await;
    let first = get(gateway.address, "/api/files?search=needle", &[]).await;
    assert_eq!(first.json(), json!({"files": [], "next": "5000"}));
    let second = get(gateway.address, "/api/files?search=needle&cursor=5000", &[]).await;
    assert_eq!((ids(&second), second.json()["next"].as_str()), (vec!["5500".to_owned()], Some("")));
}

#[tokio::test]
async fn bad_requests_and_trouble() {
    let (cluster, gateway) = with_clip().await;
    for query in ["order=size", "limit=0", "limit=1001", "cursor=nonsense", "search=%ff"] {
        let answer = get(gateway.address, &format!("/api/files?{query}"), &[]).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    cluster.fault(|faults| faults.tracker = Some(ErrorCode::NOT_FOUND));
    let stranger = get(gateway.address, "/api/files", &[]).await;
    assert_eq!(stranger.json(), json!({"files": [], "next": ""}));
    cluster.fault(|faults| faults.tracker = Some(ErrorCode::UNAVAILABLE));
    assert_eq!(get(gateway.address, "/api/files", &[]).await.status, 503);
}
