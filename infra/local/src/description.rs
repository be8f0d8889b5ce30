//! `local.json`: what a running local service tells the programs around it (contract, section 1).

use std::path::PathBuf;

use serde::Serialize;

/// The content of `<data-dir>/local.json`. It carries the merchant key, and is readable by its owner only.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalJson {
    /// Where the service answers, without a trailing slash.
    pub base_url: String,
    /// A merchant key of the role admin.
    pub merchant_key: String,
    /// The sample campaign's pass type identifier.
    pub pass_type_identifier: String,
    /// The sample campaign's team identifier.
    pub team_identifier: String,
    /// The sample campaign.
    pub sample_campaign_id: String,
    /// The root of the signing certificates; none when `SIGNING_IDENTITIES` names identities without one.
    pub root_certificate: Option<PathBuf>,
    /// The intermediate.
    pub wwdr_certificate: Option<PathBuf>,
    /// The pass certificate.
    pub pass_certificate: Option<PathBuf>,
    /// Where the AWS services are.
    pub aws_endpoint: AwsEndpoints,
    /// Where pushes go.
    pub apns: ApnsDescription,
}

/// Where the AWS services are; none is AWS itself.
#[derive(Debug, Clone, Serialize)]
pub struct AwsEndpoints {
    /// DynamoDB.
    pub dynamodb: Option<String>,
    /// S3.
    pub s3: Option<String>,
    /// SQS.
    pub sqs: Option<String>,
}

/// Where pushes go.
#[derive(Debug, Clone, Serialize)]
pub struct ApnsDescription {
    /// `https://…`
    pub endpoint: String,
    /// PEM of the certificate authority to trust there; none is the system's own.
    pub certificate: Option<PathBuf>,
}

impl std::fmt::Debug for LocalJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalJson").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_exactly_the_contracts_keys() {
        let description = LocalJson {
            base_url: "http://127.0.0.1:8080".to_owned(),
            merchant_key: "secret-key".to_owned(),
            pass_type_identifier: "pass.example.passloop".to_owned(),
            team_identifier: "PASSLOOP01".to_owned(),
            sample_campaign_id: "croissant".to_owned(),
            root_certificate: Some("/abs/root.pem".into()),
            wwdr_certificate: Some("/abs/wwdr.pem".into()),
            pass_certificate: Some("/abs/pass.pem".into()),
            aws_endpoint: AwsEndpoints {
                dynamodb: Some("http://127.0.0.1:1".to_owned()),
                s3: Some("http://127.0.0.1:2".to_owned()),
                sqs: Some("http://127.0.0.1:3".to_owned()),
            },
            apns: ApnsDescription {
                endpoint: "https://127.0.0.1:4".to_owned(),
                certificate: Some("/abs/apns-ca.pem".into()),
            },
        };
        // Contract, section 1.
        assert_eq!(
            serde_json::to_value(&description).unwrap(),
            serde_json::json!({
                "baseUrl": "http://127.0.0.1:8080",
                "merchantKey": "secret-key",
                "passTypeIdentifier": "pass.example.passloop", "teamIdentifier": "PASSLOOP01",
                "sampleCampaignId": "croissant",
                "rootCertificate": "/abs/root.pem", "wwdrCertificate": "/abs/wwdr.pem",
                "passCertificate": "/abs/pass.pem",
                "awsEndpoint": {
                    "dynamodb": "http://127.0.0.1:1", "s3": "http://127.0.0.1:2", "sqs": "http://127.0.0.1:3" },
                "apns": { "endpoint": "https://127.0.0.1:4", "certificate": "/abs/apns-ca.pem" }
            })
        );
        assert!(!format!("{description:?}").contains("secret-key"));
    }
}
