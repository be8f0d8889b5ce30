//! What every function is given: one [`App`], made once per process.

use std::{sync::OnceLock, time::Duration};

use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_types::{SdkConfig, sdk_config};

use crate::{
    Config, Fault,
    apns::{Apns, ApnsSettings},
    batch_files::BatchFiles,
    config::AwsVariables,
    identities::Identities,
    keys::Keys,
    outbound::{Answered, Call, Outbound, Trouble},
    packages::Packages,
    queues::Queues,
    store::Store,
    walletpasses::WalletPasses,
    webhooks::Webhooks,
};

/// Everything a function needs besides its request and the time.
///
/// Nothing here is opened, and no client made, before it is used first: a door that never signs never reads a key. The
/// linker sees the same: code that no call of a function reaches is not in its binary (`docs/decisions/0008`).
pub struct App {
    /// The environment, read.
    pub config: Config,
    /// DynamoDB.
    pub store: Store,
    /// S3: template archives and signed packages.
    pub packages: Packages,
    /// S3: rows of batches and their answers.
    pub batch_files: BatchFiles,
    /// SQS.
    pub queues: Queues,
    /// Certificates and keys, by pass type.
    pub identities: Identities,
    /// Merchants' keys.
    pub keys: Keys,
    /// What is known of merchants' webhooks.
    pub webhooks: Webhooks,
    /// WalletPasses on Android.
    pub walletpasses: WalletPasses,
    outbound: Outbound,
    apns: OnceLock<Apns>,
}

impl App {
    /// Opens no connection and reads no file. `sdk` says who calls AWS, and from where.
    pub fn new(config: Config, sdk: &SdkConfig) -> App {
        let store = Store::new(sdk, &config.aws, &config.table_name);
        let (packages, queues) = (Packages::new(sdk, &config), Queues::new(sdk, &config));
        let batch_files = BatchFiles::new(sdk, &config);
        let keys = Keys::default();
        let (webhooks, walletpasses, outbound) = (Webhooks::default(), WalletPasses::default(), Outbound::default());
        // Last: whatever panics after it would have to take it apart, and that is code of all of OpenSSL.
        let identities = Identities::new(config.signing_identities.clone(), &config.aws, sdk);
        let apns = OnceLock::new();
        App { config, store, packages, batch_files, queues, identities, keys, webhooks, walletpasses, outbound, apns }
    }

    /// The same with this way to Apple's push service.
    #[must_use]
    pub fn with_apns(mut self, apns: Apns) -> App {
        self.apns = OnceLock::from(apns);
        self
    }

    /// The same with this way to other people's servers.
    #[must_use]
    pub fn with_outbound(mut self, outbound: Outbound) -> App {
        self.outbound = outbound;
        self
    }

    /// Apple's push service. The trusted roots are read at the first call.
    ///
    /// # Errors
    /// `APNS_CA_FILE` cannot be used, or this system trusts nobody.
    pub fn apns(&self) -> Result<&Apns, Fault> {
        if let Some(apns) = self.apns.get() {
            return Ok(apns);
        }
        let extra_roots_pem = self.extra_roots()?;
        let apns = Apns::new(ApnsSettings { endpoint: self.config.apns_endpoint.clone(), extra_roots_pem });
        let apns = apns.map_err(|error| Fault::new("preparing push (APNS_ENDPOINT, APNS_CA_FILE)", error))?;
        Ok(self.apns.get_or_init(|| apns))
    }

    /// A call to a server that is not ours. The trusted roots are read at the first.
    ///
    /// # Errors
    /// `APNS_CA_FILE` cannot be used, or this system trusts nobody. That there is no answer is no fault.
    pub async fn call(&self, call: Call<'_>) -> Result<Result<Answered, Trouble>, Fault> {
        self.outbound.call(call, || self.extra_roots()).await
    }

    fn extra_roots(&self) -> Result<Option<Vec<u8>>, Fault> {
        let read = self.config.apns_ca_file.as_ref().map(std::fs::read).transpose();
        read.map_err(|error| Fault::new("reading APNS_CA_FILE", error))
    }
}

/// The SDK's shared settings as Lambda gives them: region and credentials of the function's role are in the environment
/// (AWS, "Defined runtime environment variables"). Programs that run elsewhere bring what their AWS profile says.
pub fn sdk_config(aws: &AwsVariables) -> SdkConfig {
    let credentials = aws.credentials.clone().map(|(id, secret, token)| {
        SharedCredentialsProvider::new(Credentials::new(id, secret, token, None, "environment"))
    });
    let mut sdk = SdkConfig::builder();
    sdk.set_region(aws.region.clone().map(Region::new)).set_credentials_provider(credentials);
    with_patience(sdk).build()
}

/// How long calls of AWS may take, and how often they are repeated.
pub fn with_patience(sdk: sdk_config::Builder) -> sdk_config::Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15))
        .build();
    sdk.behavior_version(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts)
}

/// DynamoDB, at the endpoint the variables name, if any.
pub fn dynamodb(sdk: &SdkConfig, aws: &AwsVariables) -> aws_sdk_dynamodb::Client {
    let mut builder = aws_sdk_dynamodb::config::Builder::from(sdk);
    builder.set_endpoint_url(aws.dynamodb_endpoint.clone());
    aws_sdk_dynamodb::Client::from_conf(builder.build())
}

/// S3. Another endpoint than AWS's own has no host name per bucket, so the bucket goes into the path there.
pub fn s3(sdk: &SdkConfig, aws: &AwsVariables) -> aws_sdk_s3::Client {
    let mut builder = aws_sdk_s3::config::Builder::from(sdk);
    builder.set_endpoint_url(aws.s3_endpoint.clone());
    builder.set_force_path_style(aws.s3_endpoint.as_ref().map(|_| true));
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// SQS.
pub fn sqs(sdk: &SdkConfig, aws: &AwsVariables) -> aws_sdk_sqs::Client {
    let mut builder = aws_sdk_sqs::config::Builder::from(sdk);
    builder.set_endpoint_url(aws.sqs_endpoint.clone());
    aws_sdk_sqs::Client::from_conf(builder.build())
}
