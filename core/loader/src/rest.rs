//! What loading leaves in memory without need is given back once it is quiet: pages of libraries that hold what their files
//! hold, and what libc keeps of buffers that were freed.
//!
//! What must not live here: anything that a plugin could notice, but for the time that its next page takes.

use std::{
    ffi::{CStr, OsStr, c_int, c_void},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    slice,
};

/// Gives memory back that these libraries, as far as they are still mapped, and libc do not need for now.
pub(crate) fn give_back(libraries: &[PathBuf]) {
    // SAFETY: the callback matches, and what it is lent outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw const libraries).cast_mut().cast()) };
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointers, and may be called on any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The linker holds its lock meanwhile: none of these libraries is unmapped.
unsafe extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
    // SAFETY: the linker passes a valid record; `data` is the slice above, which waits.
    let (info, libraries) = unsafe { (&*info, *data.cast::<&[PathBuf]>()) };
    if info.dlpi_name.is_null() {
        return 0;
    }
    // SAFETY: the linker's names are C strings; the headers are as many as it says.
    let (name, headers) = unsafe {
        (CStr::from_ptr(info.dlpi_name), slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    let name = Path::new(OsStr::from_bytes(name.to_bytes()));
    let base = info.dlpi_addr as usize;
    if libraries.iter().any(|library| library == name) && !has_text_relocations(base, headers) {
        let unwritten = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
        for header in headers.iter().filter(unwritten) {
            drop_pages(base + header.p_vaddr as usize, header.p_memsz as usize);
        }
    }
    0
}

/// Drops whole pages of a segment that its file does not let anybody write.
fn drop_pages(start: usize, length: usize) {
    let page = rustix::param::page_size();
    let (first, end) = (start.next_multiple_of(page), (start + length) / page * page);
    if first < end {
        // SAFETY: the pages belong to a mapping of a private copy that is never written again, and nothing has written to the
        // pages themselves: the segment is not writable, and the linker relocated nothing in it (see the caller). Whoever
        // needs one reads the same bytes from the file.
        unsafe { libc::madvise(first as *mut c_void, end - first, libc::MADV_DONTNEED) };
    }
}

/// Whether the linker wrote to segments that are not writable.
fn has_text_relocations(base: usize, headers: &[libc::Elf64_Phdr]) -> bool {
    const DT_NULL: u64 = 0;
    const DT_TEXTREL: u64 = 22;
    const DT_FLAGS: u64 = 30;
    const DF_TEXTREL: u64 = 4;
    let Some(dynamic) = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC) else { return true };
    let entries = (base + dynamic.p_vaddr as usize) as *const [u64; 2];
    let count = dynamic.p_memsz as usize / size_of::<[u64; 2]>();
    // SAFETY: the library is mapped, and its header says that so many entries of two words lie there.
    let entries = unsafe { slice::from_raw_parts(entries, count) };
    let mut used = entries.iter().take_while(|entry| entry[0] != DT_NULL);
    used.any(|entry| entry[0] == DT_TEXTREL || entry[0] == DT_FLAGS && entry[1] & DF_TEXTREL != 0)
}
