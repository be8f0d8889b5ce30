use std::path::Path;

use tempfile::TempDir;

use super::*;

fn options(data_dir: &Path, persistence: Persistence, sample: Sample) -> Options {
    Options {
        listen: FREE_PORT,
        data_dir: data_dir.to_owned(),
        persistence,
        public_url: None,
        clock: Clock::system(),
        variables: BTreeMap::new(),
        schedule: Schedule::ByHand,
        sample,
    }
}

fn local_json(data_dir: &Path) -> Option<serde_json::Value> {
    let text = std::fs::read(data_dir.join("local.json")).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_key_certificates_and_sample_pass() {
    let directory = TempDir::new().unwrap();
    let first = Local::start(options(directory.path(), Persistence::OnDisk, Sample::Load)).await.unwrap();
    let said = local_json(directory.path()).unwrap();
    // Contract, section 1.
    assert_eq!(said["baseUrl"], first.base_url());
    assert_eq!(said["merchantKey"], first.merchant_key());
    assert_eq!(said["passTypeIdentifier"], "pass.example.passloop");
    assert_eq!(said["teamIdentifier"], "PASSLOOP01");
    assert_eq!(said["sampleCampaignId"], "croissant");
    for certificate in ["rootCertificate", "wwdrCertificate", "passCertificate"] {
        assert!(Path::new(said[certificate].as_str().unwrap()).is_absolute(), "{certificate}");
    }
    let (key, pass) = (first.merchant_key().to_owned(), first.sample_pass().unwrap().clone());
    let certificate = std::fs::read(said["passCertificate"].as_str().unwrap()).unwrap();
    first.stop().await;
    assert!(local_json(directory.path()).is_none());

    let mut again = options(directory.path(), Persistence::OnDisk, Sample::Load);
    again.public_url = Some("https://passes.example.com/".to_owned());
    let second = Local::start(again).await.unwrap();
    let same = second.sample_pass().unwrap();
    assert_eq!((second.merchant_key(), &same.serial_number), (key.as_str(), &pass.serial_number));
    assert!(same.landing_url.starts_with("https://passes.example.com/p/"), "{}", same.landing_url);
    assert_eq!(std::fs::read(second.description().pass_certificate.as_ref().unwrap()).unwrap(), certificate);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_service_leaves_an_empty_directory() {
    let directory = TempDir::new().unwrap();
    let data_dir = directory.path().join("data");
    let local = Local::start(options(&data_dir, Persistence::Ephemeral, Sample::Load)).await.unwrap();
    let landing = &local.sample_pass().unwrap().landing_url;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(landing).send().await.unwrap().status(), 200);
    local.stop().await;
    assert_eq!(std::fs::read_dir(&data_dir).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_service_frees_its_port_and_its_directory() {
    let directory = TempDir::new().unwrap();
    let local = Local::start(options(directory.path(), Persistence::OnDisk, Sample::None)).await.unwrap();
    let address = local.base_url().trim_start_matches("http://").parse().unwrap();
    drop(local);
    let mut again = options(directory.path(), Persistence::OnDisk, Sample::None);
    again.listen = address;
    // Aborted tasks let go of their sockets when the run time gets to them.
    let local = loop {
        match Local::start(again.clone()).await {
            Ok(local) => break local,
            Err(StartError::Listen { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_one_clear_line() {
    let directory = TempDir::new().unwrap();
    let taken = listen(FREE_PORT).unwrap();
    let mut options = options(directory.path(), Persistence::Ephemeral, Sample::None);
    options.listen = taken.local_addr().unwrap();
    let error = Local::start(options.clone()).await.unwrap_err().to_string();
    assert!(error.contains(&options.listen.to_string()) && error.contains("--listen"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_variables_are_all_named_at_once() {
    let directory = TempDir::new().unwrap();
    let mut options = options(directory.path(), Persistence::Ephemeral, Sample::None);
    for (name, value) in [
        ("PUBLIC_URL", "ftp://x"),
        ("APNS_ENDPOINT", "http://x"),
        ("SIGNING_IDENTITIES", "s3:x"),
        ("PUSH_QUEUE_URL", "x"),
    ] {
        options.variables.insert(name.to_owned(), value.to_owned());
    }
    let error = Local::start(options).await.unwrap_err();
    let StartError::Variables(errors) = error else { panic!("{error}") };
    let names: Vec<_> = errors.0.keys().map(String::as_str).collect();
    assert_eq!(names, ["APNS_ENDPOINT", "PUBLIC_URL", "PUSH_QUEUE_URL", "SIGNING_IDENTITIES"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_outside_replace_the_embedded_ones() {
    let (owner, user) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let outside = Local::start(options(owner.path(), Persistence::Ephemeral, Sample::None)).await.unwrap();
    let aws = &outside.description().aws_endpoint;
    let apns = outside.apns().unwrap();
    let root = outside.description().root_certificate.clone().unwrap();
    let certificates = format!("file:{}", root.parent().unwrap().display());
    let mut options = options(user.path(), Persistence::OnDisk, Sample::Load);
    for (name, value) in [
        ("AWS_ENDPOINT_URL_DYNAMODB", aws.dynamodb.clone().unwrap()),
        ("AWS_ENDPOINT_URL_S3", aws.s3.clone().unwrap()),
        ("AWS_ENDPOINT_URL_SQS", aws.sqs.clone().unwrap()),
        ("APNS_ENDPOINT", apns.endpoint()),
        ("APNS_CA_FILE", apns.ca_path().display().to_string()),
        ("SIGNING_IDENTITIES", certificates),
        ("TABLE_NAME", "another".to_owned()),
        ("BUCKET_NAME", "another-bucket".to_owned()),
    ] {
        options.variables.insert(name.to_owned(), value);
    }
    let local = Local::start(options).await.unwrap();
    assert!(local.apns().is_none());
    let said = local.description();
    assert_eq!((&said.aws_endpoint.dynamodb, &said.aws_endpoint.sqs), (&aws.dynamodb, &aws.sqs));
    assert_eq!((&said.apns.endpoint, said.root_certificate.as_ref()), (&apns.endpoint(), Some(&root)));
    let mut left: Vec<_> = std::fs::read_dir(user.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["local.json", "lock", "merchant-key"]);
    local.stop().await;
    outside.stop().await;
}
