//! What every function is given: one [`App`], made once per process.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::config::Credentials;

use crate::{
    Config,
    apns::{Apns, ApnsSettings},
    config::AwsVariables,
    identities::Identities,
    keys::Keys,
    packages::Packages,
    queues::Queues,
    store::Store,
};

/// Everything a function needs besides its request and the time. Nothing here is opened before it is used first: a door
/// that never signs never reads a key.
pub struct App {
    /// The environment, read.
    pub config: Config,
    /// DynamoDB.
    pub store: Store,
    /// S3: template archives and signed packages.
    pub packages: Packages,
    /// SQS.
    pub queues: Queues,
    /// Certificates and keys, by pass type.
    pub identities: Identities,
    /// Merchants' keys.
    pub keys: Keys,
    /// Apple's push service.
    pub apns: Apns,
}

/// Why an app cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The push client cannot be made.
    #[error("push: {0}")]
    Apns(#[from] crate::apns::ApnsSettingsError),
    /// `APNS_CA_FILE` cannot be read.
    #[error("APNS_CA_FILE: {0}")]
    ApnsCaFile(#[source] std::io::Error),
}

impl App {
    /// Prepares the clients; opens no connection.
    pub async fn new(config: Config) -> Result<App, StartError> {
        let sdk = sdk_config(&config.aws).await;
        let extra_roots_pem = config.apns_ca_file.as_ref().map(std::fs::read).transpose();
        let extra_roots_pem = extra_roots_pem.map_err(StartError::ApnsCaFile)?;
        let apns = Apns::new(ApnsSettings { endpoint: config.apns_endpoint.clone(), extra_roots_pem })?;
        Ok(App {
            store: Store::new(dynamodb(&sdk, &config), config.table_name.clone()),
            packages: Packages::new(s3(&sdk, &config), config.bucket_name.clone()),
            queues: Queues::new(sqs(&sdk, &config), &config),
            identities: Identities::new(config.signing_identities.clone(), &config.aws, &sdk),
            keys: Keys::default(),
            apns,
            config,
        })
    }
}

/// The SDK's shared settings: explicit where the variables are given, else the SDK's own chain.
pub async fn sdk_config(aws: &AwsVariables) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts);
    if let Some(region) = &aws.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some((id, secret, token)) = &aws.credentials {
        let credentials = Credentials::new(id.clone(), secret.clone(), token.clone(), None, "environment");
        loader = loader.credentials_provider(credentials);
    }
    loader.load().await
}

/// DynamoDB, at the endpoint the variables name, if any.
pub fn dynamodb(sdk: &SdkConfig, config: &Config) -> aws_sdk_dynamodb::Client {
    let mut builder = aws_sdk_dynamodb::config::Builder::from(sdk);
    builder.set_endpoint_url(config.aws.dynamodb_endpoint.clone());
    aws_sdk_dynamodb::Client::from_conf(builder.build())
}

/// S3. Another endpoint than AWS's own has no host name per bucket, so the bucket goes into the path there.
pub fn s3(sdk: &SdkConfig, config: &Config) -> aws_sdk_s3::Client {
    let mut builder = aws_sdk_s3::config::Builder::from(sdk);
    builder.set_endpoint_url(config.aws.s3_endpoint.clone());
    builder.set_force_path_style(config.aws.s3_endpoint.as_ref().map(|_| true));
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// SQS.
pub fn sqs(sdk: &SdkConfig, config: &Config) -> aws_sdk_sqs::Client {
    let mut builder = aws_sdk_sqs::config::Builder::from(sdk);
    builder.set_endpoint_url(config.aws.sqs_endpoint.clone());
    aws_sdk_sqs::Client::from_conf(builder.build())
}
