//! Names for the addresses of a panic, from the stored artifact: the process itself never reads debug information.

use crate::objects::mapping_around;
use object::{Object, ObjectSymbol, SymbolKind};
use std::{
    fs,
    ops::Range,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

/// The functions of one artifact.
pub(crate) struct Symbols {
    artifact: PathBuf,
    read: OnceLock<Vec<(u64, u64, String)>>,
}

/// The functions of this program, and where it lies, given an address in it. Read once, if ever: the program stays.
pub(crate) fn of_program(address: usize) -> (Arc<Symbols>, Range<usize>) {
    static PROGRAM: OnceLock<(Arc<Symbols>, Range<usize>)> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let (path, range) = mapping_around(address).unwrap_or((PathBuf::new(), 0..0));
        (Arc::new(Symbols::of(path)), range)
    });
    program.clone()
}

impl Symbols {
    pub(crate) fn of(artifact: PathBuf) -> Self {
        Symbols { artifact, read: OnceLock::new() }
    }

    fn table(&self) -> &[(u64, u64, String)] {
        self.read.get_or_init(|| {
            let Ok(file) = fs::read(&self.artifact) else { return Vec::new() };
            let Ok(object) = object::File::parse(&*file) else { return Vec::new() };
            let functions =
                object.symbols().chain(object.dynamic_symbols()).filter(|symbol| symbol.kind() == SymbolKind::Text);
            let mut table: Vec<_> = functions
                .filter_map(|symbol| Some((symbol.address(), symbol.size(), symbol.name().ok()?.to_owned())))
                .collect();
            table.sort_unstable();
            table.dedup_by_key(|entry| entry.0);
            table
        })
    }

    /// The names of the addresses that lie in the library, innermost first, without the machinery of panicking.
    pub(crate) fn name(&self, addresses: &[usize], library: &Range<usize>) -> Vec<String> {
        let names: Vec<String> = addresses
            .iter()
            .filter(|address| library.contains(address))
            .map(|address| {
                // A return address points behind the call.
                let offset = (address - library.start - 1) as u64;
                let table = self.table();
                let at = table.partition_point(|(start, _, _)| *start <= offset);
                let hit = at.checked_sub(1).map(|at| &table[at]);
                match hit.filter(|(start, size, _)| offset < start + (*size).max(1)) {
                    Some((_, _, name)) => without_inner_types(&format!("{:#}", rustc_demangle::demangle(name))),
                    None => format!("{offset:#x}"),
                }
            })
            .collect();
        // Up to the end of the innermost run of it: further out lies what catches panics, which looks much the same.
        let begins = names.iter().position(|name| is_machinery(name)).unwrap_or(0);
        names.into_iter().skip(begins).skip_while(|name| is_machinery(name)).collect()
    }
}

/// A function's name, of the types that it was made for only the outermost: with all that is in those it may be longer than all the rest.
fn without_inner_types(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    // Of each `<` that is open: whether arguments are in it. Behind a name they are; elsewhere is a type, and the trait that it has.
    let mut open: Vec<bool> = Vec::new();
    let is_inner = |open: &[bool]| open.iter().filter(|arguments| **arguments).count() > 1;
    let mut before = ' ';
    for letter in name.chars() {
        match letter {
            '<' => {
                open.push(before == ':' || before == '_' || before == '}' || before.is_alphanumeric());
                if !is_inner(&open) {
                    short.push(letter);
                } else if !is_inner(&open[..open.len() - 1]) {
                    short.truncate(short.strip_suffix("::").map_or(short.len(), str::len));
                }
            }
            // Not that of `->`.
            '>' if before != '-' => {
                if !is_inner(&open) {
                    short.push(letter);
                }
                open.pop();
            }
            _ if is_inner(&open) => {}
            _ => short.push(letter),
        }
        before = letter;
    }
    short
}

/// Whether a function is a part of how std panics.
fn is_machinery(name: &str) -> bool {
    let parts = ["std::panicking::", "core::panicking::", "panic::panic_any", "begin_unwind", "end_short_backtrace"];
    parts.iter().any(|part| name.contains(part)) && !name.contains("catch_unwind")
}

#[cfg(test)]
mod tests {
    use super::{is_machinery, without_inner_types};

    #[test]
    fn names_are_short() {
        for (long, short) in [
            ("plugin::handler", "plugin::handler"),
            (
                "<a::B as camlock_plugin::Plugin>::routes::{closure#3}",
                "<a::B as camlock_plugin::Plugin>::routes::{closure#3}",
            ),
            ("<Pin<Box<dyn Future<Output = ()> + Send>> as Future>::poll", "<Pin<Box> as Future>::poll"),
            (
                "<<a::B>::c::{closure#3} as Handler<((),), ()>>::call",
                "<<a::B>::c::{closure#3} as Handler<((),), ()>>::call",
            ),
            (
                "catch_unwind::<A<b::poll<C>::{closure#0}>, fn(D) -> Result<(), E>>",
                "catch_unwind::<A, fn(D) -> Result>",
            ),
            (
                "core::ptr::drop_glue::<faults::cancelled::{closure#0}>",
                "core::ptr::drop_glue::<faults::cancelled::{closure#0}>",
            ),
            ("a::b::<c::d::<E>::{closure#0}>::{closure#0}", "a::b::<c::d::{closure#0}>::{closure#0}"),
        ] {
            assert_eq!(without_inner_types(long), short);
        }
    }

    #[test]
    fn what_panics_is_told_from_what_catches() {
        for name in [
            "std::panicking::panic_with_hook",
            "std::panicking::begin_panic::<u32>::{closure#0}",
            "std::sys::backtrace::__rust_end_short_backtrace::<_, !>",
            "__rustc::rust_begin_unwind",
            "core::panicking::panic_fmt",
            "std::panic::panic_any::<u32>",
        ] {
            assert!(is_machinery(name), "{name}");
        }
        for name in ["plugin::panics::handler", "std::panicking::catch_unwind::do_call", "std::panic::catch_unwind"] {
            assert!(!is_machinery(name), "{name}");
        }
    }
}
