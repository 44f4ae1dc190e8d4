//! Names for the addresses of a panic, from the stored artifact: the process itself never reads debug information.

use object::{Object, ObjectSymbol, SymbolKind};
use std::{fs, ops::Range, path::PathBuf, sync::OnceLock};

/// The functions of one artifact.
pub(crate) struct Symbols {
    artifact: PathBuf,
    read: OnceLock<Vec<(u64, u64, String)>>,
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
                    Some((_, _, name)) => format!("{:#}", rustc_demangle::demangle(name)),
                    None => format!("{offset:#x}"),
                }
            })
            .collect();
        let machinery = names.iter().rposition(|name| name.contains("panicking::") || name.contains("begin_panic"));
        names.into_iter().skip(machinery.map_or(0, |at| at + 1)).collect()
    }
}
