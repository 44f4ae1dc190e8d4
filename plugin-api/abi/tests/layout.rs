//! The contract's layouts, pinned: size, alignment and the offset of every field of every type of ours, as they are written down
//! for each version of the contract. Once a version is out in the world, a difference here breaks plugins.

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
const VERSIONS: [&str; 1] = ["1.0"];

/// What is written down of a version.
fn snapshot_path(version: &str) -> PathBuf {
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
fn the_contract_is_as_it_is_written_down() {
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
    assert_eq!(newest, camlock_abi::ABI_TEXT);
    let snapshot = snapshot_path(newest);
    let expected = fs::read_to_string(&snapshot).unwrap_or_default();
    if text != expected {
        let actual = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("layout-{newest}.txt"));
        fs::write(&actual, &text).unwrap();
        panic!("the contract's layouts have changed: compare {} with {}", snapshot.display(), actual.display());
    }
}

/// The fields of each type, and before them its size.
type Types = BTreeMap<String, (String, Vec<String>)>;

fn read(text: &str) -> Types {
    let types = text.split("\n\n").skip(1).map(|written| {
        let mut lines = written.trim_end().lines().map(str::to_owned);
        let (name, size) = (lines.next().unwrap(), lines.next().unwrap());
        (name, (size, lines.collect()))
    });
    types.collect()
}

fn snapshot(version: &str) -> Types {
    read(&fs::read_to_string(snapshot_path(version)).unwrap())
}

/// Whether the later version only adds at the end of the two tables that grow; else what it does to others.
fn only_grows(before: &Types, after: &Types) -> Result<(), String> {
    for (name, (size, fields)) in before {
        let (size_after, fields_after) = after.get(name).ok_or_else(|| format!("{name} is gone"))?;
        let grows = ["Root", "HostTable"].contains(&&**name);
        let same = if grows { fields_after.starts_with(fields) } else { (size, fields) == (size_after, fields_after) };
        if !same {
            return Err(format!("{name} is changed"));
        }
    }
    Ok(())
}

#[test]
fn a_later_version_only_adds_at_the_end_of_two_types() {
    for pair in VERSIONS.windows(2) {
        let [older, newer] = pair else { unreachable!("two at a time") };
        assert_eq!(only_grows(&snapshot(older), &snapshot(newer)), Ok(()), "from {older} to {newer}");
    }
    // The comparison itself, by what a later version could do to the newest one.
    let [.., newest] = VERSIONS;
    let now = snapshot(newest);
    let changed = |name: &str, change: fn(&mut Vec<String>)| {
        let mut later = now.clone();
        change(&mut later.get_mut(name).unwrap_or_else(|| panic!("{name} is not in {newest}")).1);
        only_grows(&now, &later)
    };
    for name in ["Root", "HostTable"] {
        assert_eq!(changed(name, |fields| fields.push("another".to_owned())), Ok(()));
        assert_eq!(changed(name, |fields| fields.insert(1, "another".to_owned())), Err(format!("{name} is changed")));
        assert_eq!(changed(name, |fields| fields.truncate(3)), Err(format!("{name} is changed")));
    }
    assert_eq!(
        changed("RequestHead<'a>", |fields| fields.push("another".to_owned())),
        Err("RequestHead<'a> is changed".to_owned())
    );
    assert_eq!(only_grows(&now, &Types::new()), Err(format!("{} is gone", now.keys().next().unwrap())));
}
