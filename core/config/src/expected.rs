//! What a rule of a schema asks for, in words that follow "expected".

use jsonschema::{
    JsonType, ValidationError,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;

/// What a rule asks for; none where the library's own sentence has to do.
pub(crate) fn by(error: &ValidationError<'_>) -> Option<String> {
    let more = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    Some(match error.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => type_in_words(*kind).to_owned(),
        ValidationErrorKind::Type { kind: TypeKind::Multiple(kinds) } => {
            joined(kinds.iter().map(|kind| type_in_words(kind).to_owned()))
        }
        ValidationErrorKind::Required { .. } => "a value: it is required".to_owned(),
        ValidationErrorKind::AdditionalProperties { .. } | ValidationErrorKind::UnevaluatedProperties { .. } => {
            "no such key".to_owned()
        }
        ValidationErrorKind::FalseSchema => "nothing".to_owned(),
        ValidationErrorKind::Enum { options } => match &**options {
            Value::Array(options) => joined(options.iter().map(Value::to_string)),
            other => other.to_string(),
        },
        ValidationErrorKind::Constant { expected_value } => expected_value.to_string(),
        ValidationErrorKind::Minimum { limit } => format!("at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("more than {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("less than {limit}"),
        ValidationErrorKind::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        ValidationErrorKind::MinLength { limit } => format!("at least {}", more(*limit, "character")),
        ValidationErrorKind::MaxLength { limit } => format!("at most {}", more(*limit, "character")),
        ValidationErrorKind::MinItems { limit } => format!("at least {}", more(*limit, "item")),
        ValidationErrorKind::MaxItems { limit } => format!("at most {}", more(*limit, "item")),
        ValidationErrorKind::AdditionalItems { limit } => format!("at most {}", more(*limit as u64, "item")),
        ValidationErrorKind::MinProperties { limit } => format!("at least {}", more(*limit, "key")),
        ValidationErrorKind::MaxProperties { limit } => format!("at most {}", more(*limit, "key")),
        ValidationErrorKind::UniqueItems => "items that differ from each other".to_owned(),
        ValidationErrorKind::UnevaluatedItems { .. } => "no such items".to_owned(),
        ValidationErrorKind::Contains => "an item as `contains` says".to_owned(),
        ValidationErrorKind::Pattern { pattern } => format!("a text that matches `{pattern}`"),
        ValidationErrorKind::Format { format } => format!("a text of the format `{format}`"),
        ValidationErrorKind::Not { .. } => "anything but what `not` says".to_owned(),
        ValidationErrorKind::PropertyNames { error } => {
            format!("keys that are {}", by(error).unwrap_or_else(|| "as `propertyNames` says".to_owned()))
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let forms: Vec<_> = context.iter().filter_map(|errors| by(errors.first()?)).collect();
            if forms.len() == context.len() && forms.len() <= 6 {
                joined(forms.into_iter())
            } else {
                format!("one of {} forms", context.len())
            }
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => "just one of the forms that `oneOf` lists".to_owned(),
        _ => return None,
    })
}

fn type_in_words(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a text",
    }
}

/// Of what sort a value is.
pub(crate) fn sort_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// `a, b or c`, each once.
fn joined(words: impl Iterator<Item = String>) -> String {
    let mut once: Vec<String> = Vec::new();
    for word in words {
        if !once.contains(&word) {
            once.push(word);
        }
    }
    match once.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}
