//! `camlock build`, and how a build is shown in a terminal.

use super::workshop::{Alone, Workshop};
use crate::{
    Failed,
    client::run,
    config::{Config, Flags, Profile},
    print::{self, Bar, Paint},
};
use camlock_build::CompilerListener;
use camlock_loader::{Digest, inspect};
use camlock_policy::{Built, Failure, Kind};
use clap::Args;
use serde_json::json;
use std::{
    env, fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Args)]
pub(crate) struct BuildArguments {
    /// The plugin: its folder or its .rs file
    path: PathBuf,
    /// Where the artifact goes [default: NAME.so in the current directory]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How it is compiled
    #[arg(long, default_value = "release")]
    profile: Profile,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The configuration file [default: the nearest camlock.toml at or above the current directory]
    #[arg(long, env = "CAMLOCK_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) fn run_it(options: &BuildArguments) -> Result<(), Failed> {
    let config = Config::read(&Flags { config: options.config.clone(), ..Flags::default() })?;
    let show = BuildDisplay::new();
    let workshop = Workshop::open(&options.path, &config, options.profile, Some(show.listener()))?;
    let name = &workshop.entry.name;
    if workshop.entry.kind == Kind::Prebuilt {
        return Err(format!("{} is built already: `camlock inspect` shows it", options.path.display()).into());
    }
    let output = place(options.output.as_deref(), name, &config, &workshop.alone)?;
    let built = run(show.build(&workshop))?.map_err(|failure| show.failed(&failure))?;
    let bytes =
        fs::read(&built.candidate).map_err(|error| format!("{} cannot be read: {error}", built.candidate.display()))?;
    let sections = inspect(&bytes).map_err(|unfit| format!("{name}: {unfit}"))?;
    write(&output, &bytes).map_err(|error| format!("{} cannot be written: {error}", output.display()))?;
    let digest = Digest::of(&bytes).to_string();
    if options.json {
        print::json(&json!({
            "name": name, "version": sections.manifest.version, "file": output, "artifact": digest, "bytes": bytes.len(),
            "abi": sections.abi, "sdk": sections.sdk, "rustc": sections.rustc,
        }));
    } else {
        let (version, shown) = (&sections.manifest.version, output.display());
        print::line(format_args!("{name} {version} is in {shown} ({} bytes, {digest})", bytes.len()));
    }
    Ok(())
}

/// Where the artifact goes. A server would take one that lies in its plugins directory for another plugin of the same name.
fn place(said: Option<&Path>, name: &str, config: &Config, alone: &Alone) -> Result<PathBuf, Failed> {
    if let Some(said) = said {
        let is_directory = said.is_dir() || said.as_os_str().as_bytes().ends_with(b"/");
        return Ok(if is_directory { said.join(format!("{name}.so")) } else { said.to_owned() });
    }
    let here = env::current_dir().map_err(|error| format!("the current directory cannot be used: {error}"))?;
    let served = config.plugins.canonicalize().is_ok_and(|plugins| plugins == here);
    if served || alone.path.parent() == Some(&here) && here.ends_with("plugins") {
        return Err(Failed::usage(format!(
            "{name}.so would lie in the plugins directory, where a server takes it for a second `{name}`: say with -o where it \
             is to go"
        )));
    }
    Ok(PathBuf::from(format!("{name}.so")))
}

/// Whole or not at all: a server may be watching.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut file = tempfile::Builder::new().prefix(".camlock-build-").tempfile_in(parent)?;
    std::io::Write::write_all(&mut file, bytes)?;
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error).map(drop)
}

/// How a build is shown: compilers' messages on stderr, as cargo shows them, and on a terminal how far it is.
#[derive(Clone)]
pub(super) struct BuildDisplay {
    bar: Arc<Bar>,
    /// What was printed.
    said: Arc<Mutex<String>>,
}

impl BuildDisplay {
    pub(super) fn new() -> Self {
        BuildDisplay { bar: Arc::new(Bar::new()), said: Arc::default() }
    }

    /// Prints what compilers say.
    pub(super) fn listener(&self) -> CompilerListener {
        let show = self.clone();
        let hear = move |message: &str| {
            show.bar.above(|| print::beside(format_args!("{}", message.trim_end_matches('\n'))));
            show.said.lock().unwrap_or_else(PoisonError::into_inner).push_str(message);
        };
        CompilerListener { colours: Paint::stderr().is_on(), hear: Arc::new(hear) }
    }

    /// Builds, and shows it.
    pub(super) async fn build(&self, workshop: &Workshop) -> Result<Result<Built, Failure>, Failed> {
        let bar = self.bar.clone();
        let built = workshop.build(move |progress| bar.say(&progress.to_string()));
        let built = built.await;
        self.bar.end();
        built
    }

    /// A failure, with what was not printed before.
    pub(super) fn failed(&self, failure: &Failure) -> Failed {
        self.bar.end();
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for diagnostic in &failure.diagnostics {
            if !said.contains(&diagnostic.message) && !failure.reason.contains(diagnostic.rendered.trim_end()) {
                print::beside(format_args!("{}\n", print::plain(diagnostic.rendered.trim_end())));
            }
        }
        failure.reason.clone().into()
    }
}
