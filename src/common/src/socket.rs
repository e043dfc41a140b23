//! What the system is told about sockets, in one place. Everything is set on the listening socket: on Linux and the BSDs
//! each connection begins with its options, so that accepting one takes no more system calls.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that the system has made and that wait to be accepted. The system has a limit of its own
/// (net.core.somaxconn, 4096 as a rule); more than that are told to try again, a second later.
const BACKLOG: i32 = 4096;

/// Silence after which a peer is asked whether it is still there, how often, and how many questions may stay without an
/// answer. A machine that lost its power or its network is found out within 100 seconds, long before `idle_timeout`.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 4;

/// How much of a reply may wait in the kernel, in bytes, beside what is on its way. Without a limit it can be megabytes
/// for each client that takes nothing. Larger ones gain nothing: it is above what one write brings.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 512 * 1024;
/// The same for large replies that a reactor goes on with: it only has to last until that brings more.
#[cfg(target_os = "linux")]
const MAX_UNSENT_AHEAD: u32 = 64 * 1024;

/// Opens a listening socket.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart need not wait until the last connections of the process before are forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if let Err(error) = prepare(&socket) {
        // Each of them can be done without.
        tracing::debug!(%address, %error, "cannot set socket options");
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Sets what connections are to have.
///
/// Left as they are: SO_SNDBUF and SO_RCVBUF, for the kernel fits them to each connection's way, and a fixed size turns
/// that off; TCP_USER_TIMEOUT, for it would also cut off those who only take nothing for a while, which is for
/// `progress_timeout` to judge.
fn prepare(socket: &Socket) -> io::Result<()> {
    // Replies are written whole; waiting for more to send would only delay them.
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(MAX_UNSENT)?;
    Ok(())
}

/// How much of a reply may wait in the kernel, beside what is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// Little: for one that a reactor goes on with as soon as there is room. What waits is then still in the processor's cache
    /// when it leaves.
    Little,
    /// As connections begin.
    Usual,
    /// Whatever the socket takes: for bytes of files, which are pages of the page cache and no memory of the socket. So the
    /// sender is woken less often.
    Any,
}

/// Sets how much of a reply may wait in the kernel.
pub fn limit_unsent(stream: &TcpStream, unsent: Unsent) {
    #[cfg(target_os = "linux")]
    {
        let limit = match unsent {
            Unsent::Little => MAX_UNSENT_AHEAD,
            Unsent::Usual => MAX_UNSENT,
            Unsent::Any => u32::MAX,
        };
        if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(limit) {
            tracing::debug!(%error, "cannot limit what waits in the kernel");
        }
    }
}

/// Gives a socket up to `len` bytes of a file, from `offset` on, for [`TcpStream::async_io`]. Returns how many it took; 0 if
/// the file ends at `offset`.
///
/// # Errors
/// Those of reading the file and of the socket, [`io::ErrorKind::WouldBlock`] if it takes nothing now.
pub fn send_file(stream: &TcpStream, file: impl AsFd, offset: u64, len: usize) -> io::Result<usize> {
    uninterrupted(|| {
        let mut offset = offset;
        rustix::fs::sendfile(stream, &file, Some(&mut offset), len)
    })
}

/// Gives a socket bytes that more will follow at once: they leave together with those.
///
/// # Errors
/// As [`send_file`].
pub fn send_ahead(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    uninterrupted(|| rustix::net::send(stream, bytes, SendFlags::MORE | SendFlags::NOSIGNAL))
}

fn uninterrupted(mut attempt: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    loop {
        match attempt() {
            Err(Errno::INTR) => {}
            outcome => return Ok(outcome?),
        }
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn connections_inherit_the_options() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), MAX_UNSENT);
    }
}
