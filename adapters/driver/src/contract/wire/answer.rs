//! What answers of both interfaces have in common.

use std::time::SystemTime;

use super::super::http::{Message, response};
use super::objects::{Object, Outcome, Span, View};
use super::operation::Api;
use super::{Profile, json, xml};

/// Why a request is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// What S3 calls the reason.
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// What makes no sense.
    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// What makes sense, and is not done here.
    pub(super) fn not_implemented(what: impl std::fmt::Display) -> Self {
        Self::new(501, "NotImplemented", format!("this server does not know {what}"))
    }

    /// That an applied request failed.
    pub(super) fn after_all(status: u16) -> Self {
        let code = match status {
            408 => "RequestTimeout",
            503 => "ServiceUnavailable",
            _ => "InternalError",
        };
        Self::new(status, code, "a fault: it was applied before this answer")
    }

    /// That there are too many requests.
    pub(super) fn too_many(profile: Profile, message: &str) -> Self {
        match profile {
            Profile::S3 => Self::new(503, "SlowDown", message),
            Profile::Gcs => Self::new(429, "SlowDown", message),
        }
    }

    pub(super) fn answer(&self, api: Api) -> Message {
        let answer = match api {
            Api::Xml => xml::error(self),
            Api::Json => json::error(self),
        };
        if self.code == "SlowDown" { answer.with("Retry-After", "1") } else { answer }
    }
}

/// The answer to a request that came by this interface, for what came of it.
pub(super) fn answer(api: Api, profile: Profile, outcome: &Outcome) -> Message {
    match outcome {
        Outcome::Missing => {
            Refusal::new(404, "NoSuchKey", "The specified key does not exist.").answer(api)
        }
        Outcome::NoUpload => Refusal::new(404, "NoSuchUpload", "there is none").answer(api),
        Outcome::ConditionFailed => {
            let reason = "At least one of the pre-conditions you specified did not hold";
            Refusal::new(412, "PreconditionFailed", reason).answer(api)
        }
        Outcome::TooHot => Refusal::too_many(profile, "too many writes to this object").answer(api),
        Outcome::Gap { received } => {
            let reason = format!("the upload goes on at byte {received}");
            Refusal::bad("InvalidRange", reason).answer(api)
        }
        Outcome::NotModified(object) => {
            object_headers(response(304, &[], b"", false), object, profile)
        }
        Outcome::Deleted => response(204, &[], b"", false),
        Outcome::Bucket => response(200, &[], b"", false),
        Outcome::Stored { place, object } => match api {
            Api::Xml => object_headers(response(200, &[], b"", false), object, profile),
            Api::Json => json::description(place, object),
        },
        Outcome::Found { place, object, view: View::Description, .. } => {
            json::description(place, object)
        }
        Outcome::Found { object, view: View::Contents, span, .. } => {
            contents(api, profile, object, *span, false)
        }
        Outcome::Found { object, view: View::Head, span, .. } => {
            contents(api, profile, object, *span, true)
        }
        Outcome::DeletedMany { keys, quiet } => xml::deleted(keys, *quiet),
        Outcome::Listed(page) => match api {
            Api::Xml => xml::listing(page),
            Api::Json => json::listing(page),
        },
        Outcome::Begun { session } => response(200, &[("Location", session)], b"", false),
        Outcome::GoesOn { received: 0 } => response(308, &[], b"", false),
        Outcome::GoesOn { received } => {
            response(308, &[("Range", &format!("bytes=0-{}", received - 1))], b"", false)
        }
        // So Google answers it, though nothing is wrong.
        Outcome::Cancelled => response(499, &[], b"", false),
    }
}

/// What tells of an object beside its contents.
pub(super) fn object_headers(answer: Message, object: &Object, profile: Profile) -> Message {
    let answer =
        answer.with("ETag", object.quoted_tag()).with("Last-Modified", http_date(object.written));
    match profile {
        Profile::S3 => answer,
        Profile::Gcs => answer
            .with("x-goog-generation", object.generation.to_string())
            .with("x-goog-metageneration", "1"),
    }
}

/// An object's contents, or the part of them that was asked for.
fn contents(
    api: Api,
    profile: Profile,
    object: &Object,
    span: Option<Span>,
    is_head: bool,
) -> Message {
    let length = object.body.len();
    let kind = ("Content-Type", "application/octet-stream");
    let answer = match span.map(|span| span.within(length)) {
        None => response(200, &[kind, ("Accept-Ranges", "bytes")], &object.body, is_head),
        Some(None) => {
            let refusal = Refusal::new(416, "InvalidRange", "the object has no such bytes");
            return refusal.answer(api).with("Content-Range", format!("bytes */{length}"));
        }
        Some(Some(bytes)) => {
            let told = format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1);
            response(206, &[kind, ("Content-Range", &told)], &object.body[bytes], is_head)
        }
    };
    object_headers(answer, object, profile)
}

/// As in `Last-Modified`: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let days = since.as_secs() / (24 * 60 * 60);
    let weekday = DAYS[usize::try_from(days % 7).expect("a week has seven days")];
    // 1994-11-06T08:49:37Z
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let (year, month, day, clock) = (&text[..4], &text[5..7], &text[8..10], &text[11..19]);
    let month: usize = month.parse().expect("a month is a number");
    format!("{weekday}, {day} {} {year} {clock} GMT", MONTHS[month - 1])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
