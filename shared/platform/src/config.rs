//! The environment of every function (contract, section 2). Read in one place, all problems reported at once.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use ::http::{HeaderValue, Uri};
use passkit::secrets::ApiKey;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};

use crate::outbound::{Reach, check_url};

/// Everything a function is told by its environment.
#[derive(Debug, Clone)]
pub struct Config {
    /// `TABLE_NAME`: the DynamoDB table.
    pub table_name: String,
    /// `BUCKET_NAME`: the S3 bucket of template archives and packages.
    pub bucket_name: String,
    /// `PUSH_QUEUE_URL`: pushes to fan out.
    pub push_queue_url: String,
    /// `FOLLOW_UP_QUEUE_URL`: steps due later.
    pub follow_up_queue_url: String,
    /// `BATCH_QUEUE_URL`: batches of passes to be made. Without it none is worked.
    pub batch_queue_url: Option<String>,
    /// `PUBLIC_URL`: base of `webServiceURL` and links, without a trailing slash.
    pub public_url: String,
    /// `SIGNING_IDENTITIES`: where certificates and keys are.
    pub signing_identities: SigningIdentitiesSource,
    /// `APNS_ENDPOINT`
    pub apns_endpoint: Uri,
    /// `APNS_CA_FILE`: extra trusted roots, for tests.
    pub apns_ca_file: Option<PathBuf>,
    /// `RELIST_AFTER_SECONDS`: a version listed but fetched by nobody for so long is listed again. Default 600.
    pub relist_after: Duration,
    /// `ERASURE_GRACE_SECONDS`: how long phones may learn that a pass to be erased is void. Default 259200.
    pub erasure_grace: Duration,
    /// `WEBHOOK_QUEUE_URL`: what merchants' servers are to be told. Without it nobody is told.
    pub webhook_queue_url: Option<String>,
    /// `WEBHOOK_GIVE_UP_SECONDS`: how long a webhook that does not answer is tried. Default 259200.
    pub webhook_give_up: Duration,
    /// `WEBHOOKS_TO_THIS_MACHINE`: `true` admits webhooks at 127.0.0.1, also over http. For trying them out.
    pub webhooks_to_this_machine: bool,
    /// `WALLETPASSES_ENDPOINT`: where pushes to WalletPasses on Android go; none: nowhere.
    pub walletpasses_endpoint: Option<Uri>,
    /// `WALLETPASSES_API_KEY`: sent along, if there is one.
    pub walletpasses_api_key: Option<ApiKey>,
    /// The SDK's own variables, for programs that set them per client instead of per process.
    pub aws: AwsVariables,
}

/// Where certificates and keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningIdentitiesSource {
    /// `secretsmanager:<prefix>`: every secret whose name begins so is one identity.
    SecretsManager(String),
    /// `file:<directory>`: every sub-directory is one identity.
    Directory(PathBuf),
}

/// The AWS SDK's variables. In the cloud Lambda sets them; the local service sets them for its embedded parts.
#[derive(Clone, Default)]
pub struct AwsVariables {
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and perhaps `AWS_SESSION_TOKEN`.
    pub credentials: Option<(String, String, Option<String>)>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`, else `AWS_ENDPOINT_URL`.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`.
    pub s3_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SQS`, else `AWS_ENDPOINT_URL`.
    pub sqs_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`, else `AWS_ENDPOINT_URL`.
    pub secrets_manager_endpoint: Option<String>,
}

impl AwsVariables {
    /// Reads the SDK's variables from any environment. An empty value counts as none.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> AwsVariables {
        let lookup = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let endpoint_of = |name: &str| lookup(name).or_else(|| lookup("AWS_ENDPOINT_URL"));
        AwsVariables {
            region: lookup("AWS_REGION").or_else(|| lookup("AWS_DEFAULT_REGION")),
            credentials: lookup("AWS_ACCESS_KEY_ID")
                .zip(lookup("AWS_SECRET_ACCESS_KEY"))
                .map(|(id, secret)| (id, secret, lookup("AWS_SESSION_TOKEN"))),
            dynamodb_endpoint: endpoint_of("AWS_ENDPOINT_URL_DYNAMODB"),
            s3_endpoint: endpoint_of("AWS_ENDPOINT_URL_S3"),
            sqs_endpoint: endpoint_of("AWS_ENDPOINT_URL_SQS"),
            secrets_manager_endpoint: endpoint_of("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
        }
    }
}

impl fmt::Debug for AwsVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsVariables").field("region", &self.region).finish_non_exhaustive()
    }
}

/// Every variable that is missing or malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(|(name, problem)| format!("{name}: {problem}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub BTreeMap<String, String>);

