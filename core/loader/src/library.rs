//! One library in the process: opening it, finding its entry, and looking whether it is gone.

use crate::footprint::Footprint;
use camlock_abi::{Entry, section::ENTRY_PREFIX};
use libloading::os::unix::{Library as RawLibrary, RTLD_LOCAL, RTLD_NOW};
use std::{
    ffi::{CStr, OsStr, c_int, c_void},
    fs,
    mem::ManuallyDrop,
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A library that is mapped.
///
/// It is closed by [`Library::close`] and by nothing else: dropping it leaves it mapped, and its file with it.
pub(crate) struct Library {
    handle: ManuallyDrop<RawLibrary>,
    closed: bool,
    /// The private copy that is mapped: never replaced, never written again, removed once it is unmapped.
    path: PathBuf,
    /// Where its segments lie.
    pub(crate) range: Range<usize>,
    /// What its functions registered with us.
    pub(crate) footprint: Arc<Footprint>,
    /// Why it cannot go, if its file says so.
    stays: Option<String>,
}

/// The dynamic linker's words, or ours.
#[derive(Debug)]
pub(crate) struct OpenError(pub(crate) String);

impl Library {
    /// Maps a private copy and puts the interception in place.
    ///
    /// Runs the library's constructors: only for bytes that were verified, or in the verifying child. Must be called on the
    /// thread that will call `install`, which is why it does that too.
    pub(crate) fn open(
        path: &Path,
        crate_name: &str,
        stays: Option<String>,
    ) -> Result<(Self, &'static Entry), OpenError> {
        // SAFETY: constructors run. That is what verification was for; in the verifying child it is the point.
        let opened = unsafe { RawLibrary::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
        let handle = opened.map_err(|error| OpenError(linker_words(&error, path)))?;
        let footprint = Footprint::new();
        let mut library = Library {
            handle: ManuallyDrop::new(handle),
            closed: false,
            path: path.to_owned(),
            range: 0..0,
            footprint,
            stays,
        };
        library.range = library.mapped().ok_or_else(|| OpenError("the library was opened but is not mapped".into()))?;
        let symbol = format!("{ENTRY_PREFIX}{crate_name}");
        // SAFETY: the artifact's sections name contract 1.x, by which this symbol is an `Entry`; the pointer is only made here.
        let entry = unsafe { library.handle.get::<*const Entry>(symbol.as_bytes()) }.map(|found| *found);
        let entry = match entry {
            Ok(entry) if library.range.contains(&(entry as usize)) => entry,
            _ => {
                let _ = library.close();
                return Err(OpenError(format!("the symbol `{symbol}` does not lie in the library")));
            }
        };
        // SAFETY: it lies in the mapped library, where a static of this type was exported under this name. `'static` holds
        // while the library is mapped, which every user of it (instance, keeper) sees to.
        let entry: &'static Entry = unsafe { &*entry };
        // SAFETY: the footprint is a part of the library's record, which outlives the mapping; `install` is the first call, on
        // the thread that ran the constructors, as the contract asks.
        unsafe { entry.root.install()(library.footprint.hooks()) };
        Ok((library, entry))
    }

    /// The addresses it occupies, if it is mapped.
    fn mapped(&self) -> Option<Range<usize>> {
        struct Search<'a> {
            path: &'a [u8],
            found: Option<Range<usize>>,
        }
        unsafe extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
            // SAFETY: the linker passes a valid record; `data` is the search below, which waits.
            let (info, search) = unsafe { (&*info, &mut *data.cast::<Search<'_>>()) };
            // SAFETY: the linker's names are C strings; the headers are as many as it says.
            let (name, headers) = unsafe {
                if info.dlpi_name.is_null() {
                    return 0;
                }
                (
                    CStr::from_ptr(info.dlpi_name).to_bytes(),
                    std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)),
                )
            };
            if name != search.path {
                return 0;
            }
            let loads = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
            let ends = loads.map(|load| {
                let start = info.dlpi_addr as usize + load.p_vaddr as usize;
                start..start + load.p_memsz as usize
            });
            search.found = ends.reduce(|all, next| all.start.min(next.start)..all.end.max(next.end));
            1
        }
        let mut search = Search { path: self.path.as_os_str().as_bytes(), found: None };
        // SAFETY: the callback matches and the search outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut search).cast()) };
        search.found
    }

    /// Closes the library and looks whether it is gone; says why if it is not. Only for the loader's thread, and only when
    /// none of its code runs or can be called. May be called again after an error.
    pub(crate) fn close(&mut self) -> Result<(), String> {
        if !self.closed {
            self.closed = true;
            // SAFETY: taken once, as `closed` says; nothing of it is used afterwards but the path.
            let handle = unsafe { ManuallyDrop::take(&mut self.handle) };
            let _ = handle.close();
        }
        if self.mapped().is_some() {
            let unknown = || "libc still refers to the library and keeps it mapped".to_owned();
            return Err(self.stays.clone().unwrap_or_else(unknown));
        }
        Ok(())
    }

    /// Removes the private copy of a library that is gone.
    pub(crate) fn remove_file(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The file that an address was mapped from, and where that file's addresses begin and end.
pub(crate) fn mapping_around(address: usize) -> Option<(PathBuf, Range<usize>)> {
    struct Search {
        address: usize,
        found: Option<(PathBuf, Range<usize>)>,
    }
    unsafe extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
        // SAFETY: the linker passes a valid record; `data` is the search below, which waits.
        let (info, search) = unsafe { (&*info, &mut *data.cast::<Search>()) };
        // SAFETY: the headers are as many as the linker says.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let base = info.dlpi_addr as usize;
        let loads = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
        let end = loads.map(|load| base + load.p_vaddr as usize + load.p_memsz as usize).max().unwrap_or(base);
        if !(base..end).contains(&search.address) {
            return 0;
        }
        // SAFETY: the linker's names are C strings, or null.
        let name = (!info.dlpi_name.is_null()).then(|| unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes());
        let path = match name {
            // The program itself has no name there.
            None | Some(b"") => PathBuf::from("/proc/self/exe"),
            Some(name) => PathBuf::from(OsStr::from_bytes(name)),
        };
        search.found = Some((path, base..end));
        1
    }
    let mut search = Search { address, found: None };
    // SAFETY: the callback matches and the search outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut search).cast()) };
    search.found
}

/// What dlopen says, without the path of our private copy.
fn linker_words(error: &libloading::Error, path: &Path) -> String {
    let text = match error {
        libloading::Error::DlOpen { source } => format!("{source}"),
        other => other.to_string(),
    };
    let prefix = format!("{}: ", path.display());
    text.replace(&prefix, "")
}

/// Whether a path can be told apart from others in the linker's list.
pub(crate) fn is_plain(path: &Path) -> bool {
    let path: &OsStr = path.as_os_str();
    path.as_bytes().starts_with(b"/") && !path.as_bytes().contains(&0)
}
