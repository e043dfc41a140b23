//! The configuration as JSON: dotted keys, merging, and what is shown of secrets.

use serde_json::{Map, Value};

/// What is shown in place of a secret. Posted back, it leaves the secret as it is.
pub(crate) const MASK: &str = "********";

/// Sets a dotted key. What stands in the way of its table is replaced.
pub(super) fn set(table: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// What stands at a dotted key.
pub(super) fn get<'t>(table: &'t Map<String, Value>, key: &str) -> Option<&'t Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, rest)) => get(table.get(section)?.as_object()?, rest),
    }
}

/// Lays `changes` over `base`: tables are merged, everything else is replaced.
pub(super) fn merge(base: &mut Map<String, Value>, changes: Map<String, Value>) {
    for (name, change) in changes {
        match (base.get_mut(&name), change) {
            (Some(Value::Object(inner)), Value::Object(changes)) => merge(inner, changes),
            (_, change) => {
                base.insert(name, change);
            }
        }
    }
}

/// Hides the secrets that are set.
pub(super) fn mask(table: &mut Map<String, Value>, secrets: &[&str]) {
    for key in secrets {
        if get(table, key).is_some_and(|value| !value.is_null()) {
            set(table, key, Value::from(MASK));
        }
    }
}

/// Takes out secrets that are only their mask.
pub(super) fn drop_masks(table: &mut Map<String, Value>, secrets: &[&str]) {
    for key in secrets {
        if get(table, key).is_some_and(|value| value == MASK) {
            table.remove(*key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn tables_are_merged_and_values_replaced() {
        let mut base = table(json!({"a": 1, "s": {"x": 1, "y": [1]}}));
        merge(&mut base, table(json!({"s": {"y": null, "z": 3}, "b": {"c": 2}})));
        assert_eq!(Value::Object(base), json!({"a": 1, "b": {"c": 2}, "s": {"x": 1, "y": null, "z": 3}}));
    }

    #[test]
    fn dotted_keys_lead_to_values() {
        let mut document = table(json!({"s": 5}));
        set(&mut document, "s.x", json!(1));
        set(&mut document, "y", json!(2));
        assert_eq!(Value::Object(document.clone()), json!({"s": {"x": 1}, "y": 2}));
        assert_eq!(get(&document, "s.x"), Some(&json!(1)));
        assert_eq!((get(&document, "s.z"), get(&document, "y.x")), (None, None));
    }

    #[test]
    fn a_mask_hides_what_is_set_and_changes_nothing() {
        let mut document = table(json!({"key": "secret", "other": null}));
        mask(&mut document, &["key", "other", "missing"]);
        assert_eq!(Value::Object(document.clone()), json!({"key": MASK, "other": null}));
        drop_masks(&mut document, &["key", "other"]);
        assert_eq!(Value::Object(document), json!({"other": null}));
    }
}
