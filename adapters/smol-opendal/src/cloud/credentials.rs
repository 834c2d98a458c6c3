//! Who asks: credentials from options, environment, files and metadata services, without tokio.
//!
//! OpenDAL's services read credential files through tokio, which panics on smol. Here a
//! provider sees files through smol, and an environment in which every option stands under
//! the names of its variables: so the providers that know the clouds' ways of signing in need
//! not be told twice.

use std::collections::HashMap;
use std::fmt;

use buffer_driver::{CloudStore, STORE_OPTIONS};
use reqsign_core::{
    Context, Env, Error, FileRead, OsEnv, ProvideCredential, ProvideCredentialChain, Result,
    StaticEnv,
};

/// The ways to sign in to AWS: keys, web identity (Kubernetes), containers, machines.
#[cfg(feature = "aws")]
pub(super) fn aws(cloud: &CloudStore) -> ProvideCredentialChain<reqsign_aws_v4::Credential> {
    let ways = reqsign_aws_v4::DefaultCredentialProvider::builder();
    // Profiles, and what is configured in their files, are no options of a store.
    let ways = ways.no_profile().no_sso().no_process().build();
    ProvideCredentialChain::new().push(OnSmol::new(ways, environment(cloud)))
}

/// The ways to sign in to Azure: key, SAS, secret, workload identity (Kubernetes), machines.
#[cfg(feature = "azure")]
pub(super) fn azure(
    cloud: &CloudStore,
) -> ProvideCredentialChain<reqsign_azure_storage::Credential> {
    let ways = reqsign_azure_storage::DefaultCredentialProvider::builder();
    let ways = ways.no_azure_cli().no_client_certificate().no_azure_pipelines().build();
    ProvideCredentialChain::new().push(OnSmol::new(ways, environment(cloud)))
}

/// The way to sign in to Google: a service account's key, else application defaults, machines.
///
/// A key that was given is the only way: what is wrong with it must not lead to somebody else's.
#[cfg(feature = "gcp")]
pub(super) fn google(cloud: &CloudStore) -> ProvideCredentialChain<reqsign_google::Credential> {
    let mut environment = environment(cloud);
    let scope = "https://www.googleapis.com/auth/devstorage.read_write";
    environment.envs.insert("GOOGLE_SCOPE".to_owned(), scope.to_owned());
    let chain = ProvideCredentialChain::new();
    if let Some(key) = cloud.option("service_account_key") {
        let way = reqsign_google::StaticCredentialProvider::new(key);
        return chain.push(OnSmol::new(way, environment));
    }
    if let Some(path) = cloud.option("service_account") {
        let way = reqsign_google::FileCredentialProvider::new(path);
        return chain.push(OnSmol::new(way, environment));
    }
    chain.push(OnSmol::new(reqsign_google::DefaultCredentialProvider::new(), environment))
}

/// The process's environment, but with the options in the place of all variables that stand for one.
fn environment(cloud: &CloudStore) -> StaticEnv {
    let mut envs: HashMap<String, String> = OsEnv.vars();
    for variable in STORE_OPTIONS.iter().flat_map(|option| option.variables) {
        envs.remove(*variable);
    }
    for (option, value) in cloud.options() {
        let named = option.variables.iter().map(|name| ((*name).to_owned(), value.to_owned()));
        envs.extend(named);
    }
    StaticEnv { home_dir: OsEnv.home_dir(), envs }
}

/// A provider of credentials that needs no tokio.
struct OnSmol<P> {
    provider: P,
    environment: StaticEnv,
}

impl<P> OnSmol<P> {
    const fn new(provider: P, environment: StaticEnv) -> Self {
        Self { provider, environment }
    }
}

/// By its type alone: providers and environments hold secrets, and are written to logs.
impl<P> fmt::Debug for OnSmol<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<P>())
    }
}

impl<P: ProvideCredential> ProvideCredential for OnSmol<P> {
    type Credential = P::Credential;

    async fn provide_credential(&self, context: &Context) -> Result<Option<P::Credential>> {
        let context = context.clone().with_file_read(Files).with_env(self.environment.clone());
        self.provider.provide_credential(&context).await
    }
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        let failed = |error| Error::unexpected(format!("cannot read {path}")).with_source(error);
        smol::fs::read(path).await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use buffer_driver::StoreOptions;

    use super::*;

    /// Reads a file that the environment names, as providers of tokens do.
    #[derive(Debug)]
    struct Token;

    impl ProvideCredential for Token {
        type Credential = Vec<u8>;

        async fn provide_credential(&self, context: &Context) -> Result<Option<Vec<u8>>> {
            let path = context.env_var("AWS_WEB_IDENTITY_TOKEN_FILE").expect("the option says it");
            assert_eq!(context.env_var("AWS_ROLE_ARN"), None, "no option says it");
            context.file_read(&path).await.map(Some)
        }
    }

    /// Goal: a provider finds options in the environment and reads files, with no tokio runtime.
    #[test]
    fn a_provider_sees_options_and_files_on_smol() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "token").expect("it is open");
        let path = file.path().to_str().expect("it is UTF-8");
        let cloud = |path| {
            let options = StoreOptions::from_iter([("web_identity_token_file", path)]);
            CloudStore::parse("s3://b?region=north", &options, &|_| None).expect("it is sound")
        };
        let provide = |cloud: &CloudStore| {
            let provider = OnSmol::new(Token, environment(cloud));
            assert!(format!("{provider:?}").ends_with("::Token"), "{provider:?}");
            smol::block_on(provider.provide_credential(&Context::new()))
        };
        assert_eq!(provide(&cloud(path)).expect("it is there"), Some(b"token".to_vec()));
        let error = provide(&cloud("/no/such/file")).expect_err("it is not there").to_string();
        assert!(error.contains("/no/such/file"), "{error}");
    }
}