/// The names of the variables a deployed function is given; template.yaml sets exactly these.
pub const VARIABLES: [&str; 16] = [
    "TABLE_NAME",
    "BUCKET_NAME",
    "PUSH_QUEUE_URL",
    "FOLLOW_UP_QUEUE_URL",
    "BATCH_QUEUE_URL",
    "WEBHOOK_QUEUE_URL",
    "PUBLIC_URL",
    "SIGNING_IDENTITIES",
    "APNS_ENDPOINT",
    "RELIST_AFTER_SECONDS",
    "ERASURE_GRACE_SECONDS",
    "WEBHOOK_GIVE_UP_SECONDS",
    "WEBHOOKS_TO_THIS_MACHINE",
    "WALLETPASSES_ENDPOINT",
    "WALLETPASSES_API_KEY",
    "RUST_LOG",
];

/// What is logged: `info`, or what `RUST_LOG` says. One that says nothing sensible is reported by
/// [`Config::from_environment`], in a line that has to be logged itself.
pub fn log_filter() -> Targets {
    std::env::var("RUST_LOG").ok().and_then(|text| parse_log_filter(&text).ok()).unwrap_or_else(everything_of_note)
}

/// Reads a log filter: a level, or levels by target, such as `warn,platform=debug`. Empty text counts as none.
///
/// # Errors
/// The text is no filter.
pub fn parse_log_filter(text: &str) -> Result<Targets, ParseError> {
    if text.trim().is_empty() { Ok(everything_of_note()) } else { text.parse() }
}

fn everything_of_note() -> Targets {
    Targets::new().with_default(LevelFilter::INFO)
}

