//! A configuration that fits, where nobody has written one: for the process that only tries a build.
//!
//! It is made of the schema's defaults, of its `examples`, and of the least that its rules ask for. Where they leave a choice (`anyOf`,
//! `oneOf`, several types) one after the other is tried, and whoever asks says what fits. What must not live here: what fits.

use crate::{
    defaults::default_of,
    pattern,
    pointer::{to_item, to_key},
    walk::Place,
};
use camlock_policy::ConfigViolation;
use serde_json::{Map, Number, Value, json};

/// No value could be made for a place, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no placeholder could be made for `{pointer}`: {why}; give it a `default` or `examples` in the schema")]
pub struct NoPlaceholder {
    /// The place.
    pub pointer: String,
    /// Why there is none.
    pub why: String,
}

/// So many ways through the choices are tried.
const MOST_TRIES: usize = 64;
const DEEPEST: usize = 32;
const MOST_VALUES: usize = 10_000;

/// Makes a configuration, of which `misfit` says what of it does not fit yet.
pub(crate) fn make(
    root: &Place<'_>,
    misfit: impl Fn(&Value) -> Option<ConfigViolation>,
) -> Result<Value, NoPlaceholder> {
    let mut choices = Choices::default();
    let mut first_trouble = None;
    for _ in 0..MOST_TRIES {
        let mut making = Making { choices: &mut choices, values: 0 };
        let mut config = Value::Object(Map::new());
        let made = making.complete(root, &mut config, "", 0);
        let trouble = match made {
            Err(none) => none,
            Ok(()) => match misfit(&config) {
                None => return Ok(config),
                Some(ConfigViolation { pointer, expected, found }) => {
                    let why = format!("{found} was tried, and {expected} is expected");
                    NoPlaceholder { pointer, why }
                }
            },
        };
        first_trouble.get_or_insert(trouble);
        if !choices.next() {
            break;
        }
    }
    Err(first_trouble.unwrap_or_else(|| NoPlaceholder { pointer: String::new(), why: "nothing was tried".to_owned() }))
}

/// Which way is taken where there are several: counted like the wheels of an odometer.
#[derive(Default)]
struct Choices {
    /// What was chosen, of how many.
    taken: Vec<(usize, usize)>,
    at: usize,
}

impl Choices {
    fn choose(&mut self, of: usize) -> usize {
        if of <= 1 {
            return 0;
        }
        let at = self.at;
        self.at += 1;
        match self.taken.get(at) {
            Some((taken, _)) => (*taken).min(of - 1),
            None => {
                self.taken.push((0, of));
                0
            }
        }
    }

    /// The next way; false if all were taken.
    fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((taken, of)) = self.taken.pop() {
            if taken + 1 < of {
                self.taken.push((taken + 1, of));
                return true;
            }
        }
        false
    }
}

struct Making<'c> {
    choices: &'c mut Choices,
    values: usize,
}

