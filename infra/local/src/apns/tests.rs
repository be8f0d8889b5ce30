//! The real client against the stand-in. "2.4" and the like are sections of Apple's protocol as retold in the
//! reference: 2.1 connection, 2.2 headers, 2.3 payload, 2.4 reasons ("Handling notification responses from APNs").

mod connections;
mod outbound;

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use futures_util::future::join_all;
use passkit::identifiers::PassTypeIdentifier;
use passkit::secrets::PushToken;
use passkit::signing::SigningIdentity;
use platform::apns::{Apns, ApnsSettings, ConnectionTrouble, Push, PushOutcome, PushType, Reason};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::certificates::{Chain, PassCertificate, Validity, make_chain};

const TOPIC: &str = "pass.example.passloop";
const TEAM: &str = "PASSLOOP01";
const LONG_ENOUGH: Duration = Duration::from_secs(20);
const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// RSA keys take a while to make: one chain serves all tests.
static CHAIN: LazyLock<Chain> = LazyLock::new(|| make_chain(TOPIC, TEAM).unwrap());
static STRANGER: LazyLock<Chain> = LazyLock::new(|| make_chain(TOPIC, TEAM).unwrap());

fn identity_of(certificate: &PassCertificate, chain: &Chain) -> SigningIdentity {
    SigningIdentity::from_parts(
        &certificate.certificate_pem().unwrap(),
        &certificate.key().private_key_to_pem_pkcs8().unwrap(),
        None,
        &[chain.wwdr.certificate_pem().unwrap()],
        Timestamp::now(),
    )
    .unwrap()
}

/// A stand-in, a client that trusts it, an identity that it trusts.
struct World {
    stand_in: StandIn,
    apns: Apns,
    identity: SigningIdentity,
    topic: PassTypeIdentifier,
    directory: TempDir,
}

impl World {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let stand_in = stand_in(&directory, (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        Self {
            apns: client(&stand_in.endpoint(), stand_in.ca_path()),
            stand_in,
            identity: identity_of(&CHAIN.pass, &CHAIN),
            topic: TOPIC.parse().unwrap(),
            directory,
        }
    }

    async fn push(&self, token: &str) -> PushOutcome {
        self.push_as(&self.identity, token).await
    }

    async fn push_as(&self, identity: &SigningIdentity, token: &str) -> PushOutcome {
        let token = PushToken::new(token);
        self.apns.push(identity, &Push::new(&token, &self.topic, NOW)).await
    }
}

async fn stand_in(directory: &TempDir, listen: SocketAddr) -> anyhow::Result<StandIn> {
    StandIn::start(StandInOptions {
        certificates_dir: directory.path().to_owned(),
        client_roots_pem: CHAIN.root.certificate_pem().unwrap(),
        listen,
        clock: Arc::new(|| NOW),
    })
    .await
}

fn client(endpoint: &str, ca: &Path) -> Apns {
    let settings =
        ApnsSettings { endpoint: endpoint.parse().unwrap(), extra_roots_pem: Some(std::fs::read(ca).unwrap()) };
    Apns::new(settings).unwrap()
}

fn token(number: usize) -> String {
    format!("{number:064x}")
}

#[track_caller]
fn assert_accepted(outcome: &PushOutcome) {
    assert!(matches!(outcome, PushOutcome::Accepted { .. }), "{outcome:?}");
}

/// What the caller does, without the details.
fn action(outcome: &PushOutcome) -> &'static str {
    match outcome {
        PushOutcome::Accepted { .. } => "accepted",
        PushOutcome::Unregistered { .. } => "unregistered",
        PushOutcome::BadToken { .. } => "bad token",
        PushOutcome::Retry { .. } => "retry",
        PushOutcome::Stop { .. } => "stop",
        PushOutcome::Defect { .. } => "defect",
    }
}

fn reason(outcome: &PushOutcome) -> Option<&Reason> {
    match outcome {
        PushOutcome::Accepted { .. } | PushOutcome::Unregistered { .. } => None,
        PushOutcome::BadToken { reason }
        | PushOutcome::Retry { reason, .. }
        | PushOutcome::Stop { reason }
        | PushOutcome::Defect { reason } => Some(reason),
    }
}

