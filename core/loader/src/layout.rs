//! Comparing the layouts a plugin was built with to this host's. Only for the verifying child: the comparison keeps
//! references into the library.

use abi_stable::{
    StableAbi,
    abi_stability::abi_checking::{
        AbiInstability, AbiInstabilityErrors, CheckingGlobals, check_layout_compatibility_with_globals,
    },
    type_layout::TypeLayout,
};
use camlock_abi::{ABI, Entry, HostTableRef, RootRef};

/// Checks both sides' types; the first difference in a sentence.
pub(crate) fn check(entry: &'static Entry, minor: u16) -> Result<(), String> {
    let pairs =
        [(<RootRef as StableAbi>::LAYOUT, entry.root_layout), (<HostTableRef as StableAbi>::LAYOUT, entry.host_layout)];
    for (host, plugin) in pairs {
        // The check has a direction: the older side is the interface, and the newer one may have more.
        let (interface, implementation) = if minor <= ABI.minor { (plugin, host) } else { (host, plugin) };
        check_layout_compatibility_with_globals(interface, implementation, &CheckingGlobals::new())
            .map_err(|errors| sentence(&errors, minor <= ABI.minor))?;
    }
    Ok(())
}

fn sentence(errors: &AbiInstabilityErrors, plugin_is_interface: bool) -> String {
    // The innermost place says most; the first difference is the one to mend.
    let Some(first) = errors.errors.iter().max_by_key(|error| error.stack_trace.len()) else {
        return "its types are laid out differently".to_owned();
    };
    let mut path = String::new();
    for step in first.stack_trace.iter().rev().take(2).rev() {
        if !path.is_empty() {
            path.push_str(" → ");
        }
        path.push_str(&place(&format!("{}", step.expected)));
    }
    let differences: Vec<_> = first.errs.iter().take(2).map(|error| difference(error, plugin_is_interface)).collect();
    let types = first.stack_trace.last().map(|step| place(&format!("{}", step.found)));
    let _ = types;
    format!(
        "its types differ from this host's: {}: {}",
        if path.is_empty() { "the root" } else { &path },
        differences.join("; ")
    )
}

/// `field` of a type, from abi_stable's rendering of a step, which has one thing a line.
fn place(step: &str) -> String {
    step.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect()
}

fn difference(error: &AbiInstability, plugin_is_interface: bool) -> String {
    let sides = |expected: String, found: String| {
        if plugin_is_interface { (expected, found) } else { (found, expected) }
    };
    let told = |what: &str, expected: String, found: String| {
        let (plugin, host) = sides(expected, found);
        format!("{what} is {plugin} in the plugin and {host} here")
    };
    match error {
        AbiInstability::Size(sizes) => told("the size", sizes.expected.to_string(), sizes.found.to_string()),
        AbiInstability::Alignment(sizes) => told("the alignment", sizes.expected.to_string(), sizes.found.to_string()),
        AbiInstability::Name(names) => told("the type", names.expected.to_string(), names.found.to_string()),
        AbiInstability::MismatchedPrimitive(types) => {
            told("the type", format!("{:?}", types.expected), format!("{:?}", types.found))
        }
        AbiInstability::FieldCountMismatch(counts) => {
            told("the number of fields", counts.expected.to_string(), counts.found.to_string())
        }
        AbiInstability::UnexpectedField(fields) => {
            told("a field", fields.expected.name().to_owned(), fields.found.name().to_owned())
        }
        AbiInstability::MismatchedPrefixSize(sizes) => {
            told("the number of fixed fields", sizes.expected.to_string(), sizes.found.to_string())
        }
        other => place(&format!("{other:?}")),
    }
}

#[allow(dead_code, reason = "names the type in the signatures above")]
type Layout = &'static TypeLayout;
