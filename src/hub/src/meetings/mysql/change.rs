//! Changes of meetings and files. Those of one meeting follow one another: each locks the meeting's row first.

use async_trait::async_trait;
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, Value, Work};

use crate::meetings::{AgendaItem, Joined, Meeting, MeetingFile, Status, Subject};

/// A row that is there already.
const DUPLICATE: u16 = 1062;

pub(super) struct Create<'a>(pub(super) &'a Meeting);

#[async_trait]
impl Work for Create<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<bool, Error> {
        let Meeting { id, subject, status, created_ms, changed_ms } = self.0;
        let add = "INSERT INTO t_meeting (id, title, time, intro, status, revision, created_ms, changed_ms)
                   VALUES (?, ?, ?, ?, ?, 1, ?, ?)";
        let row =
            (id, &subject.title, &subject.time, &subject.intro, status.as_str(), created_ms, changed_ms);
        match connection.exec_drop(add, row).await {
            Err(Error::Server(error)) if error.code == DUPLICATE => {
                let own = "SELECT 1 FROM t_meeting WHERE id = ? AND title = ? AND created_ms = ?";
                let own: Option<i64> = connection.exec_first(own, (id, &subject.title, created_ms)).await?;
                Ok(again && own.is_some())
            }
            outcome => {
                outcome?;
                write_agenda(connection, id, &subject.agenda).await?;
                Ok(true)
            }
        }
    }
}

pub(super) struct Change<'a> {
    pub(super) id: &'a str,
    pub(super) subject: &'a Subject,
    pub(super) now_ms: i64,
}

#[async_trait]
impl Work for Change<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<bool, Error> {
        let Subject { title, time, intro, agenda } = self.subject;
        let change = "UPDATE t_meeting
                      SET title = ?, time = ?, intro = ?, changed_ms = ?, revision = revision + 1 WHERE id = ?";
        connection.exec_drop(change, (title, time, intro, self.now_ms, self.id)).await?;
        if connection.affected_rows() == 0 {
            return Ok(false);
        }
        write_agenda(connection, self.id, agenda).await?;
        Ok(true)
    }
}

pub(super) struct SetStatus<'a> {
    pub(super) id: &'a str,
    pub(super) status: Status,
}

#[async_trait]
impl Work for SetStatus<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<bool, Error> {
        let set = "UPDATE t_meeting SET status = ?, revision = revision + 1 WHERE id = ?";
        connection.exec_drop(set, (self.status.as_str(), self.id)).await?;
        Ok(connection.affected_rows() > 0)
    }
}

pub(super) struct Delete<'a> {
    pub(super) id: &'a str,
    pub(super) now_ms: i64,
}

#[async_trait]
impl Work for Delete<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<bool, Error> {
        connection.exec_drop("DELETE FROM t_meeting WHERE id = ?", (self.id,)).await?;
        let deleted = connection.affected_rows() > 0;
        connection.exec_drop("DELETE FROM t_agenda_item WHERE meeting = ?", (self.id,)).await?;
        let gone = "UPDATE t_meeting_file SET state = 'gone', state_ms = ?, taken = NULL
                    WHERE meeting = ? AND state = 'present'";
        connection.exec_drop(gone, (self.now_ms, self.id)).await?;
        Ok(deleted || again)
    }
}

pub(super) struct Expect<'a> {
    pub(super) id: &'a str,
    pub(super) meeting: &'a str,
    pub(super) path: &'a str,
    pub(super) now_ms: i64,
}

#[async_trait]
impl Work for Expect<'_> {
    type Output = ();

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<(), Error> {
        let add = "INSERT INTO t_meeting_file (id, meeting, path, size, content_type, crc32, blake3, created_ms, state,
                                               state_ms)
                   VALUES (?, ?, ?, 0, '', 0, '', ?, 'coming', ?)";
        match connection.exec_drop(add, (self.id, self.meeting, self.path, self.now_ms, self.now_ms)).await {
            Err(Error::Server(error)) if error.code == DUPLICATE && again => Ok(()),
            outcome => outcome,
        }
    }
}

pub(super) struct Join<'a> {
    pub(super) file: &'a MeetingFile,
    pub(super) taken: &'a str,
    pub(super) max_files: u32,
}

