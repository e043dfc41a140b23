//! Any text becomes a good path, and any number of paths can be made to fit beside each other.

use proptest::collection::vec;
use proptest::prelude::*;
use tnv_package::{MeetingId, MemberPath, Names, collisions};

/// Texts that are more likely than others to be trouble.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[aA.é/ \\\\]{0,6}",
        "(con|NUL|com1|lpt¹)([. ][a-z]{0,3})?",
        "[\u{300}-\u{310}e<>:\u{202e}\u{338}/]{0,8}",
        "x{200,300}",
        "会{80,90}",
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_can_be_cleaned(text in text()) {
        let path = MemberPath::cleaned(&text);
        prop_assert_eq!(MemberPath::new(path.as_str()), Ok(path.clone()));
        prop_assert_eq!(MemberPath::cleaned(path.as_str()), path);
    }

    #[test]
    fn what_is_taken_keeps_all_rules(text in text()) {
        let Ok(path) = MemberPath::new(&text) else { return Ok(()) };
        prop_assert!(path.as_str().len() <= MemberPath::MAX_LEN);
        for component in path.components() {
            prop_assert!((1..=MemberPath::MAX_COMPONENT_LEN).contains(&component.len()));
            prop_assert!(!component.ends_with(['.', ' ']));
        }
        let hostile = path.as_str().contains(['\\', ':', '\0', '\n', '\u{202e}']);
        prop_assert!(!hostile);
        prop_assert_eq!(path.components().last(), Some(path.name()));
    }

    #[test]
    fn a_free_path_is_free(texts in vec(text(), 1..12)) {
        let mut paths: Vec<MemberPath> = Vec::new();
        for text in &texts {
            let mut names = Names::default();
            paths.iter().for_each(|path| names.insert(path).unwrap());
            let free = names.free(&MemberPath::cleaned(text));
            prop_assert!(names.is_free(&free));
            paths.push(free);
        }
        prop_assert_eq!(collisions(&paths), []);
    }

    #[test]
    fn whatever_differs_in_case_alone_collides(text in text()) {
        let path = MemberPath::cleaned(&text);
        let upper = path.as_str().to_uppercase();
        if let Ok(upper) = MemberPath::new(&upper) {
            prop_assert_eq!(collisions([&path, &upper]).len(), 1);
        }
    }

    #[test]
    fn a_meetings_id_is_one_component(text in any::<String>()) {
        if let Ok(id) = MeetingId::new(&text) {
            prop_assert!(!id.as_str().contains(['/', '\\']) && !id.as_str().starts_with('.'));
        }
    }
}
