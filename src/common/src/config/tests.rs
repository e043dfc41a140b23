use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// Settings of a storage from a file, variables and overrides. The folder must outlive the settings.
fn load(file: &str, environment: &[(&str, &str)], overrides: &[(&str, &str)]) -> (TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.toml");
    fs::write(&path, file).unwrap();
    let sources = Sources {
        file: Some(path),
        required: true,
        environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        overrides: overrides
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into(), format!("--set {key}")))
            .collect(),
    };
    (folder, Settings::load("storage", sources))
}

/// The mistakes one per item, with the folder of the file cut off.
fn problems((folder, settings): (TempDir, Settings)) -> Vec<String> {
    let folder = format!("{}/", folder.path().display());
    let text = settings.finish().map_or_else(|problems| problems.to_string(), |()| String::new());
    text.lines().map(|line| line.replace(&folder, "")).collect()
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn later_sources_win() {
    let file = "a = 'file'\nb = 'file'\nc = 'file'\nd = 'file'";
    let environment =
        [("TNV_STORAGE_B", "variable"), ("TNV_STORAGE_C", "variable"), ("TNV_STORAGE_D", "variable")];
    let (folder, mut settings) = load(file, &environment, &[("c", "option"), ("d", "option")]);
    settings.set("d", "program", "tnv up");
    let answers = ["a", "b", "c", "d", "e"].map(|key| settings.text(key, "default"));
    assert_eq!(answers, ["file", "variable", "option", "program", "default"]);
    assert!(problems((folder, settings)).is_empty());
}

#[test]
fn tables_flatten_to_dotted_keys() {
    let file = "top = 1\nx.y = 2\n[database]\nurl = 'sqlite:a'\npool = { size = 3 }\n";
    let (folder, mut settings) = load(file, &[("TNV_STORAGE_DATABASE_URL", "sqlite:b")], &[]);
    assert_eq!(settings.text("database.url", ""), "sqlite:b");
    let numbers = ["top", "x.y", "database.pool.size"].map(|key| settings.number(key, 0u32, 0..=9));
    assert_eq!(numbers, [1, 2, 3]);
    assert!(problems((folder, settings)).is_empty());
}

#[test]
fn keys_that_the_file_leaves_out_are_known() {
    let (_folder, mut settings) = load("a = 1\n[t]\nb = 2\n", &[("TNV_STORAGE_C", "3")], &[("d", "4")]);
    for key in ["a", "t.b", "c", "d", "e"] {
        settings.number(key, 0u32, 0..=9);
    }
    assert_eq!(settings.left_out_of_file(), ["c", "d", "e"]);
}

#[test]
fn every_mistake_is_reported_with_its_line() {
    let file = r#"
reserved_space = "12 parsecs"
group = 7
port = 70000
[timing]
beat = "soon"
lease = 3600
sync = "yes"
trackers = [
    "127.0.0.1:22122",
    "tracker",
    "x:y",
]
"#;
    let (folder, mut settings) = load(file, &[("TNV_STORAGE_COUNT", "many")], &[("when", "2026-01-01")]);
    assert_eq!(settings.size("reserved_space", 1, 0..=u64::MAX), 1);
    assert_eq!(settings.text("group", "group001"), "group001");
    assert_eq!(settings.number("port", 22122u16, 1..=u16::MAX), 22122);
    assert_eq!(settings.duration("timing.beat", SECOND, SECOND..=MINUTE), SECOND);
    assert_eq!(settings.duration("timing.lease", SECOND, SECOND..=MINUTE), SECOND);
    assert!(settings.flag("timing.sync", true));
    assert!(settings.list::<SocketAddr>("timing.trackers", Vec::new()).is_empty());
    assert_eq!(settings.number("count", 5usize, 1..=9), 5);
    assert_eq!(settings.number("when", 5u64, 1..=9), 5);
    settings.problem("absent", "has to be given");
    assert_eq!(
        problems((folder, settings)),
        [
            r#"storage.toml:2: reserved_space: "12 parsecs" is not a size; write bytes or 64KiB, 10MiB, 1GiB"#,
            "storage.toml:3: group: 7 is not text; put it in quotes",
            "storage.toml:4: port: 70000 is out of range; allowed is 1 to 65535",
            r#"storage.toml:6: timing.beat: "soon" is not a duration; write seconds or 500ms, 10s, 2m, 1h, 7d"#,
            "storage.toml:7: timing.lease: 3600 is out of range; allowed is 1s to 1m",
            r#"storage.toml:8: timing.sync: "yes" is not a flag; write true or false"#,
            r#"storage.toml:9: timing.trackers: "tracker" is not valid: invalid socket address syntax"#,
            r#"storage.toml:9: timing.trackers: "x:y" is not valid: invalid socket address syntax"#,
            r#"environment TNV_STORAGE_COUNT: "many" is not a whole number"#,
            "--set when: a date is not a whole number",
            "built-in default: absent: has to be given",
        ]
    );
}

#[test]
fn unknown_keys_of_every_source_are_reported_with_a_suggestion() {
    let file = "gruop = 'a'\n[listen]\nport = 1\n";
    let environment = [
        ("TNV_STORAGE_GRUOP", "a"),
        ("TNV_TRACKER_GROUP", "a"),
        ("TNV_STORAGE_CONFIG", "x"),
        ("PATH", "/bin"),
    ];
    let (folder, mut settings) = load(file, &environment, &[("colour", "red")]);
    settings.text("group", "");
    settings.text("listen", "");
    assert_eq!(
        problems((folder, settings)),
        [
            "storage.toml:1: gruop: no such key; did you mean group?",
            "storage.toml:3: listen.port: no such key",
            "environment TNV_STORAGE_GRUOP: no such key; did you mean TNV_STORAGE_GROUP?",
            "--set colour: no such key",
        ]
    );
}

#[test]
fn a_syntax_error_hides_no_other_mistake_and_causes_none() {
    let file = "group = group001\nport = \nlisten = 'a'\nspeed = 'fast'\nlisten = 'b'\n= 5\n";
    let (folder, mut settings) = load(file, &[], &[]);
    settings.number("group", 0u16, 0..=9);
    settings.number("port", 0u16, 1..=9);
    settings.number("speed", 0u16, 0..=9);
    settings.text("listen", "");
    assert_eq!(
        problems((folder, settings)),
        [
            "storage.toml:1: group: string values must be quoted, expected literal string",
            "storage.toml:2: port: string values must be quoted, expected literal string",
            "storage.toml:4: speed: \"fast\" is not a whole number",
            "storage.toml:5: duplicate key",
            "storage.toml:6: unquoted keys cannot be empty, expected letters, numbers, `-`, `_`",
        ]
    );
}

#[test]
fn a_bracket_that_is_never_closed_is_one_mistake() {
    let file = "count = 'x'\ntrackers = [\n  'a:1',\n[data]\nsync = true\nsize = 1\n";
    let (folder, mut settings) = load(file, &[], &[]);
    settings.number("count", 0u16, 0..=9);
    settings.list::<String>("trackers", Vec::new());
    settings.flag("data.sync", true);
    let found = problems((folder, settings));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[1].starts_with("storage.toml:4: trackers: "), "{found:#?}");
}

