//! Meetings in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tnv_common::database::DbError;
use tnv_common::sqlite::Sqlite;

use super::{AgendaItem, Joined, Leftover, Meeting, MeetingFile, Meetings, Position, Status, Subject, Whole};

/// Meetings in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteMeetings(
    /// The database.
    pub Sqlite,
);

const COLUMNS: &str = "id, title, time, intro, status, created_ms, changed_ms";
const FILE_COLUMNS: &str = "id, meeting, path, size, content_type, crc32, blake3, created_ms";

#[async_trait]
impl Meetings for SqliteMeetings {
    async fn create(&self, meeting: Meeting) -> Result<bool, DbError> {
        let Meeting { id, subject, status, created_ms, changed_ms } = meeting;
        let create = move |tx: &Connection| {
            let added = tx
                .prepare_cached(
                    "INSERT INTO t_meeting (id, title, time, intro, status, revision, created_ms, changed_ms)
                     VALUES (?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT (id) DO NOTHING",
                )?
                .execute(params![
                    id,
                    subject.title,
                    subject.time,
                    subject.intro,
                    status.as_str(),
                    created_ms,
                    changed_ms
                ])?;
            if added > 0 {
                write_agenda(tx, &id, &subject.agenda)?;
            }
            Ok(added > 0)
        };
        self.0.write(create).await
    }

    async fn find(&self, id: &str) -> Result<Option<Whole>, DbError> {
        let id = id.to_owned();
        let find = move |connection: &Connection| {
            // Of one moment.
            let tx = connection.unchecked_transaction()?;
            let query = format!("SELECT {COLUMNS} FROM t_meeting WHERE id = ?");
            let found = tx.prepare_cached(&query)?.query_row([&id], read_meeting).optional()?;
            let Some(mut meeting) = found else { return Ok(None) };
            meeting.subject.agenda = read_agenda(&tx, &id)?;
            let query = format!(
                "SELECT {FILE_COLUMNS} FROM t_meeting_file WHERE meeting = ? AND taken IS NOT NULL ORDER BY path"
            );
            let files =
                tx.prepare_cached(&query)?.query_map([&id], read_file)?.collect::<Result<Vec<_>, _>>()?;
            Ok(Some(Whole { meeting, files }))
        };
        self.0.read(find).await
    }

    async fn list(&self, after: Option<&Position>, limit: u32) -> Result<Vec<Meeting>, DbError> {
        let after = after.cloned().unwrap_or(Position { created_ms: i64::MAX, id: String::new() });
        let list = move |connection: &Connection| {
            let query = format!(
                "SELECT {COLUMNS} FROM t_meeting
                 WHERE created_ms <= ?1 AND (created_ms < ?1 OR id < ?2)
                 ORDER BY created_ms DESC, id DESC LIMIT ?3"
            );
            let mut query = connection.prepare_cached(&query)?;
            query.query_map(params![after.created_ms, after.id, limit], read_meeting)?.collect()
        };
        self.0.read(list).await
    }

    async fn active(&self) -> Result<Vec<String>, DbError> {
        let active = |connection: &Connection| {
            let query = "SELECT id FROM t_meeting WHERE status = 'active' ORDER BY id";
            connection.prepare_cached(query)?.query_map([], |row| row.get(0))?.collect()
        };
        self.0.read(active).await
    }

    async fn change(&self, id: &str, subject: Subject, now_ms: i64) -> Result<bool, DbError> {
        let id = id.to_owned();
        let change = move |tx: &Connection| {
            let changed = tx
                .prepare_cached(
                    "UPDATE t_meeting
                     SET title = ?, time = ?, intro = ?, changed_ms = ?, revision = revision + 1 WHERE id = ?",
                )?
                .execute(params![subject.title, subject.time, subject.intro, now_ms, id])?;
            if changed > 0 {
                write_agenda(tx, &id, &subject.agenda)?;
            }
            Ok(changed > 0)
        };
        self.0.write(change).await
    }

    async fn set_status(&self, id: &str, status: Status) -> Result<bool, DbError> {
        let id = id.to_owned();
        let set = move |tx: &Connection| {
            let set = "UPDATE t_meeting SET status = ?, revision = revision + 1 WHERE id = ?";
            Ok(tx.prepare_cached(set)?.execute([status.as_str(), &id])? > 0)
        };
        self.0.write(set).await
    }

    async fn delete(&self, id: &str, now_ms: i64) -> Result<bool, DbError> {
        let id = id.to_owned();
        let delete = move |tx: &Connection| {
            let deleted = tx.prepare_cached("DELETE FROM t_meeting WHERE id = ?")?.execute([&id])?;
            tx.prepare_cached("DELETE FROM t_agenda_item WHERE meeting = ?")?.execute([&id])?;
            tx.prepare_cached(
                "UPDATE t_meeting_file SET state = 'gone', state_ms = ?, taken = NULL
                 WHERE meeting = ? AND state = 'present'",
            )?
            .execute(params![now_ms, id])?;
            Ok(deleted > 0)
        };
        self.0.write(delete).await
    }

    async fn expect_file(&self, id: &str, meeting: &str, path: &str, now_ms: i64) -> Result<(), DbError> {
        let (id, meeting, path) = (id.to_owned(), meeting.to_owned(), path.to_owned());
        let expect = move |tx: &Connection| {
            tx.prepare_cached(
                "INSERT INTO t_meeting_file (id, meeting, path, size, content_type, crc32, blake3, created_ms, state,
                                             state_ms)
                 VALUES (?1, ?2, ?3, 0, '', 0, '', ?4, 'coming', ?4)",
            )?
            .execute(params![id, meeting, path, now_ms])
        };
        self.0.write(expect).await.map(drop)
    }

