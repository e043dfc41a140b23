//! From a request's path to what it names. Pure.

use hyper::Method;
use tnv_proto::{AppId, FileKey, UserId};
use tnv_web::path::segments;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/`: the page.
    Index,
    /// `/assets/<name>`: what the page is made of.
    Asset(String),
    /// `/files` or `/files/<app>/<user>`: where new files go.
    NewFile(AppId, UserId),
    /// `/files/<file id>` or `/files/<app>/<user>/<file id>`.
    File(FileKey),
    /// `/tus/` or `/tus/<app>/<user>/`: where resumable uploads begin.
    NewUpload(AppId, UserId),
    /// `/tus/<file id>` or `/tus/<app>/<user>/<file id>`: a resumable upload.
    Upload(FileKey),
    /// `/api/files`: the user's files.
    List,
    /// `/api/config`: what the page must know.
    Config,
    /// `/api/cluster`: the cluster's state.
    Cluster,
    /// `/api/session`: what is remembered of a visitor.
    Session,
    /// `/metrics`: for Prometheus.
    Metrics,
    /// Nothing (404).
    Unknown,
}

impl Route {
    /// The methods that exist there, as for Allow.
    pub(crate) fn methods(&self) -> &'static str {
        match self {
            Route::NewFile(..) | Route::NewUpload(..) => "POST, OPTIONS",
            Route::File(_) => "GET, HEAD, DELETE, OPTIONS",
            Route::Upload(_) => "HEAD, PATCH, DELETE, OPTIONS",
            Route::Session => "GET, HEAD, PUT, OPTIONS",
            Route::Index
            | Route::Asset(_)
            | Route::List
            | Route::Config
            | Route::Cluster
            | Route::Metrics
            | Route::Unknown => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether a method exists there.
    pub(crate) fn allows(&self, method: &Method) -> bool {
        self.methods().split(", ").any(|allowed| allowed == method.as_str())
    }

    /// What it is called in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Route::Index => "index",
            Route::Asset(_) => "asset",
            Route::NewFile(..) | Route::File(_) => "files",
            Route::NewUpload(..) | Route::Upload(_) => "tus",
            Route::List => "list",
            Route::Config => "config",
            Route::Cluster => "cluster",
            Route::Session => "session",
            Route::Metrics => "metrics",
            Route::Unknown => "unknown",
        }
    }

    /// Whether it speaks tus.
    pub(crate) fn is_tus(&self) -> bool {
        matches!(self, Route::NewUpload(..) | Route::Upload(_))
    }

    /// Whether only pages ask for it, or programs that do as pages do.
    pub(crate) fn is_for_pages(&self) -> bool {
        matches!(self, Route::List | Route::Config | Route::Cluster | Route::Session)
    }

    /// Whether what is done there changes files.
    pub(crate) fn is_of_files(&self) -> bool {
        self.is_tus() || matches!(self, Route::NewFile(..) | Route::File(_))
    }
}

/// Reads a raw path. `app` and `user` stand in for those a short path leaves out.
///
/// # Errors
/// A sentence for the client (400): a bad escape, bytes that are not UTF-8, or an id that cannot be one.
pub(crate) fn route(path: &str, app: &AppId, user: &UserId) -> Result<Route, String> {
    let segments = segments(path)?;
    let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    match segments[..] {
        [""] => Ok(Route::Index),
        ["assets", ref name @ ..] if !name.is_empty() => Ok(Route::Asset(name.join("/"))),
        ["files"] => Ok(Route::NewFile(app.clone(), user.clone())),
        ["files", file] if !file.is_empty() => key(app.as_str(), user.as_str(), file).map(Route::File),
        ["files", app, user] if !user.is_empty() => {
            owner(app, user).map(|(app, user)| Route::NewFile(app, user))
        }
        ["files", app, user, file] if !file.is_empty() => key(app, user, file).map(Route::File),
        ["tus"] | ["tus", ""] => Ok(Route::NewUpload(app.clone(), user.clone())),
        ["tus", file] => key(app.as_str(), user.as_str(), file).map(Route::Upload),
        ["tus", app, user] | ["tus", app, user, ""] if !user.is_empty() => {
            owner(app, user).map(|(app, user)| Route::NewUpload(app, user))
        }
        ["tus", app, user, file] => key(app, user, file).map(Route::Upload),
        ["api", "files"] => Ok(Route::List),
        ["api", "config"] => Ok(Route::Config),
        ["api", "cluster"] => Ok(Route::Cluster),
        ["api", "session"] => Ok(Route::Session),
        ["metrics"] => Ok(Route::Metrics),
        _ => Ok(Route::Unknown),
    }
}

fn key(app: &str, user: &str, file: &str) -> Result<FileKey, String> {
    FileKey::new(app, user, file).map_err(|malformed| format!("bad path: {malformed}"))
}

fn owner(app: &str, user: &str) -> Result<(AppId, UserId), String> {
    let parsed = AppId::new(app).and_then(|app| Ok((app, UserId::new(user)?)));
    parsed.map_err(|malformed| format!("bad path: {malformed}"))
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
    fn new_files_and_uploads_have_an_owner() {
        let owner = |app, user| (AppId::new(app).unwrap(), UserId::new(user).unwrap());
        let (app, user) = owner("tnvideo", "tnv001");
        assert_eq!(at("/files"), Ok(Route::NewFile(app.clone(), user.clone())));
        for path in ["/tus", "/tus/"] {
            assert_eq!(at(path), Ok(Route::NewUpload(app.clone(), user.clone())), "{path}");
        }
        let (app, user) = owner("shop", "u 2");
        assert_eq!(at("/files/shop/u%202"), Ok(Route::NewFile(app.clone(), user.clone())));
        for path in ["/tus/shop/u%202", "/tus/shop/u%202/"] {
            assert_eq!(at(path), Ok(Route::NewUpload(app.clone(), user.clone())), "{path}");
        }
        let key = |app, user| FileKey::new(app, user, "x").unwrap();
        assert_eq!(at("/tus/x"), Ok(Route::Upload(key("tnvideo", "tnv001"))));
        assert_eq!(at("/tus/shop/u%202/x"), Ok(Route::Upload(key("shop", "u 2"))));
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
        assert_eq!(at("/api/files"), Ok(Route::List));
        assert_eq!(at("/metrics"), Ok(Route::Metrics));
        assert_eq!(at("/assets/app.js"), Ok(Route::Asset("app.js".to_owned())));
        assert_eq!(at("/assets/a/b%20c"), Ok(Route::Asset("a/b c".to_owned())));
        for path in [
            "/files/",
            "/files/a/",
            "/files/a/b/",
            "/files/a/b/c/d",
            "/tus/a/",
            "/tus/a/b/c/d",
            "/assets",
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
    fn a_path_allows_some_methods() {
        let new = at("/files").unwrap();
        assert!(new.allows(&Method::POST) && !new.allows(&Method::GET) && !new.allows(&Method::DELETE));
        let file = at("/files/x").unwrap();
        assert!(file.allows(&Method::DELETE) && !file.allows(&Method::POST) && !file.allows(&Method::PATCH));
        assert!(at("/tus/x").unwrap().allows(&Method::PATCH));
        assert!(!at("/nowhere").unwrap().allows(&Method::POST));
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
