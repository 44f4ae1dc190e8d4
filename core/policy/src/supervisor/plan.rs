//! What is wanted of a plugin, and the next step towards it: pure functions of what is known, tested as a table.

use crate::{Digest, Fingerprint};

/// What a generation is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GenerationSource {
    /// The entry in the directory, as it is.
    Entry(Fingerprint),
    /// An artifact that was kept.
    Kept(Digest),
}

/// What is wanted of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Desired {
    /// That it does not serve.
    Nothing,
    /// That it stays as it is: its entry cannot be used for now.
    AsItIs,
    /// That it serves this.
    Source(GenerationSource),
}

/// A candidate on its way, as far as planning cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OnItsWay<'a> {
    pub(crate) source: &'a GenerationSource,
    /// It has not been loaded: nothing is lost with it but work.
    pub(crate) disposable: bool,
    /// It waits for other plugins.
    pub(crate) waiting: bool,
}

/// When a failed source may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Not before something changes.
    Never,
    /// Not yet.
    Later,
    /// Now.
    Due,
}

/// All that the next step depends on.
#[derive(Clone, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) wanted: &'a Desired,
    /// Somebody asks for a new generation, even of the same source.
    pub(crate) asked: bool,
    /// What the generation that serves was made of.
    pub(crate) serving: Option<&'a GenerationSource>,
    pub(crate) candidate: Option<OnItsWay<'a>>,
    pub(crate) failed: Option<(&'a GenerationSource, Retry)>,
    /// What the serving generation depends on is there.
    pub(crate) supported: bool,
    /// Generations that serve depend on it.
    pub(crate) needed: bool,
    /// So many candidates in a row were given up for newer ones.
    pub(crate) passed_over: u32,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// None.
    Rest,
    /// Give the candidate up.
    GiveUp,
    /// Begin a candidate.
    Make(GenerationSource),
    /// Take the serving generation out of the table.
    Stop,
}

/// A plugin that is saved without end still gets a candidate through: after so many that were given up.
pub(crate) const PATIENCE: u32 = 3;

pub(crate) fn plan(situation: &Situation<'_>) -> NextStep {
    let Situation { wanted, asked, serving, candidate, failed, supported, needed, passed_over } = situation;
    if serving.is_some() && !supported {
        // Those who need it are without support too, and go before it.
        return if *needed { NextStep::Rest } else { NextStep::Stop };
    }
    match (wanted, candidate) {
        (Desired::Nothing | Desired::AsItIs, Some(candidate)) if candidate.disposable => NextStep::GiveUp,
        // What others need leaves after them.
        (Desired::Nothing, _) if serving.is_some() && !needed => NextStep::Stop,
        (Desired::Nothing | Desired::AsItIs, _) => NextStep::Rest,
        (Desired::Source(source), Some(candidate)) => {
            let outdated = candidate.source != source;
            // One that waits costs nothing to begin anew; one at work is let through once it was passed over too often.
            let give_up = match candidate {
                OnItsWay { waiting: true, .. } => outdated || *asked,
                OnItsWay { disposable, .. } => outdated && *disposable && *passed_over < PATIENCE,
            };
            if give_up { NextStep::GiveUp } else { NextStep::Rest }
        }
        (Desired::Source(source), None) => {
            let hopeless = matches!(failed, Some((failed, Retry::Never | Retry::Later)) if *failed == source);
            let served = *serving == Some(source);
            if *asked || !(served || hopeless) { NextStep::Make(source.clone()) } else { NextStep::Rest }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fingerprint: &str) -> GenerationSource {
        GenerationSource::Entry(Fingerprint(fingerprint.to_owned()))
    }

    /// One line a case: wanted, serving, candidate, failed, flags → step.
    #[test]
    fn what_is_there_times_what_is_wanted() {
        let table = "
            # nothing there
            nothing  -  -          -        -            rest
            as-it-is -  -          -        -            rest
            a        -  -          -        -            make-a
            # it serves
            a        a  -          -        -            rest
            b        a  -          -        -            make-b
            nothing  a  -          -        -            stop
            nothing  a  -          -        needed       rest
            as-it-is a  -          -        -            rest
            # asked for a new generation
            a        a  -          -        asked        make-a
            a        -  -          a-never  asked        make-a
            a        a  a-light    -        asked        rest
            a        -  a-waits    -        asked        give-up
            nothing  -  -          -        asked        rest
            # a candidate is on its way
            a        -  a-light    -        -            rest
            a        -  a-loaded   -        -            rest
            b        -  a-light    -        -            give-up
            b        -  a-loaded   -        -            rest
            b        x  a-light    -        patient      rest
            b        x  a-waits    -        patient      give-up
            nothing  -  a-light    -        -            give-up
            nothing  -  a-loaded   -        -            rest
            nothing  x  a-light    -        -            give-up
            nothing  x  a-loaded   -        -            stop
            as-it-is x  a-light    -        -            give-up
            as-it-is x  a-loaded   -        -            rest
            # it failed before
            a        -  -          a-never  -            rest
            a        x  -          a-never  -            rest
            a        x  -          a-later  -            rest
            a        x  -          a-due    -            make-a
            b        x  -          a-never  -            make-b
            # what it depends on has gone
            a        a  -          -        unsupported  stop
            as-it-is a  -          -        unsupported  stop
            a        a  -          -        unsupported,needed  rest
            a        -  a-waits    -        unsupported  rest";
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let words: Vec<_> = line.split_whitespace().collect();
            let [wanted, serving, candidate, failed, flags, expected] = words[..] else { panic!("{line}") };
            let wanted = match wanted {
                "nothing" => Desired::Nothing,
                "as-it-is" => Desired::AsItIs,
                fingerprint => Desired::Source(entry(fingerprint)),
            };
            let serving = (serving != "-").then(|| entry(serving));
            let on_its_way = candidate.split_once('-').filter(|(fingerprint, _)| !fingerprint.is_empty());
            let source = on_its_way.map(|(fingerprint, _)| entry(fingerprint));
            let candidate = on_its_way.zip(source.as_ref()).map(|((_, how), source)| OnItsWay {
                source,
                disposable: how != "loaded",
                waiting: how == "waits",
            });
            let tried = failed.split_once('-').filter(|(fingerprint, _)| !fingerprint.is_empty());
            let source = tried.map(|(fingerprint, _)| entry(fingerprint));
            let failed = tried.zip(source.as_ref()).map(|((_, when), source)| {
                let retry = match when {
                    "never" => Retry::Never,
                    "later" => Retry::Later,
                    _ => Retry::Due,
                };
                (source, retry)
            });
            let has = |flag: &str| flags.split(',').any(|word| word == flag);
            let step = plan(&Situation {
                wanted: &wanted,
                asked: has("asked"),
                serving: serving.as_ref(),
                candidate,
                failed,
                supported: !has("unsupported"),
                needed: has("needed"),
                passed_over: if has("patient") { PATIENCE } else { 0 },
            });
            let step = match &step {
                NextStep::Rest => "rest".to_owned(),
                NextStep::GiveUp => "give-up".to_owned(),
                NextStep::Stop => "stop".to_owned(),
                NextStep::Make(GenerationSource::Entry(fingerprint)) => format!("make-{fingerprint}"),
                NextStep::Make(GenerationSource::Kept(digest)) => format!("make-{digest}"),
            };
            assert_eq!(step, expected, "{line}");
        }
    }
}
