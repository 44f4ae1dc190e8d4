//! A library's constructors and destructors, taken out of the dynamic linker's hands.
//!
//! The linker runs them within `dlopen` and `dlclose`, on the one thread that may call these and under a lock of the whole
//! process: one that blocks would stop all loading for good. So in the private copy the entries of the dynamic section that
//! name them get tags that the linker does not know. Their values stay, and the loader runs the functions itself: on a thread
//! that may be given up. This is not possible for the libraries that a plugin needs, nor for resolvers of indirect functions.
//!
//! What must not live here: threads, and when the functions are run.

use crate::objects::MappedObject;
use object::{
    Endianness,
    elf::PT_DYNAMIC,
    read::elf::{FileHeader, ProgramHeader},
};
use std::{
    ffi::{CString, c_char, c_int},
    mem::size_of,
    ops::Range,
    os::unix::ffi::OsStringExt,
    ptr,
    sync::OnceLock,
};

const DT_INIT: u64 = 12;
const DT_FINI: u64 = 13;
const DT_INIT_ARRAY: u64 = 25;
const DT_FINI_ARRAY: u64 = 26;
const DT_INIT_ARRAYSZ: u64 = 27;
const DT_FINI_ARRAYSZ: u64 = 28;
const TAKEN_OUT: [u64; 6] = [DT_INIT, DT_FINI, DT_INIT_ARRAY, DT_FINI_ARRAY, DT_INIT_ARRAYSZ, DT_FINI_ARRAYSZ];

/// Added to a tag: into the range that is each operating system's own, where glibc knows none of these.
const OURS: u64 = 0x6000_1000;
const ENTRY: usize = size_of::<[u64; 2]>();

/// The dynamic section with constructors and destructors taken out, and where it goes in the file. None if the file has no
/// such section where its header says: then the linker runs them.
pub(crate) fn taken_out(file: &[u8]) -> Option<(usize, Vec<u8>)> {
    let endian = Endianness::Little;
    let header = object::elf::FileHeader64::<Endianness>::parse(file).ok()?;
    let programs = header.program_headers(endian, file).ok()?;
    let dynamic = programs.iter().rfind(|program| program.p_type(endian) == PT_DYNAMIC)?;
    let start = usize::try_from(dynamic.p_offset(endian)).ok()?;
    let length = usize::try_from(dynamic.p_filesz(endian)).ok()?;
    let mut section = file.get(start..start.checked_add(length)?)?.to_vec();
    for entry in section.as_chunks_mut::<ENTRY>().0 {
        let tag = u64::from_le_bytes(entry[..8].try_into().ok()?);
        match tag {
            0 => break,
            tag if TAKEN_OUT.contains(&tag) => entry[..8].copy_from_slice(&(tag + OURS).to_le_bytes()),
            _ => {}
        }
    }
    Some((start, section))
}

/// Addresses of functions, in the order in which they are to run.
#[derive(Clone, Debug, Default)]
pub(crate) struct InitFunctions {
    pub(crate) constructors: Vec<usize>,
    pub(crate) destructors: Vec<usize>,
    /// The linker has run constructors itself and will run destructors: they were not taken out.
    pub(crate) linker_runs_them: bool,
}

impl InitFunctions {
    /// Those of a mapped object, whose relocations are done.
    pub(crate) fn of(object: &MappedObject<'_>) -> Self {
        let (Some(entries), Some(range)) = (object.dynamic(), object.range()) else { return InitFunctions::default() };
        let value = |tag: u64| entries.iter().find(|entry| entry[0] == tag + OURS).map(|entry| entry[1] as usize);
        let single = |tag| value(tag).map(|offset| object.base + offset).filter(|address| range.contains(address));
        let array = |tag, size| read_array(object.base, value(tag), value(size), &range);
        let mut destructors = array(DT_FINI_ARRAY, DT_FINI_ARRAYSZ);
        destructors.reverse();
        destructors.extend(single(DT_FINI));
        let constructors = single(DT_INIT).into_iter().chain(array(DT_INIT_ARRAY, DT_INIT_ARRAYSZ)).collect();
        let linker_runs_them = entries.iter().any(|entry| TAKEN_OUT.contains(&entry[0]));
        InitFunctions { constructors, destructors, linker_runs_them }
    }
}

