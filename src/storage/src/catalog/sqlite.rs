//! The catalog in SQLite.

mod copies;

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tnv_common::clock;
use tnv_common::database::DbError;
use tnv_common::sqlite::Sqlite;
use tnv_proto::{AppId, FileKey, ListOrder, UserId};

use super::{
    Backlog, Catalog, Enlisted, FileRow, LandedCopy, Leftover, Location, Member, MemberState, Membership,
    NewFile, OwnCopies, Page, PendingCopy, Position, StorageRow,
};
use crate::layout::table_of;

/// Adds a file's row, unless its id is taken.
macro_rules! insert_statement {
    ($table:literal) => {
        concat!(
            "INSERT INTO t_file_0",
            $table,
            " (id, appid, userid, status, file_path, file_size, group_name, content_type, crc32, blake3, created_ms,
               file_name)
             VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
        )
    };
}

/// Rows of a removed storage that go in one transaction.
const REMOVED_AT_ONCE: u32 = 1000;

/// The catalog in SQLite, as one storage uses it.
#[derive(Debug, Clone)]
pub struct SqliteCatalog {
    db: Sqlite,
    membership: Arc<Membership>,
}

impl SqliteCatalog {
    /// The catalog for this storage.
    pub fn new(db: Sqlite, membership: Membership) -> SqliteCatalog {
        SqliteCatalog { db, membership: Arc::new(membership) }
    }

    fn storage(&self) -> String {
        self.membership.storage.clone()
    }
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    let path: Option<String> = row.get("path")?;
    let location = match path {
        Some(path) if row.get::<_, String>("state")? == "damaged" => {
            Location::Damaged { path_index: row.get("path_index")?, path }
        }
        Some(path) => Location::Here { path_index: row.get("path_index")?, path },
        None if row.get::<_, Option<String>>("blake3")?.is_some() => Location::Elsewhere,
        // Rows of the older system have neither checksums nor copies.
        None => Location::Written(row.get("file_path")?),
    };
    let size: i64 = row.get("file_size")?;
    let text = |name: &str| row.get::<_, Option<String>>(name).map(Option::unwrap_or_default);
    Ok(FileRow {
        size: u64::try_from(size).unwrap_or(0),
        created_ms: row.get::<_, Option<i64>>("created_ms")?.unwrap_or(0),
        crc32: row.get::<_, Option<u32>>("crc32")?.unwrap_or(0),
        blake3: text("blake3")?,
        content_type: text("content_type")?,
        name: text("file_name")?,
        location,
    })
}

/// Only the table's number goes into the text, and that is ours; everything else is a parameter.
fn find(connection: &Connection, key: &FileKey, storage: &str) -> rusqlite::Result<Option<FileRow>> {
    let table = table_of(&key.user);
    connection
        .prepare_cached(&find_statement(table))?
        .query_row([storage, key.file.as_str(), key.app.as_str(), key.user.as_str()], read_row)
        .optional()
}

fn find_statement(table: u8) -> String {
    format!(
        "SELECT {COLUMNS}
         FROM t_file_0{table} f
         LEFT JOIN t_copy c ON c.file_table = {table} AND c.file_id = f.id AND c.storage = ?
                           AND c.state IN ('present', 'damaged')
         WHERE f.id = ? AND f.appid = ? AND f.userid = ?"
    )
}

fn list(
    connection: &Connection,
    app: &AppId,
    user: &UserId,
    page: &Page,
    storage: &str,
) -> rusqlite::Result<Vec<(String, FileRow)>> {
    let (bound, key, id): (Value, Value, String) = match (page.order, &page.after) {
        (ListOrder::Newest, Some(Position::Age { created_ms, id })) => {
            (page.prefix.clone().into(), (*created_ms).into(), id.clone())
        }
        (ListOrder::Newest, _) => (page.prefix.clone().into(), i64::MAX.into(), String::new()),
        (ListOrder::Name, Some(Position::Name { name, id })) if *name >= page.prefix => {
            (behind(&page.prefix), name.clone().into(), id.clone())
        }
        // Ids are not empty: everything comes behind this.
        (ListOrder::Name, _) => (behind(&page.prefix), page.prefix.clone().into(), String::new()),
    };
    connection
        .prepare_cached(&list_statement(table_of(user), page.order))?
        .query_map(params![storage, app.as_str(), user.as_str(), bound, key, id, page.limit as i64], |row| {
            Ok((row.get("id")?, read_row(row)?))
        })?
        .collect()
}

