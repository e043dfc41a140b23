//! Members of a group, and the copies that each still has to get.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};
use tnv_proto::FileKey;

use super::insert_copy;
use crate::catalog::{
    Backlog, CopyAt, Enlisted, FileColumns, LandedCopy, Leftover, Member, MemberState, Membership, NewFile,
    OwnCopies, OwnCopy, PendingCopy, REMOVED, StorageRow,
};
use crate::config::Replication;
use crate::layout::table_of;

impl FromSql for MemberState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<MemberState> {
        MemberState::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

pub(super) fn register(tx: &Connection, row: &StorageRow) -> rusqlite::Result<MemberState> {
    let joins = row.replication == Replication::Copies;
    // What stands in the row before is what the update sees everywhere.
    tx.execute(
        "INSERT INTO t_storage (id, group_name, host, address, replication, state, created_ms, seen_ms)
         VALUES (?1, ?2, ?3, ?4, ?5,
                 CASE WHEN ?6 AND EXISTS (SELECT 1 FROM t_storage WHERE group_name = ?2 AND id <> ?1
                                          AND replication = 'copies' AND state <> 'removed')
                      THEN 'filling' ELSE 'active' END,
                 ?7, ?7)
         ON CONFLICT (id) DO UPDATE SET
             group_name = ?2, host = ?3, address = ?4, replication = ?5, seen_ms = ?7,
             state = CASE WHEN replication <> 'copies' AND state = 'active' THEN excluded.state ELSE state END",
        params![row.id, row.group, row.host, row.address, row.replication.as_str(), joins, row.seen_ms],
    )?;
    tx.query_row("SELECT state FROM t_storage WHERE id = ?", [&row.id], |row| row.get(0))
}

pub(super) fn members(connection: &Connection, group: &str) -> rusqlite::Result<Vec<Member>> {
    connection
        .prepare_cached(
            "SELECT id, host, address, state, seen_ms FROM t_storage
             WHERE group_name = ? AND replication = 'copies' AND state <> 'removed' ORDER BY id",
        )?
        .query_map([group], |row| {
            Ok(Member {
                id: row.get(0)?,
                host: row.get(1)?,
                address: row.get(2)?,
                state: row.get(3)?,
                seen_ms: row.get(4)?,
            })
        })?
        .collect()
}

pub(super) fn holders(
    connection: &Connection,
    key: &FileKey,
    storage: &str,
) -> rusqlite::Result<Vec<String>> {
    let table = table_of(&key.user);
    connection
        .prepare_cached(&format!(
            "SELECT DISTINCT storage FROM t_copy
             WHERE file_table = {table} AND file_id = ?1 AND state = 'present' AND storage <> ?4
               AND EXISTS (SELECT 1 FROM t_file_0{table} WHERE id = ?1 AND appid = ?2 AND userid = ?3)
             ORDER BY storage"
        ))?
        .query_map([key.file.as_str(), key.app.as_str(), key.user.as_str(), storage], |row| row.get(0))?
        .collect()
}

/// Adds the copies that other members have of a new file. A place that its storage has sealed meanwhile is an error: there is
/// nothing any more.
pub(super) fn insert_others(tx: &Connection, file: &NewFile) -> rusqlite::Result<()> {
    for CopyAt { storage, place } in &file.copies {
        tx.prepare_cached(
            "INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
             SELECT id, ?2, ?3, ?4, ?5, 'present' FROM t_storage WHERE id = ?1 AND state <> 'removed'",
        )?
        .execute(params![
            storage,
            place.path_index,
            place.path,
            table_of(&file.key.user),
            file.key.file.as_str()
        ])?;
    }
    Ok(())
}

/// Orders that every other member of the group that lacks it get a copy of a new file. An order that an id has left from an earlier
/// file becomes the new one's.
pub(super) fn order(tx: &Connection, file: &NewFile, membership: &Membership) -> rusqlite::Result<()> {
    check_membership(tx, &membership.storage)?;
    tx.prepare_cached(
        "INSERT INTO t_pending (file_table, file_id, storage, file_size, since_ms)
         SELECT ?1, ?2, id, ?3, ?4 FROM t_storage
         WHERE group_name = ?5 AND replication = 'copies' AND state <> 'removed' AND id <> ?6
           AND NOT EXISTS (SELECT 1 FROM t_copy WHERE file_table = ?1 AND file_id = ?2 AND storage = t_storage.id
                           AND state = 'present')
         ON CONFLICT (file_table, file_id, storage) DO UPDATE SET
             file_size = excluded.file_size, since_ms = excluded.since_ms, tries = 0, next_try_ms = 0",
    )?
    .execute(params![
        table_of(&file.key.user),
        file.key.file.as_str(),
        i64::try_from(file.size).unwrap_or(i64::MAX),
        file.created_ms,
        membership.group,
        membership.storage,
    ])?;
    Ok(())
}

/// Takes back all orders for a file.
pub(super) fn cancel(tx: &Connection, table: u8, file: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM t_pending WHERE file_table = ? AND file_id = ?")?
        .execute(params![table, file])?;
    Ok(())
}

/// Marks a copy as damaged and orders another one, if there is one to be had.
pub(super) fn mark_damaged(
    tx: &Connection,
    membership: &Membership,
    path_index: u32,
    path: &str,
    now_ms: i64,
) -> rusqlite::Result<bool> {
    let marked: Option<(u8, String)> = tx
        .prepare_cached(
            "UPDATE t_copy SET state = 'damaged'
             WHERE storage = ? AND path_index = ? AND path = ? AND state = 'present'
             RETURNING file_table, file_id",
        )?
        .query_row(params![membership.storage, path_index, path], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((table, file)) = marked else { return Ok(false) };
    if membership.replicates {
        tx.prepare_cached(&format!(
            "INSERT INTO t_pending (file_table, file_id, storage, file_size, since_ms)
             SELECT {table}, f.id, ?1, f.file_size, ?2 FROM t_file_0{table} f
             WHERE f.id = ?3 AND {HELD_ELSEWHERE}
             ON CONFLICT (file_table, file_id, storage) DO NOTHING",
            HELD_ELSEWHERE = held_elsewhere(table),
        ))?
        .execute(params![membership.storage, now_ms, file])?;
    }
    Ok(true)
}

/// That another storage than the one in the first parameter has `t_file_0N f`.
fn held_elsewhere(table: u8) -> String {
    format!(
        "EXISTS (SELECT 1 FROM t_copy o WHERE o.file_table = {table} AND o.file_id = f.id
                 AND o.state = 'present' AND o.storage <> ?1)"
    )
}

/// An order whose file's row is gone.
pub(super) type Orphan = (u8, String);

/// Orders that are due, and those among them that no file stands behind any more.
pub(super) fn pending(
    connection: &Connection,
    storage: &str,
    now_ms: i64,
    limit: u32,
) -> rusqlite::Result<(Vec<PendingCopy>, Vec<Orphan>)> {
    let due: Vec<(u8, String, u32)> = connection
        .prepare_cached(PENDING)?
        .query_map(params![storage, now_ms, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let (mut pending, mut orphans) = (Vec::new(), Vec::new());
    for (table, file, tries) in due {
        match describe(connection, table, &file, tries)? {
            Some(copy) => pending.push(copy),
            None => orphans.push((table, file)),
        }
    }
    Ok((pending, orphans))
}

pub(super) const PENDING: &str = "SELECT file_table, file_id, tries FROM t_pending
     WHERE storage = ? AND next_try_ms <= ? ORDER BY next_try_ms, since_ms LIMIT ?";

pub(super) fn pending_of(
    connection: &Connection,
    key: &FileKey,
    storage: &str,
) -> rusqlite::Result<Option<PendingCopy>> {
    let table = table_of(&key.user);
    let tries: Option<u32> = connection
        .prepare_cached("SELECT tries FROM t_pending WHERE file_table = ? AND file_id = ? AND storage = ?")?
        .query_row(params![table, key.file.as_str(), storage], |row| row.get(0))
        .optional()?;
    let Some(tries) = tries else { return Ok(None) };
    Ok(describe(connection, table, key.file.as_str(), tries)?.filter(|copy| copy.key == *key))
}

/// The file that an order is for, if its row is there.
fn describe(
    connection: &Connection,
    table: u8,
    file: &str,
    tries: u32,
) -> rusqlite::Result<Option<PendingCopy>> {
    let row: Option<FileColumns> = connection
        .prepare_cached(&format!(
            "SELECT appid, userid, file_size, crc32, blake3, created_ms FROM t_file_0{table} WHERE id = ?"
        ))?
        .query_row([file], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .optional()?;
    Ok(row.and_then(|row| PendingCopy::of(file, row, tries)))
}

/// Copies behind this place, with their files.
pub(super) fn own(
    connection: &Connection,
    storage: &str,
    (index, path): (i64, &str),
    limit: u32,
) -> rusqlite::Result<OwnCopies> {
    let places: Vec<(u32, String, u8, String)> = connection
        .prepare_cached(
            "SELECT path_index, path, file_table, file_id FROM t_copy
             WHERE storage = ? AND (path_index, path) > (?, ?) AND state = 'present' AND file_table > 0
             ORDER BY path_index, path LIMIT ?",
        )?
        .query_map(params![storage, index, path, limit], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let last = places.last().filter(|_| places.len() as u64 == u64::from(limit));
    let next = last.map(|(path_index, path, ..)| Leftover { path_index: *path_index, path: path.clone() });
    let mut copies = Vec::with_capacity(places.len());
    for (path_index, path, table, file) in places {
        // A delete may have come between.
        if let Some(PendingCopy { key, size, blake3, .. }) = describe(connection, table, &file, 0)? {
            copies.push(OwnCopy { key, size, blake3, path_index, path });
        }
    }
    Ok((copies, next))
}

/// Removes orders unless a file has come to stand behind them.
pub(super) fn clear(tx: &Connection, storage: &str, orphans: &[Orphan]) -> rusqlite::Result<()> {
    for (table, file) in orphans {
        tx.prepare_cached(&format!(
            "DELETE FROM t_pending WHERE file_table = {table} AND file_id = ?1 AND storage = ?2
             AND NOT EXISTS (SELECT 1 FROM t_file_0{table} WHERE id = ?1)"
        ))?
        .execute([file, storage])?;
    }
    Ok(())
}

pub(super) fn land(tx: &Connection, copy: &LandedCopy, storage: &str) -> rusqlite::Result<bool> {
    let (key, table) = (&copy.key, table_of(&copy.key.user));
    let is_that_file: bool = tx
        .prepare_cached(&format!(
            "SELECT EXISTS (SELECT 1 FROM t_file_0{table} WHERE id = ? AND appid = ? AND userid = ? AND blake3 = ?)"
        ))?
        .query_row(
            [key.file.as_str(), key.app.as_str(), key.user.as_str(), &copy.blake3.to_string()],
            |row| row.get(0),
        )?;
    if !is_that_file {
        return Ok(false);
    }
    let ordered = tx
        .prepare_cached("DELETE FROM t_pending WHERE file_table = ? AND file_id = ? AND storage = ?")?
        .execute(params![table, key.file.as_str(), storage])?;
    let present: Option<(u32, String)> = tx
        .prepare_cached(
            "SELECT path_index, path FROM t_copy
             WHERE file_table = ? AND file_id = ? AND storage = ? AND state = 'present'",
        )?
        .query_row(params![table, key.file.as_str(), storage], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some(place) = present {
        return Ok(place == (copy.path_index, copy.path.clone()));
    }
    if ordered == 0 {
        return Ok(false);
    }
    tx.prepare_cached(
        "UPDATE t_copy SET state = 'deleting'
         WHERE file_table = ? AND file_id = ? AND storage = ? AND state = 'damaged'",
    )?
    .execute(params![table, key.file.as_str(), storage])?;
    insert_copy(tx, storage, copy.path_index, &copy.path, key)?;
    Ok(true)
}

pub(super) fn postpone(
    tx: &Connection,
    key: &FileKey,
    storage: &str,
    next_try_ms: i64,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE t_pending SET tries = tries + 1, next_try_ms = ?
         WHERE file_table = ? AND file_id = ? AND storage = ?",
    )?
    .execute(params![next_try_ms, table_of(&key.user), key.file.as_str(), storage])?;
    Ok(())
}

pub(super) fn backlog(connection: &Connection, storage: &str) -> rusqlite::Result<Backlog> {
    connection.prepare_cached(BACKLOG)?.query_row([storage], |row| {
        let (files, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(Backlog {
            files: u64::try_from(files).unwrap_or(0),
            bytes: u64::try_from(bytes).unwrap_or(0),
            oldest_ms: row.get(2)?,
        })
    })
}

pub(super) const BACKLOG: &str =
    "SELECT count(*), IFNULL(sum(file_size), 0), IFNULL(min(since_ms), 0) FROM t_pending WHERE storage = ?";

pub(super) fn enlist(
    tx: &Connection,
    membership: &Membership,
    after: Enlisted,
    limit: u32,
    now_ms: i64,
) -> rusqlite::Result<(u64, Option<Enlisted>)> {
    check_membership(tx, &membership.storage)?;
    let table = after.table;
    let last: Option<String> = tx
        .prepare_cached(&format!("SELECT id FROM t_file_0{table} WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?"))?
        .query_row(params![after.id, limit.saturating_sub(1)], |row| row.get(0))
        .optional()?;
    // Without any behind the page it ends with what is greater than any text.
    let end = last.clone().map_or(Value::Blob(Vec::new()), Value::Text);
    let ordered = tx
        .prepare_cached(&format!(
            "INSERT INTO t_pending (file_table, file_id, storage, file_size, since_ms)
             SELECT {table}, f.id, ?1, f.file_size, ?2 FROM t_file_0{table} f
             WHERE f.id > ?3 AND f.id <= ?4 AND f.group_name = ?5
               AND NOT EXISTS (SELECT 1 FROM t_copy c WHERE c.file_table = {table} AND c.file_id = f.id
                               AND c.storage = ?1 AND c.state = 'present')
               AND {HELD_ELSEWHERE}
             ON CONFLICT (file_table, file_id, storage) DO NOTHING",
            HELD_ELSEWHERE = held_elsewhere(table),
        ))?
        .execute(params![membership.storage, now_ms, after.id, end, membership.group])?;
    Ok((ordered as u64, after.next(last)))
}

pub(super) fn member_state(
    connection: &Connection,
    storage: &str,
    group: &str,
) -> rusqlite::Result<Option<MemberState>> {
    connection
        .prepare_cached(
            "SELECT state FROM t_storage WHERE id = ? AND group_name = ? AND replication = 'copies'",
        )?
        .query_row([storage, group], |row| row.get(0))
        .optional()
}

pub(super) fn change_state(
    tx: &Connection,
    storage: &str,
    from: MemberState,
    to: MemberState,
) -> rusqlite::Result<bool> {
    let changed = tx.execute(
        "UPDATE t_storage SET state = ? WHERE id = ? AND state = ?",
        [to.as_str(), storage, from.as_str()],
    )?;
    Ok(changed > 0)
}

pub(super) fn only_at(connection: &Connection, storage: &str, others: &[String]) -> rusqlite::Result<u64> {
    let marks = vec!["?"; others.len()].join(", ");
    let query = format!(
        "SELECT count(*) FROM t_copy c WHERE c.storage = ? AND c.state = 'present'
           AND NOT EXISTS (SELECT 1 FROM t_copy o WHERE o.file_table = c.file_table AND o.file_id = c.file_id
                           AND o.state = 'present' AND o.storage IN ({marks}))"
    );
    let storages = std::iter::once(storage).chain(others.iter().map(String::as_str));
    let count: i64 = connection.query_row(&query, rusqlite::params_from_iter(storages), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Ends a membership, unless there are files that none of `others` has: how many. What the storage takes later fails.
pub(super) fn remove(tx: &Connection, storage: &str, others: Option<&[String]>) -> rusqlite::Result<u64> {
    let only_there = others.map_or(Ok(0), |others| only_at(tx, storage, others))?;
    if only_there == 0 {
        tx.execute("UPDATE t_storage SET state = 'removed' WHERE id = ?", [storage])?;
    }
    Ok(only_there)
}

/// An error if the storage was removed: what it takes is nobody's any more.
fn check_membership(tx: &Connection, storage: &str) -> rusqlite::Result<()> {
    let is_removed: bool = tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM t_storage WHERE id = ? AND state = 'removed')")?
        .query_row([storage], |row| row.get(0))?;
    if is_removed {
        return Err(rusqlite::Error::ToSqlConversionFailure(REMOVED.into()));
    }
    Ok(())
}

/// Up to `limit` of the rows of a storage that is removed: whether those were all.
pub(super) fn remove_rows(tx: &Connection, storage: &str, limit: u32) -> rusqlite::Result<bool> {
    let mut left = limit as usize;
    left -= tx.execute(
        "DELETE FROM t_pending WHERE (file_table, file_id, storage) IN
             (SELECT file_table, file_id, storage FROM t_pending WHERE storage = ? LIMIT ?)",
        params![storage, left as i64],
    )?;
    left -= tx.execute(
        "DELETE FROM t_copy WHERE (storage, path_index, path) IN
             (SELECT storage, path_index, path FROM t_copy WHERE storage = ? LIMIT ?)",
        params![storage, left as i64],
    )?;
    Ok(left > 0)
}
