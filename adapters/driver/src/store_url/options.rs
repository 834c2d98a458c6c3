//! Options as users give them, not looked at yet.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use super::redact;

/// What a store has to be told besides its URL: endpoint, region, keys.
///
/// [`STORE_OPTIONS`](crate::STORE_OPTIONS) lists what there is. Names are looked
/// at when the store is opened. `Debug` shows no secrets; serialisation keeps all.
///
/// ```
/// use buffer_driver::{ProducerConfig, StoreOptions};
///
/// let config: ProducerConfig = serde_json::from_str(
///     r#"{ "store": "s3://bucket/queue", "store_options": { "secret_access_key": "abc" } }"#,
/// )?;
/// assert_eq!(config.store_options, StoreOptions::from_iter([("secret_access_key", "abc")]));
/// assert!(!format!("{config:?}").contains("abc"));
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// Or one after the other:
///
/// ```
/// use buffer_driver::StoreOptions;
///
/// let mut options = StoreOptions::new();
/// assert!(options.is_empty());
/// options.insert("region", "eu-west-1");
/// options.insert("allow_http", "true");
/// options.insert("region", "eu-north-1"); // replaces the first one
/// assert_eq!(options.value("region"), Some("eu-north-1"));
/// assert!(options.iter().eq([("allow_http", "true"), ("region", "eu-north-1")]));
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StoreOptions(BTreeMap<String, String>);

impl StoreOptions {
    /// No options.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets an option; one of this name that was set before is replaced.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// What was given for this name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            self.iter().map(|(name, value)| (redact::name(name), redact::value(name, value)));
        f.debug_map().entries(shown).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for StoreOptions {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(options: I) -> Self {
        Self(options.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl From<BTreeMap<String, String>> for StoreOptions {
    fn from(options: BTreeMap<String, String>) -> Self {
        Self(options)
    }
}

impl<'de> Deserialize<'de> for StoreOptions {
    /// Takes `true` and `8` for `"true"` and `"8"`. What it refuses, it does not repeat: it may be a secret.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Value {
            Text(String),
            Flag(bool),
            Number(u64),
            Other(IgnoredAny),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Options {
            Map(BTreeMap<String, Value>),
            Other(IgnoredAny),
        }
        let Options::Map(map) = Options::deserialize(from)? else {
            return Err(D::Error::custom("store options are a map from names to values"));
        };
        let mut options = Self::new();
        for (name, value) in map {
            let value = match value {
                Value::Text(text) => text,
                Value::Flag(flag) => flag.to_string(),
                Value::Number(number) => number.to_string(),
                Value::Other(IgnoredAny) => {
                    let name = redact::name(&name);
                    return Err(D::Error::custom(format_args!(
                        "the store option {name} is a text"
                    )));
                }
            };
            options.insert(name, value);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_texts_flags_and_numbers_and_errors_hide_them() {
        let read = serde_json::from_str::<StoreOptions>;
        let options =
            read(r#"{ "allow_http": true, "region": "x", "n": 8 }"#).expect("it is sound");
        let expected = [("allow_http", "true"), ("region", "x"), ("n", "8")];
        assert_eq!(options, StoreOptions::from_iter(expected));
        let text = serde_json::to_string(&options).expect("it is a map");
        assert_eq!(read(&text).expect("it was just written"), options);
        for wrong in [r#""hidden""#, r#"{ "account_key": ["hidden"] }"#, r#"["hidden"]"#] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn debug_shows_what_is_no_secret() {
        let options = [("region", "north"), ("sas_token", "hidden"), ("misspelt", "hidden")];
        let shown = format!("{:?}", StoreOptions::from_iter(options));
        assert_eq!(shown, r#"{"misspelt": ***, "region": "north", "sas_token": ***}"#);
    }
}
