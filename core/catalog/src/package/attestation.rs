//! Attestations: that a workflow of a repository on GitHub made a file, as GitHub had it signed and put into a public log (Sigstore's).
//!
//! A package has them in a file of its own, a bundle on each line, as `gh attestation download` writes them. What is attested is the file
//! that is taken, the library or the sources. What must not live here: who has to attest.

use crate::{CatalogTrouble, proofs, trouble::shown};
use camlock_policy::Digest;
use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_types::{Bundle, Sha256Hash};
use sigstore_verify::{VerificationPolicy, Verifier};
use std::fmt;

/// The file that has them.
pub const ATTESTATIONS: &str = "attestations.jsonl";
/// The largest such file.
pub(crate) const LARGEST_ATTESTATIONS: u64 = 1 << 20;
/// So many of them are looked at.
const MOST: usize = 16;
/// Who says for GitHub which workflow somebody is.
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// A repository that has to attest what is taken, and the workflow in it; none: any of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attester {
    repository: String,
    workflow: Option<String>,
}

impl fmt::Display for Attester {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.repository)?;
        self.workflow.iter().try_for_each(|workflow| write!(formatter, ":{workflow}"))
    }
}

impl Attester {
    /// Reads `OWNER/REPOSITORY`, or `OWNER/REPOSITORY:WORKFLOW.yml`.
    pub fn read(text: &str) -> Result<Self, CatalogTrouble> {
        let word = |part: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=100).contains(&part.len()) && part.bytes().all(fits) && !part.starts_with('.')
        };
        let (repository, workflow) = match text.split_once(':') {
            Some((repository, workflow)) => (repository, Some(workflow)),
            None => (text, None),
        };
        let is_file = |file: &str| word(file) && (file.ends_with(".yml") || file.ends_with(".yaml"));
        let parts: Vec<&str> = repository.split('/').collect();
        if parts.len() != 2 || !parts.iter().all(|part| word(part)) || !workflow.is_none_or(is_file) {
            return Err(CatalogTrouble::unfit(format!(
                "`{}` names no repository of GitHub: it is OWNER/REPOSITORY, or OWNER/REPOSITORY:WORKFLOW.yml",
                shown(text)
            )));
        }
        Ok(Attester { repository: repository.to_owned(), workflow: workflow.map(str::to_owned) })
    }

    /// Whether a certificate was made out to a workflow of it.
    fn is(&self, repository: Option<&str>, signer: Option<&str>) -> bool {
        let own = format!("https://github.com/{}", self.repository);
        // Owners and repositories have no upper and lower case on GitHub; files have.
        if !repository.is_some_and(|repository| repository.eq_ignore_ascii_case(&own)) {
            return false;
        }
        let Some(workflow) = &self.workflow else { return true };
        let (own, file) = (format!("{own}/"), format!(".github/workflows/{workflow}@"));
        signer.is_some_and(|signer| {
            signer.get(..own.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(&own))
                && signer[own.len()..].starts_with(&file)
        })
    }
}

/// Whether one of these has attested a file. The reason why not is that of the last attestation that was looked at.
pub(crate) fn check(attestations: &[u8], file: &[u8], by: &[Attester]) -> Result<(), CatalogTrouble> {
    check_digest(attestations, &Digest::of(file).hex(), by)
}

