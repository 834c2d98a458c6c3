//! Answers that OpenDAL's kinds of errors are too coarse for.
//!
//! To OpenDAL a missing container is a missing object, and refused credentials (401), a full
//! store (507) and an unknown operation (501) are "unexpected". The layer here looks at an answer
//! before the service does, on whatever transport the operator has.

use std::fmt;

use buffer_driver::{StoreErrorKind, code_of_answer, kind_of_answer};
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use opendal::raw::{Layer, Servicer};
use opendal::{
    Buffer, Error, ErrorKind, HttpBody, HttpTransport, HttpTransporter, OperationContext, Result,
};

/// An answer that refuses a request for a reason that is understood here.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: StoreErrorKind,
    pub(super) status: u16,
    /// What the store calls the reason.
    pub(super) code: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store answered {}", self.status)?;
        self.code.as_ref().map_or(Ok(()), |code| write!(f, " ({code})"))
    }
}

impl std::error::Error for Refusal {}

#[derive(Debug)]
pub(super) struct AnswersLayer;

impl Layer for AnswersLayer {
    fn apply_context(&self, _service: Servicer, inner: OperationContext) -> OperationContext {
        let transport = Answers(inner.http_transport().clone());
        inner.with_http_transport(HttpTransporter::new(transport))
    }
}

struct Answers(HttpTransporter);

impl HttpTransport for Answers {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>> {
        let answer = self.0.fetch(request).await?;
        if !(answer.status().is_client_error() || answer.status().is_server_error()) {
            return Ok(answer);
        }
        let (parts, mut body) = answer.into_parts();
        let text = body.to_buffer().await?;
        let (status, code) = (parts.status.as_u16(), code(&parts.headers, &text.to_bytes()));
        let Some(kind) = kind_of_answer(Some(status), code.as_deref()) else {
            let size = text.len() as u64;
            let again = HttpBody::new(stream::iter([Ok(text)]), Some(size));
            return Ok(Response::from_parts(parts, again));
        };
        let refusal = Refusal { kind, status, code };
        Err(Error::new(ErrorKind::Unexpected, refusal.to_string()).set_source(refusal))
    }
}

/// What the store calls the reason: in a header (Azure), in XML (S3), or in a message (Google).
fn code(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let body = String::from_utf8_lossy(body);
    let header = headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
    let message = "The specified bucket does not exist";
    let google = || body.contains(message).then_some("NoSuchBucket");
    header.or_else(|| code_of_answer(&body)).or_else(google).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use opendal::{Operator, services};

    use super::*;

    #[test]
    fn the_reason_is_found_where_the_store_says_it() {
        let mut headers = HeaderMap::new();
        let s3 = b"<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>";
        assert_eq!(code(&headers, s3).as_deref(), Some("NoSuchBucket"));
        let google = br#"{"error":{"code":404,"message":"The specified bucket does not exist."}}"#;
        assert_eq!(code(&headers, google).as_deref(), Some("NoSuchBucket"));
        assert_eq!(code(&headers, b"<Code>torn"), None);
        headers.insert("x-ms-error-code", "ContainerNotFound".parse().expect("it is ASCII"));
        assert_eq!(code(&headers, b"").as_deref(), Some("ContainerNotFound"));
    }

    /// Answers every request alike.
    struct Always(u16, &'static str);

    impl HttpTransport for Always {
        async fn fetch(&self, _request: Request<Buffer>) -> Result<Response<HttpBody>> {
            let body = stream::iter([Ok(Buffer::from(self.1))]);
            let body = HttpBody::new(body, Some(self.1.len() as u64));
            Ok(Response::builder().status(self.0).body(body).expect("it is well formed"))
        }
    }

    fn answered(status: u16, body: &'static str) -> Result<Response<HttpBody>> {
        let operator = Operator::new(services::Memory::default()).expect("it needs nothing");
        let context =
            operator.context().with_http_transport(HttpTransporter::new(Always(status, body)));
        let operator = operator.with_context(context).layer(AnswersLayer);
        smol::block_on(operator.context().http_transport().fetch(Request::new(Buffer::new())))
    }

    #[test]
    fn an_answer_is_a_refusal_or_comes_through_whole() {
        let refused: [(u16, &str, StoreErrorKind); 14] = [
            (400, "<Code>ExpiredToken</Code>", StoreErrorKind::Denied),
            (400, "<Code>KeyTooLongError</Code>", StoreErrorKind::InvalidLocation),
            (400, "<Code>EntityTooLarge</Code>", StoreErrorKind::Refused),
            (413, "", StoreErrorKind::Refused),
            (401, "", StoreErrorKind::Denied),
            (404, "<Code>NoSuchBucket</Code>", StoreErrorKind::NoSuchStore),
            (405, "", StoreErrorKind::Unsupported),
            (501, "<Code>NotImplemented</Code>", StoreErrorKind::Unsupported),
            (503, "<Code>SlowDown</Code>", StoreErrorKind::Throttled),
            (503, "<Code>ServerBusy</Code>", StoreErrorKind::Throttled),
            (507, "", StoreErrorKind::Refused),
            (403, "<Code>SignatureDoesNotMatch</Code>", StoreErrorKind::Denied),
            (408, "", StoreErrorKind::TimedOut),
            (503, "busy", StoreErrorKind::Throttled),
        ];
        for (status, body, expected) in refused {
            let error = answered(status, body).map(|_| ()).expect_err("it is refused");
            let failure = super::super::failure(error);
            assert_eq!(failure.kind, expected, "{status} {body}");
            let text = failure.source.expect("it is kept").to_string();
            assert!(text.contains(&status.to_string()), "{text}");
        }
        let through = [
            (200, "data"),
            (404, "<Code>NoSuchKey</Code>"),
            (409, "<Code>ConditionalRequestConflict</Code>"),
            (412, "<Code>PreconditionFailed</Code>"),
            (500, "broken"),
        ];
        for (status, body) in through {
            let mut answer = answered(status, body).expect("the service is to see it");
            assert_eq!(answer.status().as_u16(), status);
            let seen = smol::block_on(answer.body_mut().to_buffer()).expect("it is there");
            assert_eq!(seen.to_vec(), body.as_bytes());
        }
    }
}
