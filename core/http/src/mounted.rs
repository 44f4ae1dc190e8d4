//! A plugin under its mount: it is told where it is, and what it says of paths of its own is put under the mount. What must not
//! live here: bodies. Links in pages are the application's.

use camlock_policy::routes::MOUNTS;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};

/// Tells a plugin the mount, which is cut off the paths that it sees.
pub(crate) const X_FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// From a mount without a slash behind it to the one with it, where relative links of pages lead to the plugin. Relative itself: in
/// somebody else's server there may be more before it.
pub(crate) fn to_the_slash<B: Default>(plugin: &str, target: &Uri) -> Response<B> {
    let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    if let Ok(location) = HeaderValue::try_from(format!("{plugin}/{query}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Whether an answer says anything of paths.
#[inline]
pub(crate) fn names_paths(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| *name == header::LOCATION || *name == header::SET_COOKIE)
}

/// Puts what an answer says of paths under the plugin's mount.
#[cold]
pub(crate) fn rewrite_paths(headers: &mut HeaderMap, plugin: &str) {
    let mount = format!("{MOUNTS}{plugin}");
    if let Some(location) = headers.get_mut(header::LOCATION)
        && let Some(rewritten) = location.to_str().ok().and_then(|path| under(&mount, path))
        && let Ok(rewritten) = HeaderValue::try_from(rewritten)
    {
        *location = rewritten;
    }
    if let header::Entry::Occupied(mut cookies) = headers.entry(header::SET_COOKIE) {
        for cookie in cookies.iter_mut() {
            if let Some(rewritten) = cookie.to_str().ok().and_then(|cookie| cookie_under(&mount, cookie))
                && let Ok(rewritten) = HeaderValue::try_from(rewritten)
            {
                *cookie = rewritten;
            }
        }
    }
}

/// An absolute path under the mount. None if it stays as it is: it is none, or leads to a plugin's mount by itself.
fn under(mount: &str, path: &str) -> Option<String> {
    let is_absolute_path = path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\");
    (is_absolute_path && !path.starts_with(MOUNTS) && path != mount).then(|| format!("{mount}{path}"))
}

/// A cookie whose path lies under the mount. One that is bound to the whole host by its name stays as it is: browsers take it so
/// alone.
fn cookie_under(mount: &str, cookie: &str) -> Option<String> {
    if cookie.trim_start().get(..7).is_some_and(|name| name.eq_ignore_ascii_case("__Host-")) {
        return None;
    }
    let mut changed = false;
    let parts = cookie.split(';').enumerate().map(|(index, part)| {
        let path = part.split_once('=').filter(|(name, _)| index > 0 && name.trim().eq_ignore_ascii_case("path"));
        match path.and_then(|(_, path)| under(mount, path.trim())) {
            Some(path) => {
                changed = true;
                format!(" Path={path}")
            }
            None => part.to_owned(),
        }
    });
    let rewritten = parts.collect::<Vec<_>>().join(";");
    changed.then_some(rewritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_its_own_are_put_under_the_mount() {
        for (said, sent) in [
            ("/login", "/api/v1/p/shop/login"),
            ("/", "/api/v1/p/shop/"),
            ("/login?next=/x", "/api/v1/p/shop/login?next=/x"),
            // What knows its mount, or leads to another plugin.
            ("/api/v1/p/shop/login", "/api/v1/p/shop/login"),
            ("/api/v1/p/other/", "/api/v1/p/other/"),
            ("login", "login"),
            ("../login", "../login"),
            ("//other.example/login", "//other.example/login"),
            ("/\\other.example", "/\\other.example"),
            ("https://other.example/login", "https://other.example/login"),
        ] {
            let mut headers = HeaderMap::from_iter([(header::LOCATION, said.parse().unwrap())]);
            assert!(names_paths(&headers));
            rewrite_paths(&mut headers, "shop");
            assert_eq!(headers[header::LOCATION], sent);
        }
    }

    #[test]
    fn cookies_are_bound_to_the_mount() {
        let cookies = [
            ("a=1; Path=/; HttpOnly", "a=1; Path=/api/v1/p/shop/; HttpOnly"),
            ("b=2; path=/admin", "b=2; Path=/api/v1/p/shop/admin"),
            ("path=/x; Secure", "path=/x; Secure"),
            ("c=3", "c=3"),
            ("__Host-d=4; Path=/; Secure", "__Host-d=4; Path=/; Secure"),
            ("e=5; Path=/api/v1/p/shop/", "e=5; Path=/api/v1/p/shop/"),
        ];
        let mut headers = HeaderMap::new();
        for (said, _) in cookies {
            headers.append(header::SET_COOKIE, said.parse().unwrap());
        }
        rewrite_paths(&mut headers, "shop");
        let sent: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(sent, cookies.map(|(_, sent)| sent));
    }

    #[test]
    fn a_mount_without_a_slash_leads_to_the_one_with_it() {
        for (target, location) in [("/api/v1/p/shop", "shop/"), ("/api/v1/p/shop?a=1", "shop/?a=1")] {
            let response = to_the_slash::<()>("shop", &target.parse().unwrap());
            assert_eq!(
                (response.status().as_u16(), &response.headers()["location"]),
                (308, &location.parse().unwrap())
            );
        }
    }
}
