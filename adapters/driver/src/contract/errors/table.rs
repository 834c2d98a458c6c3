//! What servers answer, and what that may become.

use super::server::Reply;
use super::{Answer, Call, Dialect};
use crate::StoreErrorKind as Kind;

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    /// Nobody listens.
    Refused,
    /// The connection is closed without one.
    Closed,
    /// The connection is closed in the middle of the status line.
    Torn,
    /// The connection is closed in the middle of the body.
    CutShort,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    status: u16,
    code: &'static str,
    headers: &'static [(&'static str, &'static str)],
    pub(super) delivery: Delivery,
    pub(super) calls: &'static [Call],
    pub(super) allowed: &'static [Answer],
}

const ALL: &[Call] =
    &[Call::Create, Call::Swap, Call::Read, Call::ReadUnless, Call::List, Call::Delete];
const WRITES: &[Call] = &[Call::Create, Call::Swap];

const DENIED: &[Answer] = &[Answer::Failed(Kind::Denied)];
const NO_STORE: &[Answer] = &[Answer::Failed(Kind::NoSuchStore)];
const BAD_KEY: &[Answer] = &[Answer::Failed(Kind::InvalidLocation)];
const THROTTLED: &[Answer] = &[Answer::Failed(Kind::Throttled)];
const TRANSIENT: &[Answer] = &[Answer::Failed(Kind::Transient)];
const BUSY: &[Answer] = &[Answer::Failed(Kind::Throttled), Answer::Failed(Kind::Transient)];
const LATE: &[Answer] = &[Answer::Failed(Kind::TimedOut), Answer::Failed(Kind::Transient)];
const UNSUPPORTED: &[Answer] = &[Answer::Failed(Kind::Unsupported)];
const REFUSED: &[Answer] = &[Answer::Failed(Kind::Refused)];
const CONFLICT: &[Answer] = &[Answer::Conflict];
// A conflict is no proof of anything, and this one least of all: trying again is right after both.
const PERHAPS_CONFLICT: &[Answer] = &[Answer::Conflict, Answer::Failed(Kind::Transient)];
const GOING_AWAY: &[Answer] = &[Answer::Failed(Kind::NoSuchStore), Answer::Failed(Kind::Transient)];

const fn row(
    status: u16,
    code: &'static str,
    calls: &'static [Call],
    allowed: &'static [Answer],
) -> Case {
    Case { status, code, headers: &[], delivery: Delivery::Whole, calls, allowed }
}

const fn broken(delivery: Delivery, calls: &'static [Call]) -> Case {
    Case { status: 200, code: "", headers: &[], delivery, calls, allowed: TRANSIENT }
}

/// What comes from the way, and from what stands before a server.
const ANYWHERE: &[Case] = &[
    row(429, "TooManyRequests", ALL, THROTTLED),
    Case { headers: &[("Retry-After", "30")], ..row(429, "TooManyRequests", ALL, THROTTLED) },
    row(500, "InternalError", ALL, TRANSIENT),
    row(502, "", ALL, TRANSIENT),
    row(504, "", ALL, LATE),
    row(408, "RequestTimeout", ALL, LATE),
    broken(Delivery::Refused, ALL),
    broken(Delivery::Closed, ALL),
    broken(Delivery::Torn, ALL),
    broken(Delivery::CutShort, &[Call::Read, Call::List]),
];

const S3: &[Case] = &[
    row(403, "AccessDenied", ALL, DENIED),
    row(403, "SignatureDoesNotMatch", ALL, DENIED),
    row(403, "InvalidAccessKeyId", ALL, DENIED),
    row(401, "Unauthorized", ALL, DENIED),
    row(400, "ExpiredToken", ALL, DENIED),
    row(404, "NoSuchBucket", ALL, NO_STORE),
    row(404, "NoSuchKey", &[Call::Read, Call::ReadUnless], &[Answer::Missing]),
    row(404, "NoSuchKey", &[Call::Swap], CONFLICT),
    row(400, "KeyTooLongError", &[Call::Create, Call::Swap, Call::Read], BAD_KEY),
    row(409, "ConditionalRequestConflict", WRITES, PERHAPS_CONFLICT),
    row(409, "OperationAborted", WRITES, PERHAPS_CONFLICT),
    row(412, "PreconditionFailed", WRITES, CONFLICT),
    row(304, "", &[Call::ReadUnless], &[Answer::NotModified]),
    row(503, "SlowDown", ALL, THROTTLED),
    row(503, "ServiceUnavailable", ALL, BUSY),
    row(400, "RequestTimeout", WRITES, LATE),
    row(501, "NotImplemented", WRITES, UNSUPPORTED),
    row(400, "EntityTooLarge", WRITES, REFUSED),
    row(507, "XMinioStorageFull", WRITES, REFUSED),
];

