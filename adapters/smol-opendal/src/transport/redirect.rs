//! Where an answer sends a request next.

use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri, header};
use opendal::Buffer;
use url::Url;

/// What proves who asks, and is nobody else's business.
const SECRETS: [HeaderName; 5] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-goog-iam-authorization-token"),
];

/// The request to send next, if the answer is a redirect that can be followed.
///
/// What reads follows every redirect. What writes follows only those that ask for the same
/// request again (307, 308): after the others nobody could say what was asked for. To another
/// server no secrets go, and nothing goes from HTTPS to plain HTTP.
pub(super) fn redirected(
    sent: Request<Buffer>,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<Request<Buffer>> {
    let reads = matches!(*sent.method(), Method::GET | Method::HEAD);
    let follows = match status.as_u16() {
        301..=303 => reads,
        307 | 308 => true,
        _ => false,
    };
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok())?;
    if !follows {
        return None;
    }
    let from = Url::parse(&sent.uri().to_string()).ok()?;
    let to = from.join(location).ok()?;
    let is_safe = to.scheme() == "https" || (from.scheme(), to.scheme()) == ("http", "http");
    if !is_safe {
        return None;
    }
    let uri: Uri = to.as_str().parse().ok()?;
    let mut next = sent;
    *next.uri_mut() = uri;
    next.headers_mut().remove(header::HOST);
    if from.origin() != to.origin() {
        for name in SECRETS {
            next.headers_mut().remove(name);
        }
    }
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(method: Method, from: &str, status: u16, location: &str) -> Option<Request<Buffer>> {
        let sent = Request::builder().method(method).uri(from);
        let sent = sent.header("host", "h").header("authorization", "secret").header("x-kept", "1");
        let sent = sent.body(Buffer::from("body")).expect("it is well formed");
        let headers = HeaderMap::from_iter([(header::LOCATION, location.parse().expect("ASCII"))]);
        redirected(sent, StatusCode::from_u16(status).expect("a status"), &headers)
    }

    #[test]
    fn reads_follow_all_redirects_and_writes_those_that_repeat_the_request() {
        for status in [301, 302, 303, 307, 308] {
            let next = follow(Method::GET, "http://a/x?q=1", status, "/y").expect("it is followed");
            assert_eq!(next.uri(), "http://a/y");
            let next = follow(Method::PUT, "http://a/x", status, "http://a/y");
            assert_eq!(next.is_some(), status > 303, "{status}");
        }
        let next = follow(Method::PUT, "http://a/x", 307, "/y").expect("it is followed");
        assert_eq!((next.method(), next.body().to_vec().as_slice()), (&Method::PUT, &b"body"[..]));
        for status in [200, 204, 300, 304, 404] {
            assert!(follow(Method::GET, "http://a/x", status, "/y").is_none(), "{status}");
        }
        let none = Request::new(Buffer::new());
        assert!(redirected(none, StatusCode::FOUND, &HeaderMap::new()).is_none());
    }

    #[test]
    fn secrets_stay_with_the_server_that_they_are_for() {
        for (to, keeps) in [
            ("http://a:80/y", true),
            ("/y", true),
            ("http://a:81/y", false),
            ("http://b/y", false),
            ("https://a/y", false),
        ] {
            let next = follow(Method::GET, "http://a/x", 307, to).expect("it is followed");
            assert_eq!(next.headers().contains_key("authorization"), keeps, "{to}");
            assert!(next.headers().contains_key("x-kept"));
            assert!(!next.headers().contains_key("host"), "it is another one");
        }
        assert!(follow(Method::GET, "https://a/x", 307, "http://a/y").is_none());
        assert!(follow(Method::GET, "http://a/x", 307, "file:///etc/passwd").is_none());
    }
}
