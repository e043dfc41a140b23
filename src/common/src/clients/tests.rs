use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::*;

const RATE: u64 = 1_000_000;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn client(clients: &Clients, from: &str) -> Client {
    clients.admit(address(from)).unwrap()
}

/// Moves this many bytes, a share at a time.
async fn transfer(client: &Client, mut bytes: usize) {
    while bytes > 0 {
        let share = client.share(bytes);
        client.take(share).await;
        bytes -= share;
    }
}

#[tokio::test(start_paused = true)]
async fn all_connections_of_a_client_share_its_rate() {
    let clients = Clients::new(0, RATE);
    let begun = Instant::now();
    let connections = [client(&clients, "192.0.2.1"), client(&clients, "192.0.2.1")];
    join_all(connections.iter().map(|connection| transfer(connection, 5_000_000))).await;
    // The first second's worth was there from the beginning, and the last share may move when those before it are paid.
    let expected = Duration::from_secs(9);
    let share = Duration::from_millis(125);
    assert!((expected - share..=expected).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_client_waits_for_another() {
    let clients = Clients::new(0, RATE);
    let busy = client(&clients, "192.0.2.1");
    let other = client(&clients, "192.0.2.2");
    let begun = Instant::now();
    tokio::select! {
        () = transfer(&busy, 100_000_000) => panic!("too fast"),
        () = transfer(&other, 1_000_000) => {}
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn connections_of_one_client_take_turns() {
    let clients = Clients::new(0, RATE);
    let (greedy, modest) = (client(&clients, "192.0.2.1"), client(&clients, "192.0.2.1"));
    let begun = Instant::now();
    tokio::select! {
        biased;
        () = transfer(&greedy, 100_000_000) => panic!("too fast"),
        // Half of what there is after the first second.
        () = transfer(&modest, 1_000_000) => {}
    }
    assert!(begun.elapsed() <= Duration::from_millis(2250), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn hanging_up_pays_no_debt() {
    let clients = Clients::new(0, RATE);
    for _ in 0..2 * FIRST_SWEEP {
        client(&clients, "192.0.2.1").take(100_000).await;
        // Others come and go, so that clients are forgotten.
        client(&clients, "192.0.2.2");
    }
    let begun = Instant::now();
    client(&clients, "192.0.2.1").take(1).await;
    assert!(begun.elapsed() > Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn what_did_not_move_is_given_back() {
    let clients = Clients::new(0, RATE);
    let client = client(&clients, "192.0.2.1");
    let begun = Instant::now();
    client.take(1_000_000).await;
    client.give_back(999_000);
    client.take(999_000).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    client.take(1).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    client.take(1).await;
    assert!(begun.elapsed() > Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn polling_waits_for_one_turn_only() {
    let clients = Clients::new(0, RATE);
    let mut client = client(&clients, "192.0.2.1");
    let begun = Instant::now();
    client.take(3_000_000).await;
    std::future::poll_fn(|cx| client.poll_take(cx, 1_000_000)).await;
    assert_eq!(begun.elapsed().as_secs(), 2);
    std::future::poll_fn(|cx| client.poll_take(cx, 1)).await;
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_spent_is_waited_for_before_the_next_bytes() {
    let clients = Clients::new(0, RATE);
    let mut one = client(&clients, "192.0.2.1");
    let mut other = one.clone();
    let begun = Instant::now();
    std::future::poll_fn(|cx| one.poll_take(cx, 0)).await;
    one.spend(3_000_000);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    std::future::poll_fn(|cx| other.poll_take(cx, 0)).await;
    assert_eq!(begun.elapsed().as_secs(), 2);
}

#[tokio::test]
async fn without_a_rate_nothing_is_counted() {
    let clients = Clients::new(0, 0);
    let mut client = client(&clients, "192.0.2.1");
    assert!(!client.is_limited());
    assert_eq!(client.share(usize::MAX), usize::MAX);
    client.take(usize::MAX).await;
    client.give_back(usize::MAX);
    std::future::poll_fn(|cx| client.poll_take(cx, usize::MAX)).await;
}

#[test]
fn connections_are_counted_by_client() {
    let clients = Clients::new(2, 0);
    let first = client(&clients, "192.0.2.1");
    let _second = client(&clients, "::ffff:192.0.2.1");
    assert!(clients.admit(address("192.0.2.1")).is_none());
    let _other = client(&clients, "192.0.2.2");
    let clone = first.clone();
    drop(first);
    assert!(clients.admit(address("192.0.2.1")).is_none());
    drop(clone);
    let _third = client(&clients, "192.0.2.1");
    assert!(clients.admit(address("192.0.2.1")).is_none());
}

#[test]
fn whoever_has_one_ipv6_address_has_its_network() {
    let clients = Clients::new(1, 0);
    let _first = client(&clients, "2001:db8::1");
    assert!(clients.admit(address("2001:db8::ffff:1")).is_none());
    assert!(clients.admit(address("2001:db8:0:1::1")).is_some());
}

#[tokio::test(start_paused = true)]
async fn those_who_have_gone_are_forgotten() {
    let clients = Clients::new(0, RATE);
    for n in 0..10_000_u32 {
        let address = IpAddr::from(n.to_be_bytes());
        clients.admit(address).unwrap().take(1).await;
        sleep(Duration::from_millis(100)).await;
        // Each is known for a second after it has moved a byte.
        assert!(clients.0.lock().clients.len() <= FIRST_SWEEP);
    }
    let limited = Clients::new(1, 0);
    drop(client(&limited, "192.0.2.1"));
    assert!(limited.0.lock().clients.is_empty());
}
