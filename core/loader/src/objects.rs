//! The objects that the dynamic linker has mapped: where they lie, which of them are new, and keeping them.
//!
//! What must not live here: opening and closing a plugin's library (`library`).

use std::{
    collections::HashSet,
    ffi::{CStr, CString, OsStr, OsString, c_int, c_void},
    mem::size_of,
    ops::{ControlFlow, Range},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    slice,
};

/// One mapped object, as the linker shows it. Valid while the linker's lock is held, that is, during [`each`].
pub(crate) struct MappedObject<'a> {
    /// Empty for the program itself.
    pub(crate) name: &'a [u8],
    /// What its addresses are relative to.
    pub(crate) base: usize,
    pub(crate) headers: &'a [libc::Elf64_Phdr],
}

impl MappedObject<'_> {
    /// The addresses that it occupies; none if it has no segment.
    pub(crate) fn range(&self) -> Option<Range<usize>> {
        self.range_of(|_| true)
    }

    /// Those of its code.
    pub(crate) fn code(&self) -> Option<Range<usize>> {
        self.range_of(|load| load.p_flags & libc::PF_X != 0)
    }

    fn range_of(&self, wanted: impl Fn(&libc::Elf64_Phdr) -> bool) -> Option<Range<usize>> {
        let loads = self.headers.iter().filter(|header| header.p_type == libc::PT_LOAD && wanted(header));
        let ranges = loads.map(|load| {
            let start = self.base + load.p_vaddr as usize;
            start..start + load.p_memsz as usize
        });
        ranges.reduce(|all, next| all.start.min(next.start)..all.end.max(next.end))
    }

    /// The entries of its dynamic section, each a tag and a value; none if it has no such section.
    pub(crate) fn dynamic(&self) -> Option<&[[u64; 2]]> {
        let dynamic = self.headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC)?;
        let entries = (self.base + dynamic.p_vaddr as usize) as *const [u64; 2];
        let count = dynamic.p_memsz as usize / size_of::<[u64; 2]>();
        // SAFETY: the object is mapped while `self` exists (the linker's lock is held), and its header says that so many
        // entries of two words lie there.
        let entries = unsafe { slice::from_raw_parts(entries, count) };
        let used = entries.iter().position(|entry| entry[0] == 0).unwrap_or(count);
        Some(&entries[..used])
    }
}

/// Shows every mapped object until `look` has found what it was looking for. The linker's lock is held meanwhile: no object
/// is mapped or unmapped, and `look` must not open or close one.
pub(crate) fn each<T>(look: impl FnMut(&MappedObject<'_>) -> ControlFlow<T>) -> Option<T> {
    struct SymbolSearch<T, F> {
        look: F,
        found: Option<T>,
    }
    unsafe extern "C" fn show<T, F: FnMut(&MappedObject<'_>) -> ControlFlow<T>>(
        info: *mut libc::dl_phdr_info,
        _: usize,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: the linker passes a valid record; `data` is the search below, which waits.
        let (info, search) = unsafe { (&*info, &mut *data.cast::<SymbolSearch<T, F>>()) };
        // SAFETY: the linker's names are C strings, or null.
        let name = (!info.dlpi_name.is_null()).then(|| unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes());
        let headers = if info.dlpi_phdr.is_null() {
            &[]
        } else {
            // SAFETY: the headers are as many as the linker says.
            unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) }
        };
        let object = MappedObject { name: name.unwrap_or_default(), base: info.dlpi_addr as usize, headers };
        match (search.look)(&object) {
            ControlFlow::Continue(()) => 0,
            ControlFlow::Break(found) => {
                search.found = Some(found);
                1
            }
        }
    }
    fn callback<T, F: FnMut(&MappedObject<'_>) -> ControlFlow<T>>(
        _: &F,
    ) -> unsafe extern "C" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int {
        show::<T, F>
    }
    let callback = callback::<T, _>(&look);
    let mut search = SymbolSearch { look, found: None };
    // SAFETY: the callback was made for this very search, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(callback), (&raw mut search).cast()) };
    search.found
}

/// The file that an address was mapped from, and where that file's addresses begin and end.
pub(crate) fn mapping_around(address: usize) -> Option<(PathBuf, Range<usize>)> {
    each(|object| match object.range() {
        Some(range) if range.contains(&address) => {
            let name = if object.name.is_empty() { b"/proc/self/exe" } else { object.name };
            ControlFlow::Break((PathBuf::from(OsStr::from_bytes(name)), range))
        }
        _ => ControlFlow::Continue(()),
    })
}

/// The objects that are mapped at a moment.
pub(crate) struct MappedSnapshot(HashSet<(OsString, usize)>);

impl MappedSnapshot {
    pub(crate) fn now() -> Self {
        let mut all = HashSet::new();
        each(|object| {
            all.insert((OsString::from_vec(object.name.to_vec()), object.base));
            ControlFlow::<()>::Continue(())
        });
        MappedSnapshot(all)
    }

    /// Keeps every object mapped for good that came since this snapshot, but for one. Nothing is known of what such an object
    /// (a C library that a plugin needs) has registered with libc or which threads it runs; so it is never unmapped. Each is
    /// mapped once, however many generations need it. The name of one that could not be kept, if any.
    pub(crate) fn keep_what_came_since(&self, but_for: &OsStr) -> Result<(), String> {
        let MappedSnapshot(now) = MappedSnapshot::now();
        let new = now.iter().filter(|object| !self.0.contains(*object) && object.0 != but_for && !object.0.is_empty());
        for (name, _) in new {
            let kept = CString::new(name.as_bytes()).ok().is_some_and(|name| {
                // SAFETY: nothing is loaded (RTLD_NOLOAD), so no code runs; the handle is not needed any more.
                !unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE) }
                    .is_null()
            });
            if !kept {
                return Err(name.to_string_lossy().into_owned());
            }
        }
        Ok(())
    }
}
