//! The options that a store takes.

use super::Provider;
use super::endpoint::Endpoint;

/// One option of a store in the cloud: what it is called, who takes it, and what it does.
///
/// ```
/// use buffer_driver::{OptionKind, Provider, STORE_OPTIONS};
///
/// let mut options = STORE_OPTIONS.iter();
/// let region = options.find(|option| option.name == "region").ok_or("there is no such option")?;
/// assert_eq!((region.providers, region.kind), (&[Provider::S3][..], OptionKind::Text));
/// assert_eq!(region.variables, ["AWS_REGION", "AWS_DEFAULT_REGION"]);
/// assert!(!region.secret, "it may be shown");
/// assert_eq!(region.help, "the bucket's region; us-east-1 if nothing says");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StoreOption {
    /// As it is written in a URL's query, in `store_options` and after `--store-option`.
    pub name: &'static str,
    /// Whose stores take it.
    pub providers: &'static [Provider],
    /// What its value looks like.
    pub kind: OptionKind,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Whether it says who asks. Such options are all taken from the environment, or none of them.
    pub credential: bool,
    /// The environment variables that stand for it, the first one that is set; each belongs to the
    /// provider that its name begins with.
    pub variables: &'static [&'static str],
    /// One line for users.
    pub help: &'static str,
}

/// What an option's value looks like.
///
/// ```
/// use buffer_driver::{OptionKind, STORE_OPTIONS};
///
/// // What a form offers to choose from.
/// let choices = |name| {
///     let option = STORE_OPTIONS.iter().find(|option| option.name == name)?;
///     match option.kind {
///         OptionKind::OneOf(words) => Some(words),
///         OptionKind::Flag => Some(&["true", "false"][..]),
///         _ => None,
///     }
/// };
/// assert_eq!(choices("server_side_encryption"), Some(&["AES256", "aws:kms"][..]));
/// assert_eq!(choices("allow_http"), Some(&["true", "false"][..]));
/// assert_eq!(choices("endpoint"), None, "it is a URL");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionKind {
    /// Any text that is not empty.
    Text,
    /// `true` or `false`.
    Flag,
    /// The URL of a service: `https://HOST` or `http://HOST`, perhaps with a path.
    Url,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

use OptionKind::{Flag, OneOf, Text, Url};
use Provider::{Azure, Gcs, S3};

