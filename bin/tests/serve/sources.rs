//! Plugins in the three forms, each answering `/` with a text.

use camlock_testing::{Outside, Site, manifest, single};
use std::{fs, path::PathBuf, sync::OnceLock};

/// The form of an entry, and how a version of it comes to lie there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Crate,
    Single,
    Prebuilt,
}

impl Form {
    /// The entry's name in the plugins directory.
    pub(crate) fn entry(self) -> &'static str {
        match self {
            Form::Crate => "hello",
            Form::Single => "hello.rs",
            Form::Prebuilt => "hello.so",
        }
    }

    /// The file that an edit changes.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Form::Crate => "plugins/hello/src/lib.rs",
            Form::Single => "plugins/hello.rs",
            Form::Prebuilt => "plugins/hello.so",
        }
    }

    /// What that file holds when the plugin is to answer a text.
    pub(crate) fn content(self, text: &str) -> Vec<u8> {
        match self {
            Form::Crate | Form::Single => single(text).into_bytes(),
            Form::Prebuilt => fs::read(artifact(text)).unwrap(),
        }
    }

    /// What it holds when no plugin can come of it.
    pub(crate) fn broken(self) -> Vec<u8> {
        match self {
            Form::Crate | Form::Single => single("broken").replace("get(", "no_such_function(").into_bytes(),
            Form::Prebuilt => b"\x7fELF and nothing more".to_vec(),
        }
    }

    /// Puts the plugin there.
    pub(crate) fn create(self, site: &Site, text: &str) {
        if self == Form::Crate {
            site.write("plugins/hello/Cargo.toml", &manifest("hello"));
        }
        let path = site.path(self.file());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.content(text)).unwrap();
    }

    /// Removes it.
    pub(crate) fn delete(self, site: &Site) {
        let path = site.plugins().join(self.entry());
        if self == Form::Crate { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
}

/// An artifact of `hello` that answers this text: built once.
fn artifact(text: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let dir = BUILT.get_or_init(|| {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("artifacts");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    });
    let path = dir.join(format!("{text}.so"));
    if !path.exists() {
        // With plain cargo and the SDK by path, as somebody elsewhere would.
        let library = Outside::new("hello").with_file("Cargo.toml", manifest("hello") + "\n[workspace]\n");
        fs::copy(library.with_file("src/lib.rs", single(text)).library(), &path).unwrap();
    }
    path
}