fn check_digest(attestations: &[u8], sha256: &str, by: &[Attester]) -> Result<(), CatalogTrouble> {
    proofs::ready();
    let denied = |why: &dyn fmt::Display| CatalogTrouble::denied(format!("its attestation does not hold: {why}"));
    let text = std::str::from_utf8(attestations).map_err(|_| denied(&"it is not UTF-8"))?;
    let root = TrustedRoot::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT).map_err(|error| denied(&error))?;
    let verifier = Verifier::new(&root).map_err(|error| denied(&error))?;
    let policy = VerificationPolicy::any_identity().require_issuer(ISSUER);
    let mut last = denied(&"there is none in it");
    for line in text.lines().filter(|line| !line.trim().is_empty()).take(MOST) {
        let proved = Bundle::from_json(line).map_err(|error| denied(&error)).and_then(|bundle| {
            let digest = Sha256Hash::from_hex(sha256).map_err(|error| denied(&error))?;
            verifier.verify(digest, &bundle, &policy).map_err(|error| denied(&error))
        });
        let proved = match proved {
            Ok(proved) => proved,
            Err(why) => {
                last = why;
                continue;
            }
        };
        let claims = proved.certificate().map(|certificate| &certificate.ci_claims);
        let repository = claims.and_then(|claims| claims.source_repository_uri.as_deref());
        let signer = claims.and_then(|claims| claims.build_signer_uri.as_deref());
        if by.iter().any(|attester| attester.is(repository, signer)) {
            return Ok(());
        }
        last = CatalogTrouble::denied(format!(
            "it is attested by {}",
            shown(signer.or(repository).unwrap_or("nobody that is named"))
        ));
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A public one, out of Sigstore's log: by the workflow `action.yaml` of `prefix-dev/sigstore-example`, of a package of 1,594 bytes.
    const PUBLIC: &str = include_str!("../../fixtures/attestation.json");
    const SHA256: &str = "54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f";

    fn checked(text: &str, sha256: &str, by: &[&str]) -> Result<(), String> {
        let by: Vec<Attester> = by.iter().map(|text| Attester::read(text).unwrap()).collect();
        check_digest(text.as_bytes(), sha256, &by).map_err(|trouble| trouble.reason)
    }

    #[test]
    fn what_a_workflow_made_is_known() {
        let line = PUBLIC.lines().map(str::trim).collect::<String>();
        for by in [
            "prefix-dev/sigstore-example",
            "Prefix-Dev/Sigstore-Example:action.yaml",
            "prefix-dev/sigstore-example:action.yaml",
        ] {
            checked(&line, SHA256, &["acme/other", by]).unwrap();
        }
        // One of several lines is enough.
        checked(&format!("{{}}\n\n{line}\n"), SHA256, &["prefix-dev/sigstore-example"]).unwrap();
        for by in ["prefix-dev/sigstore", "acme/sigstore-example", "prefix-dev/sigstore-example:other.yaml"] {
            let told = checked(&line, SHA256, &[by]).unwrap_err();
            assert!(
                told.contains("it is attested by https://github.com/prefix-dev/sigstore-example/.github"),
                "{told}"
            );
        }
        assert!(checked(&line, &SHA256.replace('5', "6"), &["prefix-dev/sigstore-example"]).is_err(), "another file");
        let tampered = [
            // The statement, its signature, the certificate, the log's promise.
            line.replacen("\"payload\":\"", "\"payload\":\"e", 1).replacen("\"payload\": \"", "\"payload\": \"e", 1),
            line.replace("\"logIndex\":\"", "\"logIndex\":\"1").replace("\"logIndex\": \"", "\"logIndex\": \"1"),
            line.replace("\"integratedTime\":\"1", "\"integratedTime\":\"2")
                .replace("\"integratedTime\": \"1", "\"integratedTime\": \"2"),
        ];
        for tampered in tampered {
            assert_ne!(tampered, line);
            let told = checked(&tampered, SHA256, &["prefix-dev/sigstore-example"]).unwrap_err();
            assert!(told.starts_with("its attestation does not hold: "), "{told}");
        }
        for text in ["", "{}", "\u{0}", "[]"] {
            assert!(checked(text, SHA256, &["prefix-dev/sigstore-example"]).is_err(), "{text}");
        }
    }

    #[test]
    fn who_may_be_named() {
        for text in ["acme/greeter", "acme/greeter:release.yml", "a-c.me/g_1:x.yaml"] {
            assert_eq!(Attester::read(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "acme",
            "acme/",
            "/greeter",
            "a/b/c",
            "acme/greeter:",
            "acme/greeter:release",
            "acme/gr eeter",
            "acme/greeter:../x.yml",
        ] {
            assert!(Attester::read(text).unwrap_err().reason.contains("names no repository"), "{text}");
        }
    }
}
