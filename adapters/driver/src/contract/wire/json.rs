//! Google's own interface, as far as OpenDAL speaks it.

use std::fmt::Write;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::http::{Message, response};
use super::answer::Refusal;
use super::listing::{Listing, Page};
use super::objects::{Condition, Object, Operation, Place, ReadCondition, View};
use super::operation::{Query, decode, generation, place, read, take_body};
use super::upload::Part;

/// Parameters that change nothing about what is done.
pub(super) const HARMLESS: [&str; 5] = ["alt", "fields", "projection", "prettyPrint", "uploadType"];

/// What a path of this interface names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Bucket,
    Objects { bucket: &'a str },
    Object { bucket: &'a str, key: &'a str },
    Uploads { bucket: &'a str },
    Unknown,
}

impl<'a> Target<'a> {
    /// `None` for a path of the other interface.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let upload = path.strip_prefix("/upload/storage/v1/b/");
        let (rest, is_upload) = match (upload, path.strip_prefix("/storage/v1/b/")) {
            (Some(rest), _) => (rest, true),
            (None, Some(rest)) => (rest, false),
            (None, None) => return path.starts_with("/batch/").then_some(Self::Unknown),
        };
        let mut parts = rest.splitn(3, '/');
        let target = match (parts.next(), parts.next(), parts.next()) {
            (Some(_), None, _) if !is_upload => Self::Bucket,
            (Some(bucket), Some("o"), None) if is_upload => Self::Uploads { bucket },
            (Some(bucket), Some("o"), None) => Self::Objects { bucket },
            // A slash in a key is encoded: after one comes something else.
            (Some(bucket), Some("o"), Some(key)) if !is_upload && !key.contains('/') => {
                Self::Object { bucket, key }
            }
            _ => Self::Unknown,
        };
        Some(target)
    }
}

/// What a request asks for; takes its body.
pub(super) fn operation(
    message: &mut Message,
    target: Target<'_>,
    query: &Query,
) -> Result<Operation, Refusal> {
    let method = message.method().to_owned();
    match (method.as_str(), target) {
        ("GET", Target::Bucket) => Ok(Operation::Bucket),
        ("GET", Target::Objects { bucket }) => {
            let listing = Listing::of_google(query)?;
            Ok(Operation::List { bucket: decode(bucket)?, listing })
        }
        ("GET", Target::Object { bucket, key }) => {
            only(query, &["ifGenerationMatch", "ifGenerationNotMatch"])?;
            let place = place(decode(bucket)?, decode(key)?)?;
            let is_media = query.value("alt") == Some("media");
            let view = if is_media { View::Contents } else { View::Description };
            let condition = ReadCondition {
                generation: query.number("ifGenerationMatch")?,
                other_generation: query.number("ifGenerationNotMatch")?,
                ..ReadCondition::default()
            };
            Ok(read(message, place, view, condition))
        }
        ("DELETE", Target::Object { bucket, key }) => {
            only(query, &["ifGenerationMatch"])?;
            let place = place(decode(bucket)?, decode(key)?)?;
            Ok(Operation::Delete { place, condition: condition(query)? })
        }
        ("POST", Target::Uploads { bucket }) => insert(message, bucket, query),
        ("PUT" | "DELETE", Target::Uploads { .. }) => {
            only(query, &["upload_id"])?;
            let Some(id) = query.number("upload_id")? else {
                return Err(Refusal::bad("InvalidArgument", "upload_id is missing"));
            };
            if method == "DELETE" {
                return Ok(Operation::Cancel { id });
            }
            let range = message.header("content-range").map(str::to_owned);
            let body = take_body(message)?;
            let part = range.and_then(|range| Part::parse(&range, body));
            let wrong =
                || Refusal::bad("InvalidArgument", "Content-Range is missing or does not fit");
            Ok(Operation::Continue { id, part: part.ok_or_else(wrong)? })
        }
        _ => Err(Refusal::not_implemented(format!("{method} of this"))),
    }
}

fn only(query: &Query, known: &[&str]) -> Result<(), Refusal> {
    query.expect_only(&[known, &HARMLESS].concat())
}

fn condition(query: &Query) -> Result<Condition, Refusal> {
    query.value("ifGenerationMatch").map_or(Ok(Condition::Always), generation)
}

