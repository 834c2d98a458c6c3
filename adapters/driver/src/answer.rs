//! What object stores mean by their answers, whatever client asked.

use buffer_core::StoreErrorKind;

/// What a service means that refuses a request over HTTP, by its status and the code that it names
/// as its reason (the `Code` of S3 and of Azure). The code goes first, since it says more.
///
/// `None` where the two say too little: what came of a condition (304, 404, 409, 412), and every
/// other failure, which may be gone the next time.
///
/// ```
/// use buffer_driver::{StoreErrorKind, kind_of_answer};
///
/// assert_eq!(kind_of_answer(Some(404), Some("NoSuchBucket")), Some(StoreErrorKind::NoSuchStore));
/// assert_eq!(kind_of_answer(Some(404), Some("NoSuchKey")), None);
/// assert_eq!(kind_of_answer(Some(403), None), Some(StoreErrorKind::Denied));
/// ```
#[must_use]
pub fn kind_of_answer(status: Option<u16>, code: Option<&str>) -> Option<StoreErrorKind> {
    code.and_then(kind_of_code).or_else(|| status.and_then(kind_of_status))
}

/// The code that an error in XML names, as S3's and Azure's do.
///
/// ```
/// let body = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message/></Error>";
/// assert_eq!(buffer_driver::code_of_answer(body), Some("SlowDown"));
/// assert_eq!(buffer_driver::code_of_answer("<html>busy</html>"), None);
/// ```
#[must_use]
pub fn code_of_answer(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    Some(rest.split_once("</Code>")?.0)
}

/// An entity tag without its quotes, as some services compare it; a weak one (`W/"..."`) as it is.
///
/// ```
/// use buffer_driver::unquoted_e_tag;
///
/// assert_eq!(unquoted_e_tag("\"a\""), "a");
/// for as_it_is in ["a", "W/\"a\"", "\"", ""] {
///     assert_eq!(unquoted_e_tag(as_it_is), as_it_is);
/// }
/// ```
#[must_use]
pub fn unquoted_e_tag(e_tag: &str) -> &str {
    e_tag.strip_prefix('"').and_then(|e_tag| e_tag.strip_suffix('"')).unwrap_or(e_tag)
}

/// The codes whose meaning their status does not tell.
fn kind_of_code(code: &str) -> Option<StoreErrorKind> {
    Some(match code {
        "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted" => {
            StoreErrorKind::NoSuchStore
        }
        "AccessDenied" | "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            StoreErrorKind::Denied
        }
        "SlowDown" | "ServerBusy" | "TooManyRequests" | "RequestLimitExceeded" => {
            StoreErrorKind::Throttled
        }
        "RequestTimeout" | "OperationTimedOut" => StoreErrorKind::TimedOut,
        "InternalError" => StoreErrorKind::Transient,
        "KeyTooLongError"
        | "InvalidURI"
        | "InvalidObjectName"
        | "XMinioInvalidObjectName"
        | "InvalidResourceName"
        | "InvalidUri" => StoreErrorKind::InvalidLocation,
        "EntityTooLarge" | "RequestBodyTooLarge" | "QuotaExceeded" | "XMinioStorageFull" => {
            StoreErrorKind::Refused
        }
        "NotImplemented" => StoreErrorKind::Unsupported,
        _ => return None,
    })
}

fn kind_of_status(status: u16) -> Option<StoreErrorKind> {
    Some(match status {
        401 | 403 => StoreErrorKind::Denied,
        408 | 504 => StoreErrorKind::TimedOut,
        413 | 507 => StoreErrorKind::Refused,
        429 | 503 => StoreErrorKind::Throttled,
        405 | 501 => StoreErrorKind::Unsupported,
        _ => return None,
    })
}
