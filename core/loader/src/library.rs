//! One library in the process: opening it, finding its entry, and looking whether it is gone.

use crate::{
    constructors::{InitFunctions, construct},
    footprint::Footprint,
    objects::{self, MappedSnapshot},
    roster::RosterIdentity,
    suspects::GenerationName,
};
use camlock_abi::{Entry, Hooks, section::ENTRY_PREFIX};
use camlock_policy::Lease;
use libloading::os::unix::{Library as RawLibrary, RTLD_LOCAL, RTLD_NOW};
use std::{
    ffi::OsStr,
    fs,
    mem::ManuallyDrop,
    ops::{ControlFlow, Range},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
    /// Why it cannot go, if its file says so or if what it brought along could not be kept.
    stays: Option<String>,
    constructors_began: Arc<AtomicBool>,
    destructors: Vec<usize>,
    linker_runs_destructors: bool,
}

/// The dynamic linker's words, or ours.
#[derive(Debug)]
pub(crate) struct OpenError(pub(crate) String);

/// The first calls into a library that was opened: they put the interception in place and run its constructors.
pub(crate) struct FirstCalls {
    pub(crate) entry: &'static Entry,
    hooks: &'static Hooks,
    constructors: Vec<usize>,
    began: Arc<AtomicBool>,
}

impl FirstCalls {
    /// Makes these calls. The code is foreign and may block.
    ///
    /// # Safety
    /// The library must be mapped until they return, and nothing else of it be called before.
    pub(crate) unsafe fn run(&self) {
        self.began.store(true, Ordering::Release);
        // SAFETY: the hooks belong to the footprint, a part of the library's record, which outlives the mapping. As the contract
        // asks, this is the first call.
        unsafe { self.entry.root.install()(self.hooks) };
        // SAFETY: they are the library's, which the caller keeps mapped; this runs once for it.
        unsafe { construct(&self.constructors) };
    }
}

impl Library {
    /// Maps a private copy. Of what the file holds nothing runs here, if its constructors were taken out (see `constructors`);
    /// those of libraries that it needs run, if they were not mapped before.
    ///
    /// Only for bytes that were verified, or in the verifying child; and only on the thread that closes libraries.
    pub(crate) fn open(path: &Path, crate_name: &str, stays: Option<String>) -> Result<(Self, FirstCalls), OpenError> {
        let before = MappedSnapshot::now();
        // SAFETY: constructors run (see above). That is what verification was for; in the verifying child it is the point.
        let opened = unsafe { RawLibrary::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
        let handle = opened.map_err(|error| OpenError(linker_words(&error, path)))?;
        let kept = before.keep_what_came_since(path.as_os_str());
        let lost = kept.err().map(|name| format!("the library {name}, which it brought along, could not be kept"));
        let mut library = Library {
            handle: ManuallyDrop::new(handle),
            closed: false,
            path: path.to_owned(),
            range: 0..0,
            footprint: Footprint::new(),
            stays: lost.or(stays),
            constructors_began: Arc::default(),
            destructors: Vec::new(),
            linker_runs_destructors: false,
        };
        let (range, functions) =
            library.mapped().ok_or_else(|| OpenError("the library was opened but is not mapped".into()))?;
        library.range = range;
        library.destructors = functions.destructors;
        library.linker_runs_destructors = functions.linker_runs_them;
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
        // SAFETY: the footprint is a part of the library's record, which outlives the mapping.
        let hooks = unsafe { library.footprint.hooks() };
        let constructors = functions.constructors;
        let first = FirstCalls { entry, hooks, constructors, began: library.constructors_began.clone() };
        Ok((library, first))
    }

    /// From now on a note of a fault can name it.
    pub(crate) fn is_known_as(&self, named: &GenerationName) {
        let code = objects::each(|object| {
            if object.name == self.path.as_os_str().as_bytes() {
                ControlFlow::Break(object.code())
            } else {
                ControlFlow::Continue(())
            }
        });
        let words = serde_json::to_string(named).unwrap_or_default();
        if let Some(range) = code.flatten() {
            let _ = self.footprint.member().identity.set(RosterIdentity { range, words });
        }
    }

    /// From now on it is known which generation a thread is inside of that is inside of this.
    pub(crate) fn is_kept_by(&self, lease: &Lease) {
        let _ = self.footprint.member().generation.set(lease.generation());
    }

    /// The addresses it occupies and its constructors and destructors, if it is mapped.
    fn mapped(&self) -> Option<(Range<usize>, InitFunctions)> {
        let name = self.path.as_os_str().as_bytes();
        objects::each(|object| match object.range() {
            Some(range) if object.name == name => ControlFlow::Break((range, InitFunctions::of(object))),
            _ => ControlFlow::Continue(()),
        })
    }

    /// Whether destructors are still to run. Those of a library whose constructors never ran are not.
    pub(crate) fn has_destructors(&self) -> bool {
        !self.destructors.is_empty() && self.constructors_began.load(Ordering::Acquire)
    }

    /// The destructors that are still to run, for the caller to run.
    pub(crate) fn take_destructors(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.destructors)
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

    /// Why it must not be closed on the thread that loads and unloads for all.
    pub(crate) fn must_stay(&self) -> Option<&'static str> {
        let foreign = self.linker_runs_destructors && !self.closed;
        foreign.then_some(
            "its destructors could not be taken out of the dynamic linker's hands, where they may block all loading",
        )
    }

    /// Removes the private copy of a library that is gone.
    pub(crate) fn remove_file(&self) {
        let _ = fs::remove_file(&self.path);
    }
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
