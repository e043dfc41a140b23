//! The text of GROUPS, laid out as older clients print it.

use std::fmt::Write;

/// One group as GROUPS shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupText {
    /// Its name.
    pub name: String,
    /// Its storages.
    pub storages: Vec<StorageText>,
}

/// One storage as GROUPS shows it: everything already text, for this crate has no clock and no time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageText {
    /// Its version.
    pub version: String,
    /// Its host name.
    pub host: String,
    /// Its `ip:port`.
    pub address: String,
    /// When it was started, like `Fri Nov 20 10:25:28 2026`.
    pub started: String,
    /// When it joined.
    pub joined: String,
    /// When it last beat.
    pub beat: String,
    /// `OFFLINE`, `ONLINE` or `ACTIVE`.
    pub status: String,
}

/// Lays out the text: each label right-aligned in 24 columns, `: `, the value, a line each; no newline at the end.
pub fn render_groups(groups: &[GroupText]) -> String {
    let mut out = String::new();
    line(&mut out, "COUNT OF GROUPS", groups.len());
    for group in groups {
        let active = group.storages.iter().filter(|storage| storage.status == "ACTIVE").count();
        line(&mut out, "GROUPNAME", &group.name);
        line(&mut out, "COUNT OF STORAGES", group.storages.len());
        line(&mut out, "COUNT OF ACTIVE STORAGES", active);
        for storage in &group.storages {
            line(&mut out, "VERSION", &storage.version);
            line(&mut out, "HOSTNAME", &storage.host);
            line(&mut out, "ADDRESS", &storage.address);
            line(&mut out, "STARTUP TIME", &storage.started);
            line(&mut out, "JOIN TIME", &storage.joined);
            line(&mut out, "BEAT TIME", &storage.beat);
            line(&mut out, "STATUS", &storage.status);
        }
    }
    out.pop();
    out
}

fn line(out: &mut String, label: &str, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{label:>24}: {value}");
}