/// All options there are.
///
/// ```
/// use buffer_driver::{Provider, STORE_OPTIONS};
///
/// let of_s3 = STORE_OPTIONS.iter().filter(|option| option.providers.contains(&Provider::S3));
/// for option in of_s3.clone() {
///     println!("{:<22} {}", option.name, option.help);
/// }
/// let secrets = of_s3.filter(|option| option.secret).map(|option| option.name);
/// assert!(secrets.eq(["access_key_id", "secret_access_key", "session_token"]));
/// ```
pub const STORE_OPTIONS: &[StoreOption] = &[
    plain(
        "endpoint",
        &[S3, Gcs, Azure],
        Url,
        &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AZURE_STORAGE_ENDPOINT"],
        "the service's URL, without the bucket, where it is not the provider's own",
    ),
    plain(
        "allow_http",
        &[S3, Gcs, Azure],
        Flag,
        &["AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP"],
        "whether the endpoint may be http:, which anybody on the way can read and change",
    ),
    plain(
        "region",
        &[S3],
        Text,
        &["AWS_REGION", "AWS_DEFAULT_REGION"],
        "the bucket's region; us-east-1 if nothing says",
    ),
    plain(
        "virtual_hosted_style",
        &[S3],
        Flag,
        &["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"],
        "whether the bucket is part of the host's name, not of the path",
    ),
    plain(
        "unquoted_etag",
        &[S3],
        Flag,
        &[],
        "whether If-Match is sent without quotes, as Ceph and DigitalOcean Spaces need it",
    ),
    plain(
        "server_side_encryption",
        &[S3],
        OneOf(&["AES256", "aws:kms"]),
        &[],
        "how the service encrypts what it stores, where not as the bucket says",
    ),
    plain("sse_kms_key_id", &[S3], Text, &[], "the key for server_side_encryption=aws:kms"),
    secret("access_key_id", &[S3], &["AWS_ACCESS_KEY_ID"], "the access key's name"),
    secret("secret_access_key", &[S3], &["AWS_SECRET_ACCESS_KEY"], "the access key's secret"),
    secret(
        "session_token",
        &[S3],
        &["AWS_SESSION_TOKEN"],
        "what belongs to a temporary access key",
    ),
    login(
        "web_identity_token_file",
        &[S3],
        Text,
        &["AWS_WEB_IDENTITY_TOKEN_FILE"],
        "a file with the token that role_arn is assumed with, as Kubernetes gives it",
    ),
    login(
        "role_arn",
        &[S3],
        Text,
        &["AWS_ROLE_ARN"],
        "the role that web_identity_token_file is for",
    ),
    login(
        "role_session_name",
        &[S3],
        Text,
        &["AWS_ROLE_SESSION_NAME"],
        "what the session of role_arn is called",
    ),
    login(
        "container_credentials_relative_uri",
        &[S3],
        Text,
        &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
        "where a task on ECS gets its credentials",
    ),
    login(
        "container_credentials_full_uri",
        &[S3],
        Text,
        &["AWS_CONTAINER_CREDENTIALS_FULL_URI"],
        "where a pod on EKS gets its credentials",
    ),
    login(
        "container_authorization_token_file",
        &[S3],
        Text,
        &["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
        "a file with the token that container_credentials_full_uri asks for",
    ),
    plain(
        "account_name",
        &[Azure],
        Text,
        &["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"],
        "the storage account",
    ),
    secret(
        "account_key",
        &[Azure],
        &["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY"],
        "the storage account's key",
    ),
    secret(
        "sas_token",
        &[Azure],
        &["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"],
        "a shared access signature, as it stands in a URL's query",
    ),
    login(
        "client_id",
        &[Azure],
        Text,
        &["AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID"],
        "the application that signs in, or the managed identity",
    ),
    secret(
        "client_secret",
        &[Azure],
        &["AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET"],
        "the application's secret",
    ),
    login(
        "tenant_id",
        &[Azure],
        Text,
        &["AZURE_TENANT_ID", "AZURE_STORAGE_TENANT_ID"],
        "the directory that client_id belongs to",
    ),
    login(
        "authority_host",
        &[Azure],
        Url,
        &["AZURE_AUTHORITY_HOST", "AZURE_STORAGE_AUTHORITY_HOST"],
        "who signs client_id in, where it is not login.microsoftonline.com",
    ),
    login(
        "federated_token_file",
        &[Azure],
        Text,
        &["AZURE_FEDERATED_TOKEN_FILE"],
        "a file with the token that client_id signs in with, as Kubernetes gives it",
    ),
    login(
        "service_account",
        &[Gcs],
        Text,
        &["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"],
        "the file with a service account's key",
    ),
    secret(
        "service_account_key",
        &[Gcs],
        &["GOOGLE_SERVICE_ACCOUNT_KEY"],
        "a service account's key itself, as JSON",
    ),
    login(
        "application_credentials",
        &[Gcs],
        Text,
        &["GOOGLE_APPLICATION_CREDENTIALS"],
        "the file with application default credentials",
    ),
    login(
        "skip_signature",
        &[S3, Gcs, Azure],
        Flag,
        &["AWS_SKIP_SIGNATURE", "AZURE_SKIP_SIGNATURE", "GOOGLE_SKIP_SIGNATURE"],
        "whether requests are anonymous",
    ),
];

const fn plain(
    name: &'static str,
    providers: &'static [Provider],
    kind: OptionKind,
    variables: &'static [&'static str],
    help: &'static str,
) -> StoreOption {
    StoreOption { name, providers, kind, secret: false, credential: false, variables, help }
}

const fn login(
    name: &'static str,
    providers: &'static [Provider],
    kind: OptionKind,
    variables: &'static [&'static str],
    help: &'static str,
) -> StoreOption {
    StoreOption { credential: true, ..plain(name, providers, kind, variables, help) }
}

const fn secret(
    name: &'static str,
    providers: &'static [Provider],
    variables: &'static [&'static str],
    help: &'static str,
) -> StoreOption {
    StoreOption { secret: true, ..login(name, providers, Text, variables, help) }
}

/// The option of this name.
pub(super) fn find(name: &str) -> Option<&'static StoreOption> {
    STORE_OPTIONS.iter().find(|option| option.name == name)
}

