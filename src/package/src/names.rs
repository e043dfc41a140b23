//! Names beside each other: which of them are one and the same somewhere, and which is still free.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use crate::MemberPath;

/// Paths of one package that can be created together on every system: also where case and normal form do not count
/// (Windows, macOS), no file is another or a folder of another.
#[derive(Debug, Default)]
pub struct Names<'a> {
    /// What is taken, by the number of its folder and its folded name.
    taken: HashMap<(usize, String), Taken<'a>>,
}

/// The number of the folder that all others are in.
const ROOT: usize = 0;

#[derive(Debug, Clone, Copy)]
enum Taken<'a> {
    File(&'a str),
    Folder(&'a str, usize),
}

/// A path that cannot be beside another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} and {with:?} are the same name where case does not count, or one is a folder of the other")]
pub struct Collision {
    /// The path that came second.
    pub path: String,
    /// The path, or the folder, that was there.
    pub with: String,
}

/// Every path that cannot be beside those before it. Empty: all of them can be created anywhere.
pub fn collisions<'a>(paths: impl IntoIterator<Item = &'a MemberPath>) -> Vec<Collision> {
    let mut names = Names::default();
    paths.into_iter().filter_map(|path| names.insert(path).err()).collect()
}

impl<'a> Names<'a> {
    /// Takes a file's path, and its folders with it.
    ///
    /// # Errors
    /// [`Collision`] with what is there; then nothing is taken.
    pub fn insert(&mut self, path: &'a MemberPath) -> Result<(), Collision> {
        self.take(path.as_str(), false)
    }

    /// Takes a folder's path. A folder may be there already.
    ///
    /// # Errors
    /// [`Collision`] with a file that is there; then nothing is taken.
    pub fn insert_folder(&mut self, path: &'a MemberPath) -> Result<(), Collision> {
        self.take(path.as_str(), true)
    }

    /// Whether a file of this path could be taken.
    pub fn is_free(&self, path: &MemberPath) -> bool {
        self.obstacle(path.as_str(), false).is_none()
    }

    /// The path itself if it is free, else the first of `name (2).ext`, `name (3).ext` and so on that is. Names that get
    /// too long lose characters before the number; folders are left out where one of them is a file.
    pub fn free(&self, wanted: &MemberPath) -> MemberPath {
        let folder = wanted.as_str().rsplit_once('/').map(|(folder, _)| folder);
        let name = match folder.and_then(|folder| self.obstacle(folder, true)) {
            Some(_) => MemberPath(wanted.name().into()),
            None => wanted.clone(),
        };
        if self.is_free(&name) {
            return name;
        }
        // There are more numbers than names, so one of them is free.
        (2..=u64::MAX).map(|n| name.numbered(n)).find(|path| self.is_free(path)).unwrap_or(name)
    }

    fn take(&mut self, path: &'a str, is_folder: bool) -> Result<(), Collision> {
        if let Some(with) = self.obstacle(path, is_folder) {
            return Err(Collision { path: path.to_owned(), with: with.to_owned() });
        }
        let mut parent = ROOT;
        for step in steps(path) {
            let new = match step.is_last && !is_folder {
                true => Taken::File(step.path),
                false => Taken::Folder(step.path, self.taken.len().saturating_add(1)),
            };
            match self.taken.entry((parent, fold(step.name))).or_insert(new) {
                Taken::Folder(_, number) => parent = *number,
                Taken::File(_) => break,
            }
        }
        Ok(())
    }

    /// What stands in the way of a path.
    fn obstacle(&self, path: &str, is_folder: bool) -> Option<&'a str> {
        let mut parent = ROOT;
        for step in steps(path) {
            match *self.taken.get(&(parent, fold(step.name)))? {
                Taken::Folder(_, number) if !step.is_last || is_folder => parent = number,
                Taken::Folder(with, _) | Taken::File(with) => return Some(with),
            }
        }
        None
    }
}

