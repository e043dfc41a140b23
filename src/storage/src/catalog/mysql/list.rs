//! Lists of a user's files.

use async_trait::async_trait;
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, Row, Value, Work};
use tnv_proto::{AppId, ListOrder, UserId};

use super::find::{COLUMNS, copy};
use super::{column, read_row};
use crate::catalog::{FileRow, Page, Position};
use crate::layout::table_of;

pub(super) struct List<'a> {
    pub(super) app: &'a AppId,
    pub(super) user: &'a UserId,
    pub(super) page: &'a Page,
    pub(super) storage: &'a str,
}

#[async_trait]
impl Work for List<'_> {
    type Output = Vec<(String, FileRow)>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Self::Output, Error> {
        let table = table_of(self.user);
        let mut conditions = vec!["f.appid = ?", "f.userid = ?"];
        let mut params: Vec<Value> =
            vec![self.storage.into(), self.app.as_str().into(), self.user.as_str().into()];
        if !self.page.prefix.is_empty() {
            conditions.push("f.listed_name LIKE ?");
            params.push(format!("{}%", escaped(&self.page.prefix)).into());
        }
        // Written out, for a comparison of pairs would not use the index.
        match &self.page.after {
            Some(Position::Age { created_ms, id }) => {
                conditions.push("(f.listed_ms < ? OR (f.listed_ms = ? AND f.id < ?))");
                params.extend([created_ms.into(), created_ms.into(), id.as_str().into()] as [Value; 3]);
            }
            Some(Position::Name { name, id }) => {
                conditions.push("(f.listed_name > ? OR (f.listed_name = ? AND f.id > ?))");
                params.extend([name.as_str().into(), name.as_str().into(), id.as_str().into()] as [Value; 3]);
            }
            None => {}
        }
        let order = match self.page.order {
            ListOrder::Newest => "f.appid DESC, f.userid DESC, f.listed_ms DESC, f.id DESC",
            ListOrder::Name => "f.listed_name, f.id",
        };
        params.push((self.page.limit as u64).into());
        let query = format!(
            "SELECT f.id, {COLUMNS} FROM t_file_0{table} f {COPY} WHERE {CONDITIONS} ORDER BY {order} LIMIT ?",
            COPY = copy(table),
            CONDITIONS = conditions.join(" AND ")
        );
        let mut listed = Vec::new();
        for mut row in connection.exec::<Row, _, _>(query, params).await? {
            let id = column(&mut row, "id")?;
            listed.push((id, read_row(&mut row)?));
        }
        Ok(listed)
    }
}

/// A text as a pattern that stands for itself.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}