/// The functions that an array in a mapped object names, but for the two values that mean none.
fn read_array(base: usize, offset: Option<usize>, size: Option<usize>, range: &Range<usize>) -> Vec<usize> {
    let (Some(offset), Some(size)) = (offset, size) else { return Vec::new() };
    let start = base + offset;
    let whole = range.contains(&start) && start.checked_add(size).is_some_and(|end| end <= range.end);
    if !whole || !start.is_multiple_of(size_of::<usize>()) {
        return Vec::new();
    }
    let names_one = |address: &usize| !matches!(*address, 0 | usize::MAX);
    // SAFETY: the words lie in the mapped object, at an address that suits them, and the linker has relocated them.
    let array = unsafe { std::slice::from_raw_parts(start as *const usize, size / size_of::<usize>()) };
    array.iter().copied().filter(names_one).collect()
}

/// Runs constructors in their order, with what glibc passes to them.
///
/// # Safety
/// They must be the constructors of a library that is mapped and stays so meanwhile, and be run once.
pub(crate) unsafe fn construct(constructors: &[usize]) {
    let (count, arguments, environment) = program_arguments();
    for address in constructors {
        // SAFETY: a constructor takes at most these; whoever calls promises the rest.
        unsafe {
            let constructor = std::mem::transmute::<
                usize,
                extern "C" fn(c_int, *const *const c_char, *const *const c_char),
            >(*address);
            constructor(count, arguments, environment);
        }
    }
}

/// Runs destructors in their order.
///
/// # Safety
/// They must be the destructors of a library that is mapped and stays so meanwhile, whose constructors ran and of which nothing
/// else will be called; and be run once.
pub(crate) unsafe fn destruct(destructors: &[usize]) {
    for address in destructors {
        // SAFETY: whoever calls promises it.
        unsafe { std::mem::transmute::<usize, extern "C" fn()>(*address)() };
    }
}

/// The program's arguments and its environment, as `main` gets them: the std in a plugin keeps them for `std::env::args`.
fn program_arguments() -> (c_int, *const *const c_char, *const *const c_char) {
    struct ProgramArguments(Vec<*const c_char>);
    // SAFETY: the pointers are to strings that are never freed nor written.
    unsafe impl Send for ProgramArguments {}
    // SAFETY: as above.
    unsafe impl Sync for ProgramArguments {}
    static ARGUMENTS: OnceLock<ProgramArguments> = OnceLock::new();
    let ProgramArguments(arguments) = ARGUMENTS.get_or_init(|| {
        let texts = std::env::args_os().filter_map(|text| CString::new(text.into_vec()).ok());
        ProgramArguments(texts.map(|text| text.into_raw().cast_const()).chain([ptr::null()]).collect())
    });
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let count = c_int::try_from(arguments.len() - 1).unwrap_or(c_int::MAX);
    // SAFETY: libc's variable, read as libc's own start-up code does.
    (count, arguments.as_ptr(), unsafe { environ })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_finds_none_in_the_copy() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        let (start, section) = taken_out(&file).expect("a test program is dynamically linked");
        let tags = |section: &[u8]| -> Vec<u64> {
            let entries = section.as_chunks::<ENTRY>().0.iter();
            entries
                .map(|entry| u64::from_le_bytes(entry[..8].try_into().unwrap()))
                .take_while(|tag| *tag != 0)
                .collect()
        };
        let (before, after) = (tags(&file[start..start + section.len()]), tags(&section));
        assert!(before.contains(&DT_INIT_ARRAY) && before.contains(&DT_FINI_ARRAYSZ), "{before:?}");
        assert!(!after.iter().any(|tag| TAKEN_OUT.contains(tag)), "{after:?}");
        // Everything else is as it was.
        let restored: Vec<_> = after.iter().map(|tag| if *tag & !0xff == OURS { tag - OURS } else { *tag }).collect();
        assert_eq!(restored, before);
    }

    #[test]
    fn a_file_without_a_dynamic_section_is_left_alone() {
        assert_eq!(taken_out(b""), None);
        assert_eq!(taken_out(&[0x7f; 4096]), None);
        let mut file = std::fs::read("/proc/self/exe").unwrap();
        file.truncate(4096);
        assert_eq!(taken_out(&file), None, "its dynamic section lies beyond its end");
    }
}
