//! Takes secrets out of what people and logs get to see.
//!
//! What is not known to be harmless is hidden: a name that was mistyped would
//! otherwise show the value that belongs to it.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::table;

/// What stands for a secret.
pub(super) const HIDDEN: &str = "***";

/// A URL without user information, and without the values of query parameters that may be secret.
pub(crate) fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once(':') else { return text.to_owned() };
    let mut shown = format!("{scheme}:");
    let rest = match rest.strip_prefix("//") {
        Some(rest) => {
            shown.push_str("//");
            rest
        }
        None => rest,
    };
    let rest = after_user(scheme, rest, &mut shown);
    let (rest, fragment) = split_off(rest, '#');
    let (path, query) = split_off(rest, '?');
    shown.push_str(path);
    for (number, parameter) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if number == 0 { '?' } else { '&' });
        push_parameter(parameter, &mut shown);
    }
    if fragment.is_some() {
        shown.push('#');
        shown.push_str(HIDDEN);
    }
    shown
}

/// The value of an option, as it may be shown.
pub(super) fn value<'a>(name: &str, value: &'a str) -> Shown<'a> {
    match table::find(name) {
        Some(option) if !option.secret && url(value) == value => Shown::Whole(value),
        Some(_) | None => Shown::Hidden,
    }
}

/// A name that somebody gave an option, unless it looks as if it was something else.
pub(super) fn name(name: &str) -> &str {
    let is_name = name.len() <= 36
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if is_name { name } else { HIDDEN }
}

/// A value, or that it is hidden.
pub(super) enum Shown<'a> {
    Whole(&'a str),
    Hidden,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => fmt::Debug::fmt(value, f),
            Self::Hidden => f.write_str(HIDDEN),
        }
    }
}

/// Leaves `user:password@` out, and gives what comes after it.
fn after_user<'a>(scheme: &str, rest: &'a str, shown: &mut String) -> &'a str {
    if matches!(scheme, "file" | "memory") {
        return rest;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let end = if authority.contains(':') {
        // A password may hold slashes, and then the authority seems to end in it.
        rest.rfind('@')
    } else if scheme.starts_with("abfs") {
        // abfss://container@account... names no user.
        None
    } else {
        authority.rfind('@')
    };
    let Some(end) = end else { return rest };
    shown.push_str(HIDDEN);
    &rest[end..]
}

fn push_parameter(parameter: &str, shown: &mut String) {
    let Some((written, text)) = parameter.split_once('=') else {
        shown.push_str(if parameter.is_empty() { "" } else { HIDDEN });
        return;
    };
    let decoded = percent_decode_str(written).decode_utf8_lossy();
    shown.push_str(name(written));
    shown.push('=');
    let decoded_text = percent_decode_str(text).decode_utf8_lossy();
    match value(&decoded, &decoded_text) {
        Shown::Whole(_) => shown.push_str(text),
        Shown::Hidden => shown.push_str(HIDDEN),
    }
}

fn split_off(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_hidden_and_the_rest_is_left() {
        for (text, shown) in [
            ("memory:a@b", "memory:a@b"),
            ("file:///a@b/c", "file:///a@b/c"),
            ("s3://bucket/a@b", "s3://bucket/a@b"),
            (
                "abfss://c@account.dfs.core.windows.net/p",
                "abfss://c@account.dfs.core.windows.net/p",
            ),
            (
                "abfss://a:b@account.dfs.core.windows.net",
                "abfss://***@account.dfs.core.windows.net",
            ),
            ("s3://token@bucket/p", "s3://***@bucket/p"),
            ("s3://id:se/cr?et@bucket/p", "s3://***@bucket/p"),
            ("s3://b?region=x&unquoted_etag=true", "s3://b?region=x&unquoted_etag=true"),
            ("s3://b?secret_acess_key=x", "s3://b?secret_acess_key=***"),
            ("s3://b?secret%5Faccess_key=x&region=y", "s3://b?***=***&region=y"),
            ("s3://b?endpoint=https://a:b@c", "s3://b?endpoint=***"),
            ("s3://b?endpoint=https%3A%2F%2Fa:b%40c", "s3://b?endpoint=***"),
            ("s3://b?endpoint=http://127.0.0.1:9000", "s3://b?endpoint=http://127.0.0.1:9000"),
            ("az://c/p?sv=1&sig=2", "az://c/p?sv=***&sig=***"),
            ("s3://b?wJalrXUtnFEMI", "s3://b?***"),
            ("s3://b/p#secret", "s3://b/p#***"),
        ] {
            assert_eq!(url(text), shown, "{text}");
        }
    }
}
