//! What of a configuration does not fit, place by place, without anything that is sensitive.

use crate::{
    expected::{by, sort_of},
    pointer::to_key,
};
use camlock_policy::{ConfigViolation, MASK};
use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::Value;

/// So many are told; who mends these sees the others.
const MOST: usize = 50;
/// A longer value is told in part.
const LONGEST: usize = 80;

/// What the errors say; values are those of `shown`, where what is sensitive is masked.
pub(crate) fn of<'a>(errors: impl Iterator<Item = ValidationError<'a>>, shown: &Value) -> Vec<ConfigViolation> {
    let mut violations = Vec::new();
    for error in errors {
        add(&error, shown, &mut violations);
        if violations.len() >= MOST {
            violations.truncate(MOST);
            break;
        }
    }
    violations
}

fn add(error: &ValidationError<'_>, shown: &Value, violations: &mut Vec<ConfigViolation>) {
    let at = error.instance_path().as_str();
    let violation = |pointer: String, found: String| ConfigViolation {
        pointer,
        // The library's sentence, with the value left out.
        expected: by(error).unwrap_or_else(|| error.masked_with("the value").to_string()),
        found,
    };
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let property = property.as_str().unwrap_or_default();
            violations.push(violation(to_key(at, property), "nothing".to_owned()));
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            for key in unexpected {
                let pointer = to_key(at, key);
                // Nobody knows whether it is a secret under a wrong name.
                let found = shown.pointer(&pointer).map_or("a hidden value", sort_of).to_owned();
                violations.push(violation(pointer, found));
            }
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            match meant(context, at) {
                Some(errors) => errors.iter().for_each(|error| add(error, shown, violations)),
                None => violations.push(violation(at.to_owned(), found(shown, at))),
            }
        }
        _ => violations.push(violation(at.to_owned(), found(shown, at))),
    }
}

/// The one form that was meant, if that can be told: all others are of another sort altogether.
fn meant<'a>(context: &'a [Vec<ValidationError<'static>>], at: &str) -> Option<&'a Vec<ValidationError<'static>>> {
    let is_other = |errors: &&Vec<ValidationError<'static>>| {
        errors.iter().any(|error| {
            let of_its_sort = matches!(
                error.kind(),
                ValidationErrorKind::Type { .. }
                    | ValidationErrorKind::Constant { .. }
                    | ValidationErrorKind::Enum { .. }
                    | ValidationErrorKind::FalseSchema
            );
            of_its_sort && error.instance_path().as_str() == at
        })
    };
    let mut alike = context.iter().filter(|errors| !is_other(errors));
    let first = alike.next()?;
    alike.next().is_none().then_some(first)
}

fn found(shown: &Value, at: &str) -> String {
    match shown.pointer(at) {
        // It lies below what is masked.
        None => "a hidden value".to_owned(),
        Some(Value::String(text)) if text == MASK => "a hidden value".to_owned(),
        Some(value @ (Value::Array(_) | Value::Object(_))) => sort_of(value).to_owned(),
        Some(value) => {
            let text = value.to_string();
            match text.char_indices().nth(LONGEST) {
                Some((cut, _)) => format!("{}…", &text[..cut]),
                None => text,
            }
        }
    }
}
