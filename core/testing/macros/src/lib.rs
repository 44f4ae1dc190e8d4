//! The attribute `#[trial]`: a function registers itself as a test of a program that has a `main` of its own.
//!
//! It reads no more of the function than its name, so it needs no parser. What must not live here: how trials are run.

#![forbid(unsafe_code)]

use proc_macro::{TokenStream, TokenTree};

/// Registers a function as a trial, named by its module and itself: `unloading::keys_and_their_values`.
///
/// `#[trial]` takes a function without parameters. `#[trial(with = PATH)]` hands name and function to the function at `PATH`,
/// which makes trials of them: one in a process of its own, one for each database.
#[proc_macro_attribute]
pub fn trial(attribute: TokenStream, function: TokenStream) -> TokenStream {
    let Some(name) = name_of(&function) else {
        return error("`#[trial]` belongs on a function");
    };
    let with = match maker(attribute) {
        Ok(with) => with,
        Err(problem) => return error(problem),
    };
    let registration = format!(
        "::camlock_testing::inventory::submit! {{ \
             ::camlock_testing::Registered::new(::core::module_path!(), \"{name}\", |name| ({with})(name, {name})) \
         }}"
    );
    let mut whole = function;
    whole.extend(registration.parse::<TokenStream>().expect("the registration is Rust"));
    whole
}

/// The name of the function that the tokens declare.
fn name_of(function: &TokenStream) -> Option<String> {
    let mut tokens = function.clone().into_iter();
    tokens.find(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn"))?;
    match tokens.next()? {
        TokenTree::Ident(name) => Some(name.to_string()),
        _ => None,
    }
}

/// The path of the function that makes trials.
fn maker(attribute: TokenStream) -> Result<String, &'static str> {
    if attribute.is_empty() {
        return Ok("::camlock_testing::one".to_owned());
    }
    let mut tokens = attribute.into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(word)), Some(TokenTree::Punct(equals)))
            if word.to_string() == "with" && equals.as_char() == '=' =>
        {
            Ok(tokens.collect::<TokenStream>().to_string())
        }
        _ => Err("`#[trial]` takes nothing, or `with = PATH`"),
    }
}

fn error(sentence: &str) -> TokenStream {
    format!("::core::compile_error!({sentence:?});").parse().expect("an error is Rust")
}