/// The options that this provider takes.
pub(super) fn of(provider: Provider) -> impl Iterator<Item = &'static StoreOption> {
    STORE_OPTIONS.iter().filter(move |option| option.providers.contains(&provider))
}

/// The option of this provider that somebody may have meant by this name.
pub(super) fn nearest(provider: Provider, name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace(['-', '.'], "_");
    let prefixes = ["aws_", "azure_storage_", "azure_", "google_", "s3_", "gcs_", ""];
    let bare = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
    let distances = of(provider).map(|option| (distance(bare, option.name), option.name));
    let (distance, nearest) = distances.min()?;
    (distance <= 1 + nearest.len() / 4).then_some(nearest)
}

impl StoreOption {
    /// The value as it is kept, or why it cannot be one.
    pub(super) fn parse(&self, value: &str) -> Result<String, String> {
        if value.is_empty() {
            return Err("its value is empty".to_owned());
        }
        if value.chars().any(|c| c.is_control() && !self.may_have_lines(c)) {
            return Err("its value holds a control character".to_owned());
        }
        match self.kind {
            // As portals show it: a part of a URL. Not every client takes it so.
            Text if self.name == "sas_token" => Ok(value.trim_start_matches('?').to_owned()),
            // A client that is given something else may repeat it in its error.
            Text if self.name == "service_account_key" && !value.trim_start().starts_with('{') => {
                Err("it is the JSON of a service account's key, which begins with {".to_owned())
            }
            Text => Ok(value.to_owned()),
            Url => Endpoint::parse(value).map(|endpoint| endpoint.to_string()),
            Flag if value.eq_ignore_ascii_case("true") || value == "1" => Ok("true".to_owned()),
            Flag if value.eq_ignore_ascii_case("false") || value == "0" => Ok("false".to_owned()),
            Flag => Err("it is either true or false".to_owned()),
            OneOf(words) if words.contains(&value) => Ok(value.to_owned()),
            OneOf(words) => Err(format!("it is one of {}", words.join(", "))),
        }
    }

    /// A key as JSON may be written on several lines; it never stands in a header.
    fn may_have_lines(&self, c: char) -> bool {
        self.name == "service_account_key" && matches!(c, '\n' | '\r' | '\t')
    }
}

/// How many letters have to be added, left out or changed to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        for (number, option) in STORE_OPTIONS.iter().enumerate() {
            let name = option.name;
            assert!(STORE_OPTIONS[..number].iter().all(|other| other.name != name), "{name}");
            assert!(!option.providers.is_empty() && !option.help.is_empty(), "{name}");
            assert!(!option.secret || option.credential, "{name}");
            for variable in option.variables {
                let owners = option.providers.iter().filter(|owner| owner.owns(variable));
                assert_eq!(owners.count(), 1, "{name}: {variable}");
            }
        }
    }

    #[test]
    fn a_value_is_kept_as_clients_take_it() {
        let parse = |name, value| find(name).expect("there is one").parse(value);
        assert_eq!(parse("sas_token", "?sv=1&sig=x"), parse("sas_token", "sv=1&sig=x"));
        let key = "\n{\"type\": \"service_account\"}\n";
        assert_eq!(parse("service_account_key", key).as_deref(), Ok(key));
        for wrong in ["hidden", "\"hidden\"", "[\"hidden\"]"] {
            let reason = parse("service_account_key", wrong).expect_err(wrong);
            assert!(reason.contains("JSON") && !reason.contains("hidden"), "{reason}");
        }
        assert_eq!(parse("allow_http", "1").as_deref(), Ok("true"));
    }

    #[test]
    fn a_misspelt_name_leads_to_the_right_one() {
        for (wrong, right) in [
            ("secret_acces_key", Some("secret_access_key")),
            ("AWS_SECRET_ACCESS_KEY", Some("secret_access_key")),
            ("aws_region", Some("region")),
            ("allow-http", Some("allow_http")),
            ("endpoint_url", Some("endpoint")),
            ("colour", None),
        ] {
            let found = nearest(S3, wrong);
            // Four letters more are too many to guess by; the list is shown then.
            let expected = right.filter(|_| wrong != "endpoint_url");
            assert_eq!(found, expected, "{wrong}");
        }
        assert_eq!(nearest(Azure, "azure_storage_account_name"), Some("account_name"));
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
