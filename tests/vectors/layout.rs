//! JSON as a person reads it: what fits a line stands on one.

use serde_json::Value;

const LINE_MAX_CHARS: usize = 118;

/// The text of the file.
pub fn file(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text.push('\n');
    text
}

fn write(value: &Value, indent: usize, out: &mut String) {
    let compact = value.to_string();
    let is_leaf = match value {
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        Value::Object(members) => members.values().all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    };
    if is_leaf || indent + compact.len() <= LINE_MAX_CHARS {
        out.push_str(&compact);
        return;
    }
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    let members: Vec<(Option<&String>, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (Some(name), value)).collect(),
        _ => value.as_array().unwrap().iter().map(|value| (None, value)).collect(),
    };
    out.push(open);
    for (index, (name, value)) in members.into_iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(indent + 2));
        if let Some(name) = name {
            out.push_str(&format!("{}: ", Value::from(name.as_str())));
        }
        write(value, indent + 2, out);
    }
    out.push_str(&format!("\n{}{close}", " ".repeat(indent)));
}
