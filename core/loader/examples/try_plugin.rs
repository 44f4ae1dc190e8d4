//! Verifies a plugin, loads it, asks it for one path, and unloads it: the whole way of a plugin in one small program.
//!
//! Usage: cargo run -p camlock-loader --example try_plugin -- LIBRARY PATH

use camlock_loader::{Loader, LoaderOptions, Staging, Verdict, Verifier, VerifierLimits};
use camlock_policy::{Body, Call, Ending};
use std::{error::Error, path::Path};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // First of all: verification starts this program again.
    camlock_loader::run_verifier_if_asked();
    let arguments: Vec<String> = std::env::args().collect();
    let [_, library, path] = &arguments[..] else { return Err("usage: try_plugin LIBRARY PATH".into()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(try_plugin(Path::new(library), path))
}

async fn try_plugin(library: &Path, path: &str) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let artifact = Staging::at(dir.path().join("artifacts"))?.stage(library)?;
    let verifier = Verifier::new(dir.path().join("verdicts"), VerifierLimits::default())?;
    if let Verdict::Bad(reason) = verifier.verify(&artifact).await? {
        return Err(reason.into());
    }
    let handle = tokio::runtime::Handle::current();
    let loader = Loader::new(dir.path().join("run"), LoaderOptions::default(), Some(handle))?;
    let mut loaded = loader.load(&artifact, (1, "{}")).await?;
    println!("host contract {}, plugin contract {}", camlock_loader::abi_version(), artifact.sections.abi);
    loaded.instance.start().await?;
    let call = Call::new(http::Request::get(path).body(Body::empty())?);
    let answer = loaded.instance.call(call).await?.response;
    let status = answer.status();
    let body = answer.into_body().into_whole().map_err(|_| "the answer streams")?;
    println!("{status}: {}", String::from_utf8_lossy(&body));
    loaded.instance.shutdown().await?;
    drop(loaded.instance);
    println!("{:?}", *loaded.ending.wait_for(|ending| *ending != Ending::Alive).await?);
    Ok(())
}
