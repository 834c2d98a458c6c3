//! What OpenDAL's errors mean to a buffer.

use buffer_driver::{StoreErrorKind, StoreFailure};
use opendal::{Error, ErrorKind};

use super::answers::Refusal;

/// What a failed request means. An answer that was understood here decides; else OpenDAL's kind.
#[allow(clippy::wildcard_enum_match_arm, reason = "OpenDAL's kinds of errors are open")]
pub(super) fn failure(error: Error) -> StoreFailure {
    let refusal = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
    let kind = match (refusal, error.kind()) {
        (Some(Refusal { kind, .. }), _) => *kind,
        (None, ErrorKind::PermissionDenied) => StoreErrorKind::Denied,
        (None, ErrorKind::RateLimited) => StoreErrorKind::Throttled,
        // Whether an object is there is asked elsewhere: what is missing here is its store.
        (None, ErrorKind::NotFound) => StoreErrorKind::NoSuchStore,
        (None, ErrorKind::Unsupported | ErrorKind::ConfigInvalid) => StoreErrorKind::Unsupported,
        (None, ErrorKind::IsADirectory | ErrorKind::NotADirectory) => {
            StoreErrorKind::InvalidLocation
        }
        // Lost answers, 5xx, and conflicts that are no answer to the condition (409).
        (None, _) => StoreErrorKind::Transient,
    };
    StoreFailure::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_error_is_what_it_means_to_a_buffer() {
        for (kind, expected) in [
            (ErrorKind::PermissionDenied, StoreErrorKind::Denied),
            (ErrorKind::RateLimited, StoreErrorKind::Throttled),
            (ErrorKind::NotFound, StoreErrorKind::NoSuchStore),
            (ErrorKind::Unsupported, StoreErrorKind::Unsupported),
            (ErrorKind::ConfigInvalid, StoreErrorKind::Unsupported),
            (ErrorKind::IsADirectory, StoreErrorKind::InvalidLocation),
            (ErrorKind::Conflict, StoreErrorKind::Transient),
            (ErrorKind::Unexpected, StoreErrorKind::Transient),
        ] {
            let failure = failure(Error::new(kind, "it went wrong"));
            assert_eq!(failure.kind, expected, "{kind}");
            let source = failure.source.expect("it is kept").to_string();
            assert!(source.contains("it went wrong"), "{source}");
        }
    }

    #[test]
    fn an_answer_that_was_understood_decides() {
        let refusal =
            Refusal { kind: StoreErrorKind::Refused, status: 507, code: Some("full".into()) };
        let error = Error::new(ErrorKind::Unexpected, "no").set_source(refusal);
        assert_eq!(failure(error).kind, StoreErrorKind::Refused);
    }
}