/// A write, or its beginning.
fn insert(message: &mut Message, bucket: &str, query: &Query) -> Result<Operation, Refusal> {
    only(query, &["name", "ifGenerationMatch"])?;
    let Some(name) = query.text("name") else {
        return Err(Refusal::bad("InvalidArgument", "the parameter name is missing"));
    };
    let (place, condition) = (place(decode(bucket)?, name)?, condition(query)?);
    match query.value("uploadType") {
        Some("media") => Ok(Operation::Write { place, condition, body: take_body(message)? }),
        Some("resumable") => {
            let host = message.header("host").unwrap_or("127.0.0.1");
            let bucket = utf8_percent_encode(&place.bucket, NON_ALPHANUMERIC);
            let address = format!(
                "http://{host}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id="
            );
            Ok(Operation::Begin { place, condition, address })
        }
        Some(_) | None => Err(Refusal::not_implemented("this uploadType")),
    }
}

/// What is told of an object.
pub(super) fn description(place: &Place, object: &Object) -> Message {
    document(200, &described(&place.bucket, &place.key, object))
}

fn described(bucket: &str, key: &str, object: &Object) -> String {
    format!(
        "{{\"kind\":\"storage#object\",\"bucket\":{},\"name\":{},\"generation\":\"{}\",\
         \"metageneration\":\"1\",\"size\":\"{}\",\"etag\":\"{}\",\"updated\":\"{}\"}}",
        quoted(bucket),
        quoted(key),
        object.generation,
        object.body.len(),
        object.tag,
        humantime::format_rfc3339_millis(object.written),
    )
}

pub(super) fn listing(page: &Page) -> Message {
    let items = page.objects.iter().map(|(key, object)| described(&page.bucket, key, object));
    let items: Vec<_> = items.collect();
    let prefixes: Vec<_> = page.prefixes.iter().map(|prefix| quoted(prefix)).collect();
    let next = page.next.as_ref().map(|next| format!(",\"nextPageToken\":{}", quoted(next)));
    let body = format!(
        "{{\"kind\":\"storage#objects\",\"items\":[{}],\"prefixes\":[{}]{}}}",
        items.join(","),
        prefixes.join(","),
        next.unwrap_or_default(),
    );
    document(200, &body)
}

pub(super) fn error(refusal: &Refusal) -> Message {
    let Refusal { status, code, message } = refusal;
    let reason = match status {
        404 => "notFound",
        409 => "conflict",
        412 => "conditionNotMet",
        416 => "requestedRangeNotSatisfiable",
        429 => "rateLimitExceeded",
        500.. => "backendError",
        _ => "invalid",
    };
    let message = quoted(&format!("{code}: {message}"));
    let body = format!(
        "{{\"error\":{{\"code\":{status},\"message\":{message},\
         \"errors\":[{{\"domain\":\"global\",\"reason\":\"{reason}\",\"message\":{message}}}]}}}}"
    );
    document(*status, &body)
}

pub(super) fn document(status: u16, body: &str) -> Message {
    response(status, &[("Content-Type", "application/json")], body.as_bytes(), false)
}

/// A text as JSON writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control < ' ' => {
                write!(quoted, "\\u{:04x}", u32::from(control)).expect("a string takes everything");
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_what_it_should() {
        let of = Target::of;
        assert_eq!(of("/storage/v1/b/B/o"), Some(Target::Objects { bucket: "B" }));
        let object = Target::Object { bucket: "B", key: "a%2Fb" };
        assert_eq!(of("/storage/v1/b/B/o/a%2Fb"), Some(object));
        assert_eq!(of("/storage/v1/b/B"), Some(Target::Bucket));
        assert_eq!(of("/upload/storage/v1/b/B/o"), Some(Target::Uploads { bucket: "B" }));
        let unknown =
            ["/storage/v1/b/B/o/a/rewriteTo/b/B/o/c", "/storage/v1/b/B/acl", "/batch/storage/v1"];
        assert!(unknown.iter().all(|path| of(path) == Some(Target::Unknown)));
        assert_eq!(of("/B/storage/v1/b"), None);
    }

    #[test]
    fn a_text_is_written_as_json_wants_it() {
        let text = "a\"b\\c\n\u{1}é/";
        let read: String = serde_json::from_str(&quoted(text)).expect("it is JSON");
        assert_eq!(read, text);
    }
}
