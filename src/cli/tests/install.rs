//! scripts/install and scripts/uninstall, with a stand-in for the program.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A checkout with a program that only prints, and a prefix to install into.
struct Checkout {
    folder: TempDir,
}

impl Checkout {
    fn new() -> Checkout {
        let checkout = Checkout { folder: tempfile::tempdir().unwrap() };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for part in ["scripts", "etc"] {
            fs::create_dir(checkout.path(part)).unwrap();
            let entries = fs::read_dir(root.join(part)).unwrap().map(Result::unwrap);
            for entry in entries.filter(|entry| entry.path().is_file()) {
                fs::copy(entry.path(), checkout.path(part).join(entry.file_name())).unwrap();
            }
        }
        fs::create_dir(checkout.path("bin")).unwrap();
        fs::write(checkout.path("bin/tnv"), "#!/bin/sh\necho \"$@\"\n").unwrap();
        fs::set_permissions(checkout.path("bin/tnv"), fs::Permissions::from_mode(0o755)).unwrap();
        checkout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Below the prefix.
    fn installed(&self, name: &str) -> PathBuf {
        self.path("a prefix").join(name)
    }

    fn run(&self, script: &str) -> Output {
        let script = self.path("scripts").join(script);
        Command::new("bash").arg(script).arg(self.installed("")).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, script: &str) -> String {
        let output = self.run(script);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Everything below the prefix that is no folder.
    fn files(&self) -> BTreeSet<String> {
        fn walk(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), root, found);
                } else {
                    found.insert(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let (root, mut found) = (self.installed(""), BTreeSet::new());
        if root.exists() {
            walk(&root, &root, &mut found);
        }
        found
    }
}

#[test]
fn what_was_installed_works_and_goes_away_again() {
    let checkout = Checkout::new();
    checkout.ok("install");
    for role in ["tracker", "id", "storage", "http", "client"] {
        assert_eq!(fs::read_link(checkout.installed("bin").join(role)).unwrap(), Path::new("tnv"));
    }
    let said = Command::new(checkout.installed("bin/client")).arg("hello").output().unwrap();
    assert_eq!(said.stdout, b"hello\n");
    assert!(checkout.installed("etc/tracker.toml").exists());
    let page = fs::read_to_string(checkout.installed("share/man/man1/client.1")).unwrap();
    assert_eq!(page, "client man\n");
    let script = checkout.installed("share/bash-completion/completions/client");
    assert_eq!(fs::read_to_string(script).unwrap(), "client completions bash\n");
    checkout.ok("uninstall");
    assert!(!checkout.installed("").exists());
    assert_eq!(checkout.run("uninstall").status.code(), Some(1));
}

#[test]
fn an_upgrade_replaces_what_was_not_changed() {
    let checkout = Checkout::new();
    checkout.ok("install");
    let before = checkout.files();
    fs::write(checkout.path("bin/tnv"), "#!/bin/sh\necho new\n").unwrap();
    fs::write(checkout.path("etc/id.toml"), "# new\n").unwrap();
    fs::write(checkout.path("etc/tracker.toml"), "# new\n").unwrap();
    fs::write(checkout.installed("etc/tracker.toml"), "# mine\n").unwrap();
    let said = checkout.ok("install");
    assert!(said.contains("kept, for it was changed") && said.contains("etc/tracker.toml"), "{said}");
    assert_eq!(checkout.files(), before);
    assert_eq!(fs::read_to_string(checkout.installed("etc/tracker.toml")).unwrap(), "# mine\n");
    assert_eq!(fs::read_to_string(checkout.installed("etc/id.toml")).unwrap(), "# new\n");
    assert!(fs::read_to_string(checkout.installed("bin/tnv")).unwrap().contains("new"));
    let said = checkout.ok("uninstall");
    assert!(said.contains("etc/tracker.toml"), "{said}");
    assert_eq!(checkout.files(), BTreeSet::from(["etc/tracker.toml".to_owned()]));
}

#[test]
fn what_belongs_to_others_is_neither_replaced_nor_removed() {
    let checkout = Checkout::new();
    fs::create_dir_all(checkout.installed("bin")).unwrap();
    fs::write(checkout.installed("bin/client"), "theirs").unwrap();
    let output = checkout.run("install");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bin/client"), "{output:?}");
    assert_eq!(checkout.files(), BTreeSet::from(["bin/client".to_owned()]));

    fs::rename(checkout.installed("bin/client"), checkout.installed("bin/other")).unwrap();
    checkout.ok("install");
    fs::write(checkout.installed("etc/http.toml.old"), "theirs").unwrap();
    checkout.ok("uninstall");
    assert_eq!(checkout.files(), BTreeSet::from(["bin/other".to_owned(), "etc/http.toml.old".to_owned()]));
}