#[test]
fn a_key_in_quotes_does_not_shadow_a_table() {
    let (folder, mut settings) = load("\"a.b\" = 1\n[a]\nb = 2\n", &[], &[]);
    settings.number("a.b", 0u16, 0..=9);
    let found = problems((folder, settings));
    assert!(found.len() == 1 && found[0].ends_with(": a.b: duplicate key"), "{found:?}");
}

#[test]
fn a_file_that_is_no_text_or_endless_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    for content in [vec![0xff], vec![b' '; 2 << 20]] {
        fs::write(&path, content).unwrap();
        let settings = Settings::load("id", Sources { file: Some(path.clone()), ..Sources::default() });
        let problems = settings.finish().unwrap_err();
        assert!(problems.to_string().contains("x.toml: cannot read: "), "{problems}");
        assert_eq!(problems.count(), 1);
    }
}

#[test]
fn outside_a_file_quotes_are_optional() {
    let pairs = [
        ("a", "group002"),
        ("b", "'quoted'"),
        ("c", "123"),
        ("d", "true"),
        ("e", "[::1]:80"),
        ("f", ""),
        ("g", "1.2.3"),
        ("h", "2026-01-01"),
        ("i", "007"),
    ];
    let (folder, mut settings) = load("", &[], &pairs);
    let texts = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|key| settings.text(key, "-"));
    assert_eq!(texts, ["group002", "quoted", "123", "true", "[::1]:80", "", "1.2.3", "2026-01-01", "007"]);
    assert_eq!(settings.parse("e", SocketAddr::from(([0; 4], 0))), "[::1]:80".parse().unwrap());
    assert_eq!(settings.number("c", 0u64, 0..=200), 123);
    assert!(settings.flag("d", false));
    assert!(problems((folder, settings)).is_empty());
}

