//! Identities in Secrets Manager, over its own protocol (AWS JSON 1.1).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use passkit::identifiers::PassTypeIdentifier;
use platform::app::sdk_config;
use platform::config::{AwsVariables, SigningIdentitiesSource};
use platform::identities::{Identities, READ_AGAIN_AFTER, TRY_AGAIN_AFTER};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// Secrets on one page of a list.
const PAGE: usize = 2;

/// What is stored, by name; a secret without a value may be listed and not read.
type Secrets = Vec<(String, Option<String>)>;

/// Answers as Secrets Manager does. Its filter lets everything through, so that ours is what is tested.
struct SecretsManager {
    address: SocketAddr,
    secrets: Arc<Mutex<Secrets>>,
    calls: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Drop for SecretsManager {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl SecretsManager {
    async fn holding(secrets: Secrets) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (secrets, calls) = (Arc::new(Mutex::new(secrets)), Arc::new(Mutex::new(Vec::new())));
        let state = (Arc::clone(&secrets), Arc::clone(&calls));
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (secrets, calls) = state.clone();
                let service = service_fn(move |request| answer(request, Arc::clone(&secrets), Arc::clone(&calls)));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, secrets, calls, server }
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let endpoint = format!("http://{}", self.address);
        [
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint.as_str()),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    async fn identities(&self) -> Identities {
        let variables = self.variables();
        let aws = AwsVariables::from_variables(|name| variables.get(name).cloned());
        let source = SigningIdentitiesSource::SecretsManager("passloop/identities/".to_owned());
        Identities::new(source, &aws, &sdk_config(&aws))
    }

    fn count(&self, operation: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| *call == operation).count()
    }
}

