//! The interface of S3, which Google's XML interface is like.

use std::fmt::Write;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::http::{Message, response};
use super::Profile;
use super::answer::Refusal;
use super::listing::{Listing, Page};
use super::objects::{Condition, Operation, ReadCondition, View};
use super::operation::{Query, decode, generation, number, place, read, take_body};

/// How many keys a deletion of many may name.
const MOST_DELETIONS: usize = 1000;

/// What would make another request of a write or a deletion, and is not done here.
const OTHER_REQUESTS: [&str; 7] = [
    "x-amz-copy-source",
    "x-goog-copy-source",
    "x-goog-if-metageneration-match",
    "x-amz-write-offset-bytes",
    "x-amz-if-match-size",
    "x-amz-if-match-last-modified-time",
    "if-unmodified-since",
];

/// What a request asks for; takes its body.
pub(super) fn operation(
    message: &mut Message,
    profile: Profile,
    path: &str,
    query: &Query,
) -> Result<Operation, Refusal> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let (bucket, key) = (decode(bucket)?, decode(key)?);
    let method = message.method().to_owned();
    if bucket.is_empty() {
        return Err(Refusal::not_implemented("requests without a bucket"));
    }
    if key.is_empty() {
        return of_bucket(message, &method, bucket, query);
    }
    query.expect_only(&[])?;
    let place = place(bucket, key)?;
    match method.as_str() {
        "PUT" => {
            let condition = condition(message, profile)?;
            Ok(Operation::Write { place, condition, body: take_body(message)? })
        }
        "GET" | "HEAD" => {
            let is_generation = message.header("x-goog-if-generation-match");
            let is_generation = is_generation.map(|value| number("a generation", value));
            let condition = ReadCondition {
                generation: is_generation.transpose()?,
                ..ReadCondition::default()
            };
            let view = if method == "GET" { View::Contents } else { View::Head };
            Ok(read(message, place, view, condition))
        }
        "DELETE" => Ok(Operation::Delete { place, condition: condition(message, profile)? }),
        _ => Err(Refusal::not_implemented(format!("{method} of an object"))),
    }
}

fn of_bucket(
    message: &Message,
    method: &str,
    bucket: String,
    query: &Query,
) -> Result<Operation, Refusal> {
    match method {
        "GET" => Ok(Operation::List { bucket, listing: Listing::of_s3(query)? }),
        "POST" => {
            query.expect_only(&["delete"])?;
            if query.value("delete").is_none() {
                return Err(Refusal::not_implemented("POST, but to delete many objects"));
            }
            let (keys, quiet) = deletions(&message.body)?;
            Ok(Operation::DeleteMany { bucket, keys, quiet })
        }
        "HEAD" | "PUT" => {
            query.expect_only(&[])?;
            Ok(Operation::Bucket)
        }
        _ => Err(Refusal::not_implemented(format!("{method} of a bucket"))),
    }
}

/// The condition of a write or a deletion. One that this profile does not know is refused: to ignore it is the worst.
fn condition(message: &Message, profile: Profile) -> Result<Condition, Refusal> {
    if let Some(other) = OTHER_REQUESTS.iter().find(|name| message.header(name).is_some()) {
        return Err(Refusal::not_implemented(format!("the header {other}")));
    }
    let header = |name| message.header(name);
    match (header("if-match"), header("if-none-match"), header("x-goog-if-generation-match")) {
        (None, None, None) => Ok(Condition::Always),
        (Some(tag), None, None) if profile == Profile::S3 => Ok(Condition::Tag(tag.to_owned())),
        (None, Some("*"), None) if profile == Profile::S3 => Ok(Condition::Absent),
        (None, None, Some(value)) if profile == Profile::Gcs => generation(value),
        _ => Err(Refusal::not_implemented(format!("this condition, with profile {profile}"))),
    }
}

/// The keys that a deletion of many names, and whether it wants to hear of failures alone.
fn deletions(body: &[u8]) -> Result<(Vec<String>, bool), Refusal> {
    let malformed = |reason: &str| Refusal::bad("MalformedXML", reason);
    let body = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
    if ["<VersionId>", "<ETag>"].iter().any(|tag| body.contains(tag)) {
        return Err(Refusal::not_implemented("deletions of versions, or on conditions"));
    }
    let named = body.split("<Key>").skip(1).map(|part| {
        let key = part.split_once("</Key>").map(|(key, _)| unescape(key));
        key.flatten().ok_or_else(|| malformed("a key has no end, or an unknown entity"))
    });
    let keys: Vec<String> = named.collect::<Result<_, _>>()?;
    if keys.is_empty() || keys.len() > MOST_DELETIONS {
        return Err(malformed("it names from 1 to 1,000 keys"));
    }
    Ok((keys, body.contains("<Quiet>true</Quiet>")))
}

