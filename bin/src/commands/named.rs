//! A plugin that somebody names, who may have meant another one.

use crate::{
    Failed,
    client::{Client, Problem},
};

/// Why something was not had of a plugin; if there is none of that name, with the name that was meant, perhaps.
pub(super) async fn explained(client: &Client, name: &str, problem: Problem) -> Failed {
    for rendered in &problem.rendered {
        crate::print::beside(format_args!("{}\n", crate::print::plain(rendered)));
    }
    if !problem.is_unknown() {
        return problem.failed;
    }
    let others = client.list("/api/v1/plugins?limit=500").await.unwrap_or_default();
    let names: Vec<&str> = others.iter().filter_map(|plugin| plugin["name"].as_str()).collect();
    let reason = problem.failed.reason;
    if names.contains(&name) {
        return reason.into();
    }
    match near(name, &names) {
        Some(meant) => format!("{reason}; did you mean `{meant}`?").into(),
        None => format!("{reason}; `camlock list` shows those that there are").into(),
    }
}

/// The name that is most like this one, if it is much alike.
pub(super) fn near<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let wanted = name.to_lowercase().replace('_', "-");
    let distance = |other: &str| match other {
        other if other.starts_with(&wanted) && wanted.len() >= 3 => 0,
        other => strsim::damerau_levenshtein(&wanted, other),
    };
    let nearest = names.iter().map(|other| (distance(other), *other)).min()?;
    (nearest.0 <= (wanted.len() / 3).max(1)).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn near_names_are_found() {
        let names = ["hello", "powertable", "ticker"];
        for (name, meant) in [
            ("helo", Some("hello")),
            ("ehllo", Some("hello")),
            ("Hello", Some("hello")),
            ("power", Some("powertable")),
            ("power_table", Some("powertable")),
            ("tick", Some("ticker")),
            ("xyz", None),
            ("h", None),
        ] {
            assert_eq!(near(name, &names), meant, "{name}");
        }
        assert_eq!(near("hello", &[]), None);
    }
}