#[tokio::test]
async fn a_push_carries_what_apple_asks_for() {
    let world = World::start().await;
    let PushOutcome::Accepted { apns_id: Some(apns_id) } = world.push(&token(7)).await else {
        panic!("not accepted with an apns-id");
    };
    assert_eq!(apns_id.len(), 36);

    let pushes = world.stand_in.pushes();
    let [push] = pushes.as_slice() else { panic!("{pushes:?}") };
    assert_eq!((push.token.as_str(), push.topic.as_str(), push.at, push.status), (&*token(7), TOPIC, NOW, Some(200)));
    // 2.2: type alert with priority 10 is what arrives promptly.
    assert_eq!(push.header("apns-push-type"), Some("alert"));
    assert_eq!(push.header("apns-priority"), Some("10"));
    assert_eq!(push.header("apns-expiration"), Some("1800000000"));
    assert_eq!(push.header("authorization"), None);
    // 2.3: an empty dictionary.
    assert_eq!(&push.payload[..], b"{}");
}

#[tokio::test]
async fn a_background_push_goes_with_priority_5() {
    let world = World::start().await;
    let device = PushToken::new(token(1));
    let push = Push { push_type: PushType::Background, ..Push::new(&device, &world.topic, NOW) };
    // 2.2: with background, 10 is an error; the stand-in would answer BadPriority.
    assert_accepted(&world.apns.push(&world.identity, &push).await);
    assert_eq!(world.stand_in.pushes()[0].header("apns-priority"), Some("5"));
}

#[tokio::test]
async fn every_reason_of_apples_table_leads_to_its_action() {
    // 2.4, row by row.
    let table = [
        (400, "BadDeviceToken", "bad token"),
        (400, "DeviceTokenNotForTopic", "bad token"),
        (400, "MissingDeviceToken", "defect"),
        (400, "BadTopic", "stop"),
        (400, "MissingTopic", "stop"),
        (400, "TopicDisallowed", "stop"),
        (400, "BadCollapseId", "defect"),
        (400, "BadExpirationDate", "defect"),
        (400, "BadMessageId", "defect"),
        (400, "BadPriority", "defect"),
        (400, "DuplicateHeaders", "defect"),
        (400, "InvalidPushType", "defect"),
        (400, "PayloadEmpty", "defect"),
        (400, "IdleTimeout", "retry"),
        (403, "BadCertificate", "stop"),
        (403, "BadCertificateEnvironment", "stop"),
        (403, "Forbidden", "stop"),
        // Apple: a new JWT. We have none: our certificate is not taken.
        (403, "ExpiredProviderToken", "stop"),
        (403, "InvalidProviderToken", "stop"),
        (403, "MissingProviderToken", "stop"),
        (403, "UnrelatedKeyIdInToken", "stop"),
        (404, "BadPath", "defect"),
        (405, "MethodNotAllowed", "defect"),
        (410, "Unregistered", "unregistered"),
        (410, "ExpiredToken", "bad token"),
        (413, "PayloadTooLarge", "defect"),
        (429, "TooManyRequests", "retry"),
        (429, "TooManyProviderTokenUpdates", "retry"),
        (500, "InternalServerError", "retry"),
        (503, "ServiceUnavailable", "retry"),
        (503, "Shutdown", "retry"),
        // Below the table: unknown reasons are decided by their class.
        (400, "MissingChannelId", "defect"),
        (403, "NewSinceThen", "stop"),
        (410, "NewSinceThen", "unregistered"),
        (429, "NewSinceThen", "retry"),
        (500, "NewSinceThen", "retry"),
        (502, "", "retry"),
    ];
    let world = World::start().await;
    for (number, (status, name, expected)) in table.into_iter().enumerate() {
        world.stand_in.answer(&token(number), status, name, None);
        let outcome = world.push(&token(number)).await;
        assert_eq!(action(&outcome), expected, "{status} {name}: {outcome:?}");
        if let Some(reason) = reason(&outcome) {
            assert!(reason.to_string().contains(name), "{status} {name} is shown as {reason}");
        }
    }
}

#[tokio::test]
async fn an_unregistered_token_comes_with_its_time() {
    let world = World::start().await;
    // 2.4: the timestamp is in milliseconds.
    world.stand_in.answer(&token(1), 410, "Unregistered", Some(1_508_249_865_488));
    let since = "2017-10-17T14:17:45.488Z".parse().unwrap();
    assert_eq!(world.push(&token(1)).await, PushOutcome::Unregistered { since: Some(since) });
}

