//! Paths that cannot happen say so.
//!
//! Where a condition holds by construction, code does not return in silence when it does not: it logs the place, and in a
//! debug build (which tests are) it panics, so that the mistake is found. In the field the caller goes on with the
//! mildest thing that it can do. What must not live here: conditions that bad input, the system or another process can
//! bring about. Those are errors.

/// Says that this place cannot be reached, with a sentence. Panics in a debug build; otherwise logs an error.
///
/// ```
/// # fn lookup(plugins: &std::collections::BTreeMap<String, u32>) {
/// let Some(plugin) = plugins.get("hello") else {
///     camlock_policy::never!("a plugin that has a report is known");
///     return;
/// };
/// # let _ = plugin; }
/// # lookup(&std::iter::once(("hello".to_owned(), 1)).collect());
/// ```
#[macro_export]
macro_rules! never {
    ($($argument:tt)+) => {
        $crate::assert::violated(&::std::format!($($argument)+))
    };
}

/// Whether a condition holds that always does. Where it does not, that is said as by [`never!`].
#[macro_export]
macro_rules! always {
    ($condition:expr, $($argument:tt)+) => {{
        let holds: bool = $condition;
        if !holds {
            $crate::never!($($argument)+);
        }
        holds
    }};
}

/// What the macros do when a condition does not hold.
#[doc(hidden)]
#[cold]
#[track_caller]
pub fn violated(what: &str) {
    let place = std::panic::Location::caller();
    debug_assert!(false, "this cannot happen: {what} ({place})");
    tracing::error!(%place, "this cannot happen, and is a mistake of this program: {what}");
}

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic(expected = "this cannot happen: one is two")]
    fn what_cannot_happen_fails_a_debug_build() {
        if !always!(1 + 1 == 3, "{} is two", "one") {
            unreachable!("a debug build stops before");
        }
    }

    #[test]
    fn what_holds_is_silent() {
        assert!(always!(1 + 1 == 2, "arithmetic"));
    }
}