impl Making<'_> {
    /// All rules that hold at a place, with a way through its choices.
    fn rules<'r>(&mut self, place: &Place<'r>) -> Vec<Place<'r>> {
        let mut rules = place.together();
        let mut next = 0;
        while next < rules.len() && rules.len() < 256 {
            for keyword in ["anyOf", "oneOf"] {
                let forms = rules[next].list(keyword);
                if let Some(form) = forms.get(self.choices.choose(forms.len())) {
                    for rule in form.together() {
                        if !rules.iter().any(|known| std::ptr::eq(known.schema, rule.schema)) {
                            rules.push(rule);
                        }
                    }
                }
            }
            next += 1;
        }
        rules
    }

    /// Adds what a value lacks that is there.
    fn complete(&mut self, place: &Place<'_>, value: &mut Value, at: &str, depth: usize) -> Result<(), NoPlaceholder> {
        self.values += 1;
        if depth > DEEPEST || self.values > MOST_VALUES {
            return Ok(());
        }
        let rules = self.rules(place);
        self.complete_by(&rules, value, at, depth)
    }

    fn complete_by(
        &mut self,
        rules: &[Place<'_>],
        value: &mut Value,
        at: &str,
        depth: usize,
    ) -> Result<(), NoPlaceholder> {
        let Value::Object(map) = value else { return Ok(()) };
        for rule in rules {
            for (name, schema) in rule.named("properties") {
                if !map.contains_key(name)
                    && self.values < MOST_VALUES
                    && let Some(default) = default_of(&schema)
                {
                    self.values += 1;
                    map.insert(name.to_owned(), default.clone());
                }
            }
        }
        let list = |rule: &Place<'_>, keyword: &str| -> Vec<String> {
            let names = rule.keywords().and_then(|keywords| keywords.get(keyword)).and_then(Value::as_array);
            names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut required: Vec<String> = rules.iter().flat_map(|rule| list(rule, "required")).collect();
        let dependent = |rule: &Place<'_>| {
            let keywords = rule.keywords()?.get("dependentRequired")?.as_object()?;
            let there = keywords.iter().filter(|(name, _)| map.contains_key(*name) || required.contains(name));
            Some(there.flat_map(|(_, names)| names.as_array().into_iter().flatten()).cloned().collect::<Vec<_>>())
        };
        let more: Vec<String> =
            rules.iter().filter_map(dependent).flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        required.extend(more);
        for name in required {
            if map.contains_key(&name) {
                continue;
            }
            let made = self.make(&schemas_of(rules, &name), &to_key(at, &name), depth + 1, 0)?;
            map.insert(name, made);
        }
        for (name, value) in map.iter_mut() {
            for schema in schemas_of(rules, name) {
                self.complete(&schema, value, &to_key(at, name), depth + 1)?;
            }
        }
        Ok(())
    }

    /// A value for a place where there is none; the `nth` of several that are to differ.
    fn make(&mut self, places: &[Place<'_>], at: &str, depth: usize, nth: usize) -> Result<Value, NoPlaceholder> {
        let none = |why: &str| Err(NoPlaceholder { pointer: at.to_owned(), why: why.to_owned() });
        self.values += 1;
        if depth > DEEPEST || self.values > MOST_VALUES {
            return none("what is required is nested without end");
        }
        let mut rules = Vec::new();
        for place in places {
            rules.extend(self.rules(place));
        }
        let given = |keyword: &str| rules.iter().find_map(|rule| rule.keywords()?.get(keyword));
        if let Some(value) = given("const") {
            return Ok(value.clone());
        }
        let example = given("examples").and_then(|examples| examples.get(nth));
        if let Some(value) = given("default").filter(|_| nth == 0).or(example) {
            let mut value = value.clone();
            self.complete_by(&rules, &mut value, at, depth)?;
            return Ok(value);
        }
        if let Some(Value::Array(values)) = given("enum") {
            let chosen = if nth == 0 { self.choices.choose(values.len().min(8)) } else { nth };
            return match values.get(chosen) {
                Some(value) => Ok(value.clone()),
                None => none("its `enum` does not list enough"),
            };
        }
        if rules.iter().any(|rule| *rule.schema == Value::Bool(false)) {
            return none("its schema allows nothing");
        }
        let types = types_of(&rules);
        let Some(kind) = types.get(self.choices.choose(types.len())) else {
            return none("its types exclude each other");
        };
        match kind.as_str() {
            "object" => {
                let mut value = Value::Object(Map::new());
                self.complete_by(&rules, &mut value, at, depth)?;
                Ok(value)
            }
            "array" => self.make_list(&rules, at, depth),
            "string" => match text(&rules, nth) {
                Ok(text) => Ok(Value::String(text)),
                Err(why) => none(&why),
            },
            "integer" => Ok(number(&rules, true, nth)),
            "number" => Ok(number(&rules, false, nth)),
            "boolean" => Ok(Value::Bool(nth % 2 == 1)),
            "null" => Ok(Value::Null),
            other => none(&format!("there is no type `{other}`")),
        }
    }

    fn make_list(&mut self, rules: &[Place<'_>], at: &str, depth: usize) -> Result<Value, NoPlaceholder> {
        let least = most_of(rules, "minItems").unwrap_or(0.0) as usize;
        let contains: Vec<_> = rules.iter().filter_map(|rule| rule.one("contains")).collect();
        let contained = if contains.is_empty() { 0 } else { most_of(rules, "minContains").unwrap_or(1.0) as usize };
        let mut items = Vec::new();
        for index in 0..least.max(contained).min(MOST_VALUES) {
            let mut schemas: Vec<_> = if index < contained { contains.clone() } else { Vec::new() };
            for rule in rules {
                let first = rule.list("prefixItems");
                let rest = || rule.one("items").filter(|_| index >= first.len());
                schemas.extend(first.get(index).cloned().or_else(rest));
            }
            items.push(self.make(&schemas, &to_item(at, index), depth + 1, index)?);
        }
        Ok(Value::Array(items))
    }
}

/// The schemas that hold for a key.
fn schemas_of<'r>(rules: &[Place<'r>], key: &str) -> Vec<Place<'r>> {
    let of = |rule: &Place<'r>| {
        let own = rule.named("properties").into_iter().find(|(name, _)| *name == key).map(|(_, schema)| schema);
        own.or_else(|| rule.one("additionalProperties"))
    };
    rules.iter().filter_map(of).collect()
}

/// The types that a value may have, those first that say most.
fn types_of(rules: &[Place<'_>]) -> Vec<String> {
    let listed = |rule: &Place<'_>| match rule.keywords()?.get("type")? {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(several) => Some(several.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => None,
    };
    let mut lists = rules.iter().filter_map(listed);
    let Some(mut types) = lists.next() else { return vec![meant_type(rules).to_owned()] };
    for other in lists {
        let whole = |kind: &String| kind == "number" && other.iter().any(|other| other == "integer");
        types.iter_mut().filter(|kind| whole(kind)).for_each(|kind| "integer".clone_into(kind));
        types.retain(|kind| other.contains(kind) || kind == "integer" && other.iter().any(|other| other == "number"));
    }
    types.sort_by_key(|kind| kind == "null");
    types
}

