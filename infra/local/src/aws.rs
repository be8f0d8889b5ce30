//! The embedded parts of AWS: real servers on free ports of 127.0.0.1, spoken to through the AWS SDK like any other.
//!
//! A part is left out when a variable names one outside (contract, section 2).

mod dynamodb;
pub(crate) mod resources;
mod s3;
mod sqs;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use platform::app;
use platform::config::AwsVariables;

pub(crate) use self::dynamodb::DynamoDb;
pub(crate) use self::s3::S3;
pub(crate) use self::sqs::Sqs;
use crate::start::{Persistence, Schedule};
use crate::template::Template;

/// Any free port of this machine only.
pub(crate) const FREE_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The region of the embedded parts, unless a variable says otherwise.
const REGION: &str = "eu-central-1";
/// Access key and secret of the embedded parts, unless variables say otherwise.
const CREDENTIALS: (&str, &str) = ("test", "test");
const TABLE: &str = "passloop";
const BUCKET: &str = "passloop-packages";

/// The embedded parts that run.
#[derive(Default)]
pub(crate) struct Aws {
    dynamodb: Option<DynamoDb>,
    s3: Option<S3>,
    sqs: Option<Sqs>,
}

/// Starts whatever `variables` do not name, and adds the variables that name it.
///
/// # Errors
/// One line that says which part could not start.
pub(crate) async fn start(
    variables: &mut BTreeMap<String, String>,
    template: &Template,
    directory: &Path,
    persistence: Persistence,
    schedule: Schedule,
) -> anyhow::Result<Aws> {
    let mut aws = Aws::default();
    let given = |variables: &BTreeMap<String, String>, names: &[&str]| {
        names
            .iter()
            .chain(&["AWS_ENDPOINT_URL"])
            .any(|name| variables.get(*name).is_some_and(|value| !value.is_empty()))
    };
    let default = |variables: &mut BTreeMap<String, String>, name: &str, value: String| {
        let variable = variables.entry(name.to_owned()).or_default();
        if variable.is_empty() {
            *variable = value;
        }
    };
    // A profile or a role brings its own credentials; inventing some would hide them.
    if !["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"]
        .iter()
        .any(|name| variables.contains_key(*name))
    {
        default(variables, "AWS_ACCESS_KEY_ID", CREDENTIALS.0.to_owned());
        default(variables, "AWS_SECRET_ACCESS_KEY", CREDENTIALS.1.to_owned());
    }
    if !given(variables, &["AWS_DEFAULT_REGION", "AWS_PROFILE"]) {
        default(variables, "AWS_REGION", REGION.to_owned());
    }
    default(variables, "TABLE_NAME", TABLE.to_owned());
    default(variables, "BUCKET_NAME", BUCKET.to_owned());
    if !given(variables, &["AWS_ENDPOINT_URL_DYNAMODB"]) {
        let part = DynamoDb::start(directory, persistence, schedule)?;
        default(variables, "AWS_ENDPOINT_URL_DYNAMODB", part.endpoint());
        aws.dynamodb = Some(part);
    }
    if !given(variables, &["AWS_ENDPOINT_URL_S3"]) {
        let key = |name: &str, other: &str| variables.get(name).cloned().unwrap_or_else(|| other.to_owned());
        let part = S3::start(
            &directory.join("s3"),
            &key("AWS_ACCESS_KEY_ID", CREDENTIALS.0),
            &key("AWS_SECRET_ACCESS_KEY", CREDENTIALS.1),
        )?;
        default(variables, "AWS_ENDPOINT_URL_S3", part.endpoint());
        aws.s3 = Some(part);
    }
    // A queue's URL names its SQS, so one given without an endpoint is not in an embedded one.
    let mut names: Vec<_> = template.queue_variables.iter().map(|each| each.variable.as_str()).collect();
    names.push("AWS_ENDPOINT_URL_SQS");
    if !given(variables, &names) {
        let region = variables.get("AWS_REGION").cloned().unwrap_or_else(|| REGION.to_owned());
        let part = Sqs::start(region)?;
        default(variables, "AWS_ENDPOINT_URL_SQS", part.endpoint());
        aws.sqs = Some(part);
    }
    Ok(aws)
}

/// Who calls AWS: the variables' credentials and region, else what the profile or role of this machine says.
pub(crate) async fn sdk_config(aws: &AwsVariables) -> SdkConfig {
    if aws.credentials.is_some() && aws.region.is_some() {
        return app::sdk_config(aws);
    }
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = &aws.region {
        loader = loader.region(Region::new(region.clone()));
    }
    app::with_patience(loader.load().await.into_builder()).build()
}

impl Aws {
    /// Stops the parts that run; DynamoDB last, since the others' users write to it.
    pub(crate) async fn stop(self) {
        if let Some(part) = self.sqs {
            part.stop().await;
        }
        if let Some(part) = self.s3 {
            part.stop().await;
        }
        if let Some(part) = self.dynamodb {
            part.stop().await;
        }
    }
}
