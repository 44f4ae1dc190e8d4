//! Comparing the layouts a plugin was built with to this host's. Only for the verifying child: the comparison keeps
//! references into the library.

use abi_stable::{
    StableAbi,
    abi_stability::abi_checking::{
        AbiInstability, AbiInstabilityErrors, CheckingGlobals, ExpectedFound, check_layout_compatibility_with_globals,
    },
    type_layout::{TLFieldOrFunction, TypeLayout},
};
use camlock_abi::{ABI, Entry, HostTableRef, RootRef};
use std::{cmp::Reverse, fmt::Display};

/// Checks both sides' types; the first difference in a sentence.
pub(crate) fn check(entry: &'static Entry, minor: u16) -> Result<(), String> {
    let pairs =
        [(<RootRef as StableAbi>::LAYOUT, entry.root_layout), (<HostTableRef as StableAbi>::LAYOUT, entry.host_layout)];
    for (host, plugin) in pairs {
        // The check has a direction: the older side is the interface, and the newer one may have more.
        let plugin_is_interface = minor.cmp(&ABI.minor).is_le();
        let (interface, implementation) = if plugin_is_interface { (plugin, host) } else { (host, plugin) };
        check_layout_compatibility_with_globals(interface, implementation, &CheckingGlobals::new())
            .map_err(|errors| sentence(&errors, plugin_is_interface))?;
    }
    Ok(())
}

fn sentence(errors: &AbiInstabilityErrors, plugin_is_interface: bool) -> String {
    // The innermost place says most; the first difference there is the one to mend.
    let first = errors.errors.iter().min_by_key(|error| Reverse(error.stack_trace.len()));
    let told = first.and_then(|error| {
        let sides = Sides { plugin_is_interface };
        let (interface, implementation) = match error.stack_trace.last() {
            Some(step) => (step.expected.layout()?, step.found.layout()?),
            None => (errors.interface, errors.implementation),
        };
        let fields = sides.fields(interface, implementation).filter(|_| is_about_fields(&error.errs));
        fields.or_else(|| {
            let place = place(&error.stack_trace, errors.interface);
            error.errs.first().map(|difference| format!("{place}: {}", sides.difference(difference)))
        })
    });
    match told {
        Some(told) => format!("its types differ from this host's: {told}"),
        None => "its types are laid out differently from this host's".to_owned(),
    }
}

/// What a step of abi_stable's trace leads to; a function leads to its parameters, which are steps of their own.
trait TraceStep {
    fn layout(&self) -> Option<&'static TypeLayout>;
}

impl TraceStep for TLFieldOrFunction {
    fn layout(&self) -> Option<&'static TypeLayout> {
        match self {
            TLFieldOrFunction::Field(field) => Some(field.layout()),
            TLFieldOrFunction::Function(_) => None,
        }
    }
}

/// `field` of `type`: the last step that was into a named type, for those into a reference or a slice say nothing.
fn place(trace: &[ExpectedFound<TLFieldOrFunction>], root: &'static TypeLayout) -> String {
    for (index, step) in trace.iter().enumerate().rev() {
        let TLFieldOrFunction::Field(field) = &step.expected else { continue };
        let owner = match index.checked_sub(1).map(|before| &trace[before].expected) {
            Some(TLFieldOrFunction::Function(function)) => {
                return format!("parameter `{}` of `{}`", field.name(), function.name);
            }
            Some(TLFieldOrFunction::Field(owner)) => owner.layout(),
            None => root,
        };
        if owner.name().starts_with(char::is_alphabetic) {
            return format!("field `{}` of `{}`", field.name(), owner.name());
        }
    }
    format!("`{}`", root.name())
}

fn is_about_fields(differences: &[AbiInstability]) -> bool {
    let about = |difference: &AbiInstability| {
        matches!(difference, AbiInstability::FieldCountMismatch(_) | AbiInstability::UnexpectedField(_))
    };
    differences.iter().any(about)
}

/// Which side of a comparison is the plugin.
#[derive(Clone, Copy)]
struct Sides {
    plugin_is_interface: bool,
}

impl Sides {
    fn order<T>(self, interface: T, implementation: T) -> (T, T) {
        if self.plugin_is_interface { (interface, implementation) } else { (implementation, interface) }
    }

    /// Which field one side has and the other has not, or has elsewhere.
    fn fields(self, interface: &'static TypeLayout, implementation: &'static TypeLayout) -> Option<String> {
        let names = |layout: &'static TypeLayout| {
            layout.get_fields().map(|fields| fields.iter().map(|field| field.name()).collect::<Vec<_>>())
        };
        let (plugin, host) = self.order(names(interface)?, names(implementation)?);
        let added = plugin.iter().find(|name| !host.contains(name));
        let missing = host.iter().find(|name| !plugin.contains(name));
        let owner = interface.name();
        Some(match (added, missing) {
            (Some(added), Some(missing)) => {
                format!("`{owner}` has a field `{added}` in the plugin and a field `{missing}` here")
            }
            (Some(added), None) => format!("`{owner}` has a field `{added}` in the plugin and none here"),
            (None, Some(missing)) => format!("`{owner}` has a field `{missing}` here and none in the plugin"),
            (None, None) => {
                let (theirs, ours) = plugin.iter().zip(&host).find(|(theirs, ours)| theirs != ours)?;
                format!("`{owner}` has the field `{theirs}` in the plugin where it has `{ours}` here")
            }
        })
    }

    fn difference(self, difference: &AbiInstability) -> String {
        use AbiInstability as Of;
        match difference {
            Of::Size(sizes) => self.both("the size", &sizes.expected, &sizes.found),
            Of::Alignment(sizes) => self.both("the alignment", &sizes.expected, &sizes.found),
            Of::Name(names) => self.both("the type", &names.expected, &names.found),
            Of::FieldCountMismatch(counts) => self.both("the number of fields", &counts.expected, &counts.found),
            Of::UnexpectedField(fields) => self.both("a field", &fields.expected.name(), &fields.found.name()),
            Of::MismatchedPrefixSize(sizes) => self.both("the number of fixed fields", &sizes.expected, &sizes.found),
            Of::TooManyVariants(counts) => self.both("the number of variants", &counts.expected, &counts.found),
            Of::UnexpectedVariant(names) => self.both("a variant", &names.expected, &names.found),
            Of::PackageVersion(versions) => self.both("the version of its crate", &versions.expected, &versions.found),
            // The rest has no wording of its own; abi_stable's name for it is short, once its lines are joined.
            other => format!("{other:?}").split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect(),
        }
    }

    fn both<T: Display>(self, what: &str, interface: &T, implementation: &T) -> String {
        let (plugin, host) = self.order(interface, implementation);
        format!("{what} is {plugin} in the plugin and {host} here")
    }
}