const AZURE: &[Case] = &[
    row(403, "AuthenticationFailed", ALL, DENIED),
    row(403, "AuthorizationPermissionMismatch", ALL, DENIED),
    row(401, "NoAuthenticationInformation", ALL, DENIED),
    row(404, "ContainerNotFound", ALL, NO_STORE),
    row(404, "BlobNotFound", &[Call::Read, Call::ReadUnless], &[Answer::Missing]),
    row(404, "BlobNotFound", &[Call::Swap], CONFLICT),
    row(400, "InvalidResourceName", &[Call::Create, Call::Swap, Call::Read], BAD_KEY),
    row(409, "BlobAlreadyExists", &[Call::Create], CONFLICT),
    row(409, "ContainerBeingDeleted", WRITES, GOING_AWAY),
    row(412, "ConditionNotMet", WRITES, CONFLICT),
    row(304, "ConditionNotMet", &[Call::ReadUnless], &[Answer::NotModified]),
    row(503, "ServerBusy", ALL, THROTTLED),
    row(500, "OperationTimedOut", ALL, LATE),
    row(413, "RequestBodyTooLarge", WRITES, REFUSED),
];

/// The rows for a dialect.
pub(super) fn cases(dialect: Dialect) -> impl Iterator<Item = Case> {
    let own = match dialect {
        Dialect::S3 => S3,
        Dialect::Azure => AZURE,
    };
    own.iter().chain(ANYWHERE).copied()
}

impl Case {
    /// The row, for people.
    pub(super) fn name(&self) -> String {
        let retry_after = if self.headers.is_empty() { "" } else { " with Retry-After" };
        match self.delivery {
            Delivery::Whole if self.code.is_empty() => self.status.to_string(),
            Delivery::Whole => format!("{} {}{retry_after}", self.status, self.code),
            Delivery::Refused => "a refused connection".to_owned(),
            Delivery::Closed => "a closed connection".to_owned(),
            Delivery::Torn => "a torn status line".to_owned(),
            Delivery::CutShort => "a body cut short".to_owned(),
        }
    }

    /// What the server does.
    pub(super) fn reply(&self, dialect: Dialect) -> Reply {
        match self.delivery {
            Delivery::Whole => self.response(dialect),
            Delivery::Refused | Delivery::Closed => Reply::Raw(Vec::new()),
            Delivery::Torn => Reply::Raw(b"HTTP/1.1 2".to_vec()),
            Delivery::CutShort => Reply::Raw(
                b"HTTP/1.1 200 OK\r\nETag: \"0123456789abcdef0123456789abcdef\"\r\n\
                  Last-Modified: Tue, 02 Jan 2024 03:04:05 GMT\r\nContent-Type: application/xml\r\n\
                  Content-Length: 1000\r\n\r\n<?xml"
                    .to_vec(),
            ),
        }
    }

    fn response(&self, dialect: Dialect) -> Reply {
        let Self { status, code, .. } = *self;
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let is_named = !code.is_empty();
        let body = match dialect {
            _ if status == 304 => String::new(),
            // As what stands before a server answers.
            _ if !is_named => format!("<html><body><h1>{status}</h1></body></html>"),
            Dialect::S3 => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
                 <Message>As the script says.</Message><Resource>/buffer/contract</Resource>\
                 <RequestId>4442587FB7D0A2F9</RequestId></Error>"
            ),
            Dialect::Azure => format!(
                "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code>\
                 <Message>As the script says.\nRequestId:e6a6fbd3-501e-0000-2dc5-7a8b34000000\n\
                 Time:2024-01-02T03:04:05.6789012Z</Message></Error>"
            ),
        };
        headers.push((
            "Content-Type".to_owned(),
            if is_named { "application/xml" } else { "text/html" }.to_owned(),
        ));
        match dialect {
            Dialect::S3 => {
                headers.push(("x-amz-request-id".to_owned(), "4442587FB7D0A2F9".to_owned()));
            }
            Dialect::Azure if is_named => {
                headers.push(("x-ms-error-code".to_owned(), code.to_owned()));
            }
            Dialect::Azure => {}
        }
        Reply::Whole { status, headers, body: body.into_bytes() }
    }
}
