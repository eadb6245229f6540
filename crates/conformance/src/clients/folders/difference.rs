//! The first place where two JSON values differ.

use serde_json::Value;

/// Where, and what is there.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    /// Keys and indexes from the outside in: `topics/orders/records/0/17`.
    pub(super) path: String,
    pub(super) expected: String,
    pub(super) came: String,
}

/// `None` if both are equal. The order of an object's keys does not count.
pub(super) fn first_difference(expected: &Value, came: &Value) -> Option<Difference> {
    at(&mut Vec::new(), expected, came)
}

fn at(path: &mut Vec<String>, expected: &Value, came: &Value) -> Option<Difference> {
    match (expected, came) {
        (Value::Object(expected), Value::Object(came)) => {
            let keys = expected.keys().chain(came.keys().filter(|key| !expected.contains_key(*key)));
            let mut keys = keys.map(|key| (key.clone(), expected.get(key), came.get(key)));
            keys.find_map(|(key, expected, came)| within(path, key, expected, came))
        }
        (Value::Array(expected), Value::Array(came)) => {
            let mut indexes = 0..expected.len().max(came.len());
            indexes.find_map(|i| within(path, i.to_string(), expected.get(i), came.get(i)))
        }
        _ => (expected != came).then(|| difference(path, Some(expected), Some(came))),
    }
}

fn within(
    path: &mut Vec<String>,
    step: String,
    expected: Option<&Value>,
    came: Option<&Value>,
) -> Option<Difference> {
    path.push(step);
    let found = match (expected, came) {
        (Some(expected), Some(came)) => at(path, expected, came),
        _ => Some(difference(path, expected, came)),
    };
    path.pop();
    found
}

fn difference(path: &[String], expected: Option<&Value>, came: Option<&Value>) -> Difference {
    let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    Difference { path: path.join("/"), expected: text(expected), came: text(came) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_named_by_its_path() {
        let expected = json!({"a": [1, {"b": 2}], "c": 3});
        let cases = [
            (json!({"c": 3, "a": [1, {"b": 2}]}), None),
            (json!({"a": [1, {"b": 4}], "c": 3}), Some(("a/1/b", "2", "4"))),
            (json!({"a": [1], "c": 3}), Some(("a/1", "{\"b\":2}", "nothing"))),
            (json!({"a": [1, {"b": 2}], "c": 3, "d": null}), Some(("d", "nothing", "null"))),
            (json!([]), Some(("", "{\"a\":[1,{\"b\":2}],\"c\":3}", "[]"))),
        ];
        for (came, difference) in cases {
            let found = first_difference(&expected, &came);
            let found = found.as_ref().map(|found| (&*found.path, &*found.expected, &*found.came));
            assert_eq!(found, difference, "{came}");
        }
    }
}
