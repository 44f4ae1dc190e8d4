//! What a plugin finds around it: the path it answers below, a directory of its own, its environment. What must not live here:
//! where operators write these down, and the plugin's side of them.

use crate::random;
use camlock_policy::{Services, routes::MOUNTS};
use http::HeaderValue;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr, OsString},
    fmt, fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    ptr,
    sync::{Arc, OnceLock},
};

/// The variables that operators give to a plugin, by the plugin's name.
pub type VariablesOf = Arc<dyn Fn(&str) -> BTreeMap<String, String> + Send + Sync>;

/// What plugins find around them, for all plugins.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// Where each plugin has a directory of its own, named like the plugin. Without it `Host::dir` is an error.
    pub dirs: Option<PathBuf>,
    /// What is laid over the process's own environment, for one plugin alone.
    pub variables: Option<VariablesOf>,
    /// What answers what plugins ask. Without it nothing does.
    pub services: Option<Arc<dyn Services>>,
}

impl fmt::Debug for Surroundings {
    /// Without variables: there may be secrets in them.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Surroundings").field("dirs", &self.dirs).finish_non_exhaustive()
    }
}

impl Surroundings {
    /// What one generation of a plugin finds; its scratch directory lies below `scratch`.
    pub(crate) fn of(&self, plugin: &str, scratch: &Path) -> PluginSurroundings {
        let variables = self.variables.as_ref().map(|of| of(plugin)).unwrap_or_default();
        let dir = self.dirs.as_ref().map(|dirs| dirs.join(plugin));
        let surroundings = PluginSurroundings::new(plugin, dir, scratch, &variables);
        PluginSurroundings { services: self.services.clone(), ..surroundings }
    }
}

/// What one plugin finds around it.
pub(crate) struct PluginSurroundings {
    pub(crate) mount: String,
    /// The same as a header's value: every name of a plugin makes one.
    pub(crate) prefix: Option<HeaderValue>,
    pub(crate) services: Option<Arc<dyn Services>>,
    dir: Option<PathBuf>,
    scratch: Scratch,
    environment: Environment,
}

impl PluginSurroundings {
    pub(crate) fn new(
        plugin: &str,
        dir: Option<PathBuf>,
        scratch: &Path,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        let mount = format!("{MOUNTS}{plugin}");
        PluginSurroundings {
            prefix: HeaderValue::try_from(&mount).ok(),
            mount,
            services: None,
            dir,
            scratch: Scratch {
                within: scratch.to_owned(),
                plugin: plugin.to_owned(),
                made: OnceLock::new(),
                making: Mutex::default(),
            },
            environment: Environment::with(variables),
        }
    }

    /// The directory of this generation alone, which this makes if it is not there.
    pub(crate) fn scratch(&self) -> io::Result<&Path> {
        self.scratch.get()
    }

    /// The plugin's directory, which this makes if it is not there.
    pub(crate) fn dir(&self) -> io::Result<Option<&Path>> {
        if let Some(dir) = &self.dir {
            fs::create_dir_all(dir)?;
        }
        Ok(self.dir.as_deref())
    }

    /// See `HostTable::environment`.
    pub(crate) fn environment(&self) -> *const *const u8 {
        self.environment.pointers.as_ptr()
    }
}

/// A directory of one generation, which goes with it. It lies in one that is this process's alone: what a process that was
/// killed left is removed with that.
struct Scratch {
    within: PathBuf,
    plugin: String,
    made: OnceLock<PathBuf>,
    making: Mutex<()>,
}

impl Scratch {
    fn get(&self) -> io::Result<&Path> {
        let _making = self.making.lock();
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let path = self.within.join(format!("{}-{}", self.plugin, random::name()?));
        fs::create_dir(&path)?;
        Ok(self.made.get_or_init(|| path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(path) = self.made.get()
            && let Err(error) = fs::remove_dir_all(path)
        {
            tracing::warn!(path = %path.display(), "a generation's directory could not be removed: {error}");
        }
    }
}

/// An environment as C has it.
struct Environment {
    /// `KEY=value`; the pointers point into these, which are never changed.
    _texts: Vec<CString>,
    /// Ends with a null pointer.
    pointers: Vec<*const u8>,
}

// SAFETY: the pointers point into the texts beside them, which nobody changes.
unsafe impl Send for Environment {}
// SAFETY: as above.
unsafe impl Sync for Environment {}

impl Environment {
    /// The process's own, with these laid over it.
    fn with(variables: &BTreeMap<String, String>) -> Self {
        let mut all: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        // What the verifying child is given in another way.
        all.remove(OsStr::new(crate::verify::VARIABLES));
        all.extend(variables.iter().map(|(key, value)| (key.into(), value.into())));
        let text = |(key, value): (OsString, OsString)| {
            let mut text = key.into_vec();
            text.push(b'=');
            text.extend(value.into_vec());
            // What has a zero byte in it is no variable: whoever reads the settings refuses it.
            CString::new(text).ok()
        };
        let texts: Vec<CString> = all.into_iter().filter_map(text).collect();
        let pointers = texts.iter().map(|text| text.as_ptr().cast()).chain([ptr::null()]).collect();
        Environment { _texts: texts, pointers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn scratch_goes_with_its_generation() {
        let below = tempfile::tempdir().unwrap();
        let of = || PluginSurroundings::new("hello", None, below.path(), &BTreeMap::new());
        let (one, other) = (of(), of());
        fs::write(one.scratch().unwrap().join("file"), "one").unwrap();
        assert_ne!(one.scratch().unwrap(), other.scratch().unwrap());
        assert!(one.scratch().unwrap().join("file").exists(), "it is the same each time");
        drop((one, other));
        assert_eq!(fs::read_dir(below.path()).unwrap().count(), 0);
    }

    #[test]
    fn variables_lie_over_the_processs_own() {
        let home = std::env::var("PATH").expect("every process has one");
        let variables = [("PATH", "/mine"), ("ONLY_HERE", "a=b")].map(|(key, value)| (key.into(), value.into()));
        let environment = Environment::with(&variables.into());
        let [before @ .., last] = &environment.pointers[..] else { panic!("there is an end") };
        assert!(last.is_null());
        // SAFETY: the pointers are those of C strings, as the type says.
        let texts: Vec<_> = before.iter().map(|text| unsafe { CStr::from_ptr(text.cast()) }).collect();
        assert!(texts.contains(&c"PATH=/mine") && texts.contains(&c"ONLY_HERE=a=b"), "{texts:?}");
        assert_eq!(texts.iter().filter(|text| text.to_bytes().starts_with(b"PATH=")).count(), 1);
        assert_eq!(std::env::var("PATH").ok(), Some(home), "the process's own is as it was");
    }
}