impl Config {
    /// Reads the process's environment.
    pub fn from_environment() -> Result<Config, ConfigErrors> {
        Config::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads any environment. An empty value counts as none.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
        let lookup = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let mut errors = BTreeMap::new();
        let mut required = |name: &str| {
            lookup(name).unwrap_or_else(|| {
                errors.insert(name.to_owned(), "is not set".to_owned());
                String::new()
            })
        };
        let table_name = required("TABLE_NAME");
        let bucket_name = required("BUCKET_NAME");
        let push_queue_url = required("PUSH_QUEUE_URL");
        let follow_up_queue_url = required("FOLLOW_UP_QUEUE_URL");
        let batch_queue_url = lookup("BATCH_QUEUE_URL");
        let webhook_queue_url = lookup("WEBHOOK_QUEUE_URL");
        let public_url = required("PUBLIC_URL");
        let identities = required("SIGNING_IDENTITIES");
        let mut wrong = |name: &str, problem: String| {
            errors.entry(name.to_owned()).or_insert(problem);
        };

        for (name, url) in [
            ("PUSH_QUEUE_URL", Some(&push_queue_url)),
            ("FOLLOW_UP_QUEUE_URL", Some(&follow_up_queue_url)),
            ("BATCH_QUEUE_URL", batch_queue_url.as_ref()),
            ("WEBHOOK_QUEUE_URL", webhook_queue_url.as_ref()),
        ] {
            if let Some(url) = url
                && parse_url(url).is_none()
            {
                wrong(name, format!("{url:?} is not a queue's URL (https://sqs.<region>.amazonaws.com/...)"));
            }
        }
        if parse_url(&public_url).is_none() || public_url.ends_with('/') || public_url.contains(['?', '#']) {
            wrong("PUBLIC_URL", format!("{public_url:?} must be an http(s) URL without a trailing slash"));
        }
        let signing_identities = match identities.split_once(':') {
            Some(("file", directory)) if !directory.is_empty() => SigningIdentitiesSource::Directory(directory.into()),
            Some(("secretsmanager", prefix)) if !prefix.is_empty() => {
                SigningIdentitiesSource::SecretsManager(prefix.to_owned())
            }
            Some(_) | None => {
                let problem = format!("{identities:?} must be secretsmanager:<prefix> or file:<directory>");
                wrong("SIGNING_IDENTITIES", problem);
                SigningIdentitiesSource::Directory(PathBuf::new())
            }
        };
        let endpoint = lookup("APNS_ENDPOINT").unwrap_or_else(|| "https://api.push.apple.com".to_owned());
        let apns_endpoint = parse_url(&endpoint).filter(|url| url.scheme_str() == Some("https")).unwrap_or_else(|| {
            wrong("APNS_ENDPOINT", format!("{endpoint:?} must be https://<host> or https://<host>:<port>"));
            Uri::default()
        });
        let apns_ca_file = lookup("APNS_CA_FILE").map(PathBuf::from);
        if let Some(file) = &apns_ca_file
            && !file.is_file()
        {
            wrong("APNS_CA_FILE", format!("there is no file {}", file.display()));
        }
        let mut seconds = |name: &str, usually: u64| match lookup(name).map(|text| text.parse()) {
            None => Duration::from_secs(usually),
            Some(Ok(seconds)) => Duration::from_secs(seconds),
            Some(Err(_)) => {
                wrong(name, "must be a whole number of seconds".to_owned());
                Duration::ZERO
            }
        };
        let relist_after = seconds("RELIST_AFTER_SECONDS", 600);
        // As long as APNs keeps the push that tells of it.
        let erasure_grace = seconds("ERASURE_GRACE_SECONDS", 3 * 24 * 3600);
        let webhook_give_up = seconds("WEBHOOK_GIVE_UP_SECONDS", 3 * 24 * 3600);
        let webhooks_to_this_machine = match lookup("WEBHOOKS_TO_THIS_MACHINE").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                wrong("WEBHOOKS_TO_THIS_MACHINE", "must be true or false".to_owned());
                false
            }
        };
        let walletpasses_endpoint = lookup("WALLETPASSES_ENDPOINT").and_then(|text| {
            let url = text.parse().ok().filter(|url| check_url(url, Reach::PublicAndThisMachine).is_ok());
            if url.is_none() {
                wrong("WALLETPASSES_ENDPOINT", format!("{text:?} must be an https URL"));
            }
            url
        });
        let walletpasses_api_key = lookup("WALLETPASSES_API_KEY").map(ApiKey::new);
        if walletpasses_api_key.as_ref().is_some_and(|key| HeaderValue::from_str(key.expose()).is_err()) {
            wrong("WALLETPASSES_API_KEY", "cannot stand in a header".to_owned());
        }
        if let Some(filter) = lookup("RUST_LOG")
            && let Err(error) = parse_log_filter(&filter)
        {
            wrong("RUST_LOG", format!("{filter:?} is no log filter, such as info or warn,platform=debug: {error}"));
        }
        let aws = AwsVariables::from_variables(lookup);
        for (name, url) in [
            ("AWS_ENDPOINT_URL_DYNAMODB", &aws.dynamodb_endpoint),
            ("AWS_ENDPOINT_URL_S3", &aws.s3_endpoint),
            ("AWS_ENDPOINT_URL_SQS", &aws.sqs_endpoint),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &aws.secrets_manager_endpoint),
        ] {
            if let Some(url) = url
                && parse_url(url).is_none()
            {
                wrong(name, format!("{url:?} is not an http(s) URL"));
            }
        }
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        Ok(Config {
            table_name,
            bucket_name,
            push_queue_url,
            follow_up_queue_url,
            batch_queue_url,
            public_url,
            signing_identities,
            apns_endpoint,
            apns_ca_file,
            relist_after,
            erasure_grace,
            webhook_queue_url,
            webhook_give_up,
            webhooks_to_this_machine,
            walletpasses_endpoint,
            walletpasses_api_key,
            aws,
        })
    }
}

fn parse_url(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    (is_http && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([
            ("TABLE_NAME", "passloop"),
            ("BUCKET_NAME", "passloop-packages"),
            ("PUSH_QUEUE_URL", "http://127.0.0.1:9324/000000000000/push"),
            ("FOLLOW_UP_QUEUE_URL", "http://127.0.0.1:9324/000000000000/follow-up"),
            ("WEBHOOK_QUEUE_URL", "http://127.0.0.1:9324/000000000000/webhook"),
            ("PUBLIC_URL", "https://passes.example.com"),
            ("SIGNING_IDENTITIES", "secretsmanager:passloop/identities/"),
        ])
    }

    fn read(variables: &BTreeMap<&str, &str>) -> Result<Config, ConfigErrors> {
        Config::from_variables(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn apns_defaults_to_production() {
        assert_eq!(read(&good()).unwrap().apns_endpoint, "https://api.push.apple.com");
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let mut variables = good();
        variables.remove("TABLE_NAME");
        variables.insert("PUBLIC_URL", "https://passes.example.com/");
        variables.insert("SIGNING_IDENTITIES", "s3:somewhere");
        variables.insert("APNS_ENDPOINT", "http://plain.example.com");
        let errors = read(&variables).unwrap_err();
        let names: Vec<_> = errors.0.keys().map(String::as_str).collect();
        assert_eq!(names, ["APNS_ENDPOINT", "PUBLIC_URL", "SIGNING_IDENTITIES", "TABLE_NAME"]);
        assert_eq!(errors.to_string().lines().count(), 4);
    }
}
