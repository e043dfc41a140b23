//! The copies that a storage still has to get.

use std::collections::HashMap;

use async_trait::async_trait;
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, Value, Work};
use tnv_proto::FileKey;

use super::members::check_membership;
use super::{LONGEST_LIST, listed};
use crate::catalog::{
    Backlog, CopyAt, Enlisted, FileColumns, LandedCopy, Leftover, Membership, NewFile, OwnCopies, OwnCopy,
    PendingCopy,
};
use crate::layout::table_of;

/// What [`PendingCopy::of`] is made of.
const FILE: &str = "appid, userid, file_size, crc32, blake3, created_ms";

/// Orders that every other member of the group get a copy of these files of one table, which were added just now. An
/// order that an id has left from an earlier file becomes the new one's.
pub(super) async fn order(
    connection: &mut Conn,
    membership: &Membership,
    table: u8,
    ids: &[&str],
) -> Result<(), Error> {
    // Until this transaction ends nobody becomes a member unseen: whoever does writes this row first.
    let hold = "SELECT serial FROM t_schema WHERE component = 'storage' LOCK IN SHARE MODE";
    connection.query_drop(hold).await?;
    check_membership(connection, &membership.storage).await?;
    for ids in ids.chunks(LONGEST_LIST) {
        let (marks, ids) = listed(ids);
        let order = format!(
            "INSERT INTO t_pending (file_table, file_id, storage, file_size, since_ms)
             SELECT {table}, f.id, s.id, f.file_size, f.created_ms FROM t_file_0{table} f JOIN t_storage s
             WHERE f.id IN ({marks}) AND s.group_name = ? AND s.replication = 'copies' AND s.state <> 'removed'
               AND s.id <> ?
             ON DUPLICATE KEY UPDATE file_size = VALUES(file_size), since_ms = VALUES(since_ms), tries = 0,
                                     next_try_ms = 0"
        );
        let of = [membership.group.as_str().into(), membership.storage.as_str().into()];
        connection.exec_drop(order, ids.into_iter().chain(of).collect::<Vec<Value>>()).await?;
    }
    Ok(())
}

/// Adds the copies that other members have of a new file, and takes back their orders. A place that its storage has sealed
/// meanwhile is an error: there is nothing any more.
pub(super) async fn insert_others(connection: &mut Conn, file: &NewFile) -> Result<(), Error> {
    let (table, id) = (table_of(&file.key.user), file.key.file.as_str());
    for CopyAt { storage, place } in &file.copies {
        let add = "INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
                   SELECT id, ?, ?, ?, ?, 'present' FROM t_storage WHERE id = ? AND state <> 'removed'";
        let copy = (place.path_index, place.path.as_str(), table, id, storage.as_str());
        connection.exec_drop(add, copy).await?;
        let cancel = "DELETE FROM t_pending WHERE file_table = ? AND file_id = ? AND storage = ?";
        connection.exec_drop(cancel, (table, id, storage.as_str())).await?;
    }
    Ok(())
}

/// Takes back all orders for these files of one table; their question marks and values are those of [`listed`].
pub(super) async fn cancel(
    connection: &mut Conn,
    table: u8,
    marks: &str,
    ids: Vec<Value>,
) -> Result<(), Error> {
    let cancel = format!(
        "DELETE p FROM t_pending p FORCE INDEX (PRIMARY) WHERE p.file_table = {table} AND p.file_id IN ({marks})"
    );
    connection.exec_drop(cancel, ids).await
}

/// That another storage has `t_file_0N f`; the parameter is this storage.
pub(super) fn held_elsewhere(table: u8) -> String {
    format!(
        "EXISTS (SELECT 1 FROM t_copy o FORCE INDEX (i_file) WHERE o.file_table = {table} AND o.file_id = f.id
                 AND o.state = 'present' AND o.storage <> ?)"
    )
}

pub(super) struct Holders<'a> {
    pub(super) key: &'a FileKey,
    pub(super) storage: &'a str,
}

