//! File names made from what a server says.

/// The longest name a file can have on common file systems, in bytes.
const MAX_NAME: usize = 255;

/// Turns any text into a name that is safe to create in the current folder, in a shell and on other systems. What a
/// server calls a file is not trusted: it may hold a path, hide itself, or pose as an option.
pub(crate) fn safe_name(text: &str) -> String {
    let mut name: String = text.chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    if name.starts_with(['.', '-', '~']) {
        name.replace_range(..1, "_");
    }
    if name.is_empty() {
        name.push('_');
    }
    shortened(name)
}

fn is_safe(c: char) -> bool {
    // Direction marks make `gpj.exe` look like `exe.jpg`.
    let turns_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns_direction && !r#"/\:*?"<>|"#.contains(c)
}

/// Cuts a name to [`MAX_NAME`] bytes between two characters; a short extension survives.
fn shortened(name: String) -> String {
    const MAX_EXTENSION: usize = 16;
    if name.len() <= MAX_NAME {
        return name;
    }
    let extension = match name.rfind('.') {
        Some(dot) if name.len() - dot <= MAX_EXTENSION => &name[dot..],
        _ => "",
    };
    let mut end = MAX_NAME - extension.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &name[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in
            ["003.mp4", "6640c41807ffea386043bad2c6ee25000197", "Ünïcode 電影.mkv", "a b (1).tar.gz", "x~1"]
        {
            assert_eq!(safe_name(name), name);
        }
    }

    #[test]
    fn unsafe_names_are_made_safe() {
        for (name, safe) in [
            ("../../etc/passwd", "_._.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("..", "_."),
            (".", "_"),
            ("", "_"),
            (".bashrc", "_bashrc"),
            ("-rf", "_rf"),
            ("~root", "_root"),
            ("C:\\x?.mp4", "C__x_.mp4"),
            ("a\nb\u{1b}[2J", "a_b_[2J"),
            ("evil\u{202e}gpj.exe", "evil_gpj.exe"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
    }

    #[test]
    fn long_names_are_cut_but_keep_their_extension() {
        let name = safe_name(&format!("{}.mp4", "é".repeat(300)));
        assert!(name.len() <= MAX_NAME && name.ends_with("é.mp4"), "{name}");
        assert_eq!(safe_name(&"x".repeat(300)).len(), MAX_NAME);
        assert_eq!(safe_name(&format!("x.{}", "y".repeat(300))).len(), MAX_NAME);
    }

    proptest! {
        #[test]
        fn every_name_is_one_visible_component(text in any::<String>()) {
            let name = safe_name(&text);
            prop_assert!((1..=MAX_NAME).contains(&name.len()));
            prop_assert!(!name.starts_with(['.', '-', '~']));
            prop_assert_eq!(std::path::Path::new(&name).file_name(), Some(std::ffi::OsStr::new(&name)));
        }
    }
}
