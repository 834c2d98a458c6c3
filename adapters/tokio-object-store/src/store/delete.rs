//! Deletions, with a result for each key.

use std::collections::BTreeSet;

use buffer_driver::StoreFailure;
use buffer_driver::buffer_core::{Location, StoreErrorKind};
use futures_util::stream::{self, StreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore, Result};

use super::failure::{failure, is_without_store};
use super::parse;

/// Deletes objects, many to a request where the client can.
pub(super) async fn delete(
    client: &dyn ObjectStore,
    locations: Vec<Location>,
) -> Vec<std::result::Result<(), StoreFailure>> {
    let paths: Vec<_> = locations.iter().map(parse).collect();
    let valid: Vec<Path> = paths.iter().flatten().cloned().collect();
    let asked = stream::iter(valid.clone().into_iter().map(Ok)).boxed();
    let answers: Vec<_> = client.delete_stream(asked).collect().await;
    let mut results = sort_out(&valid, answers).into_iter();
    let mut result = |_path| results.next().expect("there is one for each that was asked");
    paths.into_iter().map(|path| path.and_then(&mut result)).collect()
}

/// What was answered about each key.
///
/// A client that answers for each key does so in their order. One that leaves some out
/// has had a whole request fail, and its failures do not say which keys they are of: then a
/// key is only deleted if a success names it.
fn sort_out(
    paths: &[Path],
    answers: Vec<Result<Path>>,
) -> Vec<std::result::Result<(), StoreFailure>> {
    if paths.len() == answers.len() {
        return answers.into_iter().map(|answer| gone(answer).map(|_| ())).collect();
    }
    let (mut deleted, mut last) = (BTreeSet::new(), None);
    for answer in answers {
        match gone(answer) {
            Ok(path) => deleted.extend(path),
            Err(failure) => last = Some(failure),
        }
    }
    let said = last.unwrap_or_else(|| {
        StoreFailure::new(StoreErrorKind::Transient, "the store did not say what became of it")
    });
    let result = |path| if deleted.contains(path) { Ok(()) } else { Err(said.clone()) };
    paths.iter().map(result).collect()
}

/// What is not there needs no deleting. Which object that was, a client may not say.
fn gone(answer: Result<Path>) -> std::result::Result<Option<Path>, StoreFailure> {
    match answer {
        Ok(path) => Ok(Some(path)),
        Err(error) if is_without_store(&error) => Err(failure(error)),
        Err(Error::NotFound { path, .. }) => Ok(Path::parse(path).ok()),
        Err(error) => Err(failure(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Error {
        Error::PermissionDenied { path: "no".into(), source: "no".into() }
    }

    fn missing(path: &str) -> Error {
        Error::NotFound { path: path.into(), source: "no".into() }
    }

    fn sorted(answers: Vec<Result<Path>>) -> Vec<Option<StoreErrorKind>> {
        let paths = ["q/a", "q/b", "q/c"].map(Path::from);
        let results = sort_out(&paths, answers);
        results.into_iter().map(|result| result.err().map(|failure| failure.kind)).collect()
    }

    #[test]
    fn each_key_has_the_result_that_was_answered_for_it() {
        let (denied, lost) = (Some(StoreErrorKind::Denied), Some(StoreErrorKind::Transient));
        let ok = |path: &str| Ok(Path::from(path));
        let one_by_one = vec![ok("q/a"), Err(refused()), Err(missing("bucket/q/c"))];
        assert_eq!(sorted(one_by_one), [None, denied, None]);
        assert_eq!(sorted(vec![Err(refused())]), [denied, denied, denied]);
        assert_eq!(sorted(vec![ok("q/c"), Err(refused())]), [denied, denied, None]);
        assert_eq!(sorted(vec![ok("q/c"), Err(missing("q/a"))]), [None, lost, None]);
        assert_eq!(sorted(vec![Err(missing("q"))]), [lost, lost, lost]);
        assert_eq!(sorted(Vec::new()), [lost, lost, lost]);
    }
}