#[tokio::test]
async fn one_bad_token_does_not_stop_the_others() {
    let world = World::start().await;
    world.stand_in.answer(&token(3), 410, "Unregistered", None);
    world.stand_in.answer(&token(5), 400, "BadDeviceToken", None);
    let tokens: Vec<String> = (0..10).map(token).collect();
    let outcomes = join_all(tokens.iter().map(|token| world.push(token))).await;
    let actions: Vec<_> = outcomes.iter().map(action).collect();
    let mut expected = ["accepted"; 10];
    expected[3] = "unregistered";
    expected[5] = "bad token";
    assert_eq!(actions, expected);
    assert_eq!(world.stand_in.connections(), 1);
}

#[tokio::test]
async fn other_errors_are_not_repeated_here() {
    let world = World::start().await;
    world.stand_in.answer_next(&token(1), 1, 503, "ServiceUnavailable", None);
    assert_eq!(action(&world.push(&token(1)).await), "retry");
    assert_eq!(world.stand_in.pushes().len(), 1);
    assert_accepted(&world.push(&token(1)).await);
    assert_eq!(world.stand_in.connections(), 1);
}

#[tokio::test]
async fn a_certificate_for_another_topic_may_not_push() {
    let world = World::start().await;
    let other = CHAIN.wwdr.issue("pass.example.other", TEAM, Validity::LEAF).unwrap();
    // 2.1: the certificate's UID is the topic.
    let outcome = world.push_as(&identity_of(&other, &CHAIN), &token(1)).await;
    assert_eq!(action(&outcome), "stop");
    assert_eq!(reason(&outcome).map(ToString::to_string).as_deref(), Some("TopicDisallowed"));
}

#[tokio::test]
async fn what_is_not_hexadecimal_never_goes_on_the_wire() {
    let world = World::start().await;
    // The second is the shape of an Android client's token.
    for device in ["", "dGhpcw:APA91b-not_apple", "../../3/device/00", "00/00", "00?x", "0 0", "é0"] {
        assert_eq!(
            world.push(device).await,
            PushOutcome::BadToken { reason: Reason::NotHexadecimal },
            "{device:?} went out"
        );
    }
    assert_eq!((world.stand_in.connections(), world.stand_in.pushes().len()), (0, 0));
}

#[tokio::test]
async fn a_short_hexadecimal_token_is_for_apns_to_judge() {
    let world = World::start().await;
    // 1.1: do not assume a length. The stand-in plays APNs and refuses it.
    let outcome = world.push("abcd").await;
    assert_eq!(action(&outcome), "bad token");
    assert_eq!(reason(&outcome).map(ToString::to_string).as_deref(), Some("BadDeviceToken"));
    assert_eq!(world.stand_in.pushes().len(), 1);
}

#[tokio::test]
async fn waiting_ends_with_the_push_and_not_with_the_limit() {
    let world = World::start().await;
    let device = token(9);
    let (seen, outcome) = tokio::join!(world.stand_in.wait_for(&device, 1, LONG_ENOUGH), world.push(&device));
    assert_accepted(&outcome);
    assert_eq!(seen.len(), 1);
    assert_eq!(world.stand_in.wait_for(&device, 2, Duration::ZERO).await.len(), 1);
}

#[tokio::test]
async fn the_server_certificate_is_kept_and_a_broken_one_replaced() {
    let directory = TempDir::new().unwrap();
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    let local = (Ipv4Addr::LOCALHOST, 0).into();

    stand_in(&directory, local).await.unwrap().stop().await;
    let first = read("apns-ca.pem");
    stand_in(&directory, local).await.unwrap().stop().await;
    assert_eq!(read("apns-ca.pem"), first);

    std::fs::write(directory.path().join("apns-server-key.pem"), "half a ke").unwrap();
    let restarted = stand_in(&directory, local).await.unwrap();
    assert_ne!(read("apns-ca.pem"), first);
    let apns = client(&restarted.endpoint(), restarted.ca_path());
    let device = PushToken::new(token(1));
    let topic = TOPIC.parse().unwrap();
    assert_accepted(&apns.push(&identity_of(&CHAIN.pass, &CHAIN), &Push::new(&device, &topic, NOW)).await);
}

#[tokio::test]
async fn stopping_says_goaway_and_frees_the_address() {
    let world = World::start().await;
    assert_accepted(&world.push(&token(1)).await);
    let address = world.stand_in.address;
    world.stand_in.stop().await;
    TcpListener::bind(address).await.unwrap();
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let world = World::start().await;
    let error = stand_in(&world.directory, world.stand_in.address).await.err().unwrap();
    assert!(error.to_string().contains(&world.stand_in.address.to_string()), "{error}");
}
