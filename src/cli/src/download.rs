//! `download`: fetches files, or a part of one.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use tnv_proto::{AppId, FileId, FileKey, UserId};

use crate::cat;
use crate::console::Console;
use crate::error::Error;
use crate::jobs::{Tally, run_all};
use crate::name::safe_name;
use crate::part::{Fetch, Part};
use crate::progress::Progress;
use crate::session::Context;
use crate::target::Target;

/// Fetch files, or a part of one
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS download [OPTIONS] APP USER FILE [OFFSET SIZE]\n       \
                      client TRACKERS download [OPTIONS] APP USER FILE...",
    after_help = "\
Without -o a file is called what the server calls it, else by its file id; characters that are unsafe in \
file names become _. It is written beside its final place, checked (its length, and its BLAKE3 where the \
whole file is fetched and the server knows it), synced and renamed: what stands under that name is whole.

A whole file of 1 MiB and more is written to NAME.part. If the connection is lost the client tries again; if \
it ends before it is done, NAME.part stays and the same command goes on with it, unless the file has changed \
meanwhile. Whatever else fails or is interrupted leaves nothing.

With -o - the bytes go to standard output as they come; if the check fails at the end, the exit code is 6. \
A reader that goes away (`| head -c 100`) ends the command quietly with exit code 141. See also `cat`.

Two integers behind exactly one file id are an offset and a size in bytes; size 0 means to the end.

Examples, where $id is what upload printed:
  client 127.0.0.1:21000 download tnvideo tnv001 $id
  client 127.0.0.1:21000 download tnvideo tnv001 $id -o 003.mp4 --force
  client 127.0.0.1:21000 download tnvideo tnv001 $id 1048576 4096 -o part
  client 127.0.0.1:21000 download tnvideo tnv001 $id $id2 $id3 -o ~/films --jobs 3
  client 127.0.0.1:21000 download tnvideo tnv001 $id -o - | ffplay -"
)]
pub(crate) struct Download {
    /// The application, such as tnvideo
    app: AppId,
    /// The user who owns the files, such as tnv001
    user: UserId,
    /// File ids that upload printed; behind exactly one, an offset and a size
    #[arg(required = true, value_name = "FILE")]
    words: Vec<String>,
    /// Where to: a file, a folder, or - for standard output
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    output: Option<PathBuf>,
    /// Replace existing files
    #[arg(long, short)]
    force: bool,
    /// How many files are fetched at once, 1 to 64
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// How many failures in a row are put up with while a whole file is fetched
    #[arg(long, value_name = "N", default_value_t = 8)]
    retries: u32,
    /// Do not go on with an earlier download, and leave nothing for a later one to go on with
    #[arg(long)]
    no_resume: bool,
}

/// What one of the files is to be.
struct Wanted {
    file: FileId,
    offset: u64,
    /// How many bytes; 0 = to the end.
    size: u64,
}

pub(crate) async fn run(download: Download, context: &Context, console: &mut Console) -> Result<(), Error> {
    let wanted = wanted(&download.words)?;
    let to_output = download.output.as_deref().is_some_and(|path| path == Path::new("-"));
    match &wanted[..] {
        _ if to_output && console.is_json() => {
            return Err(Error::usage("--json and -o - both want standard output"));
        }
        [one] if to_output => {
            let key = download.key(one);
            return cat::stream(&key, one.offset, one.size, context, console).await;
        }
        [_] => {}
        _ if to_output => return Err(Error::usage("only one file at a time goes to standard output")),
        _ => download.check_folder()?,
    }
    let (count, one_file) = (wanted.len(), wanted.len() == 1);
    // The sizes add up as the files become known.
    let title = if one_file { wanted[0].file.to_string() } else { format!("{count} files") };
    let progress = console.progress(&title, 0);
    let names = RefCell::new(HashSet::new());
    let mut tally = Tally::of(count);
    let console = RefCell::new(console);
    let job = async |one: Wanted| {
        let fetched = download.fetch(&one, context, &names, one_file, &progress).await;
        let about = |error: Error| error.about(&one.file);
        let fetched = fetched.map_err(about)?;
        let (text, json) = (fetched.remark(), fetched.json(&one.file));
        progress.aside(|| {
            let mut console = console.borrow_mut();
            console.remark(&text);
            console.json_result(&json).map_err(about)
        })
    };
    run_all(wanted, download.jobs.into(), job, |outcome: Result<(), Error>| {
        if let Err(error) = outcome {
            progress.aside(|| tally.failed(error, &mut console.borrow_mut()));
        }
    })
    .await;
    progress.clear();
    tally.into_result("downloads")
}

