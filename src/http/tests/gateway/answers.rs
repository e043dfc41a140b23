//! Headers of answers, refusals, pages and CORS.

use crate::cluster::{Cluster, bytes_of, with_clip};
use crate::http::{Answer, Connection, get, head};

/// All header lines but the date, sorted.
pub(crate) fn lines(answer: &Answer) -> Vec<&str> {
    let mut lines: Vec<&str> =
        answer.lines.iter().map(String::as_str).filter(|line| !line.starts_with("date: ")).collect();
    lines.sort_unstable();
    assert_eq!(lines.len() + 1, answer.lines.len(), "one date");
    lines
}

const CLIP: [&str; 10] = [
    "accept-ranges: bytes",
    "content-disposition: inline; filename=\"holiday.mp4\"; filename*=UTF-8''holiday.mp4",
    "content-length: 1000",
    "content-type: video/mp4",
    "etag: \"abababababababababababababababab\"",
    "last-modified: Sun, 06 Nov 1994 08:49:37 GMT",
    "link: <?meta4>; rel=describedby; type=\"application/metalink4+xml\"",
    "server: tnv",
    "x-content-type-options: nosniff",
    "",
];

#[tokio::test]
async fn a_file_comes_with_exactly_these_headers() {
    let (_cluster, gateway) = with_clip().await;
    let answer = get(gateway.address, "/files/clip", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(lines(&answer), CLIP[..9]);
    assert!(answer.body == bytes_of(0..1000));
    let mut connection = Connection::open(gateway.address).await;
    connection.request("HEAD", "/files/clip", &[]).await;
    assert_eq!(lines(&connection.head().await), CLIP[..9]);
}

#[tokio::test]
async fn refusals_come_with_exactly_these_headers() {
    let (_cluster, gateway) = with_clip().await;
    let answer = get(gateway.address, "/files/nothing", &[]).await;
    assert_eq!((answer.status, answer.text()), (404, "there is no such file\n"));
    let wanted = [
        "cache-control: no-store",
        "content-length: 22",
        "content-type: text/plain; charset=utf-8",
        "server: tnv",
    ];
    assert_eq!(lines(&answer), wanted);
    let headed = head(gateway.address, "/files/nothing", &[]).await;
    assert_eq!((headed.status, headed.header("content-length")), (404, Some("22")));
}

#[tokio::test]
async fn files_of_other_apps_and_users() {
    let (cluster, gateway) = with_clip().await;
    cluster.add_for("shop", "user 2/3", "a/b?", 10, "", "");
    let answer = get(gateway.address, "/files/shop/user%202%2F3/a%2fb%3F?x=y", &[]).await;
    assert_eq!((answer.status, answer.body), (200, bytes_of(0..10)));
    for path in ["/files/tnvideo/tnv001/clip", "//files/clip", "http://elsewhere/files/clip"] {
        assert_eq!(get(gateway.address, path, &[]).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let (_cluster, gateway) = with_clip().await;
    let long = format!("/files/{}", "x".repeat(128));
    for path in ["/files/%", "/files/%zz", "/files/%ff", "/files/a%00", "/files/a-b/u/f", &long] {
        let answer = get(gateway.address, path, &[]).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().starts_with("bad path: "), "{path}: {}", answer.text());
    }
    for path in ["/nowhere", "/files/", "/files/a/", "/api", "/assets", "/assets/", "/assets/nothing.js"] {
        assert_eq!(get(gateway.address, path, &[]).await.status, 404, "{path}");
    }
    for (path, methods, allowed) in [
        ("/files/clip", &["POST", "PUT", "PATCH", "TRACE", "BREW"][..], "GET, HEAD, DELETE, OPTIONS"),
        ("/files", &["GET", "PUT", "DELETE"], "POST, OPTIONS"),
        ("/", &["POST", "DELETE"], "GET, HEAD, OPTIONS"),
        ("/api/session", &["POST"], "GET, HEAD, PUT, OPTIONS"),
        ("/tus/", &["GET", "PATCH"], "POST, OPTIONS"),
        ("/tus/x", &["GET", "POST", "PUT"], "HEAD, PATCH, DELETE, OPTIONS"),
    ] {
        for method in methods {
            let mut connection = Connection::open(gateway.address).await;
            connection.request(method, path, &["Content-Length: 0"]).await;
            let answer = connection.answer().await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_refused_body_is_not_waited_for() {
    let (_cluster, gateway) = with_clip().await;
    let mut connection = Connection::open(gateway.address).await;
    connection.request("POST", "/files/clip", &["Content-Length: 1000000000", "Expect: 100-continue"]).await;
    assert_eq!(connection.answer().await.status, 405);
    // A client that sends nevertheless must see the answer, too, and no reset.
    let mut connection = Connection::open(gateway.address).await;
    connection.request("POST", "/files/clip", &["Content-Length: 4000000"]).await;
    connection.send(&"x".repeat(4_000_000)).await;
    assert_eq!(connection.answer().await.status, 405);
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let (_cluster, gateway) = with_clip().await;
    for (text, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET /files/a b HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000)), 431),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200)), 431),
    ] {
        let mut connection = Connection::open(gateway.address).await;
        connection.send(&text).await;
        assert_eq!(connection.head().await.status, status, "{}", &text[..20.min(text.len())]);
        connection.ends().await;
    }
    assert_eq!(get(gateway.address, "/", &[]).await.status, 200);
}

