//! Spoils an object in ways that the real one never is, or not yet: fields gone, or of another type.

use proptest::prelude::{Strategy, any};
use proptest::{collection, sample};
use serde_json::{Value, json};

/// What happens to one value.
#[derive(Clone, Debug)]
pub enum Edit {
    Remove,
    Replace(Value),
}

/// A few edits and where they happen, counted through the object.
pub fn edits() -> impl Strategy<Value = Vec<(sample::Index, Edit)>> {
    let replacements = [
        json!(null),
        json!(true),
        json!(0),
        json!(-7),
        json!(65),
        json!(""),
        json!("True"),
        json!("Err"),
        json!("Running"),
        json!("Failed"),
        json!("Always"),
        json!("Never"),
        json!("OOMKilled"),
        json!("fetcher"),
        json!("é\u{10ffff}"),
        json!([]),
        json!([null, 3, "x", {}]),
        json!({}),
        json!({ "terminated": "x" }),
        json!({ "running": { "startedAt": 3 } }),
        json!({ "waiting": { "reason": "CrashLoopBackOff" } }),
        json!({ "terminated": { "exitCode": 65, "message": 4 } }),
    ];
    let mut edits: Vec<_> = replacements.into_iter().map(Edit::Replace).collect();
    edits.extend((0..8).map(|_| Edit::Remove));
    collection::vec((any::<sample::Index>(), sample::select(edits)), 1..6)
}

/// The object after these edits.
pub fn mutate(object: &Value, edits: &[(sample::Index, Edit)]) -> Value {
    let mut mutated = object.clone();
    for (index, edit) in edits {
        let inner = size(&mutated) - 1;
        if inner > 0 {
            apply(&mut mutated, index.index(inner), edit);
        }
    }
    mutated
}

/// How many values there are in a value, itself included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.values().map(size).sum(),
        _ => 0,
    }
}

/// Edits the value that is `position` values into the container.
fn apply(container: &mut Value, mut position: usize, edit: &Edit) {
    match container {
        Value::Array(items) => {
            for index in 0..items.len() {
                if position == 0 {
                    match edit {
                        Edit::Remove => drop(items.remove(index)),
                        Edit::Replace(value) => items[index] = value.clone(),
                    }
                    return;
                }
                let inside = size(&items[index]);
                if position < inside {
                    return apply(&mut items[index], position - 1, edit);
                }
                position -= inside;
            }
        }
        Value::Object(fields) => {
            let names: Vec<_> = fields.keys().cloned().collect();
            for name in names {
                if position == 0 {
                    match edit {
                        Edit::Remove => drop(fields.remove(&name)),
                        Edit::Replace(value) => drop(fields.insert(name, value.clone())),
                    }
                    return;
                }
                let inside = size(&fields[&name]);
                if position < inside {
                    return apply(&mut fields[&name], position - 1, edit);
                }
                position -= inside;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_can_be_removed_and_nothing_else_goes_with_it() {
        let object = json!({ "a": [1, { "b": 2 }, 3], "c": { "d": 4 }, "e": 5 });
        let left: Vec<_> = (0..size(&object) - 1)
            .map(|position| {
                let mut mutated = object.clone();
                apply(&mut mutated, position, &Edit::Remove);
                mutated.to_string()
            })
            .collect();
        let expected = [
            r#"{"c":{"d":4},"e":5}"#,
            r#"{"a":[{"b":2},3],"c":{"d":4},"e":5}"#,
            r#"{"a":[1,3],"c":{"d":4},"e":5}"#,
            r#"{"a":[1,{},3],"c":{"d":4},"e":5}"#,
            r#"{"a":[1,{"b":2}],"c":{"d":4},"e":5}"#,
            r#"{"a":[1,{"b":2},3],"e":5}"#,
            r#"{"a":[1,{"b":2},3],"c":{},"e":5}"#,
            r#"{"a":[1,{"b":2},3],"c":{"d":4}}"#,
        ];
        assert_eq!(left, expected);
    }
}
