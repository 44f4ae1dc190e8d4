//! Panics of the host itself. A plugin's are caught on their way to the host, which logs them.

use super::{Reports, event::Noted};
use std::{
    backtrace::Backtrace,
    panic::{PanicHookInfo, set_hook, take_hook},
    thread,
};
use tracing_subscriber::{Registry, registry::LookupSpan};

/// The spans that code of a plugin runs in, if it is compiled in.
const PLUGIN: &str = "camlock::plugin";

/// From now on panics are reported, and told of as ever.
pub(super) fn report(reports: Reports) {
    let before = take_hook();
    set_hook(Box::new(move |info| {
        before(info);
        if !is_a_plugin_s() {
            reports.report("panic", noted(info));
        }
    }));
}

fn noted(info: &PanicHookInfo<'_>) -> Noted {
    let mut noted = Noted::default();
    noted.note("message", info.payload_as_str().unwrap_or("the panic carried no text").to_owned());
    noted.note("location", info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default());
    noted.note("backtrace", functions(&Backtrace::force_capture().to_string()));
    noted.note("thread", thread::current().name().unwrap_or_default().to_owned());
    noted
}

/// The functions of a backtrace as it is printed, a line each: behind those that make the panic.
fn functions(printed: &str) -> String {
    let numbered = printed.lines().filter_map(|line| {
        let (number, name) = line.trim_start().split_once(": ")?;
        number.parse::<u32>().ok().map(|_| name)
    });
    let all: Vec<_> = numbered.collect();
    let begin = all.iter().position(|name| name.contains("panicking::panic") || name.contains("begin_panic"));
    all[begin.unwrap_or(0)..].join("\n")
}

fn is_a_plugin_s() -> bool {
    tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>();
        let within = registry.zip(dispatch.current_span().id().cloned());
        let span = within.and_then(|(registry, id)| registry.span(&id));
        span.is_some_and(|span| span.scope().any(|span| span.metadata().target() == PLUGIN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn the_functions_of_a_backtrace() {
        let printed = "   0: std::backtrace::Backtrace::force_capture\n             at /rustc/x/y.rs:1:2\n   1: core::panicking::panic_fmt\n   \
                       2: camlock::serve::serve::{{closure}}\n";
        assert_eq!(functions(printed), "core::panicking::panic_fmt\ncamlock::serve::serve::{{closure}}");
        let here = functions(&Backtrace::force_capture().to_string());
        assert!(here.contains("the_functions_of_a_backtrace"), "{here}");
    }

    #[test]
    fn what_is_inside_a_plugin_is_the_plugin_s() {
        let subscriber = tracing_subscriber::registry().with(super::super::Reports(None).layer());
        tracing::subscriber::with_default(subscriber, || {
            assert!(!is_a_plugin_s());
            tracing::info_span!("other").in_scope(|| assert!(!is_a_plugin_s()));
            tracing::error_span!(target: PLUGIN, "plugin").in_scope(|| {
                tracing::info_span!("its own").in_scope(|| assert!(is_a_plugin_s()));
            });
        });
    }
}
