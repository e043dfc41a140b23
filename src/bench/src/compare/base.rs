//! The program of another commit.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::bench::Bench;

/// A program and what it is called.
pub(super) struct Base {
    pub(super) program: PathBuf,
    /// The first digits of the commit.
    pub(super) name: String,
}

/// Builds a commit in a git worktree that is there only meanwhile. The program stays in `compare` below the folder of
/// the results, and what cargo made stays beside it, so that the next time is quick.
///
/// # Errors
/// If there is no such commit or it cannot be built; cargo has then said why.
pub(super) fn build(bench: &Bench, commit: &str, repository: &Path) -> anyhow::Result<Base> {
    let full =
        git(repository, &["rev-parse", "--verify", "--end-of-options", &format!("{commit}^{{commit}}")])
            .with_context(|| format!("no commit {commit} in {}", repository.display()))?;
    let name = full.get(..10).unwrap_or(&full).to_owned();
    let folder = bench.output().join("compare");
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let program = folder.join(format!("tnv-{full}"));
    if !program.is_file() {
        bench.say(&format!("building {name}"));
        let tree = Worktree::add(repository, folder.join("tree"), &full)?;
        let target = folder.join("target");
        let built = Command::new("cargo")
            .args(["build", "--release", "--locked", "-p", "tnv"])
            .current_dir(&tree.folder)
            .env("CARGO_TARGET_DIR", &target)
            .status()
            .context("cannot run cargo")?;
        if !built.success() {
            bail!("{name} cannot be built");
        }
        // Only a whole program gets the name.
        let part = folder.join(format!("tnv-{full}.part"));
        std::fs::copy(target.join("release/tnv"), &part)?;
        std::fs::rename(part, &program)?;
    }
    Ok(Base { program, name })
}

/// A worktree of a repository. Dropped, it is removed.
struct Worktree<'a> {
    repository: &'a Path,
    folder: PathBuf,
}

impl Worktree<'_> {
    fn add<'a>(repository: &'a Path, folder: PathBuf, commit: &str) -> anyhow::Result<Worktree<'a>> {
        let worktree = Worktree { repository, folder };
        // One may have been left by a run that was killed.
        worktree.remove();
        git(repository, &["worktree", "add", "--detach", &worktree.folder.display().to_string(), commit])?;
        Ok(worktree)
    }

    fn remove(&self) {
        // If it was not there, that is fine; if it stays, the next one cannot be added, which says so.
        let _ = git(self.repository, &["worktree", "remove", "--force", &self.folder.display().to_string()]);
    }
}

impl Drop for Worktree<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What git says, without the last newline.
fn git(repository: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output =
        Command::new("git").arg("-C").arg(repository).args(arguments).output().context("cannot run git")?;
    if !output.status.success() {
        bail!("git: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worktree_is_there_only_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("repository");
        std::fs::create_dir(&repository).unwrap();
        let run = |arguments: &[&str]| git(&repository, arguments).unwrap();
        run(&["init", "--quiet"]);
        std::fs::write(repository.join("file"), "1").unwrap();
        run(&["add", "file"]);
        let author = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        run(&[&author[..], &["commit", "--quiet", "-m", "one"]].concat());

        let tree = folder.path().join("tree");
        for _ in 0..2 {
            let worktree = Worktree::add(&repository, tree.clone(), "HEAD").unwrap();
            assert_eq!(std::fs::read(worktree.folder.join("file")).unwrap(), b"1");
            drop(worktree);
            assert!(!tree.exists());
        }
        // As if killed: it is still there.
        std::mem::forget(Worktree::add(&repository, tree.clone(), "HEAD").unwrap());
        assert!(Worktree::add(&repository, tree, "HEAD").is_ok());
        assert!(git(&repository, &["rev-parse", "--verify", "none^{commit}"]).is_err());
    }
}
