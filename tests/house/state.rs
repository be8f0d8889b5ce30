//! What must not be lost: the table and the bucket.

use platform::batch_view::RESULTS_KEPT;
use platform::store::TTL_ATTRIBUTE;
use serde_norway::Value;

use crate::template::{Template, at, told};

/// Protects every pass in every pocket from a deleted stack.
#[test]
fn table_and_bucket_outlive_the_stack() {
    let template = Template::read();
    for kind in ["AWS::DynamoDB::Table", "AWS::S3::Bucket"] {
        for resource in template.resources(kind) {
            for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
                assert_eq!(at(resource.whole, &[policy]).map(told).as_deref(), Some("Retain"), "{}", resource.id);
            }
        }
    }
    let table = template.resources("AWS::DynamoDB::Table")[0];
    assert_eq!(table.told(&["DeletionProtectionEnabled"]), "true");
    assert_eq!(table.told(&["PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"]), "true");
}

/// Protects the table from growing for ever: what the store marks to be forgotten is what DynamoDB forgets.
#[test]
fn the_table_forgets_by_the_stores_attribute() {
    let template = Template::read();
    let table = template.resources("AWS::DynamoDB::Table")[0];
    assert_eq!(table.told(&["TimeToLiveSpecification", "AttributeName"]), TTL_ATTRIBUTE);
    assert_eq!(table.told(&["TimeToLiveSpecification", "Enabled"]), "true");
}

/// Protects templates, which passes are made of, from the rules that clear away cached packages and batches; and holders'
/// data in rows of batches from being kept longer than is said.
#[test]
fn the_bucket_forgets_packages_and_batches_and_nothing_else() {
    let template = Template::read();
    let bucket = template.resources("AWS::S3::Bucket")[0];
    let rules = bucket.property(&["LifecycleConfiguration", "Rules"]).and_then(Value::as_sequence).expect("rules");
    let prefixes: Vec<_> = rules.iter().map(|rule| at(rule, &["Prefix"]).map(told)).collect();
    assert_eq!(prefixes, [Some("packages/".to_owned()), Some("batches/".to_owned())]);
    let days = i64::from(told(at(&rules[1], &["ExpirationInDays"]).expect("days")).parse::<i32>().expect("a number"));
    assert_eq!(RESULTS_KEPT.as_hours(), 24 * days);
}

/// Protects what is in the bucket from everybody else, and on its way.
#[test]
fn the_bucket_is_private_encrypted_and_speaks_only_tls() {
    let template = Template::read();
    let bucket = template.resources("AWS::S3::Bucket")[0];
    for block in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
        assert_eq!(bucket.told(&["PublicAccessBlockConfiguration", block]), "true");
    }
    assert!(bucket.property(&["BucketEncryption", "ServerSideEncryptionConfiguration"]).is_some());
    let policy = template.resources("AWS::S3::BucketPolicy")[0];
    let statements =
        policy.property(&["PolicyDocument", "Statement"]).and_then(Value::as_sequence).expect("statements");
    let deny = statements.iter().find(|statement| at(statement, &["Effect"]).map(told).as_deref() == Some("Deny"));
    let secure = at(deny.expect("a denial"), &["Condition", "Bool", "aws:SecureTransport"]).map(told);
    assert_eq!(secure.as_deref(), Some("false"));
}
