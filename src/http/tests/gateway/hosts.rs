//! Pages of a name that was made to point here, and pages under the gateway's own names.

use std::net::SocketAddr;

use crate::cluster::with_clip;
use crate::http::{Answer, Connection};

/// As a page that was loaded from `host` asks, over plain http: its origin is told with what changes something only.
async fn page_asks(address: SocketAddr, host: &str, method: &str, path: &str) -> Answer {
    let origin = if method == "GET" { String::new() } else { format!("Origin: http://{host}\r\n") };
    let mut connection = Connection::open(address).await;
    let length = "Content-Length: 0\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 1";
    connection.send(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{origin}{length}\r\n\r\n")).await;
    connection.answer().await
}

const CHANGES: [(&str, &str); 4] =
    [("POST", "/files"), ("DELETE", "/files/clip"), ("POST", "/tus/"), ("PUT", "/api/session")];

#[tokio::test]
async fn a_page_whose_name_was_made_to_point_here_gets_nothing() {
    let (cluster, gateway) = with_clip().await;
    let reads = ["/api/files", "/api/config", "/api/cluster", "/api/session"].map(|path| ("GET", path));
    for (method, path) in CHANGES.into_iter().chain(reads) {
        let answer = page_asks(gateway.address, "evil.example:8080", method, path).await;
        assert_eq!(answer.status, 421, "{method} {path}");
        let text = answer.text();
        assert!(text.contains("evil.example ") && text.contains("add it to hosts"), "{text}");
    }
    assert_eq!(cluster.kept(), (1, 0));
}

#[tokio::test]
async fn players_and_the_page_itself_come_under_any_name() {
    let (_cluster, gateway) = with_clip().await;
    for path in ["/", "/assets/main.js", "/files/clip", "/metrics"] {
        assert_eq!(page_asks(gateway.address, "media.example.org", "GET", path).await.status, 200, "{path}");
    }
    let mut program = Connection::open(gateway.address).await;
    program.send("DELETE /files/clip HTTP/1.1\r\nHost: media.example.org\r\n\r\n").await;
    assert_eq!(program.head().await.status, 204, "no page leaves its origin out");
}

#[tokio::test]
async fn pages_under_names_of_the_gateway_may_do_everything() {
    let (cluster, plain) = with_clip().await;
    let named = cluster.gateway(|config| config.hosts = vec!["media.example.org".to_owned()]).await;
    let open = cluster.gateway(|config| config.hosts = vec!["*".to_owned()]).await;
    for (gateway, host) in [
        (&plain, "127.0.0.1:8080"),
        (&plain, "localhost:8080"),
        (&plain, "nas"),
        (&named, "media.example.org:8080"),
        (&open, "evil.example"),
    ] {
        assert_eq!(page_asks(gateway.address, host, "GET", "/api/files").await.status, 200, "{host}");
        assert_eq!(page_asks(gateway.address, host, "POST", "/tus/").await.status, 201, "{host}");
    }
}

#[tokio::test]
async fn over_https_every_name_is_the_gateways() {
    let (_cluster, gateway) = with_clip().await;
    for request in ["GET /api/files", "POST /files"] {
        let mut connection = Connection::open(gateway.address).await;
        let page = "Origin: https://media.example.org\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 0";
        connection.send(&format!("{request} HTTP/1.1\r\nHost: media.example.org\r\n{page}\r\n\r\n")).await;
        let status = connection.answer().await.status;
        assert!([200, 201].contains(&status), "{request}: {status}");
    }
}

#[tokio::test]
async fn listed_origins_reach_it_under_any_name() {
    let (cluster, _) = with_clip().await;
    let gateway = cluster.gateway(|config| config.cors_origins = vec!["https://a.example".to_owned()]).await;
    for (origin, status) in [("https://a.example", 200), ("https://b.example", 421)] {
        let mut connection = Connection::open(gateway.address).await;
        connection
            .send(&format!("GET /api/files HTTP/1.1\r\nHost: media.example.org\r\nOrigin: {origin}\r\n\r\n"))
            .await;
        assert_eq!(connection.answer().await.status, status, "{origin}");
    }
}
