//! What a request asks for, whatever interface it came by.

use std::collections::BTreeMap;

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::super::http::{Message, read_chunks};
use super::answer::Refusal;
use super::objects::{Condition, Operation, Place, ReadCondition, Span, View};
use super::{Profile, json, xml};

/// How a request was written, and how its answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// S3's, and Google's that is like it.
    Xml,
    /// Google's own.
    Json,
}

/// A request that was understood.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) api: Api,
    pub(super) operation: Operation,
}

/// The longest key, in bytes.
const LONGEST_KEY: usize = 1024;

impl Request {
    /// Reads a request, and takes its body.
    pub(super) fn parse(message: &mut Message, profile: Profile) -> Result<Self, Refusal> {
        let target = message.target().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = Query::parse(query)?;
        if profile == Profile::Gcs
            && let Some(target) = json::Target::of(path)
        {
            let operation = json::operation(message, target, &query)?;
            return Ok(Self { api: Api::Json, operation });
        }
        let operation = xml::operation(message, profile, path, &query)?;
        Ok(Self { api: Api::Xml, operation })
    }
}

/// A request's query, decoded.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let parts = text.split('&').filter(|part| !part.is_empty());
        let parts = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
        });
        parts.collect::<Result<_, Refusal>>().map(Self)
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A value that is there and says something.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.value(name).map(|value| number(name, value)).transpose()
    }

    /// Refuses a request that asks for something else besides: an answer that ignored it would be wrong.
    pub(super) fn expect_only(&self, known: &[&str]) -> Result<(), Refusal> {
        let is_known = |name: &str| {
            let of_a_signature =
                ["x-amz-", "x-goog-", "response-"].iter().any(|start| begins(name, start));
            known.contains(&name) || of_a_signature || name == "x-id"
        };
        match self.0.keys().find(|name| !is_known(name)) {
            Some(name) => Err(Refusal::not_implemented(format!("the parameter {name:?}"))),
            None => Ok(()),
        }
    }
}

fn begins(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|found| found.eq_ignore_ascii_case(start))
}

/// What percent signs encode.
pub(super) fn decode(text: &str) -> Result<String, Refusal> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| Refusal::bad("InvalidURI", "it encodes what is not UTF-8"))
}

pub(super) fn number(name: &str, value: &str) -> Result<u64, Refusal> {
    let number = value.parse();
    number
        .map_err(|_| Refusal::bad("InvalidArgument", format!("{name} is a number, not {value:?}")))
}

/// A bucket and a key that can be one.
pub(super) fn place(bucket: String, key: String) -> Result<Place, Refusal> {
    if key.len() > LONGEST_KEY {
        let reason = format!("a key has {LONGEST_KEY} bytes at the most");
        return Err(Refusal::bad("KeyTooLongError", reason));
    }
    Ok(Place { bucket, key })
}

/// A generation as a condition; 0 is that there is no object.
pub(super) fn generation(value: &str) -> Result<Condition, Refusal> {
    Ok(match number("a generation", value)? {
        0 => Condition::Absent,
        generation => Condition::Generation(generation),
    })
}

/// The contents that a request brings: also those that come in signed chunks.
pub(super) fn take_body(message: &mut Message) -> Result<Bytes, Refusal> {
    let body = std::mem::take(&mut message.body);
    let is_in_chunks =
        message.header("x-amz-content-sha256").is_some_and(|kind| kind.starts_with("STREAMING-"));
    if !is_in_chunks {
        return Ok(body.into());
    }
    let whole = read_chunks(&mut body.as_slice());
    whole.map(Into::into).map_err(|error| Refusal::bad("IncompleteBody", error.to_string()))
}

/// A read as its headers tell of it.
pub(super) fn read(
    message: &Message,
    place: Place,
    view: View,
    condition: ReadCondition,
) -> Operation {
    let header = |name| message.header(name).map(str::to_owned);
    let condition =
        ReadCondition { tag: header("if-match"), other_tag: header("if-none-match"), ..condition };
    let span = message.header("range").and_then(Span::parse);
    Operation::Read { place, view, condition, span }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_nothing_in_it_is_ignored() {
        let query = Query::parse("prefix=a%2Fb+c&list-type=2&X-Amz-Date=x&e").expect("it is sound");
        assert_eq!(query.value("prefix"), Some("a/b c"));
        assert_eq!((query.value("e"), query.text("e")), (Some(""), None));
        assert_eq!(query.number("list-type").expect("it is a number"), Some(2));
        assert!(query.number("prefix").is_err());
        assert!(query.expect_only(&["prefix", "list-type", "e"]).is_ok());
        let refused = query.expect_only(&["prefix", "e"]).expect_err("there is more");
        assert_eq!(refused.status, 501);
        assert!(Query::parse("a=%ff").is_err(), "it is not UTF-8");
    }
}
