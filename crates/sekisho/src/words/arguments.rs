//! A value of the engine as a variant's name and its arguments.
//!
//! The engine's enums say themselves as JSON: a variant's name, or an object with that name and the variant's fields. So no list of variants
//! has to be kept here; which messages there must be is tested against the engine's own lists.

use serde::Serialize;
use serde_json::Value;

/// An argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// Written as the language writes numbers.
    Number(f64),
    /// Written as it is.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

/// Arguments that are words of ours: what they say is the message `NAME-VALUE`.
pub const WORDS: [&str; 2] = ["server", "source"];

/// Numbers that are names: written without separators.
const NAMES: [&str; 3] = ["port", "pid", "line"];

/// The variant's name and its fields. Fields of a field are named with both names (`span_from`); what is absent is the text `none`.
pub fn take_apart(value: &impl Serialize) -> (String, Vec<(String, Field)>) {
    let mut fields = Vec::new();
    // Types of ours can all be written as JSON; a value that could not is a message that is not there.
    let variant = match serde_json::to_value(value).unwrap_or_default() {
        Value::String(variant) => variant,
        Value::Object(object) => match object.into_iter().next() {
            Some((variant, inside)) => {
                add(&mut fields, "", inside);
                variant
            }
            None => String::new(),
        },
        _ => String::new(),
    };
    (variant, fields)
}

fn add(fields: &mut Vec<(String, Field)>, name: &str, value: Value) {
    let field = match value {
        Value::Object(object) => {
            for (inner, value) in object {
                let name = if name.is_empty() { inner } else { format!("{name}_{inner}") };
                add(fields, &name, value);
            }
            return;
        }
        Value::Array(values) => Field::List(values.iter().map(text).collect()),
        Value::Number(number) if !NAMES.contains(&name) => Field::Number(number.as_f64().unwrap_or_default()),
        other => Field::Text(text(&other)),
    };
    // A variant with one value without a name (`Folder(path)`).
    let name = if name.is_empty() { "value" } else { name };
    fields.push((name.to_owned(), field));
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        // An enum with fields among other fields: its variant.
        Value::Object(object) => object.keys().next().cloned().unwrap_or_default(),
        Value::Array(_) => String::new(),
    }
}

/// The name of a message: Fluent's names have hyphens where JSON's have underscores.
pub fn id(kind: &str, variant: &str) -> String {
    format!("{kind}-{}", variant.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Example {
        Plain,
        One(u64),
        Several { port: u16, memory_bytes: u64, limit: Option<u64>, span: Inner, names: Vec<&'static str> },
    }

    #[derive(Serialize)]
    struct Inner {
        from: i64,
    }

    #[test]
    fn variants_are_names_and_fields_are_arguments() {
        assert_eq!(take_apart(&Example::Plain), ("plain".into(), Vec::new()));
        assert_eq!(take_apart(&Example::One(7)), ("one".into(), vec![("value".into(), Field::Number(7.0))]));
        let several = Example::Several {
            port: 8080,
            memory_bytes: 3,
            limit: None,
            span: Inner { from: -1 },
            names: vec!["a", "b"],
        };
        let (variant, mut fields) = take_apart(&several);
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(variant, "several");
        let text = |text: &str| Field::Text(text.into());
        let wanted = [
            ("limit", text("none")),
            ("memory_bytes", Field::Number(3.0)),
            ("names", Field::List(vec!["a".into(), "b".into()])),
            ("port", text("8080")),
            ("span_from", Field::Number(-1.0)),
        ];
        assert_eq!(fields, wanted.map(|(name, field)| (name.to_owned(), field)));
        assert_eq!(id("evidence", "no_such_thing"), "evidence-no-such-thing");
    }
}