#[async_trait]
impl Work for Holders<'_> {
    type Output = Vec<String>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Vec<String>, Error> {
        let (key, table) = (self.key, table_of(&self.key.user));
        let query = format!(
            "SELECT DISTINCT storage FROM t_copy FORCE INDEX (i_file)
             WHERE file_table = {table} AND file_id = ? AND state = 'present' AND storage <> ?
               AND EXISTS (SELECT 1 FROM t_file_0{table} f WHERE f.id = ? AND f.appid = ? AND f.userid = ?)
             ORDER BY storage"
        );
        let file = key.file.as_str();
        connection.exec(query, (file, self.storage, file, key.app.as_str(), key.user.as_str())).await
    }
}

pub(super) const PENDING: &str = "SELECT file_table, file_id, tries FROM t_pending FORCE INDEX (i_due)
     WHERE storage = ? AND next_try_ms <= ? ORDER BY next_try_ms, since_ms LIMIT ?";

pub(super) struct Pending<'a> {
    pub(super) storage: &'a str,
    pub(super) now_ms: i64,
    pub(super) limit: u32,
}

/// An order whose file's row is gone.
pub(super) type Orphan = (u8, String);

#[async_trait]
impl Work for Pending<'_> {
    type Output = (Vec<PendingCopy>, Vec<Orphan>);

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Self::Output, Error> {
        let due: Vec<(u8, String, u32)> =
            connection.exec(PENDING, (self.storage, self.now_ms, self.limit)).await?;
        let mut files = HashMap::new();
        for table in 1..=3 {
            let ids: Vec<&str> =
                due.iter().filter(|(of, _, _)| *of == table).map(|(_, id, _)| id.as_str()).collect();
            for ids in ids.chunks(LONGEST_LIST) {
                let (marks, ids) = listed(ids);
                let query = format!("SELECT id, {FILE} FROM t_file_0{table} WHERE id IN ({marks})");
                let rows: Vec<(String, _, _, _, _, _, _)> = connection.exec(query, ids).await?;
                for (id, app, user, size, crc32, blake3, created_ms) in rows {
                    files.insert((table, id), (app, user, size, crc32, blake3, created_ms));
                }
            }
        }
        let (mut pending, mut orphans) = (Vec::new(), Vec::new());
        for (table, id, tries) in due {
            let row = files.remove(&(table, id.clone()));
            match row.and_then(|row| PendingCopy::of(&id, row, tries)) {
                Some(copy) => pending.push(copy),
                None => orphans.push((table, id)),
            }
        }
        Ok((pending, orphans))
    }
}

/// Removes orders unless a file has come to stand behind them.
pub(super) struct Clear<'a> {
    pub(super) storage: &'a str,
    pub(super) orphans: &'a [Orphan],
}

#[async_trait]
impl Work for Clear<'_> {
    type Output = ();

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<(), Error> {
        for (table, file) in self.orphans {
            let clear = format!(
                "DELETE FROM t_pending WHERE file_table = {table} AND file_id = ? AND storage = ?
                 AND NOT EXISTS (SELECT 1 FROM t_file_0{table} f WHERE f.id = ?)"
            );
            connection.exec_drop(clear, (file, self.storage, file)).await?;
        }
        Ok(())
    }
}

pub(super) struct PendingOf<'a> {
    pub(super) key: &'a FileKey,
    pub(super) storage: &'a str,
}

#[async_trait]
impl Work for PendingOf<'_> {
    type Output = Option<PendingCopy>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Self::Output, Error> {
        let (file, table) = (self.key.file.as_str(), table_of(&self.key.user));
        let query = "SELECT tries FROM t_pending WHERE file_table = ? AND file_id = ? AND storage = ?";
        let Some(tries) = connection.exec_first(query, (table, file, self.storage)).await? else {
            return Ok(None);
        };
        let query = format!("SELECT {FILE} FROM t_file_0{table} WHERE id = ?");
        let row: Option<FileColumns> = connection.exec_first(query, (file,)).await?;
        Ok(row.and_then(|row| PendingCopy::of(file, row, tries)).filter(|copy| copy.key == *self.key))
    }
}

