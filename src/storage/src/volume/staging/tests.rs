use super::*;

fn place(number: i64) -> Place {
    Place::new(number, 0x6B00_4B3C).unwrap()
}

fn upload(staging: &Staging, number: i64) -> PathBuf {
    let temp = staging.stage(&place(number)).unwrap();
    std::fs::write(&temp, number.to_string()).unwrap();
    temp
}

#[test]
fn names_lead_back_to_places() {
    for number in [0, 512, 512 * 512 * 512 + 7] {
        assert_eq!(staged_place(&temp_name(&place(number))), Some(place(number)));
    }
    for other in [LOCK_FILE, JOURNAL_FILE, "x.tmp", "..-x.tmp", ".tmp", "a--b.tmp"] {
        assert_eq!(staged_place(other), None, "{other}");
    }
}

#[test]
fn the_living_are_not_settled_and_the_dead_are() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (Staging::begin(root.path()).unwrap(), Staging::begin(root.path()).unwrap());
    let temp = upload(&one, 1);
    assert!(two.abandoned().unwrap().is_empty());
    drop(one);
    let left = two.abandoned().unwrap().remove(0);
    assert_eq!(left.places().unwrap(), [place(1)]);
    assert!(!left.finish().unwrap(), "there is something in it");
    // Nobody else settles it meanwhile.
    assert!(
        Staging::begin(root.path()).unwrap().abandoned().unwrap().iter().all(|it| it.folder != left.folder)
    );
    left.keep(&place(1)).unwrap();
    left.keep(&place(1)).unwrap();
    assert!(left.finish().unwrap() && left.finish().unwrap());
    assert!(!temp.exists() && root.path().join(place(1).path()).exists());
}

#[test]
fn whoever_lost_the_lock_goes_on_elsewhere_and_what_was_under_way_is_found() {
    let root = tempfile::tempdir().unwrap();
    let staging = Staging::begin(root.path()).unwrap();
    staging.renew().unwrap();
    let before = upload(&staging, 1);
    assert_eq!(upload(&staging, 2).parent(), before.parent());
    std::fs::remove_file(before.with_file_name(LOCK_FILE)).unwrap();
    staging.renew().unwrap();
    let after = upload(&staging, 3);
    assert_ne!(after.parent(), before.parent());
    // It can still be given its name, by us or by whoever settles it.
    staging.publish(&place(1)).unwrap();
    let left = staging.abandoned().unwrap().remove(0);
    assert_eq!(left.places().unwrap(), [place(2)]);
    left.keep(&place(2)).unwrap();
    staging.publish(&place(2)).unwrap();
    assert!(left.finish().unwrap());
    assert_eq!(staging.publish(&place(4)).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_lock_is_given_back_although_a_copy_of_its_descriptor_lives() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (Staging::begin(root.path()).unwrap(), Staging::begin(root.path()).unwrap());
    // As in a child between fork and exec.
    let _copy = one.own().lock.try_clone().unwrap();
    drop(one);
    assert_eq!(two.abandoned().unwrap().len(), 1);
}
