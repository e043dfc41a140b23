use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{HeaderName, HeaderValue};

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn elsewhere() -> IpAddr {
    IpAddr::from([10, 0, 0, 1])
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn with_basic(password: &str) -> HeaderMap {
    headers(&[("authorization", &format!("Basic {}", BASE64_STANDARD.encode(format!("admin:{password}"))))])
}

#[test]
fn a_node_shows_the_key_in_either_way() {
    let access = Access::new(Secret::new("hunter2"), None, Vec::new());
    let node = |fields: &[(&'static str, &str)], query: Option<&str>| {
        access.node(&headers(fields), query, elsewhere())
    };
    assert_eq!(node(&[("authorization", "Bearer hunter2")], None), Ok(()));
    assert_eq!(node(&[("authorization", "bearer  hunter2 ")], None), Ok(()));
    assert_eq!(node(&[], Some("hunter2")), Ok(()));
    assert_eq!(node(&[], None), Err(Denied::NoKey));
    assert_eq!(node(&[], Some("")), Err(Denied::WrongKey));
    assert_eq!(node(&[], Some("hunter")), Err(Denied::WrongKey));
    assert_eq!(node(&[("authorization", "Bearer x")], Some("hunter2")), Err(Denied::WrongKey));
    assert_eq!(node(&[("authorization", "hunter2")], None), Err(Denied::NoKey));
    assert_eq!(access.node(&headers(&[]), None, HERE), Err(Denied::NoKey), "here as well");
}

#[test]
fn without_a_key_nodes_are_here_or_where_they_may_be() {
    let none = Access::new(None, None, Vec::new());
    assert_eq!(none.node(&headers(&[]), None, HERE), Ok(()));
    assert_eq!(none.node(&headers(&[]), None, elsewhere()), Err(Denied::KeyNotSet));
    assert_eq!(none.node(&headers(&[("x-forwarded-for", "10.0.0.1")]), None, HERE), Err(Denied::KeyNotSet));
    let narrow = Access::new(None, None, vec!["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(narrow.node(&headers(&[]), None, elsewhere()), Ok(()));
    assert_eq!(narrow.node(&headers(&[]), None, "::ffff:10.0.0.1".parse().unwrap()), Ok(()));
    assert_eq!(narrow.node(&headers(&[]), None, HERE), Err(Denied::NotAllowed));
    let both = Access::new(Secret::new("k"), None, vec!["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(both.node(&headers(&[]), None, elsewhere()), Err(Denied::NoKey));
    assert_eq!(both.node(&headers(&[]), Some("k"), HERE), Err(Denied::NotAllowed));
}

#[test]
fn without_a_password_operators_are_here() {
    let access = Access::new(None, None, Vec::new());
    let now = Instant::now();
    assert_eq!(access.operator(&headers(&[]), HERE, now), Ok(()));
    assert_eq!(access.operator(&headers(&[]), "::1".parse().unwrap(), now), Ok(()));
    assert_eq!(access.operator(&headers(&[]), elsewhere(), now), Err(Denied::PasswordNotSet));
    for proxied in [("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1")] {
        assert_eq!(access.operator(&headers(&[proxied]), HERE, now), Err(Denied::PasswordNotSet));
    }
    assert_eq!(access.log_in("", HERE, now), Err(Denied::PasswordNotSet));
}

#[test]
fn an_operator_shows_the_password_or_the_cookie() {
    let access = Access::new(None, Secret::new("pa:ss"), Vec::new());
    let now = Instant::now();
    assert_eq!(access.operator(&headers(&[]), HERE, now), Err(Denied::NoPassword));
    assert_eq!(access.operator(&with_basic("pa:ss"), elsewhere(), now), Ok(()));
    assert_eq!(access.operator(&with_basic("pa"), elsewhere(), now), Err(Denied::WrongPassword));
    let cookie = access.log_in("pa:ss", elsewhere(), now).unwrap();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict"));
    let pair = format!("a=b; {}", cookie.split_once(';').unwrap().0);
    let with_cookie = headers(&[("cookie", &pair)]);
    assert_eq!(access.operator(&with_cookie, elsewhere(), now), Ok(()));
    assert_eq!(access.operator(&with_cookie, elsewhere(), now + sessions::LIFE), Err(Denied::NoPassword));
    assert!(access.log_out(&with_cookie).contains("Max-Age=0"));
    assert_eq!(access.operator(&with_cookie, elsewhere(), now), Err(Denied::NoPassword));
}

#[test]
fn guessing_is_stopped_where_it_comes_from() {
    let access = Access::new(None, Secret::new("right"), Vec::new());
    let now = Instant::now();
    let guesses: Vec<_> =
        (0..12).map(|n| access.log_in(&n.to_string(), elsewhere(), now).unwrap_err()).collect();
    assert_eq!(guesses[9..], [Denied::WrongPassword, Denied::TooManyTries, Denied::TooManyTries]);
    assert_eq!(access.operator(&with_basic("right"), elsewhere(), now), Err(Denied::TooManyTries));
    assert_eq!(access.operator(&with_basic("right"), HERE, now), Ok(()));
    assert!(!format!("{access:?}").contains("right"));
}
