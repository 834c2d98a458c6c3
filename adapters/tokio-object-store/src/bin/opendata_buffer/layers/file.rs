//! The file of `--config`: TOML, one key for each setting.

use std::fs;
use std::path::PathBuf;

use toml::{Table, Value};

use crate::exit::Failure;

/// A configuration file that was read.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    values: Vec<(String, Vec<String>)>,
}

impl File {
    pub(super) fn read(path: PathBuf) -> Result<Self, Failure> {
        let shown = path.display();
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            // The line itself may hold a secret, and is not repeated.
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            Failure::usage(format!("{shown}, line {line}: {}", error.message()))
        })?;
        let values = table.into_iter().map(|(name, value)| match texts(value) {
            Some(texts) => Ok((name, texts)),
            None => {
                let message = "write a text, a number, true or false, or a list of texts";
                Err(Failure::usage(format!("{shown}: {name}: {message}")))
            }
        });
        let values = values.collect::<Result<_, _>>()?;
        Ok(Self { path, values })
    }

    /// Refuses names that are not among these.
    pub(super) fn expect_names(&self, known: &[&str]) -> Result<(), Failure> {
        let Some((name, _)) = self.values.iter().find(|(name, _)| !known.contains(&&**name)) else {
            return Ok(());
        };
        let near = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
        let hint = match near.min() {
            Some((distance, known)) if distance <= 3 => format!("is `{known}` meant?"),
            Some(_) | None => format!("there are {}", known.join(", ")),
        };
        Err(Failure::usage(format!("{}: there is no setting {name}; {hint}", self.path())))
    }

    pub(super) fn values(&self, name: &str) -> Option<Vec<String>> {
        self.values.iter().find(|(found, _)| found == name).map(|(_, values)| values.clone())
    }

    pub(super) fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Where a setting stands, for an error.
    pub(super) fn place(&self, name: &str) -> String {
        format!("{}: {name}", self.path())
    }
}

fn texts(value: Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Integer(number) => Some(vec![number.to_string()]),
        Value::Float(number) => Some(vec![number.to_string()]),
        Value::Boolean(answer) => Some(vec![answer.to_string()]),
        Value::Array(values) => {
            values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect()
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
