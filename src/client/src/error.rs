//! What can go wrong, and how the reasons of several servers become one error.

use std::fmt;
use std::io;

use tnv_proto::{ErrorCode, Failure, FileKey, Server};

/// Why a request failed. After several servers were tried, the variant is the most telling of their reasons and
/// `others` lists the rest.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A server answered that it will not do it.
    #[error("{kind} {server} refused: {failure}{others}")]
    #[non_exhaustive]
    Refused {
        /// Which kind of server.
        kind: Server,
        /// Its address.
        server: String,
        /// Its number and sentence.
        failure: Failure,
        /// What other servers said before.
        others: Others,
    },
    /// No connection came about, or it broke or stood still before the request was done.
    #[error("{kind} {server} is out of reach: {source}{}{others}", hint(source))]
    #[non_exhaustive]
    Unreachable {
        /// Which kind of server.
        kind: Server,
        /// Its address.
        server: String,
        /// What happened; [`io::ErrorKind::TimedOut`] if it was silence.
        source: io::Error,
        /// What other servers said before.
        others: Others,
    },
    /// A server answered something that is no valid answer to the request.
    #[error("{kind} {server} sent an invalid reply: {what}; does that address belong to a {kind}?{others}")]
    #[non_exhaustive]
    Protocol {
        /// Which kind of server it should be.
        kind: Server,
        /// Its address.
        server: String,
        /// What is wrong with it.
        what: String,
        /// What other servers said before.
        others: Others,
    },
    /// Something on this side: a file that cannot be read, a stream that ends early, an argument out of range.
    #[error("{what}: {source}")]
    Local {
        /// What was being done.
        what: String,
        /// What happened.
        source: io::Error,
    },
    /// An upload was sent in full but its reply never came, and no storage could tell the outcome. The file may or
    /// may not be there: ask for it before uploading it again, and then under a new file id.
    #[error(
        "storage {server} may or may not have stored {key}: {reason}; \
         ask for the file's size, or upload it again under a new file id"
    )]
    #[non_exhaustive]
    Uncertain {
        /// The storage that got the upload.
        server: String,
        /// The file it is about.
        key: Box<FileKey>,
        /// What happened instead of a reply.
        reason: Box<ClientError>,
    },
}

/// The reasons of the servers that were tried besides the one an error names.
#[derive(Debug, Default)]
pub struct Others(Vec<ClientError>);

impl Others {
    /// The reasons, in the order the servers were tried.
    pub fn iter(&self) -> impl Iterator<Item = &ClientError> {
        self.0.iter()
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|error| write!(f, "; {error}"))
    }
}

/// What to do about it, where that is known.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "; is it running, and is the address right?",
        io::ErrorKind::TimedOut => "; is it overloaded, or is a firewall in between?",
        _ => "",
    }
}

impl ClientError {
    /// The number a server refused with; `None` if no server refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused { failure, .. } => Some(failure.code),
            _ => None,
        }
    }

    /// Whether the file does not exist: at least one server answered, and all that did said so.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(ErrorCode::NOT_FOUND)
    }

    /// The addresses of all servers that were out of reach.
    pub fn out_of_reach(&self) -> Vec<&str> {
        let others = match self {
            ClientError::Refused { others, .. }
            | ClientError::Unreachable { others, .. }
            | ClientError::Protocol { others, .. } => Some(others),
            ClientError::Local { .. } | ClientError::Uncertain { .. } => None,
        };
        [self]
            .into_iter()
            .chain(others.into_iter().flat_map(Others::iter))
            .filter_map(ClientError::unreached)
            .collect()
    }

    fn unreached(&self) -> Option<&str> {
        match self {
            ClientError::Unreachable { server, .. } => Some(server),
            _ => None,
        }
    }

    pub(crate) fn refused(kind: Server, server: &str, failure: Failure) -> Self {
        ClientError::Refused { kind, server: server.to_owned(), failure, others: Others::default() }
    }

    pub(crate) fn unreachable(kind: Server, server: &str, source: io::Error) -> Self {
        ClientError::Unreachable { kind, server: server.to_owned(), source, others: Others::default() }
    }

    pub(crate) fn protocol(kind: Server, server: &str, what: impl fmt::Display) -> Self {
        ClientError::Protocol {
            kind,
            server: server.to_owned(),
            what: what.to_string(),
            others: Others::default(),
        }
    }

    pub(crate) fn local(what: impl Into<String>, source: io::Error) -> Self {
        ClientError::Local { what: what.into(), source }
    }

    pub(crate) fn invalid_argument(what: impl Into<String>, why: impl Into<String>) -> Self {
        ClientError::local(what, io::Error::new(io::ErrorKind::InvalidInput, why.into()))
    }

    /// Whether no other storage would answer differently. A storage that is busy, broken or without the file leaves
    /// hope for the next one; a request that makes no sense does not.
    pub(crate) fn is_conclusive(&self) -> bool {
        match self {
            ClientError::Local { .. } | ClientError::Uncertain { .. } => true,
            ClientError::Unreachable { .. } | ClientError::Protocol { .. } => false,
            ClientError::Refused { failure, .. } => matches!(
                failure.code,
                ErrorCode::BAD_REQUEST
                    | ErrorCode::FORBIDDEN
                    | ErrorCode::CONFLICT
                    | ErrorCode::CHANGED
                    | ErrorCode::TOO_LARGE
                    | ErrorCode::RANGE
            ),
        }
    }

    /// Whether the connection ended, as one that idled too long does, rather than stood still.
    pub(crate) fn is_broken_connection(&self) -> bool {
        matches!(self, ClientError::Unreachable { source, .. } if source.kind() != io::ErrorKind::TimedOut)
    }

    /// Whether the reply is what a server says to a command that it does not know.
    pub(crate) fn is_unknown_command(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::BAD_REQUEST | ErrorCode::UNSPECIFIED))
    }

    /// How much the error tells about the request as a whole. "Not found" ranks below every other answer, for it
    /// only holds if no other server knows better.
    fn weight(&self) -> u8 {
        match self {
            ClientError::Uncertain { .. } => 6,
            ClientError::Local { .. } => 5,
            ClientError::Refused { failure, .. } => match failure.code {
                ErrorCode::NOT_FOUND => 1,
                ErrorCode::UNAVAILABLE => 3,
                _ => 4,
            },
            ClientError::Protocol { .. } => 2,
            ClientError::Unreachable { .. } => 0,
        }
    }

    fn others_mut(&mut self) -> Option<&mut Others> {
        match self {
            ClientError::Refused { others, .. }
            | ClientError::Unreachable { others, .. }
            | ClientError::Protocol { others, .. } => Some(others),
            ClientError::Local { .. } | ClientError::Uncertain { .. } => None,
        }
    }
}

