//! From a request's path to what it names. Pure.

use percent_encoding::percent_decode_str;
use tnv_proto::{AppId, FileKey, UserId};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/`: what is here.
    Index,
    /// `/files/<file id>` or `/files/<app>/<user>/<file id>`.
    File(FileKey),
    /// `/api/cluster`: the cluster's state.
    Cluster,
    /// Nothing (404).
    Unknown,
}

/// Reads a raw path: it is split at its slashes first and decoded afterwards, so that an id may hold an
/// encoded slash. Empty segments at the front are skipped. `app` and `user` stand in for those a short path
/// leaves out.
///
/// # Errors
/// A sentence for the client (400): a bad escape, bytes that are not UTF-8, or an id that cannot be one.
pub(crate) fn route(path: &str, app: &AppId, user: &UserId) -> Result<Route, String> {
    let segments =
        path.trim_start_matches('/').split('/').map(decode).collect::<Result<Vec<String>, String>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments[..] {
        [""] => Ok(Route::Index),
        ["files", file] if !file.is_empty() => file_route(app.as_str(), user.as_str(), file),
        ["files", app, user, file] if !file.is_empty() => file_route(app, user, file),
        ["api", "cluster"] => Ok(Route::Cluster),
        _ => Ok(Route::Unknown),
    }
}

fn file_route(app: &str, user: &str, file: &str) -> Result<Route, String> {
    FileKey::new(app, user, file).map(Route::File).map_err(|malformed| format!("bad path: {malformed}"))
}

fn decode(segment: &str) -> Result<String, String> {
    let mut escapes = segment.split('%');
    // What stands before the first percent sign is no escape.
    escapes.next();
    let is_escape = |text: &str| text.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !escapes.all(is_escape) {
        return Err("bad path: a % that two hexadecimal digits do not follow".to_owned());
    }
    let decoded = percent_decode_str(segment).decode_utf8().map_err(|_| "bad path: not UTF-8".to_owned())?;
    Ok(decoded.into_owned())
}

/// Whether a query asks for the file to be saved: it has a `download`, with any value or none.
pub(crate) fn wants_download(query: Option<&str>) -> bool {
    let mut names =
        query.unwrap_or_default().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| name == "download")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(path: &str) -> Result<Route, String> {
        route(path, &AppId::new("tnvideo").unwrap(), &UserId::new("tnv001").unwrap())
    }

    #[track_caller]
    fn check_file(path: &str, app: &str, user: &str, file: &str) {
        assert_eq!(at(path), Ok(Route::File(FileKey::new(app, user, file).unwrap())), "{path}");
    }

    #[test]
    fn short_paths_use_the_configured_app_and_user() {
        check_file("/files/abc", "tnvideo", "tnv001", "abc");
        check_file("//files/abc", "tnvideo", "tnv001", "abc");
        check_file("/files/a+b.mp4", "tnvideo", "tnv001", "a+b.mp4");
    }

    #[test]
    fn long_paths_name_their_own() {
        check_file("/files/other/user%20two/abc", "other", "user two", "abc");
    }

    #[test]
    fn segments_are_decoded_after_the_split() {
        check_file("/files/a%2Fb%2fc", "tnvideo", "tnv001", "a/b/c");
        check_file("/files/%E8%A7%86%25", "tnvideo", "tnv001", "视%");
        check_file("/files/..", "tnvideo", "tnv001", "..");
        check_file("/%66iles/x", "tnvideo", "tnv001", "x");
    }

    #[test]
    fn the_other_pages() {
        assert_eq!(at("/"), Ok(Route::Index));
        assert_eq!(at(""), Ok(Route::Index));
        assert_eq!(at("/api/cluster"), Ok(Route::Cluster));
        for path in [
            "/files",
            "/files/",
            "/files/a/b",
            "/files/a/b/",
            "/files/a/b/c/d",
            "/files/a/",
            "/api",
            "/x",
            "*",
        ] {
            assert_eq!(at(path), Ok(Route::Unknown), "{path}");
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        let long = format!("/files/{}", "x".repeat(128));
        for path in [
            "/files/%",
            "/files/%4",
            "/files/%zz",
            "/files/%+1",
            "/%g0",
            "/files/%ff",
            "/files/a%00b",
            "/files/a-b/u/f",
            "/files//u/f",
            "/files/app//f",
            &long,
        ] {
            assert!(at(path).is_err(), "{path}: {:?}", at(path));
        }
        check_file(&long[..long.len() - 1], "tnvideo", "tnv001", &"x".repeat(127));
    }

    #[test]
    fn download_is_asked_for_by_name() {
        for query in ["download", "download=1", "x=1&download", "download="] {
            assert!(wants_download(Some(query)), "{query}");
        }
        for query in ["", "x=download", "downloads", "Download"] {
            assert!(!wants_download(Some(query)), "{query}");
        }
        assert!(!wants_download(None));
    }

    proptest! {
        #[test]
        fn any_path_is_routed_or_refused(path: String) {
            let _ = at(&path);
        }

        #[test]
        fn any_file_id_can_be_named(file in "[^\0]{1,30}") {
            let encoded = percent_encoding::utf8_percent_encode(&file, percent_encoding::NON_ALPHANUMERIC);
            check_file(&format!("/files/{encoded}"), "tnvideo", "tnv001", &file);
        }
    }
}