#[test]
fn lists_are_arrays_or_separated_text() {
    let file = "array = ['a:1', 'b:2']\none = 'a:1'\nempty = ''\nnumbers = [1, '2']\nmixed = [true]\n";
    let pairs = [("toml", r#"["a:1","b:2"]"#), ("old", "a:1;b:2;"), ("new", "a:1, b:2"), ("number", "5")];
    let (folder, mut settings) = load(file, &[], &pairs);
    for key in ["array", "toml", "old", "new"] {
        assert_eq!(settings.list::<String>(key, Vec::new()), ["a:1", "b:2"], "{key}");
    }
    assert_eq!(settings.list::<String>("one", Vec::new()), ["a:1"]);
    assert!(settings.list("empty", vec![1u8]).is_empty());
    assert_eq!(settings.list("absent", vec![1u8]), [1]);
    assert_eq!(settings.list("numbers", vec![0u8]), [1, 2]);
    assert_eq!(settings.list("number", vec![0u8]), [5]);
    assert_eq!(settings.list("mixed", vec![0u8]), [0]);
    assert_eq!(problems((folder, settings)), ["storage.toml:5: mixed: a list is not a list of text"]);
}

#[test]
fn numbers_keep_to_their_type_and_range() {
    let file =
        "big = 18446744073709551616\nmax = 18446744073709551615\nhex = 0xf_f\nminus = -1\npart = 1.0\n";
    let (folder, mut settings) = load(file, &[], &[]);
    assert_eq!(settings.number("max", 0, 0..=u64::MAX), u64::MAX);
    assert_eq!(settings.number("hex", 0u16, 0..=999), 255);
    for key in ["big", "minus", "part"] {
        assert_eq!(settings.number(key, 7, 0..=u64::MAX), 7, "{key}");
    }
    assert_eq!(
        problems((folder, settings)),
        [
            "storage.toml:1: big: 18446744073709551616 is out of range; allowed is 0 to 18446744073709551615",
            "storage.toml:4: minus: -1 is out of range; allowed is 0 to 18446744073709551615",
            "storage.toml:5: part: 1.0 is not a whole number",
        ]
    );
}

#[test]
fn durations_and_sizes_are_numbers_or_text() {
    let file = "a = 10\nb = 0.5\nc = '2m'\nd = 65536\ne = '64KiB'\n";
    let (folder, mut settings) = load(file, &[("TNV_STORAGE_F", "1h"), ("TNV_STORAGE_G", "1 MiB")], &[]);
    let day = Duration::ZERO..=Duration::from_secs(86400);
    let seconds = ["a", "b", "c", "f"].map(|key| settings.duration(key, SECOND, day.clone()).as_secs_f64());
    assert_eq!(seconds, [10.0, 0.5, 120.0, 3600.0]);
    assert_eq!(["d", "e", "g"].map(|key| settings.size(key, 0, 0..=1 << 20)), [65536, 65536, 1 << 20]);
    assert_eq!(settings.duration("absent", SECOND, day), SECOND);
    settings.size("e", 0, 1 << 10..=32 << 10);
    assert_eq!(
        problems((folder, settings)),
        [r#"storage.toml:5: e: "64KiB" is out of range; allowed is 1KiB to 32KiB"#]
    );
}

#[test]
fn optional_keys_may_be_absent_or_empty() {
    let (folder, mut settings) = load("empty = ''\ngiven = '[::1]:1'\nbad = 'x'\n", &[], &[]);
    assert_eq!(settings.optional::<SocketAddr>("absent"), None);
    assert_eq!(settings.optional::<SocketAddr>("empty"), None);
    assert_eq!(settings.optional::<SocketAddr>("given"), Some("[::1]:1".parse().unwrap()));
    assert_eq!(settings.optional::<SocketAddr>("bad"), None);
    let expected = r#"storage.toml:3: bad: "x" is not valid: invalid socket address syntax"#;
    assert_eq!(problems((folder, settings)), [expected]);
}

#[test]
fn paths_of_the_file_are_relative_to_its_folder_and_others_to_the_current_one() {
    let file = "file = '../data'\nabsolute = '/srv'\nlist = ['a', '/b;c']\nempty = ''\n";
    let (folder, mut settings) = load(file, &[("TNV_STORAGE_VARIABLE", "data")], &[]);
    let here = std::env::current_dir().unwrap();
    let file = settings.path("file", "x");
    assert_eq!((file.written.as_str(), file.resolved), ("../data", folder.path().join("../data")));
    assert_eq!(settings.path("absolute", "x").resolved, PathBuf::from("/srv"));
    assert_eq!(settings.path("variable", "x").resolved, here.join("data"));
    assert_eq!(settings.path("absent", "x").resolved, here.join("x"));
    let list = settings.paths("list", &["x"]);
    assert_eq!(list[0], WrittenPath { written: "a".into(), resolved: folder.path().join("a") });
    assert_eq!(list[1].resolved, PathBuf::from("/b;c"));
    assert_eq!(settings.paths("none", &["x"])[0].resolved, here.join("x"));
    assert_eq!(settings.folder_of("file"), folder.path());
    assert_eq!(settings.folder_of("variable"), here);
    assert_eq!(settings.optional_path("empty"), None);
    settings.path("empty", "x");
    assert_eq!(problems((folder, settings)), ["storage.toml:4: empty: a path must not be empty"]);
}

#[test]
fn no_message_gives_a_password_away() {
    let url = "mysql://root:hunter2@db/tnv";
    let file = format!("port = '{url}'\nflag = '{url}'\nlist = ['a:hunter2 \\\\@b']\nbroken = {url}\n");
    let (folder, mut settings) = load(&file, &[("TNV_STORAGE_SIZE", url)], &[("database.url", url)]);
    settings.number("port", 1u16, 1..=9);
    settings.flag("flag", true);
    settings.list("list", vec![1u16]);
    settings.text("broken", "");
    settings.size("size", 1, 1..=9);
    settings.parse("database.url", 1u16);
    settings.problem("database.url", format!("cannot use {url}: the password hunter2 is weak"));
    let found = problems((folder, settings));
    assert!(found.len() >= 7, "{found:#?}");
    assert!(found.iter().all(|problem| !problem.contains("hunter2")), "{found:#?}");
    assert!(
        found
            .contains(&r#"storage.toml:1: port: "mysql://root:***@db/tnv" is not a whole number"#.to_owned())
    );
}

#[test]
fn the_same_mistake_is_reported_once() {
    let (folder, mut settings) = load("port = 'x'", &[], &[]);
    settings.number("port", 1u16, 1..=9);
    settings.number("port", 1u16, 1..=9);
    assert_eq!(problems((folder, settings)).len(), 1);
}

proptest! {
    #[test]
    fn no_file_and_no_value_panics(file: String, value: String) {
        let mut found = Vec::new();
        let from_file = value::read_toml("x.toml".as_ref(), &file, &mut found);
        let mut settings = Settings::built_in("id");
        settings.from_file = from_file;
        settings.set("a", &value, "--set a");
        let text = settings.text("a", "");
        prop_assert!(text == value || Setting::from_text(&value, Origin::BuiltIn).value == value::Value::Text(text));
        settings.list::<u8>("a", Vec::new());
        settings.size("a", 0, 0..=9);
        settings.duration("a", SECOND, SECOND..=MINUTE);
        let _ = settings.finish();
    }
}

#[test]
fn a_variable_of_another_program_stands_between_the_file_and_our_own() {
    let file = "a = 'file'\nb = 'file'\nc = 'file'\nd = 'file'";
    let environment =
        [("A", "theirs"), ("B", "theirs"), ("TNV_STORAGE_B", "ours"), ("C", ""), ("D", "theirs")];
    let (_folder, settings) = load(file, &environment, &[("d", "override")]);
    let older = |key: &str, name: &str| settings.older_variable(key, name);
    assert_eq!(older("a", "A").as_deref(), Some("theirs"));
    assert_eq!(
        (older("b", "B"), older("c", "C"), older("d", "D"), older("e", "E")),
        (None, None, None, None)
    );
}

#[test]
fn a_choice_is_one_of_its_words() {
    let words = [("auto", 1), ("copy", 2), ("none", 3)];
    let (folder, mut settings) = load("a = 'copy'\nb = 'Copy'\nc = 7\n", &[], &[]);
    assert_eq!(["a", "b", "c", "d"].map(|key| settings.choice(key, 3, &words)), [2, 3, 3, 3]);
    let said = problems((folder, settings)).join("\n");
    assert!(said.contains("write auto, copy or none") && said.contains("7 is not text"), "{said}");
}
