//! Looking up meetings and files.

use async_trait::async_trait;
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, Row, Work};

use super::column;
use crate::meetings::{AgendaItem, Leftover, Meeting, MeetingFile, Position, Status, Subject, Whole};

/// How often a meeting is read again that changed meanwhile.
const TRIES: usize = 20;

const COLUMNS: &str = "id, title, time, intro, status, revision, created_ms, changed_ms";
const FILE_COLUMNS: &str = "id, meeting, path, size, content_type, crc32, blake3, created_ms";

pub(super) struct Find<'a>(pub(super) &'a str);

#[async_trait]
impl Work for Find<'_> {
    type Output = Option<Whole>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Option<Whole>, Error> {
        let mut found = None;
        // What the statements find is of one moment if nothing has changed between the first and the last.
        for _ in 0..TRIES {
            let Some((whole, revision)) = self.read(connection).await? else { return Ok(None) };
            found = Some(whole);
            let query = "SELECT revision FROM t_meeting WHERE id = ?";
            if connection.exec_first(query, (self.0,)).await? == Some(revision) {
                break;
            }
        }
        Ok(found)
    }
}

impl Find<'_> {
    async fn read(&self, connection: &mut Conn) -> Result<Option<(Whole, i64)>, Error> {
        let query = format!("SELECT {COLUMNS} FROM t_meeting WHERE id = ?");
        let Some(mut row) = connection.exec_first::<Row, _, _>(query, (self.0,)).await? else {
            return Ok(None);
        };
        let revision = column(&mut row, "revision")?;
        let mut meeting = read_meeting(row)?;
        let query = "SELECT title, position, details FROM t_agenda_item WHERE meeting = ? ORDER BY place";
        let items: Vec<(String, i64, String)> = connection.exec(query, (self.0,)).await?;
        let item = |(title, position, details): (String, i64, String)| AgendaItem {
            title,
            position,
            details: serde_json::from_str(&details).unwrap_or_default(),
        };
        meeting.subject.agenda = items.into_iter().map(item).collect();
        let query = format!(
            "SELECT {FILE_COLUMNS} FROM t_meeting_file WHERE meeting = ? AND taken IS NOT NULL ORDER BY path"
        );
        let files: Vec<Row> = connection.exec(query, (self.0,)).await?;
        let files = files.into_iter().map(read_file).collect::<Result<_, _>>()?;
        Ok(Some((Whole { meeting, files }, revision)))
    }
}

pub(super) struct List<'a> {
    pub(super) after: Option<&'a Position>,
    pub(super) limit: u32,
}

#[async_trait]
impl Work for List<'_> {
    type Output = Vec<Meeting>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Vec<Meeting>, Error> {
        let (created_ms, id) =
            self.after.map_or((i64::MAX, ""), |after| (after.created_ms, after.id.as_str()));
        let query = format!(
            "SELECT {COLUMNS} FROM t_meeting WHERE created_ms < ? OR (created_ms = ? AND id < ?)
             ORDER BY created_ms DESC, id DESC LIMIT ?"
        );
        let rows: Vec<Row> = connection.exec(query, (created_ms, created_ms, id, self.limit)).await?;
        rows.into_iter().map(read_meeting).collect()
    }
}

pub(super) struct Active;

#[async_trait]
impl Work for Active {
    type Output = Vec<String>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Vec<String>, Error> {
        connection.exec("SELECT id FROM t_meeting WHERE status = 'active' ORDER BY id", ()).await
    }
}

pub(super) struct FindFile<'a>(pub(super) &'a str);

#[async_trait]
impl Work for FindFile<'_> {
    type Output = Option<MeetingFile>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Option<MeetingFile>, Error> {
        let query = format!(
            "SELECT {FILE_COLUMNS} FROM t_meeting_file WHERE id = ? AND state <> 'coming' AND blake3 <> ''"
        );
        connection.exec_first::<Row, _, _>(query, (self.0,)).await?.map(read_file).transpose()
    }
}

pub(super) struct Leftovers<'a> {
    pub(super) gone_ms: i64,
    pub(super) expected_ms: i64,
    pub(super) after: &'a str,
    pub(super) limit: u32,
}

#[async_trait]
impl Work for Leftovers<'_> {
    type Output = Vec<Leftover>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Vec<Leftover>, Error> {
        let query = "SELECT id, meeting FROM t_meeting_file
                     WHERE ((state = 'gone' AND state_ms < ?) OR (state = 'coming' AND state_ms < ?)) AND id > ?
                     ORDER BY id LIMIT ?";
        let rows: Vec<(String, String)> =
            connection.exec(query, (self.gone_ms, self.expected_ms, self.after, self.limit)).await?;
        Ok(rows.into_iter().map(|(id, meeting)| Leftover { id, meeting }).collect())
    }
}

fn read_meeting(mut row: Row) -> Result<Meeting, Error> {
    let row = &mut row;
    Ok(Meeting {
        id: column(row, "id")?,
        subject: Subject {
            title: column(row, "title")?,
            time: column(row, "time")?,
            intro: column(row, "intro")?,
            agenda: Vec::new(),
        },
        status: Status::of(&column::<String>(row, "status")?),
        created_ms: column(row, "created_ms")?,
        changed_ms: column(row, "changed_ms")?,
    })
}

fn read_file(mut row: Row) -> Result<MeetingFile, Error> {
    let row = &mut row;
    let size: i64 = column(row, "size")?;
    Ok(MeetingFile {
        id: column(row, "id")?,
        meeting: column(row, "meeting")?,
        path: column(row, "path")?,
        size: u64::try_from(size).unwrap_or(0),
        content_type: column(row, "content_type")?,
        crc32: column(row, "crc32")?,
        blake3: column(row, "blake3")?,
        created_ms: column(row, "created_ms")?,
    })
}
