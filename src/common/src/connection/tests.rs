use std::time::Duration;

use tokio::net::TcpListener;

use super::*;
use crate::clients::Clients;

/// A client, and the server's end of its connection.
async fn pair(limits: Limits) -> (TcpStream, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let admitted = Clients::new(0, limits.rate_limit).admit(peer.ip()).unwrap();
    let stop = CancellationToken::new();
    (client, Connection::new(stream, peer, Server::Storage, Arc::new(limits), admitted, stop))
}

#[tokio::test]
async fn small_reads_do_not_buy_time() {
    let window = Duration::from_millis(100);
    let limits = Limits { progress_timeout: window, min_progress: 1000, ..Limits::default() };
    let (mut client, mut server) = pair(limits).await;
    server.begin_body(100_000);
    // Ten bytes at a time, ten times as slow as they should be.
    let trickle = tokio::spawn(async move {
        while client.write_all(&[7; 10]).await.is_ok() {
            tokio::time::sleep(window / 10).await;
        }
    });
    for _ in 0..99 {
        if let Err(error) = server.read_bulk(&mut [0; 10]).await {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            return trickle.abort();
        }
    }
    panic!("a client may be as slow as it likes");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let limits = Limits { progress_timeout: Duration::from_millis(50), ..Limits::default() };
    let (_client, mut server) = pair(limits).await;
    let error = server.begin_reply(1 << 30, &vec![7; 64 << 20]).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::TimedOut, "the reply took too long".into()));
}

#[tokio::test]
async fn a_request_and_its_bulk_come_in_one_read_and_leave_nothing() {
    let (mut client, mut server) = pair(Limits::default()).await;
    let header = Header::request(Command::Upload, 1000).encode();
    let body: Vec<u8> = (0..1000).map(|n| n as u8).collect();
    client.write_all(&[&header[..], &body, &header].concat()).await.unwrap();
    assert_eq!(server.next_header().await.unwrap(), Some(header));
    server.begin_body(1000);
    assert_eq!(server.fixed_part(400).await.unwrap(), body[..400]);
    let mut bulk = [0; 1000];
    assert_eq!(server.read_bulk(&mut bulk).await.unwrap(), 600);
    assert_eq!((&bulk[..600], server.body_left()), (&body[400..], 0));
    assert_eq!(server.ahead.len(), HEADER_LEN, "the next request has come as well");
    assert_eq!(server.next_header().await.unwrap(), Some(header));
    assert!(server.ahead.is_empty());
}

/// The clock stands still while anything can be done, so this takes no time and is exact.
#[tokio::test(start_paused = true)]
async fn bandwidth_is_shaped_in_both_directions_and_that_is_not_held_against_the_client() {
    let second = Duration::from_secs(1);
    let limits = Limits { rate_limit: 64 * 1024, progress_timeout: second / 4, ..Limits::default() };
    let (mut client, mut server) = pair(limits).await;
    let begun = Instant::now();
    let bytes = vec![7; 128 * 1024];
    server.begin_body(bytes.len() as u64);
    let mut got = vec![0; bytes.len()];
    let (sent, read) = tokio::join!(client.write_all(&bytes), server.read_bulk(&mut got));
    sent.unwrap();
    assert_eq!(read.unwrap(), bytes.len());
    // A second's worth moves at once; the last share may move when those before it are paid.
    let took = begun.elapsed();
    assert!((second - second / 8..=second).contains(&took), "{took:?}");
    let mut reply = vec![0; HEADER_LEN + bytes.len()];
    let (sent, read) =
        tokio::join!(server.begin_reply(bytes.len() as u64, &bytes), client.read_exact(&mut reply));
    sent.unwrap();
    read.unwrap();
    let took = begun.elapsed();
    assert!((3 * second - second / 8..=3 * second).contains(&took), "{took:?}");
    assert_eq!((server.bytes_out(), &reply[HEADER_LEN..]), (reply.len() as u64, &bytes[..]));
}
