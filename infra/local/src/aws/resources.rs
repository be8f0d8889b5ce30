//! The table, the bucket and the queues, made where they are missing: what CloudFormation does in the cloud.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use aws_sdk_sqs::types::QueueAttributeName;
use platform::Config;
use platform::app::{dynamodb, s3, sqs};
use platform::store::create_table;

use super::sdk_config;
use crate::template::{Queue, Template};

/// The one region whose buckets carry no location constraint (AWS, CreateBucket).
const REGION_WITHOUT_LOCATION: &str = "us-east-1";

/// Makes the queues and adds the variables that name them; those whose variable is given are left alone.
///
/// # Errors
/// When SQS refuses or cannot be reached.
pub(crate) async fn ensure_queues(
    config: &Config,
    template: &Template,
    variables: &mut BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let client = sqs(&sdk_config(&config.aws).await, &config.aws);
    let mut missing = Vec::new();
    for named in &template.queue_variables {
        let given = variables.get(&named.variable).is_some_and(|value| !value.is_empty());
        if let (false, Some(queue)) = (given, template.queues.iter().find(|queue| queue.id == named.queue)) {
            missing.push((named, queue));
        }
    }
    for (named, queue) in missing {
        let url = ensure_queue(&client, template, queue).await?;
        variables.insert(named.variable.clone(), url);
    }
    Ok(())
}

async fn ensure_queue(client: &aws_sdk_sqs::Client, template: &Template, queue: &Queue) -> anyhow::Result<String> {
    let mut create = client.create_queue().queue_name(&queue.name);
    if let Some(seconds) = queue.visibility_timeout_seconds {
        create = create.attributes(QueueAttributeName::VisibilityTimeout, seconds.to_string());
    }
    if let Some(redrive) = &queue.redrive {
        let dead_letters = template.queues.iter().find(|other| other.id == redrive.dead_letter_queue);
        let dead_letters = dead_letters.context("template.yaml names an unknown dead-letter queue")?;
        let arn = ensure_dead_letter_queue(client, dead_letters).await?;
        let policy = serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": redrive.max_receive_count});
        create = create.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
    }
    let made = create.send().await.with_context(|| format!("cannot create the queue {}", queue.name))?;
    made.queue_url.with_context(|| format!("SQS gave no URL for the queue {}", queue.name))
}

async fn ensure_dead_letter_queue(client: &aws_sdk_sqs::Client, queue: &Queue) -> anyhow::Result<String> {
    let made = client.create_queue().queue_name(&queue.name).send().await;
    let url = made.with_context(|| format!("cannot create the queue {}", queue.name))?.queue_url;
    let attributes = client
        .get_queue_attributes()
        .set_queue_url(url)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await
        .with_context(|| format!("cannot read the queue {}", queue.name))?;
    let arn = attributes.attributes.and_then(|mut all| all.remove(&QueueAttributeName::QueueArn));
    arn.with_context(|| format!("SQS gave no ARN for the queue {}", queue.name))
}

/// Makes the table and the bucket.
///
/// # Errors
/// When DynamoDB or S3 refuses or cannot be reached.
pub(crate) async fn ensure_table_and_bucket(config: &Config) -> anyhow::Result<()> {
    let sdk = sdk_config(&config.aws).await;
    ensure_table(&dynamodb(&sdk, &config.aws), &config.table_name).await?;
    ensure_bucket(&s3(&sdk, &config.aws), config).await
}

async fn ensure_table(client: &aws_sdk_dynamodb::Client, name: &str) -> anyhow::Result<()> {
    match client.describe_table().table_name(name).send().await {
        Ok(_) => return Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot reach the DynamoDB table {name}")),
    }
    let made = create_table(client, name).await;
    made.map_err(|fault| anyhow::anyhow!("cannot create the DynamoDB table {name}: {}", fault.chain()))
}

async fn ensure_bucket(client: &aws_sdk_s3::Client, config: &Config) -> anyhow::Result<()> {
    let name = &config.bucket_name;
    match client.head_bucket().bucket(name).send().await {
        Ok(_) => return Ok(()),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found()) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot reach the S3 bucket {name}")),
    }
    let mut create = client.create_bucket().bucket(name);
    if let Some(region) = config.aws.region.as_deref().filter(|region| *region != REGION_WITHOUT_LOCATION) {
        let location = BucketLocationConstraint::from(region);
        create = create
            .create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(location).build());
    }
    create.send().await.with_context(|| format!("cannot create the S3 bucket {name}"))?;
    Ok(())
}
