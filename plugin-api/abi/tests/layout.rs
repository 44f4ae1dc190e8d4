//! The contract's layouts, pinned: size, alignment and the offset of every field of every type of ours, as they were when the
//! contract was frozen. A difference here breaks plugins that are out in the world.

use abi_stable::{
    StableAbi,
    type_layout::{TLDataDiscriminant, TypeLayout},
};
use camlock_abi::{Entry, Hooks, HostTableRef, RootRef};
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

/// Collects the types of this crate that are reachable from a type, through fields and through functions' parameters.
fn collect(layout: &'static TypeLayout, into: &mut BTreeMap<String, String>) {
    let name = layout.full_type().to_string();
    if into.contains_key(&name) {
        return;
    }
    let ours = layout.package() == "camlock-abi" || layout.package() == "camlock_abi";
    let mut told = String::new();
    if ours {
        write!(told, "{} bytes, aligned to {}", layout.size(), layout.alignment()).unwrap();
    }
    into.insert(name.clone(), String::new());
    let is_enum = layout.data_discriminant() == TLDataDiscriminant::Enum;
    let mut offset = 0;
    for field in layout.get_fields().into_iter().flatten() {
        let inner = field.layout();
        offset = usize::next_multiple_of(offset, inner.alignment().max(1));
        // The fields of variants lie over one another.
        let at = if is_enum { "    ".to_owned() } else { format!("{offset:>4}") };
        let functions: Vec<_> = field.function_range().iter().map(|function| one_line(&function.to_string())).collect();
        let kind = if functions.is_empty() { field.full_type().to_string() } else { functions.join(" ") };
        write!(told, "\n    {at} {}: {}", field.name(), kind.trim()).unwrap();
        offset += inner.size();
        collect(inner, into);
    }
    // What lies behind references and function pointers.
    for shared in layout.shared_vars().type_layouts() {
        collect(shared(), into);
    }
    if ours {
        into.insert(name, told);
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_contract_is_as_it_was_frozen() {
    let mut types = BTreeMap::new();
    for layout in [<RootRef as StableAbi>::LAYOUT, <HostTableRef as StableAbi>::LAYOUT, <Hooks as StableAbi>::LAYOUT] {
        collect(layout, &mut types);
    }
    let mut text = String::from("The layouts of contract 1.0 on 64-bit machines.\n");
    writeln!(text, "\nEntry\n    {} bytes, aligned to {}", size_of::<Entry>(), align_of::<Entry>()).unwrap();
    for (name, told) in types.iter().filter(|(_, told)| !told.is_empty()) {
        writeln!(text, "\n{name}\n    {told}").unwrap();
    }
    for needed in ["RequestHead", "ResponseHead", "Root", "HostTable", "Body", "Task", "Job", "WakerHeader", "Hooks"] {
        assert!(text.contains(&format!("\n{needed}")), "{needed} is not among the types:\n{text}");
    }
    if cfg!(feature = "next") {
        return;
    }
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("layout-1.0.txt");
    let expected = std::fs::read_to_string(&frozen).unwrap_or_default();
    if text != expected {
        let actual = Path::new(env!("CARGO_TARGET_TMPDIR")).join("layout-1.0.txt");
        std::fs::write(&actual, &text).unwrap();
        panic!("the contract's layouts have changed: compare {} with {}", frozen.display(), actual.display());
    }
}