/// Copies behind a place, with their files.
pub(super) struct Own<'a> {
    pub(super) storage: &'a str,
    pub(super) after: Option<&'a Leftover>,
    pub(super) limit: u32,
}

#[async_trait]
impl Work for Own<'_> {
    type Output = OwnCopies;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<OwnCopies, Error> {
        let (index, path) = self.after.map_or((0, ""), |after| (after.path_index, after.path.as_str()));
        let query = "SELECT path_index, path, file_table, file_id FROM t_copy FORCE INDEX (PRIMARY)
             WHERE storage = ? AND (path_index > ? OR (path_index = ? AND path > ?))
               AND state = 'present' AND file_table > 0
             ORDER BY path_index, path LIMIT ?";
        let places: Vec<(u32, String, u8, String)> =
            connection.exec(query, (self.storage, index, index, path, self.limit)).await?;
        let last = places.last().filter(|_| places.len() as u64 == u64::from(self.limit));
        let next =
            last.map(|(path_index, path, ..)| Leftover { path_index: *path_index, path: path.clone() });
        let mut copies = Vec::with_capacity(places.len());
        for (path_index, path, table, file) in places {
            let query = format!("SELECT {FILE} FROM t_file_0{table} WHERE id = ?");
            let row: Option<FileColumns> = connection.exec_first(query, (&file,)).await?;
            // A delete may have come between.
            if let Some(PendingCopy { key, size, blake3, .. }) =
                row.and_then(|row| PendingCopy::of(&file, row, 0))
            {
                copies.push(OwnCopy { key, size, blake3, path_index, path });
            }
        }
        Ok((copies, next))
    }
}

pub(super) struct Land<'a> {
    pub(super) copy: &'a LandedCopy,
    pub(super) storage: &'a str,
}

#[async_trait]
impl Work for Land<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<bool, Error> {
        if !self.is_that_file(connection).await? {
            return Ok(false);
        }
        let (copy, table) = (self.copy, table_of(&self.copy.key.user));
        let order = (table, copy.key.file.as_str(), self.storage);
        let cancel = "DELETE FROM t_pending WHERE file_table = ? AND file_id = ? AND storage = ?";
        connection.exec_drop(cancel, order).await?;
        let is_ordered = connection.affected_rows() > 0;
        let present = "SELECT path_index, path FROM t_copy FORCE INDEX (i_file)
                       WHERE file_table = ? AND file_id = ? AND storage = ? AND state = 'present'";
        if let Some(place) = connection.exec_first::<(u32, String), _, _>(present, order).await? {
            // By this very copy, if an earlier run was committed after all.
            return Ok(place == (copy.path_index, copy.path.clone()));
        }
        if !is_ordered {
            return Ok(false);
        }
        let replace = "UPDATE t_copy FORCE INDEX (i_file) SET state = 'deleting'
                       WHERE file_table = ? AND file_id = ? AND storage = ? AND state = 'damaged'";
        connection.exec_drop(replace, order).await?;
        // Looks at the file once more: a Galera node that has given the transaction up for a delete may not have said so.
        let add = format!(
            "INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
             SELECT ?, ?, ?, {table}, f.id, 'present' FROM t_file_0{table} f WHERE f.id = ? AND f.blake3 = ?
             LOCK IN SHARE MODE"
        );
        let (file, blake3) = (copy.key.file.as_str(), copy.blake3.to_string());
        connection.exec_drop(add, (self.storage, copy.path_index, copy.path.as_str(), file, blake3)).await?;
        Ok(connection.affected_rows() > 0)
    }
}

