//! A small S3 in memory, on a loopback port: for what the servers of tests do not do.
//!
//! One object is a `PUT`, a `GET` or a `DELETE`, and there are listings and deletions of many; that is
//! all. Nothing is signed and every bucket is there, so it is of use to nobody but tests.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use buffer_core::{Condition, Location, ReadOutcome, WriteOutcome};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::http::{Message, Server, response};
use crate::store::Store;

/// How many objects a page of a listing has at the most.
const PAGE: usize = 1000;

/// What a [`SmallS3`] makes of the conditions of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// A write happens if its condition holds.
    Kept,
    /// Every write happens.
    Ignored,
    /// As kept, but an entity tag in `If-Match` is compared without its quotes, and never equal with them.
    Unquoted,
}

/// A server that runs until it is dropped.
///
/// ```
/// use buffer_driver::contract::small_s3::{Conditions, SmallS3};
///
/// let server = SmallS3::start(Conditions::Ignored)?;
/// assert!(server.url().starts_with("http://127.0.0.1:"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SmallS3 {
    server: Server,
}

impl SmallS3 {
    /// Listens on a free port of the loopback address; nothing is stored yet.
    ///
    /// # Errors
    ///
    /// As listening does.
    pub fn start(conditions: Conditions) -> io::Result<Self> {
        let objects = Objects { conditions, state: Arc::default() };
        let server = Server::start(move |mut connection| {
            while let Some(request) = connection.request()? {
                if !connection.respond(&request, &objects.answer(&request))? {
                    break;
                }
            }
            Ok(())
        })?;
        Ok(Self { server })
    }

    /// The endpoint to give to a client that names buckets in the path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }
}

/// Checks that a store cannot swap anything: one that is told to write its conditions as the server
/// does not read them.
///
/// # Panics
///
/// If it can, or cannot even create and read.
pub async fn no_swap_succeeds(store: &dyn Store) {
    let key = Location::new("never-swapped");
    let created = store.write(&key, vec!["first".into()], Condition::Absent).await;
    let Ok(WriteOutcome::Stored(version)) = created else {
        panic!("it was not created: {created:?}")
    };
    let swap = store.write(&key, vec!["second".into()], Condition::Version(version)).await;
    assert_eq!(swap.expect("it is answered"), WriteOutcome::Conflict);
    let read = store.read(&key, None).await;
    let Ok(ReadOutcome::Found(found)) = read else { panic!("it is not there: {read:?}") };
    assert_eq!(found.bytes, "first");
}

struct Objects {
    conditions: Conditions,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By bucket and key, as in `bucket/key`.
    objects: BTreeMap<String, Object>,
    writes: u64,
}

struct Object {
    body: Vec<u8>,
    /// Without quotes.
    e_tag: String,
    written: SystemTime,
}

