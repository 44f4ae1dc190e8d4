//! The cookie of the page's sessions, which no plugin sees. Cookies know no ports: a browser that is signed in to the page sends
//! it to whatever else listens on that host, plugins among them. What must not live here: what stands in it.

use http::{HeaderMap, HeaderValue, header::COOKIE};

/// What the names of these cookies begin with, behind `__Host-` where connections are encrypted.
pub const PAGE_COOKIE: &str = "camlock_page_";

fn is_ours(cookie: &str) -> bool {
    let cookie = cookie.trim_start();
    cookie.strip_prefix("__Host-").unwrap_or(cookie).starts_with(PAGE_COOKIE)
}

/// Takes it out, and leaves the others as they are.
pub(crate) fn remove_page_cookie(headers: &mut HeaderMap) {
    let has = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        bytes.windows(PAGE_COOKIE.len()).any(|part| part == PAGE_COOKIE.as_bytes())
    };
    if !headers.get_all(COOKIE).iter().any(has) {
        return;
    }
    let others: Vec<HeaderValue> = headers.get_all(COOKIE).iter().filter_map(without_ours).collect();
    headers.remove(COOKIE);
    for value in others {
        headers.append(COOKIE, value);
    }
}

fn without_ours(value: &HeaderValue) -> Option<HeaderValue> {
    // A header is bytes; what is no text is kept out with ours rather than let through with it.
    let text = value.to_str().ok()?;
    let kept: Vec<&str> = text.split(';').filter(|cookie| !is_ours(cookie)).map(str::trim).collect();
    if kept.is_empty() { None } else { HeaderValue::from_str(&kept.join("; ")).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_cookie_goes_and_others_stay() {
        for (cookies, expected) in [
            (&["a=1; b=2"][..], &["a=1; b=2"][..]),
            (&["camlock_page_8081=x"], &[]),
            (&["a=1; camlock_page_8081=x; b=2"], &["a=1; b=2"]),
            (&["a=1;__Host-camlock_page_8081=x"], &["a=1"]),
            (&["a=1", "camlock_page_1=x", "b=2"], &["a=1", "b=2"]),
            (&["my_camlock_page_=1"], &["my_camlock_page_=1"]),
        ] {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(COOKIE, HeaderValue::from_static(cookie));
            }
            remove_page_cookie(&mut headers);
            let left: Vec<_> = headers.get_all(COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(left, expected, "{cookies:?}");
        }
    }
}