    async fn join(&self, file: MeetingFile, taken: &str, max_files: u32) -> Result<Joined, DbError> {
        let taken = taken.to_owned();
        self.0.write(move |tx| join(tx, &file, &taken, max_files)).await
    }

    async fn abandon(&self, id: &str) -> Result<(), DbError> {
        let id = id.to_owned();
        self.0.write(move |tx| abandon(tx, &id)).await
    }

    async fn remove_file(&self, meeting: &str, id: &str, now_ms: i64) -> Result<bool, DbError> {
        let (meeting, id) = (meeting.to_owned(), id.to_owned());
        let remove = move |tx: &Connection| {
            let removed = tx
                .prepare_cached(
                    "UPDATE t_meeting_file SET state = 'gone', state_ms = ?, taken = NULL
                     WHERE id = ? AND meeting = ? AND state = 'present'",
                )?
                .execute(params![now_ms, id, meeting])?;
            if removed > 0 {
                touch(tx, &meeting, now_ms)?;
            }
            Ok(removed > 0)
        };
        self.0.write(remove).await
    }

    async fn file(&self, id: &str) -> Result<Option<MeetingFile>, DbError> {
        let id = id.to_owned();
        let find = move |connection: &Connection| {
            let query = format!(
                "SELECT {FILE_COLUMNS} FROM t_meeting_file WHERE id = ? AND state <> 'coming' AND blake3 <> ''"
            );
            connection.prepare_cached(&query)?.query_row([&id], read_file).optional()
        };
        self.0.read(find).await
    }

