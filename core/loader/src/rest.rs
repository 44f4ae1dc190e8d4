//! What loading leaves in memory without need is given back once it is quiet: pages of libraries that hold what their files
//! hold, and what libc keeps of buffers that were freed.
//!
//! What must not live here: anything that a plugin could notice, but for the time that its next page takes.

use crate::objects;
use std::{
    ffi::{OsStr, c_void},
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Gives memory back that these libraries, as far as they are still mapped, and libc do not need for now.
pub(crate) fn give_back(libraries: &[PathBuf]) {
    // The linker holds its lock meanwhile: none of these libraries is unmapped.
    objects::each(|object| {
        let name = Path::new(OsStr::from_bytes(object.name));
        if libraries.iter().any(|library| library == name) && !has_text_relocations(object.dynamic()) {
            let unwritten =
                |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
            for header in object.headers.iter().filter(unwritten) {
                drop_pages(object.base + header.p_vaddr as usize, header.p_memsz as usize);
            }
        }
        ControlFlow::<()>::Continue(())
    });
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointers, and may be called on any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
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

/// Whether the linker wrote to segments that are not writable; so it may have, where there is no dynamic section to ask.
fn has_text_relocations(dynamic: Option<&[[u64; 2]]>) -> bool {
    const DT_TEXTREL: u64 = 22;
    const DT_FLAGS: u64 = 30;
    const DF_TEXTREL: u64 = 4;
    let says_so = |entry: &[u64; 2]| entry[0] == DT_TEXTREL || entry[0] == DT_FLAGS && entry[1] & DF_TEXTREL != 0;
    dynamic.is_none_or(|entries| entries.iter().any(says_so))
}