#[async_trait]
impl Work for Join<'_> {
    type Output = Joined;

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<Joined, Error> {
        let MeetingFile { id, meeting, path, created_ms, .. } = self.file;
        let lock = "SELECT 1 FROM t_meeting WHERE id = ? FOR UPDATE";
        let meeting_there: Option<i64> = connection.exec_first(lock, (meeting,)).await?;
        let state = "SELECT state FROM t_meeting_file WHERE id = ? AND meeting = ? FOR UPDATE";
        let state: Option<String> = connection.exec_first(state, (id, meeting)).await?;
        if again && state.as_deref() == Some("present") {
            return Ok(Joined::Present);
        }
        if meeting_there.is_none() || state.as_deref() != Some("coming") {
            return self.give_up(connection, Joined::Gone).await;
        }
        let same = "SELECT id, path FROM t_meeting_file WHERE meeting = ? AND taken = ? FOR UPDATE";
        match connection.exec_first::<(String, String), _, _>(same, (meeting, self.taken)).await? {
            Some((_, other)) if other != *path => {
                return self.give_up(connection, Joined::Collides(other)).await;
            }
            Some((replaced, _)) => {
                let gone =
                    "UPDATE t_meeting_file SET state = 'gone', state_ms = ?, taken = NULL WHERE id = ?";
                connection.exec_drop(gone, (created_ms, replaced)).await?;
            }
            None => {
                let count = "SELECT COUNT(*) FROM t_meeting_file WHERE meeting = ? AND taken IS NOT NULL";
                let count: Option<u32> = connection.exec_first(count, (meeting,)).await?;
                if count.unwrap_or(0) >= self.max_files {
                    return self.give_up(connection, Joined::Full).await;
                }
            }
        }
        self.add(connection).await?;
        touch(connection, meeting, *created_ms).await?;
        Ok(Joined::Present)
    }
}

impl Join<'_> {
    async fn add(&self, connection: &mut Conn) -> Result<(), Error> {
        let file = self.file;
        let add = "UPDATE t_meeting_file
                   SET taken = ?, size = ?, content_type = ?, crc32 = ?, blake3 = ?, created_ms = ?, state = 'present',
                       state_ms = ?
                   WHERE id = ?";
        let row: Vec<Value> = vec![
            self.taken.into(),
            file.size.into(),
            file.content_type.as_str().into(),
            file.crc32.into(),
            file.blake3.as_str().into(),
            file.created_ms.into(),
            file.created_ms.into(),
            file.id.as_str().into(),
        ];
        connection.exec_drop(add, row).await
    }

    async fn give_up(&self, connection: &mut Conn, why: Joined) -> Result<Joined, Error> {
        Abandon(&self.file.id).run(connection, false).await?;
        Ok(why)
    }
}

pub(super) struct Abandon<'a>(pub(super) &'a str);

#[async_trait]
impl Work for Abandon<'_> {
    type Output = ();

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<(), Error> {
        let abandon =
            "UPDATE t_meeting_file SET state = 'gone', state_ms = 0 WHERE id = ? AND state = 'coming'";
        connection.exec_drop(abandon, (self.0,)).await
    }
}

pub(super) struct Remove<'a> {
    pub(super) meeting: &'a str,
    pub(super) id: &'a str,
    pub(super) now_ms: i64,
}

#[async_trait]
impl Work for Remove<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<bool, Error> {
        let lock = "SELECT 1 FROM t_meeting WHERE id = ? FOR UPDATE";
        connection.exec_first::<i64, _, _>(lock, (self.meeting,)).await?;
        let remove = "UPDATE t_meeting_file SET state = 'gone', state_ms = ?, taken = NULL
                      WHERE id = ? AND meeting = ? AND state = 'present'";
        connection.exec_drop(remove, (self.now_ms, self.id, self.meeting)).await?;
        if connection.affected_rows() == 0 {
            return Ok(again);
        }
        touch(connection, self.meeting, self.now_ms).await?;
        Ok(true)
    }
}

pub(super) struct Forget<'a>(pub(super) &'a [String]);

#[async_trait]
impl Work for Forget<'_> {
    type Output = ();

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<(), Error> {
        for id in self.0 {
            let forget = "DELETE FROM t_meeting_file WHERE id = ? AND state <> 'present'";
            connection.exec_drop(forget, (id,)).await?;
        }
        Ok(())
    }
}

async fn touch(connection: &mut Conn, meeting: &str, now_ms: i64) -> Result<(), Error> {
    let touch = "UPDATE t_meeting SET changed_ms = ?, revision = revision + 1 WHERE id = ?";
    connection.exec_drop(touch, (now_ms, meeting)).await
}

async fn write_agenda(connection: &mut Conn, meeting: &str, agenda: &[AgendaItem]) -> Result<(), Error> {
    connection.exec_drop("DELETE FROM t_agenda_item WHERE meeting = ?", (meeting,)).await?;
    for (place, item) in agenda.iter().enumerate() {
        let add =
            "INSERT INTO t_agenda_item (meeting, place, position, title, details) VALUES (?, ?, ?, ?, ?)";
        let details = serde_json::Value::from(item.details.clone()).to_string();
        connection.exec_drop(add, (meeting, place as u64, item.position, &item.title, details)).await?;
    }
    Ok(())
}
