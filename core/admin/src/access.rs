//! Which role a path asks for. Pure.

use camlock_policy::{registry::Role, routes::MOUNTS};
use http::Method;

/// What is below this asks for a token, except what plugins serve.
const GUARDED: &str = "/api/v1/";

/// The same under other names.
const MARKETPLACE: &str = "/api/plugins/";

/// Who comes here shows a secret of its own.
const WEBHOOK: &str = "/api/v1/plugins/discovery/webhook";

/// The least role that a request needs; none if it is open to all. The path need not be one that there is.
pub(super) fn least(method: &Method, path: &str) -> Option<Role> {
    if let Some(below) = path.strip_prefix(MARKETPLACE) {
        return Some(match below.trim_start_matches("marketplace/").split('/').next() {
            _ if matches!(*method, Method::GET | Method::HEAD) => Role::Viewer,
            Some("enable" | "disable" | "sync") => Role::Operator,
            _ => Role::Admin,
        });
    }
    if path == WEBHOOK && *method == Method::POST {
        return None;
    }
    let below = path.strip_prefix(GUARDED).filter(|_| !path.starts_with(MOUNTS))?;
    let looks = matches!(*method, Method::GET | Method::HEAD);
    let mut parts = below.split('/');
    let (first, of_plugin) = (parts.next(), parts.nth(1));
    Some(match (first, of_plugin) {
        (Some("tokens"), _) | (Some("plugins"), Some("storage" | "tables")) => Role::Admin,
        (Some("plugins"), Some("grants")) if !looks => Role::Admin,
        // A way onto the page is for whoever may ask at all: it leads to what they may already.
        (Some("page"), _) => Role::Viewer,
        // What was worked out, and of what, is not for everybody to see.
        (Some("plugins"), Some("executions")) => Role::Operator,
        // What plugins tell each other.
        (Some("topics" | "subscriptions"), _) => Role::Operator,
        // What stands in them is not for everybody who may look.
        (Some("tasks"), _) => Role::Operator,
        _ if looks => Role::Viewer,
        _ if below == "plugins" || below == "catalogs" || *method == Method::DELETE => Role::Admin,
        _ => Role::Operator,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_least_role() {
        for (method, path, expected) in [
            ("GET", "/api/v1/plugins/hello/tables", Some(Role::Admin)),
            ("GET", "/plugins", None),
            ("GET", "/plugins/hello", None),
            ("DELETE", "/plugins/hello", None),
            ("GET", "/metrics", None),
            ("GET", "/api/v1/p/hello/x", None),
            ("POST", "/api/v1/p/tokens", None),
            ("GET", "/api/v1/p", Some(Role::Viewer)),
            ("GET", "/api/v1/", Some(Role::Viewer)),
            ("GET", "/api/v1/nothing", Some(Role::Viewer)),
            ("HEAD", "/api/v1/plugins", Some(Role::Viewer)),
            ("GET", "/api/v1/plugins/tokens", Some(Role::Viewer)),
            ("PUT", "/api/v1/plugins/hello", Some(Role::Operator)),
            ("POST", "/api/v1/plugins/hello/reload", Some(Role::Operator)),
            ("PATCH", "/api/v1/plugins/hello", Some(Role::Operator)),
            ("POST", "/api/v1/reload", Some(Role::Operator)),
            ("GET", "/api/v1/plugins/hello/grants", Some(Role::Viewer)),
            ("PUT", "/api/v1/plugins/hello/grants", Some(Role::Admin)),
            ("GET", "/api/v1/plugins/hello/storage", Some(Role::Admin)),
            ("PUT", "/api/v1/plugins/hello/storage/a/b", Some(Role::Admin)),
            ("POST", "/api/v1/plugins/hello/execute", Some(Role::Operator)),
            ("GET", "/api/v1/plugins/hello/executions", Some(Role::Operator)),
            ("GET", "/api/v1/tasks", Some(Role::Operator)),
            ("GET", "/api/v1/tasks/7", Some(Role::Operator)),
            ("POST", "/api/v1/tasks/7/cancel", Some(Role::Operator)),
            ("POST", "/api/v1/page/codes", Some(Role::Viewer)),
            ("POST", "/api/v1/plugins/hello/try", Some(Role::Operator)),
            ("GET", "/", None),
            ("POST", "/api/v1/plugins", Some(Role::Admin)),
            ("DELETE", "/api/v1/plugins/hello", Some(Role::Admin)),
            ("GET", "/api/v1/topics/events", Some(Role::Operator)),
            ("GET", "/api/v1/subscriptions/a/dead", Some(Role::Operator)),
            ("POST", "/api/v1/emit", Some(Role::Operator)),
            ("GET", "/api/plugins/marketplace/catalog", Some(Role::Viewer)),
            ("POST", "/api/plugins/marketplace/install/hello", Some(Role::Admin)),
            ("POST", "/api/plugins/marketplace/enable/hello", Some(Role::Operator)),
            ("DELETE", "/api/plugins/marketplace/uninstall/hello", Some(Role::Admin)),
            ("POST", "/api/plugins/nothing", Some(Role::Admin)),
            ("GET", "/api/v1/catalogs", Some(Role::Viewer)),
            ("POST", "/api/v1/catalogs", Some(Role::Admin)),
            ("POST", "/api/v1/catalogs/main/sync", Some(Role::Operator)),
            ("DELETE", "/api/v1/catalogs/main", Some(Role::Admin)),
            ("GET", "/api/v1/marketplace/plugins", Some(Role::Viewer)),
            ("GET", "/api/v1/plugins/discovered", Some(Role::Viewer)),
            ("POST", "/api/v1/plugins/discovery/scan", Some(Role::Operator)),
            ("POST", "/api/v1/plugins/discovery/webhook", None),
            ("POST", "/api/v1/plugins/discovery/webhook/", Some(Role::Operator)),
            ("DELETE", "/api/v1/plugins/discovery/webhook", Some(Role::Admin)),
            ("GET", "/api/v1/tokens", Some(Role::Admin)),
            ("POST", "/api/v1/tokens", Some(Role::Admin)),
            ("DELETE", "/api/v1/tokens/7", Some(Role::Admin)),
        ] {
            assert_eq!(least(&method.parse().unwrap(), path), expected, "{method} {path}");
        }
    }
}