pub(super) fn error(refusal: &Refusal) -> Message {
    let Refusal { status, code, message } = refusal;
    let message = escape(message);
    document(*status, &format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

pub(super) fn deleted(keys: &[String], quiet: bool) -> Message {
    let told: &[String] = if quiet { &[] } else { keys };
    let told: String =
        told.iter().map(|key| format!("<Deleted><Key>{}</Key></Deleted>", escape(key))).collect();
    document(200, &format!("<DeleteResult xmlns=\"{NAMESPACE}\">{told}</DeleteResult>"))
}

pub(super) fn listing(page: &Page) -> Message {
    let asked = &page.listing;
    let shown = |key: &str| match asked.in_url {
        true => utf8_percent_encode(key, NON_ALPHANUMERIC).to_string(),
        false => escape(key),
    };
    let mut body = format!(
        "<ListBucketResult xmlns=\"{NAMESPACE}\"><Name>{}</Name><Prefix>{}</Prefix>\
         <KeyCount>{}</KeyCount><MaxKeys>{}</MaxKeys><IsTruncated>{}</IsTruncated>",
        escape(&page.bucket),
        shown(&asked.prefix),
        page.len(),
        asked.most,
        page.next.is_some(),
    );
    for (key, object) in &page.objects {
        // As with S3, a time is in whole seconds.
        let written = humantime::format_rfc3339_seconds(object.written).to_string();
        write!(
            body,
            "<Contents><Key>{}</Key><LastModified>{}.000Z</LastModified><ETag>&quot;{}&quot;</ETag>\
             <Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
            shown(key),
            written.trim_end_matches('Z'),
            object.tag,
            object.body.len(),
        )
        .expect("a string takes everything");
    }
    for prefix in &page.prefixes {
        let prefix = shown(prefix);
        body.push_str(&format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"));
    }
    let optional = [
        ("Delimiter", asked.delimiter.as_deref().map(shown)),
        ("EncodingType", asked.in_url.then(|| "url".to_owned())),
        ("NextContinuationToken", page.next.as_deref().map(escape)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body.push_str(&format!("<{name}>{value}</{name}>"));
        }
    }
    body.push_str("</ListBucketResult>");
    document(200, &body)
}

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

fn document(status: u16, body: &str) -> Message {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}");
    response(status, &[("Content-Type", "application/xml")], body.as_bytes(), false)
}

/// What XML has for characters that it uses itself; the ampersand first.
const ESCAPES: [(&str, &str); 5] =
    [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&apos;")];

fn escape(text: &str) -> String {
    ESCAPES.iter().fold(text.to_owned(), |text, (plain, escaped)| text.replace(plain, escaped))
}

/// The text that was escaped; `None` if it has an entity that is unknown.
fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        match entity.strip_prefix('#') {
            Some(code) => {
                let code = match code.strip_prefix(['x', 'X']) {
                    Some(code) => u32::from_str_radix(code, 16).ok()?,
                    None => code.parse().ok()?,
                };
                plain.push(char::from_u32(code)?);
            }
            None => {
                let known = ESCAPES.iter().find(|(_, escaped)| {
                    escaped.trim_start_matches('&').trim_end_matches(';') == entity
                });
                plain.push_str(known?.0);
            }
        }
        plain.push_str(rest);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_comes_back() {
        let text = "a&lt;b<c>\"d\"&amp;'";
        assert_eq!(unescape(&escape(text)).as_deref(), Some(text));
        assert!(!escape(text).contains(['<', '>', '"', '\'']));
        assert_eq!(unescape("a&#13;&#xD;&#x41;").as_deref(), Some("a\r\rA"));
        for unknown in ["a&", "a&nbsp;", "&#;", "&#xD800;", "&#99999999999;"] {
            assert_eq!(unescape(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn keys_to_delete_are_found() {
        let body =
            b"<Delete><Object><Key>a&amp;b</Key></Object><Object><Key>c</Key></Object></Delete>";
        let keys = vec!["a&b".to_owned(), "c".to_owned()];
        assert_eq!(deletions(body), Ok((keys.clone(), false)));
        let quiet =
            String::from_utf8_lossy(body).replace("<Delete>", "<Delete><Quiet>true</Quiet>");
        assert_eq!(deletions(quiet.as_bytes()), Ok((keys, true)));
        for wrong in ["<Delete></Delete>", "<Key>a", "<Key>&x;</Key>", "<Key>a</Key><ETag>b</ETag>"]
        {
            assert!(deletions(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(deletions("<Key>k</Key>".repeat(1001).as_bytes()).is_err());
        assert!(deletions(b"<Key>\xff</Key>").is_err());
    }
}