/// The columns of the two orders are written as in the indexes of storage-2.sql, and held against one value alone where
/// a page begins and ends: an index of expressions is not searched for pairs.
fn list_statement(table: u8, order: ListOrder) -> String {
    let place = match order {
        ListOrder::Newest => {
            "substr(IFNULL(f.file_name, ''), 1, length(?4)) = ?4
               AND IFNULL(f.created_ms, 0) <= ?5 AND (IFNULL(f.created_ms, 0) < ?5 OR f.id < ?6)
             ORDER BY IFNULL(f.created_ms, 0) DESC, f.id DESC"
        }
        ListOrder::Name => {
            "IFNULL(f.file_name, '') < ?4
               AND IFNULL(f.file_name, '') >= ?5 AND (IFNULL(f.file_name, '') > ?5 OR f.id > ?6)
             ORDER BY IFNULL(f.file_name, ''), f.id"
        }
    };
    format!(
        "SELECT f.id, {COLUMNS}
         FROM t_file_0{table} f
         LEFT JOIN t_copy c ON c.file_table = {table} AND c.file_id = f.id AND c.storage = ?1
                           AND c.state IN ('present', 'damaged')
         WHERE f.appid = ?2 AND f.userid = ?3
           AND {place} LIMIT ?7"
    )
}

/// What is greater than every text with this prefix, and not than any other that is greater than it: the prefix with its
/// last character replaced by the next one.
fn behind(prefix: &str) -> Value {
    let mut next = prefix.to_owned();
    while let Some(last) = next.pop() {
        // Between these two there are the surrogates, which are no characters.
        let following =
            if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(following) = following {
            next.push(following);
            return Value::Text(next);
        }
    }
    // Greater than any text.
    Value::Blob(Vec::new())
}

/// What [`read_row`] reads, of `t_file_0N f` and `t_copy c`.
const COLUMNS: &str =
    "f.file_size, f.file_path, f.created_ms, f.crc32, f.blake3, f.content_type, f.file_name,
    c.path_index, c.path, c.state";

fn is_taken(connection: &Connection, key: &FileKey) -> rusqlite::Result<bool> {
    let table = table_of(&key.user);
    connection
        .prepare_cached(&format!("SELECT EXISTS (SELECT 1 FROM t_file_0{table} WHERE id = ?)"))?
        .query_row([key.file.as_str()], |row| row.get(0))
}

/// One for each table.
const INSERTS: [&str; 3] = [insert_statement!(1), insert_statement!(2), insert_statement!(3)];

fn insert(tx: &Connection, file: &NewFile, membership: &Membership) -> rusqlite::Result<bool> {
    let key = &file.key;
    let table = table_of(&key.user);
    let added = tx.prepare_cached(INSERTS[usize::from(table - 1)])?.execute(params![
        key.file.as_str(),
        key.app.as_str(),
        key.user.as_str(),
        file.file_path,
        i64::try_from(file.size).unwrap_or(i64::MAX),
        file.group,
        file.content_type,
        file.crc32,
        file.blake3.to_string(),
        file.created_ms,
        file.name,
    ])?;
    if added == 0 {
        return Ok(false);
    }
    insert_copy(tx, &membership.storage, file.path_index, &file.path, key)?;
    if membership.replicates {
        copies::insert_others(tx, file)?;
        copies::order(tx, file, membership)?;
    }
    Ok(true)
}

fn insert_copy(
    tx: &Connection,
    storage: &str,
    path_index: u32,
    path: &str,
    key: &FileKey,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
         VALUES (?, ?, ?, ?, ?, 'present')",
    )?
    .execute(params![storage, path_index, path, table_of(&key.user), key.file.as_str()])?;
    Ok(())
}

fn delete(
    tx: &Connection,
    key: &FileKey,
    storage: &str,
    uncounted: Option<&Leftover>,
) -> rusqlite::Result<bool> {
    let table = table_of(&key.user);
    let deleted = tx
        .prepare_cached(&format!("DELETE FROM t_file_0{table} WHERE id = ? AND appid = ? AND userid = ?"))?
        .execute([key.file.as_str(), key.app.as_str(), key.user.as_str()])?;
    if deleted == 0 {
        return Ok(false);
    }
    tx.prepare_cached("UPDATE t_copy SET state = 'deleting' WHERE file_table = ? AND file_id = ?")?
        .execute(params![table, key.file.as_str()])?;
    copies::cancel(tx, table, key.file.as_str())?;
    if let Some(place) = uncounted {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO t_copy (storage, path_index, path, file_table, file_id, state)
             VALUES (?, ?, ?, ?, ?, 'deleting')",
        )?
        .execute(params![storage, place.path_index, place.path, table, key.file.as_str()])?;
    }
    Ok(true)
}