    async fn leftovers(
        &self,
        gone_ms: i64,
        expected_ms: i64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Leftover>, DbError> {
        let after = after.to_owned();
        let leftovers = move |connection: &Connection| {
            let query = "SELECT id, meeting FROM t_meeting_file
                         WHERE ((state = 'gone' AND state_ms < ?) OR (state = 'coming' AND state_ms < ?)) AND id > ?
                         ORDER BY id LIMIT ?";
            let read = |row: &Row<'_>| Ok(Leftover { id: row.get(0)?, meeting: row.get(1)? });
            connection
                .prepare_cached(query)?
                .query_map(params![gone_ms, expected_ms, after, limit], read)?
                .collect()
        };
        self.0.read(leftovers).await
    }

    async fn forget(&self, ids: Vec<String>) -> Result<(), DbError> {
        let forget = move |tx: &Connection| {
            let mut forget =
                tx.prepare_cached("DELETE FROM t_meeting_file WHERE id = ? AND state <> 'present'")?;
            for id in &ids {
                forget.execute([id])?;
            }
            Ok(())
        };
        self.0.write(forget).await
    }
}

fn join(tx: &Connection, file: &MeetingFile, taken: &str, max_files: u32) -> rusqlite::Result<Joined> {
    let give_up = |why: Joined| abandon(tx, &file.id).map(|()| why);
    let is_expected = "SELECT EXISTS (SELECT 1 FROM t_meeting m, t_meeting_file f
                                      WHERE m.id = ?1 AND f.id = ?2 AND f.meeting = ?1 AND f.state = 'coming')";
    if !tx.prepare_cached(is_expected)?.query_row([&file.meeting, &file.id], |row| row.get(0))? {
        return give_up(Joined::Gone);
    }
    let same = "SELECT id, path FROM t_meeting_file WHERE meeting = ? AND taken = ?";
    let same: Option<(String, String)> = tx
        .prepare_cached(same)?
        .query_row([&file.meeting, taken], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match same {
        Some((_, path)) if path != file.path => return give_up(Joined::Collides(path)),
        Some((id, _)) => {
            tx.prepare_cached(
                "UPDATE t_meeting_file SET state = 'gone', state_ms = ?, taken = NULL WHERE id = ?",
            )?
            .execute(params![file.created_ms, id])?;
        }
        None => {
            let count = "SELECT COUNT(*) FROM t_meeting_file WHERE meeting = ? AND taken IS NOT NULL";
            let count: u32 = tx.prepare_cached(count)?.query_row([&file.meeting], |row| row.get(0))?;
            if count >= max_files {
                return give_up(Joined::Full);
            }
        }
    }
    tx.prepare_cached(
        "UPDATE t_meeting_file
         SET taken = ?1, size = ?2, content_type = ?3, crc32 = ?4, blake3 = ?5, created_ms = ?6, state = 'present',
             state_ms = ?6
         WHERE id = ?7",
    )?
    .execute(params![
        taken,
        i64::try_from(file.size).unwrap_or(i64::MAX),
        file.content_type,
        file.crc32,
        file.blake3,
        file.created_ms,
        file.id
    ])?;
    touch(tx, &file.meeting, file.created_ms)?;
    Ok(Joined::Present)
}

fn abandon(tx: &Connection, id: &str) -> rusqlite::Result<()> {
    let abandon = "UPDATE t_meeting_file SET state = 'gone', state_ms = 0 WHERE id = ? AND state = 'coming'";
    tx.prepare_cached(abandon)?.execute([id]).map(drop)
}

fn touch(tx: &Connection, meeting: &str, now_ms: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE t_meeting SET changed_ms = ?, revision = revision + 1 WHERE id = ?")?
        .execute(params![now_ms, meeting])?;
    Ok(())
}

fn write_agenda(tx: &Connection, meeting: &str, agenda: &[AgendaItem]) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM t_agenda_item WHERE meeting = ?")?.execute([meeting])?;
    let mut add = tx.prepare_cached(
        "INSERT INTO t_agenda_item (meeting, place, position, title, details) VALUES (?, ?, ?, ?, ?)",
    )?;
    for (place, item) in agenda.iter().enumerate() {
        let details = serde_json::Value::from(item.details.clone()).to_string();
        add.execute(params![meeting, place as i64, item.position, item.title, details])?;
    }
    Ok(())
}

fn read_agenda(connection: &Connection, meeting: &str) -> rusqlite::Result<Vec<AgendaItem>> {
    let query = "SELECT title, position, details FROM t_agenda_item WHERE meeting = ? ORDER BY place";
    let read = |row: &Row<'_>| {
        let details: String = row.get(2)?;
        Ok(AgendaItem {
            title: row.get(0)?,
            position: row.get(1)?,
            details: serde_json::from_str(&details).unwrap_or_default(),
        })
    };
    connection.prepare_cached(query)?.query_map([meeting], read)?.collect()
}

fn read_meeting(row: &Row<'_>) -> rusqlite::Result<Meeting> {
    Ok(Meeting {
        id: row.get(0)?,
        subject: Subject { title: row.get(1)?, time: row.get(2)?, intro: row.get(3)?, agenda: Vec::new() },
        status: Status::of(&row.get::<_, String>(4)?),
        created_ms: row.get(5)?,
        changed_ms: row.get(6)?,
    })
}

fn read_file(row: &Row<'_>) -> rusqlite::Result<MeetingFile> {
    let size: i64 = row.get(3)?;
    Ok(MeetingFile {
        id: row.get(0)?,
        meeting: row.get(1)?,
        path: row.get(2)?,
        size: u64::try_from(size).unwrap_or(0),
        content_type: row.get(4)?,
        crc32: row.get(5)?,
        blake3: row.get(6)?,
        created_ms: row.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{SCHEMA, contract};
    use super::*;

    #[tokio::test]
    async fn sqlite_keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        contract(&SqliteMeetings(Sqlite::open(&folder.path().join("tnv.db"), &SCHEMA).unwrap())).await;
    }
}
