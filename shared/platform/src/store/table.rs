//! The table itself, as template.yaml declares it: for the local service and for tests. In the cloud CloudFormation
//! makes it.

use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
    },
};

use super::fault;
use crate::Fault;

/// The attribute DynamoDB's time to live reads: seconds since 1970.
pub const TTL_ATTRIBUTE: &str = "expires_at";

/// Makes the table unless it is there.
pub async fn create_table(client: &Client, name: &str) -> Result<(), Fault> {
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let attribute = |name: &str| {
        let builder = AttributeDefinition::builder().attribute_name(name);
        builder.attribute_type(ScalarAttributeType::S).build()
    };
    let failed = |error: aws_sdk_dynamodb::error::BuildError| fault("describing the table", error);
    let created = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key("pk", KeyType::Hash).map_err(failed)?)
        .key_schema(key("sk", KeyType::Range).map_err(failed)?)
        .attribute_definitions(attribute("pk").map_err(failed)?)
        .attribute_definitions(attribute("sk").map_err(failed)?)
        .send()
        .await;
    match created {
        Ok(_) => {}
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => {
            return Ok(());
        }
        Err(error) => return Err(fault("making the table", error)),
    }
    let expiry = TimeToLiveSpecification::builder().attribute_name(TTL_ATTRIBUTE).enabled(true).build();
    let expiry = expiry.map_err(failed)?;
    let request = client.update_time_to_live().table_name(name).time_to_live_specification(expiry);
    request.send().await.map_err(|error| fault("declaring the time to live", error))?;
    Ok(())
}
