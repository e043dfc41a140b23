use tnv_proto::GroupName;

use super::super::{Candidate, Volume};
use super::*;
use crate::layout::Place;

fn open(root: &Path) -> Volume {
    let folder = WrittenPath { written: "../store".to_owned(), resolved: root.to_owned() };
    let group = GroupName::new("group001").unwrap();
    Candidate::inspect(&[folder], "tnv", &group, Replication::None, "fresh").unwrap().open(0, None).unwrap()
}

#[test]
fn a_list_of_folders_that_was_cut_short_does_not_hide_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let volume = open(folder.path());
    let path = &volume.paths()[0];
    // As a write that found the disk full leaves it.
    let Temps::InPlace(journal) = &path.temps else { panic!("the path is exclusive") };
    journal.tear("000/00");
    path.stage(&Place::new(7, 1).unwrap()).unwrap();
    let folders = super::super::journal::read(&folder.path().join(FOLDERS_FILE)).unwrap();
    assert!(folders.contains("000/000/000"), "{folders:?}");
}

#[test]
fn another_folder_in_its_place_takes_no_files() {
    let parent = tempfile::tempdir().unwrap();
    let (root, away) = (parent.path().join("store"), parent.path().join("away"));
    let volume = open(&root);
    // As when the disk is no longer mounted there.
    std::fs::rename(&root, &away).unwrap();
    std::fs::create_dir(&root).unwrap();
    for _ in 0..2 {
        volume.paths()[0].refresh();
        assert!(volume.reserve(1).is_err());
    }
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&away, &root).unwrap();
    volume.paths()[0].refresh();
    volume.reserve(1).unwrap();
}

#[test]
fn what_is_not_the_disk_s_fault_does_not_close_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let volume = open(folder.path());
    let path = &volume.paths()[0];
    for error in [io::ErrorKind::AlreadyExists.into(), io::ErrorKind::StorageFull.into(), Errno::MFILE.into()]
    {
        path.note_error(&error);
        assert!(path.is_writable(), "{error}");
    }
    path.note_error(&Errno::IO.into());
    assert!(!path.is_writable());
}
