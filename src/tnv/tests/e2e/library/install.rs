//! scripts/install and scripts/uninstall, in a folder of their own.

use std::path::Path;

use super::ok;
use crate::harness::files_below;
use crate::harness::lab::Lab;
use crate::harness::process::{run, tnv};

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A checkout with a program that is built already.
fn checkout(lab: &Lab) -> String {
    let folder = lab.path("checkout");
    for name in ["scripts", "etc", "bin"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    let copy = |from: &Path, to: &str| std::fs::copy(from, folder.join(to)).unwrap();
    for script in ["scripts/install", "scripts/uninstall"] {
        copy(&Path::new(CHECKOUT).join(script), script);
    }
    let configs = std::fs::read_dir(Path::new(CHECKOUT).join("etc")).unwrap().flatten();
    for config in configs.filter(|entry| entry.path().is_file()) {
        copy(&config.path(), &format!("etc/{}", config.file_name().to_str().unwrap()));
    }
    copy(&tnv(), "bin/tnv");
    folder.into_os_string().into_string().unwrap()
}

#[test]
fn what_is_installed_works_and_goes_away_again() {
    let lab = Lab::new();
    let (checkout, prefix) = (checkout(&lab), lab.arg("prefix"));
    let (install, uninstall) =
        (format!("{checkout}/scripts/install"), format!("{checkout}/scripts/uninstall"));
    for _ in 0..2 {
        ok(run(&install, &[&prefix]));
    }
    let version = env!("CARGO_PKG_VERSION");
    for program in ["tnv", "client", "storage"] {
        assert!(ok(run(format!("{prefix}/bin/{program}"), &["--version"])).contains(version), "{program}");
    }
    ok(run(format!("{prefix}/bin/storage"), &["--check"]));
    let files: Vec<String> =
        files_below(Path::new(&prefix)).iter().map(|path| path.display().to_string()).collect();
    for wanted in
        ["share/man/man1/tnv-client.1", "share/bash-completion/completions/client", "etc/storage.toml"]
    {
        assert!(files.contains(&format!("{prefix}/{wanted}")), "{wanted} in {files:?}");
    }
    ok(run("bash", &["-n", &format!("{prefix}/share/bash-completion/completions/client")]));
    // A config that was changed stays.
    let config = format!("{prefix}/etc/http.toml");
    std::fs::write(&config, "listen = \"127.0.0.1:8081\"\n").unwrap();
    ok(run(&install, &[&prefix]));
    ok(run(&uninstall, &[&prefix]));
    assert_eq!(files_below(Path::new(&prefix)), [Path::new(&config)]);
    std::fs::remove_file(config).unwrap();
    std::fs::create_dir_all(lab.path("prefix/bin")).unwrap();
    std::fs::write(lab.path("prefix/bin/tnv"), "somebody else's").unwrap();
    assert!(!run(&install, &[&prefix]).status.success(), "what is not tnv's is not replaced");
    assert_eq!(files_below(Path::new(&prefix)), [lab.path("prefix/bin/tnv")]);
}
