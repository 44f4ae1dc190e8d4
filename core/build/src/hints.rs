//! What to do about the commonest errors of compilers, for whoever meets them in a plugin for the first time.
//!
//! Pure. What must not live here: what the error itself says.

use crate::environment;
use camlock_policy::Diagnostic;

/// What to do about an error, if it is one of the commonest.
pub(crate) fn of_compiler(error: &Diagnostic) -> Option<String> {
    let Diagnostic { message, rendered, .. } = error;
    if message.starts_with("linker `") && message.ends_with("not found") {
        return Some("install a C compiler, which brings the linker".to_owned());
    }
    if let Some(crate_name) = twice(rendered) {
        return Some(match crate_name {
            "axum" => "its `axum` is another version than that of `camlock-plugin`, whose routers are taken: depend on `axum = \
                       \"0.8\"`, or use `camlock_plugin::prelude::Router`"
                .to_owned(),
            other => format!("two versions of `{other}` are among its dependencies: depend on the same one everywhere"),
        });
    }
    if let Some(name) = message.strip_prefix("environment variable `").and_then(|rest| rest.split('`').next())
        && message.contains("not defined at compile time")
    {
        return Some(format!(
            "builds see few of the server's variables: set `{name}` under `[env]` in the plugin's `.cargo/config.toml`, or name \
             it in the server's {}",
            environment::MORE
        ));
    }
    let is_boxed_error = rendered.contains("dyn std::error::Error") || rendered.contains("dyn Error");
    let is_of_question_mark = message.contains("`?` couldn't convert the error")
        || rendered.contains("required for `camlock_plugin::Error` to implement `From<Box<dyn");
    let is_unsized = message.starts_with("the size for values of type `dyn ");
    (is_boxed_error && (is_of_question_mark || is_unsized)).then(|| {
        "a `Box<dyn Error>` is no error itself, so `?` cannot make the plugin's of it: add `.map_err(Error::msg)`, or return a \
         type of error of your own"
            .to_owned()
    })
}

/// The crate of which there are two versions, if that is what the compiler says.
fn twice(rendered: &str) -> Option<&str> {
    let signs = ["there are multiple different versions of crate `", "two different versions of crate `"];
    signs.iter().find_map(|sign| rendered.split_once(sign)?.1.split('`').next())
}
