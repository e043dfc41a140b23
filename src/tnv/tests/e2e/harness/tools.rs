//! What the tests use from npm and PyPI, put into target/e2e-tools by scripts/test.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::command;
use super::{installed, say};

/// The folder, if it holds `mark`. If not the test is skipped and says so; in CI that is a failure.
fn folder(mark: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("e2e-tools");
    if folder.join(mark).exists() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{mark} must be in {} in CI", folder.display());
    say(&format!("skipped: no {mark} in {}; scripts/test --e2e puts it there", folder.display()));
    None
}

/// The path of one of the scripts beside these tests.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(name)
}

/// Node with a script, which finds its packages by `E2E_TOOLS`.
pub(crate) fn node(name: &str) -> Option<Command> {
    if !installed(&["node"]) {
        return None;
    }
    let folder = folder("node_modules/tus-js-client")?;
    let mut node = command("node");
    node.arg(script(name)).env("E2E_TOOLS", folder);
    Some(node)
}

/// Python with a script and the packages of requirements.txt.
pub(crate) fn python(name: &str) -> Option<Command> {
    let folder = folder("venv/bin/python")?;
    let mut python = command(folder.join("venv/bin/python"));
    python.arg("-u").arg(script(name));
    Some(python)
}

/// Schemathesis, which tries an interface by its OpenAPI document.
pub(crate) fn schemathesis() -> Option<Command> {
    let folder = folder("venv/bin/schemathesis")?;
    Some(command(folder.join("venv/bin/schemathesis")))
}
