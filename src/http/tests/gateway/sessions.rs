//! What is remembered of a visitor.

use serde_json::{Value, json};
use tnv_common::cache::CacheConfig;
use tnv_common::config::Settings;
use tnv_testbed::{Redis, installed};

use crate::cluster::{Running, with_clip};
use crate::http::{Answer, get, send};

const JSON: &str = "Content-Type: application/json";

async fn put(gateway: &Running, fields: &[&str], body: &Value) -> Answer {
    send(gateway.address, "PUT", "/api/session", &[&[JSON], fields].concat(), body.to_string().as_bytes())
        .await
}

fn nobody() -> Value {
    json!({"allowed": false, "language": "", "theme": "", "positions": {}})
}

/// The Cookie line that an answer asks for.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").unwrap();
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax");
    let id = pair.strip_prefix("tnv_session=").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    format!("Cookie: {pair}")
}

#[tokio::test]
async fn a_visitor_who_allows_it_is_remembered() {
    let (_cluster, gateway) = with_clip().await;
    let stranger = get(gateway.address, "/api/session", &[]).await;
    assert_eq!((stranger.json(), stranger.header("set-cookie")), (nobody(), None));

    let visitor = json!({"allowed": true, "language": "zh", "theme": "dark", "positions": {"clip": 12.5}});
    let answer = put(&gateway, &[], &visitor).await;
    assert_eq!((answer.status, answer.json()), (200, visitor.clone()));
    let cookie = cookie(&answer);
    assert_eq!(get(gateway.address, "/api/session", &[&cookie]).await.json(), visitor);
    assert_eq!(get(gateway.address, "/api/session", &[]).await.json(), nobody());

    let changed = json!({"allowed": true, "language": "en", "theme": "", "positions": {}});
    let answer = put(&gateway, &[&cookie], &changed).await;
    assert_eq!(self::cookie(&answer), cookie, "the cookie stays");
    assert_eq!(get(gateway.address, "/api/session", &["Cookie: a=b", &cookie]).await.json(), changed);

    let answer = put(&gateway, &[&cookie], &json!({"allowed": false, "language": "en"})).await;
    assert_eq!(answer.json(), nobody());
    let ended = "tnv_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax";
    assert_eq!(answer.header("set-cookie"), Some(ended));
    assert_eq!(get(gateway.address, "/api/session", &[&cookie]).await.json(), nobody());
}

#[tokio::test]
async fn an_id_that_was_not_made_here_is_not_taken() {
    let (_cluster, gateway) = with_clip().await;
    let planted = format!("Cookie: tnv_session={}", "a".repeat(32));
    let answer = put(&gateway, &[&planted], &json!({"allowed": true})).await;
    assert_ne!(cookie(&answer), planted);
    assert_eq!(get(gateway.address, "/api/session", &[&planted]).await.json(), nobody());
}

#[tokio::test]
async fn bad_sessions_are_refused() {
    let (_cluster, gateway) = with_clip().await;
    let many: serde_json::Map<String, Value> = (0..501).map(|n| (n.to_string(), json!(1))).collect();
    for body in [
        json!("allowed"),
        json!({"allowed": "yes"}),
        json!({"allowed": true, "theme": "x".repeat(128)}),
        json!({"allowed": true, "positions": many}),
        json!({"allowed": true, "positions": {"a": -1}}),
        json!({"allowed": true, "positions": {"a": "b"}}),
    ] {
        let answer = put(&gateway, &[], &body).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (400, None), "{body}");
    }
    let long = json!({"allowed": true, "other": "x".repeat(70_000)});
    assert_eq!(put(&gateway, &[], &long).await.status, 413);
    let plain = ["Content-Type: text/plain"];
    assert_eq!(send(gateway.address, "PUT", "/api/session", &plain, b"{}").await.status, 415);
}

#[tokio::test]
async fn sessions_can_be_switched_off() {
    let (cluster, _) = with_clip().await;
    let gateway = cluster.gateway(|config| config.sessions = CacheConfig::Off).await;
    assert_eq!(get(gateway.address, "/api/session", &[]).await.status, 404);
    assert_eq!(put(&gateway, &[], &json!({"allowed": true})).await.status, 404);
}

#[tokio::test]
async fn gateways_that_share_a_redis_share_their_visitors() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let mut redis = Redis::start();
    let mut settings = Settings::built_in("http");
    settings.set("sessions", &redis.url(), "--set sessions");
    settings.set("session.prefix", "films:", "--set session.prefix");
    let sessions = tnv_http::Config::read(&mut settings).sessions;
    let (cluster, _) = with_clip().await;
    let one = cluster.gateway(|config| config.sessions = sessions.clone()).await;
    let other = cluster.gateway(|config| config.sessions = sessions).await;
    let visitor = json!({"allowed": true, "language": "zh", "theme": "dark", "positions": {"clip": 12.5}});
    let answer = remembered(&one, &visitor).await;
    let cookie = cookie(&answer);
    let key = format!("films:tnv:session:{}", cookie.strip_prefix("Cookie: tnv_session=").unwrap());
    assert_eq!(serde_json::from_str::<Value>(&redis.command(&["GET", &key])).unwrap(), visitor);
    let left: i64 = redis.command(&["TTL", &key]).parse().unwrap();
    assert!(left > 29 * 24 * 3600, "{left}");
    let seen = async || get(other.address, "/api/session", &[&cookie]).await.json();
    while seen().await != visitor {
        tokio::task::yield_now().await;
    }

    let planted = format!("Cookie: tnv_session={}", "a".repeat(32));
    assert_ne!(self::cookie(&put(&one, &[&planted], &visitor).await), planted);
    let answer = put(&other, &[&cookie], &json!({"allowed": false})).await;
    assert_eq!((answer.status, redis.command(&["EXISTS", &key])), (200, "0".to_owned()));

    // While Redis is away nobody is known, nobody is refused, and a cookie is left as it is.
    redis.kill();
    let mut answer = put(&one, &[&cookie], &visitor).await;
    while answer.header("set-cookie").is_some() {
        answer = put(&one, &[&cookie], &visitor).await;
    }
    assert_eq!((answer.status, answer.json()), (200, visitor.clone()));
    assert_eq!(get(one.address, "/api/session", &[&cookie]).await.json(), nobody());
    redis.restart();
    remembered(&one, &visitor).await;
}

/// Asks until the visitor is remembered: a gateway looks for its Redis in the background.
async fn remembered(gateway: &Running, visitor: &Value) -> Answer {
    loop {
        let answer = put(gateway, &[], visitor).await;
        assert_eq!(answer.json(), *visitor);
        if answer.header("set-cookie").is_some() {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
