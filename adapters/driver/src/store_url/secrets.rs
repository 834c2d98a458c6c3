//! What must not be seen of a store's options, and taking it out of other people's texts.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::cloud::CloudStore;
use super::redact::HIDDEN;

/// What stands in a URL for itself.
const URL: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same in what a form sends.
const FORM: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');

/// The secrets of a store, in every form in which they are sent. Has no `Debug`.
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    pub(crate) fn of(cloud: &CloudStore) -> Self {
        let mut forms = Vec::new();
        for (_, value) in cloud.options().filter(|(option, _)| option.secret) {
            push_forms(value, &mut forms);
            // A client takes a shared access signature apart, and sends its signature by itself.
            let signature = value.split(['?', '&']).find_map(|part| part.strip_prefix("sig="));
            push_forms(signature.unwrap_or_default(), &mut forms);
        }
        // What holds another one goes first.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self(forms)
    }

    pub(crate) fn are_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret.as_str()))
    }

    pub(crate) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
    }
}

fn push_forms(secret: &str, forms: &mut Vec<String>) {
    // One or two letters are no secret, and would be found everywhere.
    if secret.len() < 3 {
        return;
    }
    let decoded = percent_decode_str(secret).decode_utf8_lossy().into_owned();
    for reserved in [NON_ALPHANUMERIC, &URL, &FORM] {
        forms.push(utf8_percent_encode(&decoded, reserved).to_string());
    }
    // As `Debug` writes it.
    forms.push(secret.escape_debug().to_string());
    forms.push(secret.to_owned());
    forms.push(decoded);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store_url::StoreOptions;

    #[test]
    fn a_secret_is_hidden_in_each_form_in_which_it_is_sent() {
        let options = [("account_name", "a"), ("client_secret", "8Q~x-y/z.*")];
        let cloud = CloudStore::parse("az://box", &StoreOptions::from_iter(options), &|_| None);
        let secrets = Secrets::of(&cloud.expect("it is sound"));
        for form in ["8Q~x-y/z.*", "8Q%7Ex%2Dy%2Fz%2E%2A", "8Q~x-y%2Fz.%2A", "8Q%7Ex-y%2Fz.*"] {
            let said = format!("sent <client_secret={form}>");
            assert!(secrets.are_in(&said), "{said}");
            assert_eq!(secrets.hide(&said), "sent <client_secret=***>");
        }
        assert!(!secrets.are_in("8Q"));
    }
}