/// A sealed place has a copy of no file, which stays: its primary key is in the way of every other.
fn seal(tx: &Connection, storage: &str, path_index: u32, path: &str) -> rusqlite::Result<bool> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO t_copy (storage, path_index, path, file_table, file_id, state)
         VALUES (?, ?, ?, 0, '', 'deleting')",
    )?
    .execute(params![storage, path_index, path])?;
    tx.prepare_cached(
        "SELECT state <> 'deleting' FROM t_copy WHERE storage = ? AND path_index = ? AND path = ?",
    )?
    .query_row(params![storage, path_index, path], |row| row.get(0))
}

/// The index is partial, and SQLite uses it only where its condition stands word for word.
const LEFTOVERS: &str = "SELECT path_index, path FROM t_copy INDEXED BY t_copy_to_settle
                         WHERE storage = ? AND state = 'deleting' AND state <> 'present' AND (path_index, path) > (?, ?)
                         AND file_table > 0
                         ORDER BY path_index, path LIMIT ?";

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn find(&self, key: &FileKey) -> Result<Option<FileRow>, DbError> {
        let (key, storage) = (key.clone(), self.storage());
        self.db.read(move |connection| find(connection, &key, &storage)).await
    }

    async fn is_taken(&self, key: &FileKey) -> Result<bool, DbError> {
        let key = key.clone();
        self.db.read(move |connection| is_taken(connection, &key)).await
    }

    async fn list(&self, app: &AppId, user: &UserId, page: Page) -> Result<Vec<(String, FileRow)>, DbError> {
        let (app, user, storage) = (app.clone(), user.clone(), self.storage());
        self.db.read(move |connection| list(connection, &app, &user, &page, &storage)).await
    }

    async fn insert(&self, file: NewFile) -> Result<bool, DbError> {
        let membership = self.membership.clone();
        self.db.write(move |tx| insert(tx, &file, &membership)).await
    }

    fn insert_all(&self, files: Vec<NewFile>) -> Vec<Result<bool, DbError>> {
        let insert = |file: NewFile| {
            let membership = self.membership.clone();
            move |tx: &Connection| insert(tx, &file, &membership)
        };
        self.db.write_all(files.into_iter().map(insert).collect())
    }

    async fn delete(&self, key: &FileKey, uncounted: Option<Leftover>) -> Result<bool, DbError> {
        let (key, storage) = (key.clone(), self.storage());
        self.db.write(move |tx| delete(tx, &key, &storage, uncounted.as_ref())).await
    }

    async fn mark_damaged(&self, path_index: u32, path: &str) -> Result<bool, DbError> {
        let (membership, path, now) = (self.membership.clone(), path.to_owned(), clock::unix_millis());
        self.db.write(move |tx| copies::mark_damaged(tx, &membership, path_index, &path, now)).await
    }

    async fn has_copy(&self, path_index: u32, path: &str) -> Result<bool, DbError> {
        let (storage, path) = (self.storage(), path.to_owned());
        self.db
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT EXISTS (SELECT 1 FROM t_copy WHERE storage = ? AND path_index = ? AND path = ?
                                        AND state <> 'deleting')",
                    )?
                    .query_row(params![storage, path_index, path], |row| row.get(0))
            })
            .await
    }

    async fn seal(&self, path_index: u32, path: &str) -> Result<bool, DbError> {
        let (storage, path) = (self.storage(), path.to_owned());
        self.db.write(move |tx| seal(tx, &storage, path_index, &path)).await
    }

    async fn copies(&self, after: Option<&Leftover>, limit: u32) -> Result<OwnCopies, DbError> {
        let storage = self.storage();
        let (index, path) =
            after.map_or((-1, String::new()), |after| (i64::from(after.path_index), after.path.clone()));
        self.db.read(move |connection| copies::own(connection, &storage, (index, &path), limit)).await
    }

    async fn leftovers(&self, after: Option<&Leftover>, limit: u32) -> Result<Vec<Leftover>, DbError> {
        let storage = self.storage();
        let (index, path) =
            after.map_or((-1, String::new()), |after| (i64::from(after.path_index), after.path.clone()));
        self.db
            .read(move |connection| {
                connection
                    .prepare_cached(LEFTOVERS)?
                    .query_map(params![storage, index, path, limit], |row| {
                        Ok(Leftover { path_index: row.get(0)?, path: row.get(1)? })
                    })?
                    .collect()
            })
            .await
    }

    async fn forget(&self, gone: Vec<Leftover>) -> Result<(), DbError> {
        let storage = self.storage();
        self.db
            .write(move |tx| {
                let mut forget = tx.prepare_cached(
                    "DELETE FROM t_copy WHERE storage = ? AND path_index = ? AND path = ? AND state = 'deleting'",
                )?;
                for copy in &gone {
                    forget.execute(params![storage, copy.path_index, copy.path])?;
                }
                Ok(())
            })
            .await
    }

    async fn last_path_index(&self) -> Result<Option<u32>, DbError> {
        let storage = self.storage();
        self.db
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT max(path_index) FROM t_copy WHERE storage = ?")?
                    .query_row([storage], |row| row.get(0))
            })
            .await
    }

    async fn knows_storage(&self, id: &str) -> Result<bool, DbError> {
        let id = id.to_owned();
        self.db
            .read(move |connection| {
                connection
                    .prepare_cached("SELECT EXISTS (SELECT 1 FROM t_storage WHERE id = ?)")?
                    .query_row([id], |row| row.get(0))
            })
            .await
    }

    async fn other_storage_at(&self, host: &str, address: &str) -> Result<Option<String>, DbError> {
        let (host, address, own) = (host.to_owned(), address.to_owned(), self.storage());
        self.db
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT id FROM t_storage WHERE host = ? AND address = ? AND id <> ? LIMIT 1",
                    )?
                    .query_row([host, address, own], |row| row.get(0))
                    .optional()
            })
            .await
    }

    async fn register(&self, row: StorageRow) -> Result<MemberState, DbError> {
        self.db.write(move |tx| copies::register(tx, &row)).await
    }

    async fn members(&self) -> Result<Vec<Member>, DbError> {
        let membership = self.membership.clone();
        self.db.read(move |connection| copies::members(connection, &membership.group)).await
    }

    async fn holders(&self, key: &FileKey) -> Result<Vec<String>, DbError> {
        let (key, storage) = (key.clone(), self.storage());
        self.db.read(move |connection| copies::holders(connection, &key, &storage)).await
    }

    async fn pending(&self, now_ms: i64, limit: u32) -> Result<Vec<PendingCopy>, DbError> {
        let storage = self.storage();
        let (pending, orphans) =
            self.db.read(move |connection| copies::pending(connection, &storage, now_ms, limit)).await?;
        if !orphans.is_empty() {
            let storage = self.storage();
            self.db.write(move |tx| copies::clear(tx, &storage, &orphans)).await?;
        }
        Ok(pending)
    }

    async fn pending_of(&self, key: &FileKey) -> Result<Option<PendingCopy>, DbError> {
        let (key, storage) = (key.clone(), self.storage());
        self.db.read(move |connection| copies::pending_of(connection, &key, &storage)).await
    }

    async fn land(&self, copy: LandedCopy) -> Result<bool, DbError> {
        let storage = self.storage();
        self.db.write(move |tx| copies::land(tx, &copy, &storage)).await
    }

    async fn postpone(&self, key: &FileKey, next_try_ms: i64) -> Result<(), DbError> {
        let (key, storage) = (key.clone(), self.storage());
        self.db.write(move |tx| copies::postpone(tx, &key, &storage, next_try_ms)).await
    }

    async fn backlog(&self) -> Result<Backlog, DbError> {
        let storage = self.storage();
        self.db.read(move |connection| copies::backlog(connection, &storage)).await
    }

    async fn enlist(&self, after: Option<Enlisted>, limit: u32) -> Result<(u64, Option<Enlisted>), DbError> {
        let (membership, now) = (self.membership.clone(), clock::unix_millis());
        let after = after.unwrap_or(Enlisted::START);
        self.db.write(move |tx| copies::enlist(tx, &membership, after.clone(), limit, now)).await
    }

    async fn backlog_of(&self, id: &str) -> Result<Backlog, DbError> {
        let id = id.to_owned();
        self.db.read(move |connection| copies::backlog(connection, &id)).await
    }

    async fn member_state(&self, id: &str) -> Result<Option<MemberState>, DbError> {
        let (id, group) = (id.to_owned(), self.membership.group.clone());
        self.db.read(move |connection| copies::member_state(connection, &id, &group)).await
    }

    async fn change_state(&self, id: &str, from: MemberState, to: MemberState) -> Result<bool, DbError> {
        let id = id.to_owned();
        self.db.write(move |tx| copies::change_state(tx, &id, from, to)).await
    }

    async fn only_at(&self, id: &str, others: &[String]) -> Result<u64, DbError> {
        let (id, others) = (id.to_owned(), others.to_vec());
        self.db.read(move |connection| copies::only_at(connection, &id, &others)).await
    }

    async fn remove_member(&self, id: &str, others: Option<&[String]>) -> Result<u64, DbError> {
        let (removed, others) = (id.to_owned(), others.map(<[String]>::to_vec));
        let only_there = move |tx: &Connection| copies::remove(tx, &removed, others.as_deref());
        let only_there = self.db.write(only_there).await?;
        loop {
            let removed = id.to_owned();
            if only_there > 0
                || self.db.write(move |tx| copies::remove_rows(tx, &removed, REMOVED_AT_ONCE)).await?
            {
                return Ok(only_there);
            }
        }
    }
}

#[cfg(test)]
mod tests;
