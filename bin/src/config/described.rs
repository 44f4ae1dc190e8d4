//! Holds the keys of the configuration against the operators' guide. What must not live here: what they mean.

use super::tests::refused;

/// The keys that there are, as an unknown one is refused with.
fn keys(above: &str) -> Vec<String> {
    let refused = refused(&format!("{above}nobody = 1"));
    let expected = refused.split_once("expected").expect("what was expected").1;
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_stands_in_the_operators_guide_and_no_other() {
    let guide = include_str!("../../../docs/operators.md");
    let (_, guide) = guide.split_once("## Settings\n").expect("the chapter");
    let (guide, _) = guide.split_once("\n## ").expect("the next one");
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let mut described: Vec<_> = rows.map(|(key, _)| key.to_owned()).collect();
    let sections = keys("").into_iter().filter(|section| section != "plugin" && section != "limits");
    // Each service has a table of its own.
    let sections = sections.flat_map(|section| match &*section {
        "services" => keys("services.").into_iter().map(|service| format!("services.{service}")).collect(),
        _ => vec![section],
    });
    let of = |section: &str| {
        keys(&format!("{section}.")).into_iter().map(|key| format!("{section}.{key}")).collect::<Vec<_>>()
    };
    let mut there: Vec<_> = sections
        .flat_map(|section| match &*section {
            "catalog" => vec!["[[catalog]]".to_owned()],
            _ => of(&section),
        })
        .flat_map(|key| match &*key {
            // A pin is for one plugin.
            "catalogs.updates" => of(&key).into_iter().filter(|key| !key.ends_with(".pin")).collect(),
            _ => vec![key],
        })
        .collect();
    there.extend(keys("limits.").into_iter().map(|key| match &*key {
        "log" | "claims" | "isolation" | "ui" => format!("plugin.NAME.{key}"),
        "env" => "plugin.NAME.env.KEY".to_owned(),
        "updates" => "plugin.NAME.updates.…".to_owned(),
        _ => key,
    }));
    described.sort();
    there.sort();
    assert_eq!(described, there);
}
