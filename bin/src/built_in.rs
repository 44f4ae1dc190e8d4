//! The plugins that are compiled into this program, a line for each.

use camlock_loader::BuiltIn;

/// All of them, as the features of this build say.
pub(crate) fn all() -> Vec<BuiltIn> {
    vec![
        #[cfg(feature = "about")]
        about::CAMLOCK_PLUGIN,
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn each_is_a_plugin_with_a_name_of_its_own() {
        let all = super::all();
        let sections = all.iter().map(|plugin| camlock_loader::inspect_built_in(plugin).expect("it is a plugin"));
        let names: BTreeSet<_> = sections.map(|sections| sections.manifest.name).collect();
        assert_eq!(names.len(), all.len(), "{names:?}");
        assert_eq!(names.contains("about"), cfg!(feature = "about"));
    }
}
