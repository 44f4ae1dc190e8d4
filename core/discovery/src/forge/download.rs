//! Fetching what is no document: the archive of a repository. It lies where the forge sends to, and the token is not shown there.
//!
//! What must not live here: what is in it.

use super::client::{ForgeAnswer, ForgeClient};
use crate::trouble::ForgeError;
use http::{HeaderMap, StatusCode, header};
use std::time::Duration;
use url::Url;

/// The forge may send to somewhere else, and perhaps once more.
const MOST_REDIRECTS: usize = 3;
/// So long it may take: an archive is larger than an answer.
const PATIENCE: Duration = Duration::from_secs(300);

impl ForgeClient {
    /// What lies at a place; none if there is nothing. What is larger is an error, and is not read on.
    pub(super) async fn download(&self, place: &Url, most: u64) -> Result<Option<Vec<u8>>, ForgeError> {
        self.patiently(|| self.download_once(place, most)).await
    }

    async fn download_once(&self, first: &Url, most: u64) -> Result<Option<Vec<u8>>, ForgeError> {
        let mut place = first.clone();
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.get(&place, PATIENCE).await?;
            let status = answer.status();
            if status.is_redirection() {
                place = self.archive_place(&place, answer.headers())?;
                continue;
            }
            if status != StatusCode::OK {
                return match self.read(&place, answer).await? {
                    ForgeAnswer::Missing => Ok(None),
                    _ => Err(ForgeError::NotUnderstood(format!("{place} says {status}, and an archive is expected"))),
                };
            }
            return self.bytes(&place, answer, most).await.map(Some);
        }
        Err(ForgeError::NotUnderstood(format!("{first} is sent from place to place without an end")))
    }

    async fn bytes(&self, place: &Url, mut answer: reqwest::Response, most: u64) -> Result<Vec<u8>, ForgeError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(place, error))? {
            if (bytes.len() + chunk.len()) as u64 > most {
                return Err(ForgeError::NotUnderstood(format!(
                    "{place} sends more than the {most} bytes that are taken"
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Where the forge sends to for an archive: a place of its own, or its server for archives, and nobody else's.
    fn archive_place(&self, place: &Url, headers: &HeaderMap) -> Result<Url, ForgeError> {
        let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
        let to = location.and_then(|location| place.join(location).ok());
        to.filter(|to| self.is_own(to) || self.serves_archives(to)).ok_or_else(|| {
            ForgeError::NotUnderstood(format!("{place} sends to another server, from which no archive is taken"))
        })
    }

    /// GitHub's is `codeload.github.com`, and `codeload.` before the host of an enterprise's.
    fn serves_archives(&self, place: &Url) -> bool {
        let own = self.base().host_str().unwrap_or_default();
        let own = own.strip_prefix("api.").unwrap_or(own);
        place.scheme() == "https"
            && place.port().is_none()
            && place.host_str().and_then(|host| host.strip_prefix("codeload.")) == Some(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::DiscoverySettings;

    #[test]
    fn archives_come_from_the_forge_and_nobody_else() {
        for (api, place, expected) in [
            ("https://api.github.com", "https://codeload.github.com/o/r/legacy.tar.gz/refs/tags/v1", true),
            ("https://api.github.com", "http://codeload.github.com/o/r", false),
            ("https://api.github.com", "https://codeload.github.com:8443/o/r", false),
            ("https://api.github.com", "https://codeload.github.com.example.org/o/r", false),
            ("https://api.github.com", "https://api.github.com/o/r", true),
            ("https://git.example.org/api/v3", "https://codeload.git.example.org/o/r", true),
            ("https://git.example.org/api/v3", "https://git.example.org/_codeload/o/r", true),
            ("https://git.example.org/api/v3", "https://169.254.169.254/latest", false),
        ] {
            let settings = DiscoverySettings { api: api.to_owned(), ..DiscoverySettings::new("acme") };
            let client = ForgeClient::new(&settings).unwrap();
            let headers = HeaderMap::from_iter([(header::LOCATION, place.parse().unwrap())]);
            let went = client.archive_place(&client.place(&["repos"]), &headers);
            assert_eq!(went.is_ok(), expected, "{api} {place} {went:?}");
        }
    }
}
