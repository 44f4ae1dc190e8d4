//! The contract's layouts, pinned: size, alignment and the offset of every field of every type of ours, as they were when each
//! version of the contract was frozen. A difference here breaks plugins that are out in the world.

use abi_stable::{
    StableAbi,
    type_layout::{TLDataDiscriminant, TypeLayout},
};
use camlock_abi::{Entry, Hooks, HostTableRef, RootRef};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// The versions of the contract so far.
const VERSIONS: [&str; 2] = ["1.0", "1.1"];

/// What was written down when a version was frozen.
fn frozen(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("layout-{version}.txt"))
}

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
    let [.., newest] = VERSIONS;
    let mut text = format!("The layouts of contract {newest} on 64-bit machines.\n");
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
    assert_eq!(newest, camlock_abi::ABI_TEXT);
    let frozen = frozen(newest);
    let expected = fs::read_to_string(&frozen).unwrap_or_default();
    if text != expected {
        let actual = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("layout-{newest}.txt"));
        fs::write(&actual, &text).unwrap();
        panic!("the contract's layouts have changed: compare {} with {}", frozen.display(), actual.display());
    }
}

/// The fields of each type, and before them its size.
fn read(version: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let text = fs::read_to_string(frozen(version)).unwrap();
    let types = text.split("\n\n").skip(1).map(|told| {
        let mut lines = told.lines().map(str::to_owned);
        let (name, size) = (lines.next().unwrap(), lines.next().unwrap());
        (name, (size, lines.collect()))
    });
    types.collect()
}

#[test]
fn a_later_version_only_adds_at_the_end_of_two_types() {
    for pair in VERSIONS.windows(2) {
        let [older, newer] = pair else { unreachable!("two at a time") };
        let (before, after) = (read(older), read(newer));
        for (name, (size, fields)) in &before {
            let (size_now, fields_now) = after.get(name).unwrap_or_else(|| panic!("{name} is not in {newer}"));
            if ["Root", "HostTable"].contains(&&**name) {
                assert_eq!(fields[..], fields_now[..fields.len()], "{name} in {older} and {newer}");
            } else {
                assert_eq!((size, fields), (size_now, fields_now), "{name} in {older} and {newer}");
            }
        }
        assert!(before.contains_key("Root") && before.contains_key("HostTable"), "{older} is read wrongly");
    }
}