impl Land<'_> {
    /// Whether the file is there and has these contents; it stays so until the transaction ends.
    async fn is_that_file(&self, connection: &mut Conn) -> Result<bool, Error> {
        let key = &self.copy.key;
        let query = format!(
            "SELECT id, appid, userid, blake3 FROM t_file_0{} WHERE id = ? FOR UPDATE",
            table_of(&key.user)
        );
        type Row = (String, String, String, Option<String>);
        let row: Option<Row> = connection.exec_first(query, (key.file.as_str(),)).await?;
        // Compared here and not by the database, to whom letters that differ in case alone may be the same.
        Ok(row.is_some_and(|(id, app, user, blake3)| {
            (id.as_str(), app.as_str(), user.as_str())
                == (key.file.as_str(), key.app.as_str(), key.user.as_str())
                && blake3.as_deref() == Some(&*self.copy.blake3.to_string())
        }))
    }
}

pub(super) struct Postpone<'a> {
    pub(super) key: &'a FileKey,
    pub(super) storage: &'a str,
    pub(super) next_try_ms: i64,
}

#[async_trait]
impl Work for Postpone<'_> {
    type Output = ();

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<(), Error> {
        let postpone = "UPDATE t_pending SET tries = tries + 1, next_try_ms = ?
                        WHERE file_table = ? AND file_id = ? AND storage = ?";
        let of = (self.next_try_ms, table_of(&self.key.user), self.key.file.as_str(), self.storage);
        connection.exec_drop(postpone, of).await
    }
}

pub(super) const BACKLOG: &str =
    "SELECT COUNT(*), CAST(IFNULL(SUM(file_size), 0) AS UNSIGNED), IFNULL(MIN(since_ms), 0)
     FROM t_pending FORCE INDEX (i_due) WHERE storage = ?";

pub(super) struct BacklogOf<'a>(pub(super) &'a str);

#[async_trait]
impl Work for BacklogOf<'_> {
    type Output = Backlog;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Backlog, Error> {
        let row: Option<(u64, u64, i64)> = connection.exec_first(BACKLOG, (self.0,)).await?;
        let (files, bytes, oldest_ms) = row.unwrap_or_default();
        Ok(Backlog { files, bytes, oldest_ms })
    }
}

pub(super) struct Enlist<'a> {
    pub(super) membership: &'a Membership,
    pub(super) after: Enlisted,
    pub(super) limit: u32,
    pub(super) now_ms: i64,
}

#[async_trait]
impl Work for Enlist<'_> {
    type Output = (u64, Option<Enlisted>);

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Self::Output, Error> {
        let (table, storage) = (self.after.table, self.membership.storage.as_str());
        check_membership(connection, storage).await?;
        let query = format!("SELECT id FROM t_file_0{table} WHERE id > ? ORDER BY id LIMIT ?, 1");
        let page = (self.after.id.as_str(), self.limit.saturating_sub(1));
        let last: Option<String> = connection.exec_first(query, page).await?;
        let end = if last.is_some() { "AND f.id <= ?" } else { "" };
        // The files are locked, so that none is deleted before its order stands. A file that came anew since the
        // statement began has brought its order along.
        let order = format!(
            "INSERT INTO t_pending (file_table, file_id, storage, file_size, since_ms)
             SELECT {table}, f.id, ?, f.file_size, ? FROM t_file_0{table} f
             WHERE f.id > ? {end} AND f.group_name = ?
               AND NOT EXISTS (SELECT 1 FROM t_pending p WHERE p.file_table = {table} AND p.file_id = f.id
                               AND p.storage = ?)
               AND NOT EXISTS (SELECT 1 FROM t_copy c FORCE INDEX (i_file) WHERE c.file_table = {table}
                               AND c.file_id = f.id AND c.storage = ? AND c.state = 'present')
               AND {HELD_ELSEWHERE}
             LOCK IN SHARE MODE
             ON DUPLICATE KEY UPDATE storage = VALUES(storage)",
            HELD_ELSEWHERE = held_elsewhere(table),
        );
        let mut params: Vec<Value> = vec![storage.into(), self.now_ms.into(), self.after.id.as_str().into()];
        params.extend(last.as_deref().map(Value::from));
        params.push(self.membership.group.as_str().into());
        params.extend([storage.into(), storage.into(), storage.into()] as [Value; 3]);
        connection.exec_drop(order, params).await?;
        Ok((connection.affected_rows(), self.after.clone().next(last)))
    }
}