/// What a schema without a type speaks of.
fn meant_type(rules: &[Place<'_>]) -> &'static str {
    let says = |words: &[&str]| {
        rules.iter().filter_map(Place::keywords).any(|keywords| words.iter().any(|word| keywords.contains_key(*word)))
    };
    if says(&["properties", "required", "additionalProperties", "minProperties"]) {
        "object"
    } else if says(&["items", "prefixItems", "minItems", "contains"]) {
        "array"
    } else if says(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
        "number"
    } else {
        "string"
    }
}

fn numbers<'a>(rules: &'a [Place<'_>], keyword: &'a str) -> impl Iterator<Item = f64> + 'a {
    rules.iter().filter_map(move |rule| rule.keywords()?.get(keyword)?.as_f64())
}

/// The largest that any rule says.
fn most_of(rules: &[Place<'_>], keyword: &str) -> Option<f64> {
    numbers(rules, keyword).reduce(f64::max)
}

/// The smallest that any rule says.
fn least_of(rules: &[Place<'_>], keyword: &str) -> Option<f64> {
    numbers(rules, keyword).reduce(f64::min)
}

/// A number within the bounds, as near to nothing as they let it be.
fn number(rules: &[Place<'_>], whole: bool, nth: usize) -> Value {
    let step = most_of(rules, "multipleOf").unwrap_or(1.0);
    let (above, below) = (most_of(rules, "exclusiveMinimum"), least_of(rules, "exclusiveMaximum"));
    let lowest = most_of(rules, "minimum").into_iter().chain(above).reduce(f64::max);
    let highest = least_of(rules, "maximum").into_iter().chain(below).reduce(f64::min);
    let fits = |value: f64| {
        lowest.is_none_or(|lowest| value > lowest || value == lowest && above != Some(lowest))
            && highest.is_none_or(|highest| value < highest || value == highest && below != Some(highest))
    };
    let up = lowest.map(|lowest| (lowest / step).ceil() * step);
    let down = highest.map(|highest| (highest / step).floor() * step);
    let between = lowest.zip(highest).map(|(lowest, highest)| (lowest + highest) / 2.0);
    let tried = [Some(0.0), up, up.map(|up| up + step), down, down.map(|down| down - step), between.filter(|_| !whole)];
    let value = tried.into_iter().flatten().find(|value| fits(*value)).unwrap_or(0.0);
    let next = value + step * nth as f64;
    let value = if fits(next) { next } else { value - step * nth as f64 };
    if value.fract() == 0.0 && value.abs() < 9e15 {
        json!(value as i64)
    } else {
        Number::from_f64(value).map_or(json!(0), Value::Number)
    }
}

/// A text that the rules allow, as far as they can be read.
fn text(rules: &[Place<'_>], nth: usize) -> Result<String, String> {
    let shortest = most_of(rules, "minLength").unwrap_or(0.0) as usize;
    let longest = least_of(rules, "maxLength").map_or(usize::MAX, |longest| longest as usize);
    let word = |keyword: &str| rules.iter().find_map(|rule| rule.keywords()?.get(keyword)?.as_str());
    if let Some(pattern) = word("pattern") {
        return pattern::sample(pattern, shortest)
            .ok_or_else(|| format!("its pattern `{pattern}` cannot be read backwards"));
    }
    if let Some(text) = word("format").and_then(of_format) {
        return Ok(text.to_owned());
    }
    let number = if nth == 0 { String::new() } else { nth.to_string() };
    let room = longest.saturating_sub(number.len());
    let mut text: String = "placeholder".chars().take(room).collect();
    text.push_str(&number);
    let lacking = shortest.saturating_sub(text.len());
    if lacking > 1 << 20 {
        return Err(format!("it has to have {shortest} characters"));
    }
    Ok(text + &"x".repeat(lacking))
}

/// A text of a format that has a name.
fn of_format(format: &str) -> Option<&'static str> {
    Some(match format {
        "date" => "2000-01-01",
        "date-time" => "2000-01-01T00:00:00Z",
        "time" => "00:00:00Z",
        "duration" => "PT1S",
        "email" | "idn-email" => "nobody@example.com",
        "hostname" | "idn-hostname" => "localhost",
        "ipv4" | "ip" => "127.0.0.1",
        "ipv6" => "::1",
        "uri" | "iri" | "uri-reference" | "iri-reference" | "url" => "http://localhost/",
        "uuid" => "00000000-0000-0000-0000-000000000000",
        "json-pointer" => "",
        "regex" => ".*",
        _ => return None,
    })
}
