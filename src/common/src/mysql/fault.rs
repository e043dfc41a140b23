//! What an error of a server means for the one who asked.

use mysql_async::{DriverError, Error, IoError, ServerError};

/// Why an attempt failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Others got in the way: nothing was written, and the same may succeed now.
    Conflict(String),
    /// This server cannot do it, another one may: it is gone, hangs, stops, or only reads.
    Gone {
        /// What it looks like.
        reason: String,
        /// Whether it will be so until somebody changes something, such as a password.
        is_lasting: bool,
        /// Whether it does everything but write.
        is_read_only: bool,
    },
    /// No server would do it.
    Refused {
        /// What the server said, and where it helps, what to do.
        reason: String,
        /// Whether its disk is full.
        is_full: bool,
    },
}

impl Fault {
    pub(super) fn gone(reason: impl Into<String>) -> Fault {
        Fault::Gone { reason: reason.into(), is_lasting: false, is_read_only: false }
    }

    /// Of an error that a statement met.
    pub(super) fn of(error: &Error) -> Fault {
        match error {
            Error::Server(error) => of_server(error),
            Error::Io(_) => Fault::gone(format!("the connection broke: {}", plain(error))),
            // A row that is not what it should be: the same everywhere.
            Error::Driver(DriverError::FromValue { .. } | DriverError::FromRow { .. }) => Fault::Refused {
                reason: "a column holds what it should not; is this another program's table?".to_owned(),
                is_full: false,
            },
            error => Fault::gone(error.to_string()),
        }
    }

    /// Of an error that a connection met before it could be used.
    pub(super) fn of_connect(error: &Error) -> Fault {
        let advice = match error {
            Error::Server(error) => match error.code {
                // Access denied, with and without a database.
                1045 | 1698 => "check the user and the password in database.url and database.password",
                1044 => "the account may not use this database: GRANT it, see docs/operations.md",
                1049 => "run the server with --migrate, or the scripts of sql/mysql",
                3159 => "it takes only encrypted connections: set database.tls",
                _ => return of_server(error).or_gone(),
            },
            Error::Driver(DriverError::NoClientSslFlagFromServer) => {
                "it offers no encryption, but database.tls asks for it"
            }
            error if is_tls(error) => "check database.tls_ca, tls_cert and tls_key",
            Error::Io(_) => return Fault::gone(format!("cannot connect: {}", plain(error))),
            error => return Fault::of(error).or_gone(),
        };
        let reason = format!("{}; {advice}", plain(error));
        Fault::Gone { reason, is_lasting: true, is_read_only: false }
    }

    /// What fails before a statement is sent is the server's fault and no statement's.
    fn or_gone(self) -> Fault {
        match self {
            Fault::Conflict(reason) | Fault::Refused { reason, .. } => Fault::gone(reason),
            gone => gone,
        }
    }
}

/// Whether it is about certificates. What the handshake finds comes as invalid data.
fn is_tls(error: &Error) -> bool {
    match error {
        Error::Io(IoError::Tls(_)) => true,
        Error::Io(IoError::Io(error)) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// What a server said, without the driver's words around it.
pub(super) fn plain(error: &Error) -> String {
    match error {
        Error::Server(error) => format!("{} ({})", error.message, error.code),
        Error::Io(IoError::Io(error)) => error.to_string(),
        error => error.to_string(),
    }
}

fn of_server(error: &ServerError) -> Fault {
    let reason = format!("{} ({})", error.message, error.code);
    match error.code {
        // Lock wait timeout, deadlock (also Galera's certification), record changed, and TiDB's conflicts.
        1020 | 1205 | 1213 | 3101 | 8002 | 8022 | 8028 | 9007 => Fault::Conflict(reason),
        // Read-only in three ways.
        1290 | 1792 | 1836 => Fault::Gone { reason, is_lasting: false, is_read_only: true },
        // Too many connections, Galera without its peers, going down, connection or statement killed, commit that Galera
        // lost, TiDB without its parts.
        1040
        | 1047
        | 1053
        | 1152
        | 1158..=1161
        | 1180
        | 1184
        | 1203
        | 1226
        | 1317
        | 1927
        | 1969
        | 3024
        | 3100
        | 3169
        | 4031
        | 8229
        | 9001
        | 9002
        | 9005
        | 9006 => Fault::gone(reason),
        code => {
            let advice = match code {
                1044 | 1142 | 1143 | 1227 | 1370 => {
                    "; GRANT the account SELECT, INSERT, UPDATE and DELETE, and for --migrate CREATE, ALTER and INDEX, \
                     see docs/operations.md"
                }
                1049 | 1054 | 1146 => "; run the server with --migrate, or the scripts of sql/mysql",
                _ => "",
            };
            Fault::Refused { is_full: is_full(error), reason: format!("{reason}{advice}") }
        }
    }
}

fn is_full(error: &ServerError) -> bool {
    // Disk full, table full; or the operating system's number in the text of a more general error.
    matches!(error.code, 1021 | 1114)
        || ["error 28 ", "errno: 28", "Errcode: 28", "error: 28", "No space left"]
            .iter()
            .any(|sign| error.message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: u16, message: &str) -> Error {
        Error::Server(ServerError { code, message: message.to_owned(), state: "HY000".to_owned() })
    }

    #[test]
    fn errors_are_told_apart() {
        let conflict = |code| matches!(Fault::of(&server(code, "")), Fault::Conflict(_));
        let gone = |code| matches!(Fault::of(&server(code, "")), Fault::Gone { is_lasting: false, .. });
        assert!(conflict(1213) && conflict(1205) && conflict(1020) && conflict(9007));
        assert!(gone(1290) && gone(1836) && gone(1047) && gone(1053) && gone(1040));
        let reads = |code| matches!(Fault::of(&server(code, "")), Fault::Gone { is_read_only: true, .. });
        assert!(reads(1290) && reads(1836) && !reads(1047));
        assert!(matches!(Fault::of(&server(1064, "")), Fault::Refused { is_full: false, .. }));
        assert!(matches!(Fault::of(&server(1114, "")), Fault::Refused { is_full: true, .. }));
        let full = "Got error 28 \"No space left on device\" from storage engine InnoDB";
        assert!(matches!(Fault::of(&server(1030, full)), Fault::Refused { is_full: true, .. }));
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(Fault::of(&broken.into()), Fault::Gone { is_lasting: false, .. }));
    }

    #[test]
    fn what_only_a_person_can_change_says_what_to_do() {
        for (code, advice) in
            [(1045, "password"), (1049, "--migrate"), (1044, "GRANT"), (3159, "database.tls")]
        {
            match Fault::of_connect(&server(code, "no")) {
                Fault::Gone { reason, is_lasting: true, .. } => assert!(reason.contains(advice), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(Fault::of_connect(&server(1064, "")), Fault::Gone { is_lasting: false, .. }));
    }
}
