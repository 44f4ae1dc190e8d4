//! Where a catalog lies: a folder of this machine, or a web server. Over plain HTTP only on this machine.

use crate::{
    CatalogTrouble,
    keep::read_bounded,
    trouble::{of_file, shown},
};
use std::{fmt, io::Read, net::IpAddr, path::PathBuf, time::Duration};
use ureq::http::{StatusCode, Uri};

/// So long a request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a catalog lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogPlace {
    /// A folder: a checkout, a mounted share, a mirror.
    Folder(PathBuf),
    /// The URL of one, without a slash at its end.
    Web(String),
}

impl fmt::Display for CatalogPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CatalogPlace::Folder(path) => write!(formatter, "file://{}", path.display()),
            CatalogPlace::Web(url) => formatter.write_str(url),
        }
    }
}

impl CatalogPlace {
    /// Reads a URL: `https://…`, `file:///…`, or `http://…` on this machine.
    pub fn read(url: &str) -> Result<Self, CatalogTrouble> {
        let unfit = |why: &str| Err(CatalogTrouble::unfit(format!("`{}` is no place of a catalog: {why}", shown(url))));
        if let Some(path) = url.strip_prefix("file://") {
            return match path.starts_with('/') {
                true => Ok(CatalogPlace::Folder(PathBuf::from(path))),
                false => unfit("after `file://` comes an absolute path"),
            };
        }
        let Ok(uri) = url.parse::<Uri>() else { return unfit("it is no URL") };
        if uri.query().is_some() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return unfit("it has a query or a password in it");
        }
        let Some(host) = uri.host() else { return unfit("it has no host") };
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let here = plain == "localhost" || plain.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        match uri.scheme_str() {
            Some("https") => Ok(CatalogPlace::Web(url.trim_end_matches('/').to_owned())),
            Some("http") if here => Ok(CatalogPlace::Web(url.trim_end_matches('/').to_owned())),
            Some("http") => unfit("over plain `http://` others read what is asked for: only this machine is asked so"),
            _ => unfit("it begins with `https://` or `file://`"),
        }
    }

    /// A file below it, of so many bytes at most; none if it is not there. What is larger is an error, and is not read on.
    pub(crate) fn fetch(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, CatalogTrouble> {
        match self {
            CatalogPlace::Folder(folder) => {
                let path = folder.join(path);
                match path.try_exists() {
                    Ok(true) => read_bounded(&path, most).map(Some),
                    Ok(false) if folder.is_dir() => Ok(None),
                    Ok(false) => Err(CatalogTrouble::unavailable(format!("{} is not there", folder.display()))),
                    Err(error) => Err(of_file("read", &path)(error)),
                }
            }
            CatalogPlace::Web(url) => fetch(&format!("{url}/{path}"), most),
        }
    }
}

/// What a URL answers; none if there is nothing.
pub(crate) fn fetch(url: &str, most: u64) -> Result<Option<Vec<u8>>, CatalogTrouble> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        // Somebody else's machine must not be made to ask within this network.
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into();
    let failed = |why: &dyn fmt::Display| CatalogTrouble::unavailable(format!("{url} does not answer: {why}"));
    let mut answer = agent.get(url).call().map_err(|error| failed(&error))?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
        other => return Err(CatalogTrouble::unavailable(format!("{url} answers {other}"))),
    }
    let mut bytes = Vec::new();
    let body = answer.body_mut().as_reader();
    body.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > most {
        return Err(CatalogTrouble::denied(format!("{url} sends more than the {most} bytes that are taken")));
    }
    Ok(Some(bytes))
}
