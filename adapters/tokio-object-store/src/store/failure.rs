//! What a client's error means for whoever asked.

use std::error::Error as StdError;
use std::io;

use buffer_driver::{StoreErrorKind, StoreFailure, code_of_answer, kind_of_answer};
use object_store::Error;

/// A failure of the kind that the error, and what the server said, come to.
pub(super) fn failure(error: Error) -> StoreFailure {
    let kind = Said::of(&error).kind().unwrap_or_else(|| kind_by_variant(&error));
    StoreFailure::new(kind, error)
}

/// Whether the server says of a request about one object that there is no such bucket or container.
pub(super) fn is_without_store(error: &Error) -> bool {
    Said::of(error).kind() == Some(StoreErrorKind::NoSuchStore)
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "which variants there are depends on the client's features, and is open"
)]
fn kind_by_variant(error: &Error) -> StoreErrorKind {
    match error {
        Error::NotFound { .. } => StoreErrorKind::NoSuchStore,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => StoreErrorKind::Denied,
        Error::NotImplemented { .. }
        | Error::NotSupported { .. }
        | Error::UnknownConfigurationKey { .. } => StoreErrorKind::Unsupported,
        Error::InvalidPath { .. } => StoreErrorKind::InvalidLocation,
        // Most of what goes wrong on the way is `Generic`, and so is what is not known yet.
        _ => StoreErrorKind::Transient,
    }
}

/// What the server said, or that it said nothing in time.
///
/// The client keeps that to itself: the types are private, and most errors are `Generic`. Its
/// texts are what there is to go by, so they are read where they begin, never in the middle,
/// which is the server's to fill. A text that changes makes an error transient again, and is
/// noticed by the contract's table of errors.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    status: Option<u16>,
    /// The code of an S3 or Azure error.
    code: Option<String>,
    is_late: bool,
}

/// How the client begins to tell of an answer that is an error.
const STATUS: &str = "Server returned non-2xx status code: ";

/// The same where the status was fine and the body was not.
const BODY: &str = "Server returned error response: ";

/// The same of one key among those that were to be deleted.
const KEY: &str = "DeleteObjects request failed for key ";

/// How `reqwest` tells that it waited for long enough.
const LATE: &str = "operation timed out";

impl Said {
    fn of(error: &Error) -> Self {
        let mut said = Self::default();
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = next {
            said.read(&error.to_string());
            let io = error.downcast_ref::<io::Error>();
            said.is_late |= io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut);
            next = error.source();
        }
        said
    }

    fn read(&mut self, text: &str) {
        if let Some(answer) = text.strip_prefix(STATUS) {
            self.status = answer.split(' ').next().and_then(|status| status.parse().ok());
            self.code = code_of_answer(answer).map(str::to_owned);
        } else if let Some(answer) = text.strip_prefix(BODY) {
            self.code = code_of_answer(answer).map(str::to_owned);
        } else if text.starts_with(KEY) {
            let code = text.rsplit_once("(code: ");
            self.code = code.map(|(_, code)| code.trim_end_matches(')').to_owned());
        } else if text == LATE {
            self.is_late = true;
        }
    }

    /// `None` where the variant of the error says enough, or nothing does.
    fn kind(&self) -> Option<StoreErrorKind> {
        let late = self.is_late.then_some(StoreErrorKind::TimedOut);
        kind_of_answer(self.status, self.code.as_deref()).or(late)
    }
}
