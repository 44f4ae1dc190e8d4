//! Which of two modes a plugin runs in. Pure. What must not live here: how a process holds it.

use camlock_api::Isolation;

/// What counts: what an operator decided, else what the configuration says of this plugin, else the stricter
/// of what its manifest asks for and what the configuration says of all.
pub(crate) fn chosen(
    on_record: Option<Isolation>,
    of_plugin: Option<Isolation>,
    manifest: Option<Isolation>,
    of_all: Option<Isolation>,
) -> Isolation {
    on_record.or(of_plugin).or(of_all_unless_weaker(manifest, of_all)).unwrap_or_default()
}

/// A manifest may ask for more than an operator asks of all, never for less.
fn of_all_unless_weaker(manifest: Option<Isolation>, of_all: Option<Isolation>) -> Option<Isolation> {
    match (manifest, of_all) {
        (Some(Isolation::Process), _) | (_, Some(Isolation::Process)) => Some(Isolation::Process),
        (manifest, of_all) => of_all.or(manifest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_word_comes_first_and_a_manifest_never_loosens() {
        const N: Option<Isolation> = Some(Isolation::None);
        const P: Option<Isolation> = Some(Isolation::Process);
        for (on_record, of_plugin, manifest, of_all, chosen_one) in [
            (None, None, None, None, "none"),
            (None, None, P, None, "process"),
            (None, None, P, N, "process"),
            (None, None, N, P, "process"),
            (None, None, None, P, "process"),
            (None, N, P, P, "none"),
            (None, P, None, None, "process"),
            (N, P, P, P, "none"),
            (P, N, N, N, "process"),
        ] {
            assert_eq!(chosen(on_record, of_plugin, manifest, of_all).word(), chosen_one);
        }
        assert_eq!("process".parse(), Ok(Isolation::Process));
        assert_eq!("proces".parse::<Isolation>().unwrap_err(), "\"proces\" is no isolation: `process` or `none`");
    }
}