impl Objects {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Message) -> Message {
        let (path, query) = request.target().split_once('?').unwrap_or((request.target(), ""));
        let path = decode(path.trim_start_matches('/'));
        let query: BTreeMap<_, _> = query
            .split('&')
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(name, value)| (decode(name), decode(&value.replace('+', " "))))
            .collect();
        match (request.method(), path.split_once('/').filter(|(_, key)| !key.is_empty())) {
            ("PUT", Some(_)) => self.put(path, request),
            ("GET", Some(_)) => self.get(&path, request),
            ("DELETE", Some(_)) => {
                self.state().objects.remove(&path);
                response(204, &[], b"", false)
            }
            ("GET", None) => self.list(path.trim_end_matches('/'), &query),
            ("POST", None) if query.contains_key("delete") => {
                self.delete(path.trim_end_matches('/'), &request.body)
            }
            _ => error(501, "NotImplemented"),
        }
    }

    fn put(&self, path: String, request: &Message) -> Message {
        let mut state = self.state();
        let present = state.objects.get(&path);
        let is_met = |expected: &str| {
            present.is_some_and(|present| match self.conditions {
                Conditions::Kept | Conditions::Ignored => expected == quoted(&present.e_tag),
                Conditions::Unquoted => expected == present.e_tag,
            })
        };
        let holds = request.header("if-match").is_none_or(is_met)
            && !(request.header("if-none-match") == Some("*") && present.is_some());
        if !holds && self.conditions != Conditions::Ignored {
            return error(412, "PreconditionFailed");
        }
        state.writes += 1;
        let e_tag = format!("{:032x}", state.writes);
        let answer = response(200, &[("ETag", &quoted(&e_tag))], b"", false);
        let (body, written) = (request.body.clone(), SystemTime::now());
        state.objects.insert(path, Object { body, e_tag, written });
        answer
    }

    fn get(&self, path: &str, request: &Message) -> Message {
        let state = self.state();
        let Some(object) = state.objects.get(path) else { return error(404, "NoSuchKey") };
        let (e_tag, written) = (quoted(&object.e_tag), http_date(object.written));
        let headers = [("ETag", e_tag.as_str()), ("Last-Modified", written.as_str())];
        if request.header("if-none-match") == Some(e_tag.as_str()) {
            return response(304, &headers, b"", false);
        }
        response(200, &headers, &object.body, false)
    }

    fn list(&self, bucket: &str, query: &BTreeMap<String, String>) -> Message {
        let asked = |name: &str| query.get(name).map(String::as_str);
        let prefix = asked("prefix").unwrap_or_default();
        let after = asked("continuation-token").or_else(|| asked("start-after"));
        let in_url = asked("encoding-type") == Some("url");
        let state = self.state();
        let found = state.objects.iter().filter_map(|(path, object)| {
            let key = path.strip_prefix(bucket)?.strip_prefix('/')?;
            (key.starts_with(prefix) && after.is_none_or(|after| key > after))
                .then_some((key, object))
        });
        let mut found: Vec<_> = found.take(PAGE + 1).collect();
        let is_truncated = found.len() > PAGE;
        found.truncate(PAGE);
        let mut contents = String::new();
        for (key, object) in &found {
            let shown = match in_url {
                true => utf8_percent_encode(key, NON_ALPHANUMERIC).to_string(),
                false => escape(key),
            };
            let written = humantime::format_rfc3339_millis(object.written);
            let (e_tag, size) = (&object.e_tag, object.body.len());
            write!(
                contents,
                "<Contents><Key>{shown}</Key><LastModified>{written}</LastModified>\
                 <ETag>&quot;{e_tag}&quot;</ETag><Size>{size}</Size></Contents>"
            )
            .expect("a string takes everything");
        }
        if let Some((last, _)) = found.last().filter(|_| is_truncated) {
            let last = escape(last);
            contents.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
        }
        let count = found.len();
        let body = format!(
            "<ListBucketResult><Name>{bucket}</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount>\
             <MaxKeys>{PAGE}</MaxKeys><IsTruncated>{is_truncated}</IsTruncated>{contents}</ListBucketResult>",
            escape(prefix)
        );
        xml(200, &body)
    }

    fn delete(&self, bucket: &str, body: &[u8]) -> Message {
        let body = String::from_utf8_lossy(body);
        let mut results = String::new();
        let named = body.split("<Key>").skip(1).filter_map(|part| part.split_once("</Key>"));
        for (key, _) in named {
            self.state().objects.remove(&format!("{bucket}/{}", unescape(key)));
            results.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
        }
        xml(200, &format!("<DeleteResult>{results}</DeleteResult>"))
    }
}

fn quoted(e_tag: &str) -> String {
    format!("\"{e_tag}\"")
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn xml(status: u16, body: &str) -> Message {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{body}");
    response(status, &[("Content-Type", "application/xml")], body.as_bytes(), false)
}

fn error(status: u16, code: &str) -> Message {
    xml(status, &format!("<Error><Code>{code}</Code><Message>It is small.</Message></Error>"))
}

/// What XML has for characters that it uses itself; the ampersand first.
const ESCAPES: [(&str, &str); 5] =
    [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&apos;")];

fn escape(text: &str) -> String {
    ESCAPES.iter().fold(text.to_owned(), |text, (plain, escaped)| text.replace(plain, escaped))
}

fn unescape(text: &str) -> String {
    ESCAPES
        .iter()
        .rev()
        .fold(text.to_owned(), |text, (plain, escaped)| text.replace(escaped, plain))
}

/// As in `Last-Modified`: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / (24 * 60 * 60);
    let weekday = DAYS[usize::try_from(days % 7).expect("a week has seven days")];
    // 1994-11-06T08:49:37Z
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let (year, month, day, clock) = (&text[..4], &text[5..7], &text[8..10], &text[11..19]);
    let month: usize = month.parse().expect("a month is a number");
    format!("{weekday}, {day} {} {year} {clock} GMT", MONTHS[month - 1])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn what_is_escaped_comes_back() {
        let text = "a&lt;b<c>\"d\"&amp;'";
        assert_eq!(unescape(&escape(text)), text);
        assert!(!escape(text).contains(['<', '>', '"', '\'']));
    }
}