async fn answer(
    request: Request<Incoming>,
    secrets: Arc<Mutex<Secrets>>,
    calls: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let operation = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    calls.lock().unwrap().push(operation.clone());
    let secrets = secrets.lock().unwrap();
    let (status, answer) = match operation.as_str() {
        "secretsmanager.ListSecrets" => {
            assert_eq!(body["Filters"], json!([{ "Key": "name", "Values": ["passloop/identities/"] }]));
            let from: usize = body["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
            let page: Vec<_> = secrets.iter().skip(from).take(PAGE).map(|(name, _)| json!({ "Name": name })).collect();
            let next = (from + PAGE < secrets.len()).then(|| (from + PAGE).to_string());
            (200, json!({ "SecretList": page, "NextToken": next }))
        }
        "secretsmanager.GetSecretValue" => {
            let found = secrets.iter().find(|(name, _)| body["SecretId"] == name.as_str());
            match found.and_then(|(_, value)| value.as_ref()) {
                Some(value) => (200, json!({ "Name": body["SecretId"], "SecretString": value })),
                None => (400, json!({ "__type": "AccessDeniedException", "Message": "not yours" })),
            }
        }
        other => (400, json!({ "__type": "UnknownOperationException", "Message": other })),
    };
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    Ok(response.body(Full::new(Bytes::from(answer.to_string()))).unwrap())
}

/// What `import --secret` prints.
async fn secret(certificate: &PassCertificate) -> String {
    let desk = Desk::with(certificate);
    let outcome = run_line(&format!("{} --secret", desk.import())).await.unwrap();
    assert!(outcome.notes.contains("aws secretsmanager create-secret"), "{}", outcome.notes);
    outcome.result
}

fn p12_secret(certificate: &PassCertificate) -> String {
    // In lines, as the program base64 prints it.
    let p12 = STANDARD.encode(archive(certificate, "sesame"));
    let lines: Vec<_> = p12.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let intermediate = String::from_utf8(CHAIN.wwdr.certificate_pem().unwrap()).unwrap();
    json!({ "p12": lines.join("\n"), "password": "sesame", "intermediates": [intermediate] }).to_string()
}

fn named(name: &str, value: String) -> (String, Option<String>) {
    (format!("passloop/identities/{name}"), Some(value))
}

async fn pushes_and_signs(identities: &Identities, pass_type: &str, at: Timestamp) -> Option<Vec<u8>> {
    let pass_type: PassTypeIdentifier = pass_type.parse().unwrap();
    let identity = identities.of(&pass_type, at).await.unwrap();
    identity.map(|identity| identity.certificate().to_pem().unwrap())
}

#[tokio::test]
async fn secrets_on_every_page_are_read_and_only_those_under_the_prefix() {
    let other = issue("pass.example.other", -1, 100);
    let strange = issue("pass.example.strange", -1, 100);
    let manager = SecretsManager::holding(vec![
        named("bakery", secret(&CHAIN.pass).await),
        ("elsewhere/passloop/identities/strange".to_owned(), Some(secret(&strange).await)),
        named("other", p12_secret(&other)),
    ])
    .await;
    let identities = manager.identities().await;
    let now = Timestamp::now();
    let found = async |pass_type: &'static str| pushes_and_signs(&identities, pass_type, now).await;
    assert_eq!(found(PASS_TYPE).await.unwrap(), CHAIN.pass.certificate_pem().unwrap());
    assert_eq!(found("pass.example.other").await.unwrap(), other.certificate_pem().unwrap());
    assert_eq!(found("pass.example.strange").await, None);
    // Three questions, one reading.
    assert_eq!(manager.count("secretsmanager.ListSecrets"), 2);
    assert_eq!(manager.count("secretsmanager.GetSecretValue"), 2);
}

#[tokio::test]
async fn bad_secrets_are_named_their_content_is_not_and_the_others_go_on() {
    let manager = SecretsManager::holding(vec![
        named("a-text", "hunter2".to_owned()),
        named("bakery", secret(&CHAIN.pass).await),
        named("c-both", json!({ "certificate": "hunter2", "key": "hunter2", "p12": "hunter2" }).to_string()),
        named("d-p12", json!({ "p12": "hunter2!", "password": "hunter2" }).to_string()),
        ("passloop/identities/e-denied".to_owned(), None),
    ])
    .await;
    let checked = run_with(&manager.variables(), "check secretsmanager:passloop/identities/").await.unwrap();
    assert_eq!(checked.verdict, Verdict::Bad);
    assert!(!checked.result.contains("hunter2"), "{}", checked.result);
    let blocks: Vec<_> = checked.result.split("passloop/identities/").skip(1).collect();
    let [text, bakery, both, p12, denied] = blocks.as_slice() else { panic!("{}", checked.result) };
    assert!(text.contains("a-text: cannot be used") && text.contains("not an identity in JSON"), "{text}");
    assert!(bakery.contains("bakery: usable, signs and pushes"), "{bakery}");
    assert!(both.contains("c-both: cannot be used") && both.contains("and not both"), "{both}");
    assert!(p12.contains("d-p12: cannot be used") && p12.contains("not base64"), "{p12}");
    assert!(denied.contains("e-denied: cannot be used") && denied.contains("reading the secret"), "{denied}");

    let identities = manager.identities().await;
    assert!(pushes_and_signs(&identities, PASS_TYPE, Timestamp::now()).await.is_some());
}

#[tokio::test]
async fn a_renewed_secret_takes_effect_and_an_unreadable_one_changes_nothing() {
    let manager = SecretsManager::holding(vec![named("bakery", secret(&CHAIN.pass).await)]).await;
    let identities = manager.identities().await;
    let now = Timestamp::now();
    let first = Some(CHAIN.pass.certificate_pem().unwrap());
    assert_eq!(pushes_and_signs(&identities, PASS_TYPE, now).await, first);
    manager.secrets.lock().unwrap()[0].1 = None;
    let then = now + READ_AGAIN_AFTER;
    assert_eq!(pushes_and_signs(&identities, PASS_TYPE, then).await, first);
    manager.secrets.lock().unwrap()[0].1 = Some(secret(&RENEWED).await);
    let renewed = Some(RENEWED.certificate_pem().unwrap());
    assert_eq!(pushes_and_signs(&identities, PASS_TYPE, then + TRY_AGAIN_AFTER).await, renewed);
}