/// A component of a path, with what it ends.
struct Step<'a> {
    path: &'a str,
    name: &'a str,
    is_last: bool,
}

fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    ends.filter_map(move |end| {
        let whole = path.get(..end)?;
        let name = whole.rsplit('/').next()?;
        Some(Step { path: whole, name, is_last: end == path.len() })
    })
}

/// What two names have in common if some system takes them for one. Systems differ in which letters are the same; this
/// takes more for the same than any of them (`ß` is `ss`, `ı` is `i`).
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = text.nfd().flat_map(char::to_lowercase);
    lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfd().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> MemberPath {
        MemberPath::new(text).unwrap()
    }

    fn collide(one: &str, other: &str) -> bool {
        let paths = [path(one), path(other)];
        let found = !collisions(&paths).is_empty();
        assert_eq!(found, !collisions(paths.iter().rev()).is_empty(), "{one:?} {other:?}");
        found
    }

    #[test]
    fn names_that_are_one_somewhere() {
        for (one, other) in [
            ("a.pdf", "A.PDF"),
            ("a/b/C", "A/B/c"),
            ("ÉTÉ", "e\u{301}te\u{301}"),
            ("straße", "STRASSE"),
            ("ẞ", "ß"),
            ("Σ", "ς"),
            ("İ", "i\u{307}"),
            ("\u{212a}", "k"),
            ("a", "a/b"),
            ("A/b", "a"),
            ("a/b/c", "A/B"),
        ] {
            assert!(collide(one, other), "{one:?} {other:?}");
        }
        for (one, other) in
            [("a", "b"), ("a/b", "a/c"), ("A/b", "a/c"), ("会", "议"), ("e", "é"), ("ab", "a/b")]
        {
            assert!(!collide(one, other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_collision_says_with_what() {
        let paths = [path("Plan/a.pdf"), path("b"), path("plan")];
        let found = collisions(&paths);
        assert_eq!(found, [Collision { path: "plan".into(), with: "Plan".into() }]);
    }

    #[test]
    fn folders_may_be_there_already_but_files_may_not() {
        let (folder, file, inside) = (path("A"), path("a"), path("a/b"));
        let mut names = Names::default();
        names.insert_folder(&folder).unwrap();
        names.insert(&inside).unwrap();
        names.insert_folder(&file).unwrap();
        assert!(names.insert(&file).is_err());
        assert!(names.insert_folder(&inside).is_err());
    }

    #[test]
    fn a_free_name_is_found() {
        let paths = ["a.pdf", "A (2).pdf", "b", "dir/x.tar.gz", ".profile"].map(path);
        let mut names = Names::default();
        paths.iter().for_each(|path| names.insert(path).unwrap());
        for (wanted, free) in [
            ("c.pdf", "c.pdf"),
            ("A.pdf", "A (3).pdf"),
            ("b", "b (2)"),
            ("dir", "dir (2)"),
            ("dir/x.tar.gz", "dir/x.tar (2).gz"),
            ("DIR/y", "DIR/y"),
            (".profile", ".profile (2)"),
            ("b/a.pdf", "a (3).pdf"),
            ("b/z", "z"),
        ] {
            assert_eq!(names.free(&path(wanted)).as_str(), free);
        }
    }

    #[test]
    fn a_free_name_is_not_too_long() {
        let long = path(&format!("{}.pdf", "会".repeat(83)));
        let deep = path(&["x".repeat(255), "x".repeat(255), "x".repeat(255), "y".repeat(255)].join("/"));
        let short_in_deep = path(&format!("{}/z", deep.as_str().get(..1021).unwrap()));
        let mut names = Names::default();
        for path in [&long, &deep] {
            names.insert(path).unwrap();
            assert!(names.is_free(&names.free(path)));
        }
        assert_eq!(names.free(&long).as_str(), format!("{} (2).pdf", "会".repeat(82)));
        let mut names = Names::default();
        names.insert(&short_in_deep).unwrap();
        assert_eq!(names.free(&short_in_deep).as_str(), "z (2)");
    }
}