/// The reasons of the servers tried so far.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Vec<ClientError>);

impl Attempts {
    /// Takes note of one more server that failed, or of several at once.
    pub(crate) fn push(&mut self, mut error: ClientError) {
        let before = error.others_mut().map(std::mem::take).unwrap_or_default();
        self.0.extend(before.0);
        self.0.push(error);
    }

    /// One error for all: the most telling one, the first of several alike, with the rest as its `others`.
    pub(crate) fn into_error(mut self) -> ClientError {
        let telling =
            self.0.iter().enumerate().rev().max_by_key(|(_, error)| error.weight()).map(|(index, _)| index);
        let Some(index) = telling else {
            return ClientError::invalid_argument("no server to ask", "the list of addresses is empty");
        };
        let mut error = self.0.remove(index);
        if let Some(others) = error.others_mut() {
            others.0 = self.0;
        }
        error
    }

    /// The same, for an error after which no further server is asked.
    pub(crate) fn concluded_by(self, mut error: ClientError) -> ClientError {
        if let Some(others) = error.others_mut() {
            others.0.splice(0..0, self.0);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(server: &str, code: ErrorCode) -> ClientError {
        ClientError::refused(
            Server::Storage,
            server,
            Failure::new(code, format!("[{server}] {}", code.meaning())),
        )
    }

    fn unreachable(server: &str) -> ClientError {
        ClientError::unreachable(Server::Storage, server, io::ErrorKind::ConnectionRefused.into())
    }

    fn all(errors: Vec<ClientError>) -> ClientError {
        let mut attempts = Attempts::default();
        errors.into_iter().for_each(|error| attempts.push(error));
        attempts.into_error()
    }

    #[test]
    fn the_most_telling_reason_comes_first_and_none_is_lost() {
        let error = all(vec![
            unreachable("a:1"),
            refused("b:2", ErrorCode::NOT_FOUND),
            refused("c:3", ErrorCode::UNAVAILABLE),
            refused("d:4", ErrorCode::UNAVAILABLE),
        ]);
        assert_eq!(error.code(), Some(ErrorCode::UNAVAILABLE));
        assert_eq!(
            error.to_string(),
            "storage c:3 refused: [c:3] unavailable (503); \
             storage a:1 is out of reach: connection refused; is it running, and is the address right?; \
             storage b:2 refused: [b:2] not found (404); storage d:4 refused: [d:4] unavailable (503)"
        );
    }

    #[test]
    fn not_found_holds_only_if_every_answer_says_so() {
        let missing = || refused("a:1", ErrorCode::NOT_FOUND);
        let strange = ClientError::protocol(Server::Storage, "b:2", "what is this");
        assert!(all(vec![missing(), missing()]).is_not_found());
        assert!(all(vec![unreachable("b:2"), missing()]).is_not_found());
        assert!(!all(vec![missing(), strange]).is_not_found());
        assert!(!all(vec![missing(), refused("b:2", ErrorCode::INTERNAL)]).is_not_found());
        assert!(!all(vec![unreachable("a:1")]).is_not_found());
    }

    #[test]
    fn reasons_of_reasons_are_kept_flat() {
        let inner = all(vec![unreachable("a:1"), refused("b:2", ErrorCode::UNAVAILABLE)]);
        let mut attempts = Attempts::default();
        attempts.push(unreachable("c:3"));
        attempts.push(inner);
        let error = attempts.concluded_by(refused("d:4", ErrorCode::CONFLICT));
        let ClientError::Refused { server, others, .. } = &error else { panic!("{error}") };
        assert_eq!(server, "d:4");
        assert_eq!(others.iter().count(), 3);
        assert!(others.iter().all(|other| !other.to_string().contains("; storage")));
    }
}