#[tokio::test]
async fn disposition_follows_type_and_wish() {
    let cluster = Cluster::start().await;
    cluster.add("svg", 1, "image/svg+xml", "a.svg");
    cluster.add("page", 1, "text/html", "a.html");
    cluster.add("song", 1, "audio/mpeg", "");
    cluster.add("guess.webm", 1, "", "");
    cluster.add("named", 1, "", "视频\r\n.mp4");
    cluster.add("forged", 1, "text/html\r\nX-Evil: 1", "");
    let gateway = cluster.gateway(|_| {}).await;
    let cases = [
        ("svg", "image/svg+xml", "attachment; filename=\"a.svg\"; filename*=UTF-8''a.svg"),
        ("page", "text/html", "attachment; filename=\"a.html\"; filename*=UTF-8''a.html"),
        ("song", "audio/mpeg", "inline; filename=\"song.mp3\"; filename*=UTF-8''song.mp3"),
        ("song?download", "audio/mpeg", "attachment; filename=\"song.mp3\"; filename*=UTF-8''song.mp3"),
        ("guess.webm", "video/webm", "inline; filename=\"guess.webm\"; filename*=UTF-8''guess.webm"),
        ("named", "video/mp4", "inline; filename=\"____.mp4\"; filename*=UTF-8''%E8%A7%86%E9%A2%91__.mp4"),
        ("forged", "application/octet-stream", "attachment; filename=\"forged\"; filename*=UTF-8''forged"),
    ];
    for (file, content_type, disposition) in cases {
        let answer = get(gateway.address, &format!("/files/{file}"), &[]).await;
        assert_eq!(answer.status, 200, "{file}");
        assert_eq!(answer.header("content-type"), Some(content_type), "{file}");
        assert_eq!(answer.header("content-disposition"), Some(disposition), "{file}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let runs = !content_type.starts_with("audio/") && !content_type.starts_with("video/");
        let policy = runs.then_some("default-src 'none'; sandbox");
        assert_eq!(answer.header("content-security-policy"), policy, "{file}");
    }
}

#[tokio::test]
async fn the_cluster_as_json() {
    let (_cluster, gateway) = with_clip().await;
    let state = get(gateway.address, "/api/cluster", &[]).await;
    assert_eq!((state.status, state.header("content-type")), (200, Some("application/json")));
    let json: serde_json::Value = serde_json::from_slice(&state.body).unwrap();
    assert_eq!(
        (json["version"].as_str(), json["groups"][0]["name"].as_str()),
        (Some("9.9"), Some("group001"))
    );
    let headed = head(gateway.address, "/api/cluster", &[]).await;
    assert_eq!(headed.header("content-length"), state.header("content-length"));
}

#[tokio::test]
async fn cors_is_off_unless_configured() {
    let (_cluster, gateway) = with_clip().await;
    let answer = get(gateway.address, "/files/clip", &["Origin: https://a.example"]).await;
    assert_eq!(lines(&answer), CLIP[..9]);
    let mut connection = Connection::open(gateway.address).await;
    connection.request("OPTIONS", "/files/clip", &["Access-Control-Request-Method: GET"]).await;
    let answer = connection.answer().await;
    assert_eq!(answer.status, 204);
    assert_eq!(lines(&answer), ["allow: GET, HEAD, DELETE, OPTIONS", "server: tnv"]);
}

const EXPOSED: &str = "Content-Range, Accept-Ranges, ETag, Content-Length, Content-Disposition, Location, \
                       Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, \
                       Upload-Offset, Upload-Length, Upload-Expires, Upload-Metadata, Tnv-Copies";

#[tokio::test]
async fn cors_for_listed_origins() {
    let (cluster, _) = with_clip().await;
    let gateway = cluster.gateway(|config| config.cors_origins = vec!["https://a.example".to_owned()]).await;
    let answer = get(gateway.address, "/files/clip", &["Origin: https://a.example"]).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(answer.header("access-control-expose-headers"), Some(EXPOSED));
    assert_eq!(answer.header("vary"), Some("Origin"));
    for fields in [&["Origin: https://b.example"][..], &[]] {
        let answer = get(gateway.address, "/files/clip", fields).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{fields:?}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{fields:?}");
    }
    let mut connection = Connection::open(gateway.address).await;
    let fields = [
        "Origin: https://a.example",
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Headers: range,if-range",
    ];
    connection.request("OPTIONS", "/files/clip", &fields).await;
    let answer = connection.answer().await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, DELETE, OPTIONS"));
    assert!(answer.header("access-control-allow-headers").unwrap().starts_with("Range, If-Range"));
    assert_eq!(answer.header("access-control-max-age"), Some("86400"));
}

#[tokio::test]
async fn cors_for_everybody() {
    let (cluster, _) = with_clip().await;
    let gateway = cluster.gateway(|config| config.cors_origins = vec!["*".to_owned()]).await;
    for path in ["/files/clip", "/files/nothing", "/api/cluster"] {
        let answer = get(gateway.address, path, &["Origin: https://a.example"]).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("vary"), None, "{path}");
    }
}
