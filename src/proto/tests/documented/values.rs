//! What the examples of docs/protocol.md say.

use tnv_proto::state::{ClusterState, GroupState, Load, StorageReport, StorageState};
use tnv_proto::{Attributes, Checksum, FileKey, GroupName, HostName, Labels, NewUpload, PushedPlace};

pub(crate) fn key() -> FileKey {
    FileKey::new("tnvideo", "tnv001", "6640c41807ffea386043bad2c6ee25000197").unwrap()
}

pub(crate) fn group() -> GroupName {
    GroupName::new("group001").unwrap()
}

pub(crate) fn host() -> HostName {
    HostName::new("storage-a").unwrap()
}

fn load() -> Load {
    Load {
        total_bytes: 4_000_000_000_000,
        free_bytes: 3_000_000_000_000,
        connections: 12,
        uploads: 345,
        downloads: 6789,
        deletes: 1,
        bytes_in: 1_000_000_000,
        bytes_out: 20_000_000_000,
        ..Load::default()
    }
}

pub(crate) fn report() -> StorageReport {
    StorageReport {
        id: "8b209875-08fe-4353-a8c1-07588c6dadc3".to_owned(),
        version: "0.1.0".to_owned(),
        advertise: String::new(),
        membership: String::new(),
        load: load(),
    }
}

pub(crate) fn state() -> ClusterState {
    let storage = StorageState {
        id: report().id,
        host: "storage-a".to_owned(),
        address: "10.0.0.1:23000".to_owned(),
        version: "0.1.0".to_owned(),
        status: "ACTIVE".to_owned(),
        membership: String::new(),
        started: 1_780_000_000,
        joined: 1_780_000_001,
        last_beat: 1_780_000_011,
        load: Some(load()),
    };
    ClusterState {
        version: "0.1.0".to_owned(),
        host: "tracker-a".to_owned(),
        now: 1_780_000_012,
        groups: vec![GroupState {
            name: "group001".to_owned(),
            total_bytes: load().total_bytes,
            free_bytes: load().free_bytes,
            storages: vec![storage],
        }],
    }
}

pub(crate) fn blake3_of_hello() -> Checksum {
    Checksum::from_hex("ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f").unwrap()
}

pub(crate) fn new_upload() -> NewUpload {
    NewUpload {
        key: key(),
        size: 5,
        labels: Labels::new("hello.txt", "text/markdown").unwrap(),
        ack_copies: 0,
    }
}

pub(crate) fn attributes() -> Attributes {
    Attributes {
        size: 5,
        created_ms: 1_780_000_002_345,
        crc32: 0x3610_a686,
        blake3: blake3_of_hello(),
        content_type: "text/markdown".to_owned(),
        name: "hello.txt".to_owned(),
    }
}

pub(crate) fn place() -> PushedPlace {
    PushedPlace { path_index: 1, path: "000/000/000/6A160480_000".to_owned() }
}
