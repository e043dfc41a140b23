use super::*;

fn fault_of(text: &str) -> PathFault {
    MemberPath::new(text).unwrap_err().fault
}

#[test]
fn names_of_people_are_welcome() {
    let longest = format!("{}/{}", "x".repeat(255), "y".repeat(255));
    for good in [
        "a.pdf",
        "会议资料/第一项 预算.pdf",
        "会议：议程？.docx",
        ".gitignore",
        "...a",
        "a b/c  d.txt",
        "console.log",
        "com10.txt",
        "comet",
        "नमस्ते\u{200d}.txt",
        "👩‍👩‍👧.png",
        &longest,
    ] {
        assert_eq!(MemberPath::new(good).unwrap().as_str(), good);
    }
}

#[test]
fn hostile_names_are_refused() {
    for (fault, names) in [
        (PathFault::Empty, &[""][..]),
        (PathFault::Absolute, &["/", "/etc/passwd", "//server/share"]),
        (PathFault::Dots, &[".", "..", "../a", "a/../b", "a/..", "./a", "a/./b"]),
        (PathFault::EmptyComponent, &["a//b", "a/"]),
        (PathFault::Backslash, &["a\\b", "..\\a", "\\\\server\\share"]),
        (PathFault::Colon, &["C:a", "c:/a", "C:\\a", "a.pdf:stream"]),
        (PathFault::Control, &["a\0", "a\nb", "\u{7f}", "\u{85}a", "a\u{2028}b"]),
        (PathFault::Direction, &["invoice\u{202e}fdp.exe", "\u{2066}a", "a\u{200f}"]),
        (PathFault::TrailingDot, &["a.", "a ", "a./b", "a /b", "..."]),
        (
            PathFault::Device,
            &["CON", "nul", "a/Aux.txt", "com1", "LPT9.tar.gz", "COM¹", "con .txt", "CONIN$"],
        ),
    ] {
        for name in names {
            assert_eq!(fault_of(name), fault, "{name:?}");
        }
    }
    assert_eq!(fault_of(&"x".repeat(256)), PathFault::LongComponent);
    assert_eq!(fault_of(&"会".repeat(86)), PathFault::LongComponent);
    assert_eq!(fault_of(&"x/".repeat(512).replace("x/", "xy/")[..1535]), PathFault::Long);
}

#[test]
fn a_path_is_brought_into_normal_form() {
    let composed = MemberPath::new("\u{e9}t\u{e9}/한글.txt").unwrap();
    let decomposed =
        MemberPath::new("e\u{301}te\u{301}/\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}.txt");
    assert_eq!(decomposed.unwrap(), composed);
    // 300 bytes as given, 200 as kept.
    assert!(MemberPath::new(&"e\u{301}".repeat(100)).is_ok());
}

#[test]
fn an_error_shows_the_path_without_its_effect() {
    let error = MemberPath::new("a\u{1b}[2J\u{202e}b").unwrap_err().to_string();
    assert_eq!(error, r#""a\u{1b}[2J\u{202e}b" is no path for a member: it has a control character"#);
}
