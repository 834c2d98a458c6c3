//! The URL of a service.

use std::fmt;

/// A service's URL, as far as it is looked at here: how it is reached, whom, and where below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint<'a> {
    pub(super) encrypted: bool,
    host: &'a str,
    /// With its first slash, without its last.
    path: &'a str,
}

impl<'a> Endpoint<'a> {
    /// Takes a URL apart, or says why it is none. The reason never repeats it.
    pub(super) fn parse(url: &'a str) -> Result<Self, String> {
        let (encrypted, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some(_) | None => {
                return Err("it is a URL that begins with https:// or http://".to_owned());
            }
        };
        if rest.contains('@') {
            return Err("it holds no user and password: give them as options".to_owned());
        }
        if rest.contains(['?', '#']) {
            return Err("it has no query and no fragment".to_owned());
        }
        let rest = rest.trim_end_matches('/');
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.is_empty() || host.starts_with(':') || host.contains(char::is_whitespace) {
            return Err("it names no host".to_owned());
        }
        Ok(Self { encrypted, host, path })
    }
}

impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.encrypted { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_perhaps_a_path() {
        let written = |url| Endpoint::parse(url).map(|endpoint| endpoint.to_string());
        assert_eq!(written("HTTP://127.0.0.1:9000/").as_deref(), Ok("http://127.0.0.1:9000"));
        assert_eq!(written("https://h/account/").as_deref(), Ok("https://h/account"));
        for wrong in
            ["h", "ftp://h", "https://", "https:///p", "http://:80", "https://h?a", "https://a b"]
        {
            assert!(written(wrong).is_err(), "{wrong}");
        }
        let error = written("https://name:hidden@h").expect_err("it names a user");
        assert!(!error.contains("hidden") && error.contains("user"), "{error}");
    }
}
