//! Commands 40 and 41.

use std::collections::HashSet;

use crate::harness::frames::{ID_GET, ID_LEASE, Wire, id_key};
use crate::harness::lab::{Lab, Role};

fn lease(wire: &mut Wire, count: u32, key: &str) -> (i64, u32) {
    let body = wire.call(ID_LEASE, &[&count.to_be_bytes()[..], &id_key(key)].concat()).ok();
    assert_eq!(body.len(), 12);
    (i64::from_be_bytes(body[..8].try_into().unwrap()), u32::from_be_bytes(body[8..].try_into().unwrap()))
}

#[test]
fn bad_keys_are_400_and_the_connection_lives() {
    let lab = Lab::new();
    let server = Role::id(&lab).start(&lab);
    let mut wire = Wire::connect(&server.address);
    for (what, command, body) in [
        ("no NUL", ID_GET, b"../data".to_vec()),
        ("an empty key", ID_GET, b"\0\0".to_vec()),
        ("a NUL in the middle", ID_GET, b"a\0b\0".to_vec()),
        ("not UTF-8", ID_GET, b"\xff\xfe\0".to_vec()),
        ("65 bytes without NUL", ID_GET, vec![b'k'; 65]),
        ("a lease of nothing", ID_LEASE, b"\0\0\0\0../data\0".to_vec()),
        ("a lease without NUL", ID_LEASE, b"\0\0\0\x05../data".to_vec()),
    ] {
        assert_eq!(wire.call(command, &body).refused(), 400, "{what}");
    }
    wire.call(ID_GET, &id_key(&"k".repeat(64))).integer();
}

#[test]
fn numbers_rise_from_key_to_key_on_their_own() {
    let lab = Lab::new();
    let server = Role::id(&lab).set("step", 10).start(&lab);
    let mut wire = Wire::connect(&server.address);
    for key in ["../data", "'; DROP TABLE t_id_gen; --", "数据", "%"] {
        let numbers: Vec<i64> = (0..35).map(|_| wire.call(ID_GET, &id_key(key)).integer()).collect();
        assert!(numbers[0] >= 0);
        assert!(numbers.is_sorted_by(|a, b| a < b), "{key}: {numbers:?}");
        assert_eq!(numbers[34] - numbers[0], 34, "one running server leaves no gap: {key}: {numbers:?}");
    }
}

#[test]
fn leases_and_single_numbers_never_overlap() {
    let lab = Lab::new();
    let server = Role::id(&lab).set("step", 10).start(&lab);
    let mut wire = Wire::connect(&server.address);
    let mut seen = HashSet::new();
    for round in 1..40 {
        let (first, count) = lease(&mut wire, round * 3, "../data");
        assert!((1..=round * 3).contains(&count), "{count} of {} asked for", round * 3);
        for number in first..first + i64::from(count) {
            assert!(seen.insert(number), "{number} twice");
        }
        let single = wire.call(ID_GET, &id_key("../data")).integer();
        assert!(seen.insert(single), "{single} twice");
    }
    let (first, count) = lease(&mut wire, u32::MAX, "../data");
    assert!(first >= 0 && count >= 1, "a huge wish is granted in part");
}