/// Reads the words behind APP and USER: one file id with an offset and a size, or file ids alone.
fn wanted(words: &[String]) -> Result<Vec<Wanted>, Error> {
    let is_integer = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    match words {
        [file, offset, size] if is_integer(offset) && is_integer(size) => Ok(vec![Wanted {
            file: FileId::new(file)?,
            offset: integer(offset, "offset")?,
            size: integer(size, "size")?,
        }]),
        // No file id that this client makes is as short as that.
        [_, offset] if is_integer(offset) && offset.len() < 20 => {
            Err(Error::usage("an offset goes with a size, and both behind exactly one file id"))
        }
        files => {
            files.iter().map(|file| Ok(Wanted { file: FileId::new(file)?, offset: 0, size: 0 })).collect()
        }
    }
}

fn integer(digits: &str, what: &str) -> Result<u64, Error> {
    match digits.parse::<i64>() {
        Ok(number) => Ok(number.unsigned_abs()),
        Err(_) => {
            Err(Error::usage(format!("the {what} {digits} is too large, at most {} is possible", i64::MAX)))
        }
    }
}

impl Download {
    fn key(&self, wanted: &Wanted) -> FileKey {
        FileKey { app: self.app.clone(), user: self.user.clone(), file: wanted.file.clone() }
    }

    /// Several files need a folder.
    fn check_folder(&self) -> Result<(), Error> {
        match &self.output {
            Some(folder) if !folder.is_dir() => {
                Err(Error::local(format!("there is no folder {} for several files", folder.display())))
            }
            _ => Ok(()),
        }
    }

    async fn fetch(
        &self,
        wanted: &Wanted,
        context: &Context,
        names: &RefCell<HashSet<PathBuf>>,
        one_file: bool,
        progress: &Progress,
    ) -> Result<Fetch, Error> {
        // A name that is known already is checked before anybody is asked.
        let named = match &self.output {
            Some(path) if one_file && !path.is_dir() => Some(Target::new(path, self.force)?),
            _ => None,
        };
        let key = self.key(wanted);
        let attributes = context.client.stat(&key).await?;
        let target = match named {
            Some(target) => target,
            None => Target::new(&self.default_path(&key, &attributes.name, names), self.force)?,
        };
        let part = Part { key, attributes, offset: wanted.offset, size: wanted.size };
        let retries = if self.no_resume { None } else { Some(self.retries) };
        progress.expect_more(part.length());
        part.fetch_to(target, context, retries, &progress.share()).await
    }

    /// The name that the server or else the file id gives, in the folder of `-o` or else the current one. Two files
    /// of one name are told apart by their ids.
    fn default_path(&self, key: &FileKey, name: &str, names: &RefCell<HashSet<PathBuf>>) -> PathBuf {
        let id = key.file.as_str();
        let path = |name: &str| match &self.output {
            Some(folder) => folder.join(safe_name(name)),
            None => safe_name(name).into(),
        };
        let own = path(if name.is_empty() { id } else { name });
        let mut names = names.borrow_mut();
        let path = if names.contains(&own) { path(&format!("{id}-{name}")) } else { own };
        names.insert(path.clone());
        path
    }
}

impl Fetch {
    fn remark(&self) -> String {
        let already = match self.resumed_at {
            0 => String::new(),
            at => format!("; {} were there already", indicatif::HumanBytes(at)),
        };
        let verified = if self.verified { "checksum verified" } else { "length verified" };
        format!("{}: {}, {verified}{already}", self.path.display(), self.pace)
    }

    fn json(&self, file: &FileId) -> serde_json::Value {
        json!({
            "id": file.as_str(),
            "path": self.path.display().to_string(),
            "offset": self.offset,
            "size": self.written.size,
            "blake3": self.written.blake3.to_string(),
            "verified": self.verified,
            "resumed_at": self.resumed_at,
            "seconds": self.pace.seconds(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    fn read(line: &str) -> Result<Vec<(String, u64, u64)>, Error> {
        let words: Vec<String> = line.split(' ').map(String::from).collect();
        let wanted = wanted(&words)?;
        Ok(wanted.into_iter().map(|one| (one.file.to_string(), one.offset, one.size)).collect())
    }

    #[test]
    fn two_integers_behind_one_id_are_offset_and_size() {
        assert_eq!(read("f 10 020").unwrap(), [("f".into(), 10, 20)]);
        assert_eq!(read("1 2 3").unwrap(), [("1".into(), 2, 3)]);
        assert_eq!(read("f g").unwrap().len(), 2);
        assert_eq!(read("f g 5").unwrap().len(), 3);
        assert_eq!(read("f 664041807000000386043000000025000197").unwrap().len(), 2);
        for wrong in ["f 10", "f 9223372036854775808 0", "f 0 99999999999999999999"] {
            assert_eq!(read(wrong).unwrap_err().kind, Kind::Usage, "{wrong}");
        }
        assert_eq!(read(&"x".repeat(200)).unwrap_err().kind, Kind::Usage);
    }

    proptest! {
        #[test]
        fn any_words_are_read_or_refused(words in prop::collection::vec("\\PC{0,6}|[0-9]{1,22}", 1..6)) {
            if let Ok(wanted) = wanted(&words) {
                prop_assert!(wanted.len() == words.len() || (wanted.len() == 1 && words.len() == 3));
            }
        }
    }
}
