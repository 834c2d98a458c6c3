//! How a command ends: its exit code, and what stderr says.

use std::error::Error;
use std::io::{self, Write};

use buffer::{
    AckError, ConfigError, DeliveryError, DeliveryFailure, Ended, Fault, FlushError,
    InitializeError, InspectError, LookError, NextError, SkipError, StoreError, StoreErrorKind,
    StoreOperation, SweepError,
};

use crate::say::say;

/// How a command ended.
pub(crate) type Outcome = Result<(), Failure>;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    message: Option<String>,
}

/// What the shell sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It failed.
    Failed,
    /// Usage or configuration.
    Usage,
    /// Another consumer took over.
    Fenced,
    /// What came out is not what went in.
    Differs,
    /// The store cannot compare and swap.
    NoCompareAndSwap,
    /// The queue is past a limit of `--check`.
    OverLimit,
    /// SIGINT or SIGTERM.
    Interrupted,
}

impl Status {
    pub(crate) const fn code(self) -> i32 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Fenced => 3,
            Self::Differs => 4,
            Self::OverLimit => 5,
            Self::NoCompareAndSwap => 6,
            Self::Interrupted => 130,
        }
    }
}

impl Failure {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: Some(message.into()) }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Status::Failed, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Status::Usage, message)
    }

    /// A signal came, and what there is to say was said.
    pub(crate) const fn interrupted() -> Self {
        Self { status: Status::Interrupted, message: None }
    }

    /// The same with another exit code.
    pub(crate) fn with_status(self, status: Status) -> Self {
        Self { status, ..self }
    }

    /// Says first what was being done.
    pub(crate) fn context(self, context: &str) -> Self {
        let message = self.message.map(|message| format!("{context}: {message}"));
        Self { message, ..self }
    }

    /// Says something more at the end.
    pub(crate) fn hint(self, hint: &str) -> Self {
        let message = self.message.map(|message| format!("{message}\n{hint}"));
        Self { message, ..self }
    }
}

/// Prints what there is to say, and gives the code to exit with.
pub(crate) fn report(outcome: Outcome) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(Failure { status, message }) => {
            if let Some(message) = message {
                say!("error: {message}");
            }
            status.code()
        }
    }
}

/// An error with all its sources, none of them twice.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        source = cause.source();
    }
    message
}

/// What writing to standard output came to: that nobody reads it any more is fine.
pub(crate) fn written<T>(result: io::Result<T>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_broken_pipe(&error) => Ok(None),
        Err(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
    }
}

/// Writes all of this to standard output.
pub(crate) fn print(text: &str) -> Outcome {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))?;
    Ok(())
}

/// Whether nobody reads what is written any more. That is no failure of ours.
pub(crate) fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

fn store_status(error: &StoreError) -> Status {
    let writes = matches!(error.operation, StoreOperation::PutBatch | StoreOperation::SwapManifest);
    if error.kind == StoreErrorKind::Unsupported && writes {
        Status::NoCompareAndSwap
    } else {
        Status::Failed
    }
}

fn fault_status(fault: &Fault) -> Status {
    if let Fault::Store(error) = fault { store_status(error) } else { Status::Failed }
}

fn ended_status(ended: &Ended) -> Status {
    if matches!(ended, Ended::Fenced { .. }) { Status::Fenced } else { Status::Failed }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let status = if matches!(error, ConfigError::NoCompareAndSwap { .. }) {
            Status::NoCompareAndSwap
        } else if matches!(
            error,
            ConfigError::Field(_)
                | ConfigError::UnknownStore { .. }
                | ConfigError::StoreOption { .. }
                | ConfigError::MissingFeature { .. }
        ) {
            Status::Usage
        } else {
            Status::Failed
        };
        Self::new(status, chain(&error))
    }
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        Self::failed(chain(&error))
    }
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Self {
        Self::failed(chain(&error))
    }
}

impl From<SweepError> for Failure {
    fn from(error: SweepError) -> Self {
        Self::failed(chain(&error))
    }
}

impl From<SkipError> for Failure {
    fn from(error: SkipError) -> Self {
        let status =
            if let SkipError::Ended(ended) = &error { ended_status(ended) } else { Status::Failed };
        Self::new(status, chain(&error))
    }
}

impl From<DeliveryError> for Failure {
    fn from(error: DeliveryError) -> Self {
        let status = if let DeliveryFailure::Store(error) = error.failure() {
            store_status(error)
        } else {
            Status::Failed
        };
        Self::new(status, chain(&error))
    }
}

impl From<InitializeError> for Failure {
    fn from(error: InitializeError) -> Self {
        let status = if let InitializeError::Ended(ended) = &error {
            ended_status(ended)
        } else if let InitializeError::Fault(fault) = &error {
            fault_status(fault)
        } else {
            Status::Failed
        };
        Self::new(status, chain(&error))
    }
}

impl From<NextError> for Failure {
    fn from(error: NextError) -> Self {
        let status =
            if let NextError::Ended(ended) = &error { ended_status(ended) } else { Status::Failed };
        Self::new(status, chain(&error))
    }
}

impl From<FlushError> for Failure {
    fn from(error: FlushError) -> Self {
        let status = if let FlushError::Ended(ended) = &error {
            ended_status(ended)
        } else if let FlushError::Fault(fault) = &error {
            fault_status(fault)
        } else {
            Status::Failed
        };
        Self::new(status, chain(&error))
    }
}

impl From<AckError> for Failure {
    fn from(error: AckError) -> Self {
        let status =
            if let AckError::Ended(ended) = &error { ended_status(ended) } else { Status::Failed };
        Self::new(status, chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use buffer::buffer_core::Location;

    use super::*;

    #[test]
    fn a_source_is_told_once() {
        let location = Location::from("ingest/manifest");
        let store =
            StoreError::new(StoreErrorKind::Transient, StoreOperation::SwapManifest, location)
                .with_source("no disk");
        let message = chain(&FlushError::Fault(Fault::Store(store)));
        assert_eq!(message.matches("no disk").count(), 1, "{message}");
        assert_eq!(message.matches("ingest/manifest").count(), 1, "{message}");
    }
}
