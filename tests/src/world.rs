//! One whole service of its own, on its own port, with a clock that only the story moves.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use passloop_local::apns::StandIn;
use passloop_local::certificates::{Authority, Chain, Validity};
use passloop_local::{Clock, Local, Options, Persistence, Sample, Schedule};
use platform::keys::Role;
use platform::store::{Assigned, Caller, Intent, KeyMade, NewKey, SHARDS};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::answer::Answer;
use crate::back_office::{BackOffice, CAMPAIGN, Issued, PASS_TYPE, two_offers};
use crate::iphone::IPhone;
use crate::package::no_program_holds_our_files;
use crate::template_folder::TemplateFolder;
use crate::till::Till;
use crate::web_service::WebService;
use crate::wiretap::Wiretap;

/// How long a story waits, in real time, for something the service does by itself (a push, an
/// event). Reached only when a story fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A second pass type under the same certificates, for stories about types.
pub const OTHER_PASS_TYPE: &str = "pass.example.other";

/// The team of every certificate here.
pub const TEAM: &str = "PASSLOOP01";

/// The service, started for one story.
pub struct World {
    local: Local,
    clock: Clock,
    http: Client,
    dir: TempDir,
    persistence: Persistence,
    /// The environment of the service, over restarts too.
    variables: BTreeMap<String, String>,
}

impl World {
    /// A service with nothing in it, that keeps nothing.
    pub async fn empty() -> World {
        World::start(Persistence::Ephemeral, certificates().dir.path()).await
    }

    /// A service with the usual template and campaign.
    pub async fn new() -> World {
        World::with_campaign(&two_offers()).await
    }

    /// A service with the usual template and campaign, and these variables besides.
    pub async fn with_variables(more: &[(&str, &str)]) -> World {
        let mut variables = outside();
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let world = World::start_with(Persistence::Ephemeral, certificates().dir.path(), variables).await;
        world.open_bakery(&two_offers()).await;
        world
    }

    /// A service with the usual template and this campaign.
    pub async fn with_campaign(campaign: &Value) -> World {
        let world = World::empty().await;
        world.open_bakery(campaign).await;
        world
    }

    /// A service whose state is kept on disk, with the usual template and campaign.
    pub async fn on_disk() -> World {
        let world = World::start(Persistence::OnDisk, certificates().dir.path()).await;
        world.open_bakery(&two_offers()).await;
        world
    }

    /// A service with the usual template and campaign, and signing identities of its own.
    pub async fn over(identities: &Path) -> World {
        let world = World::start(Persistence::Ephemeral, identities).await;
        world.open_bakery(&two_offers()).await;
        world
    }

    /// A service with nothing in it over another DynamoDB, in a table of its own.
    pub async fn over_dynamodb(endpoint: &str) -> World {
        let mut variables = outside();
        variables.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), endpoint.to_owned());
        let port = endpoint.rsplit(':').next().unwrap_or_default();
        variables.insert("TABLE_NAME".to_owned(), format!("tapped-{}-{port}", std::process::id()));
        World::start_with(Persistence::Ephemeral, certificates().dir.path(), variables).await
    }

    /// A service with nothing in it whose calls of DynamoDB can be held back, with what holds them, and the service whose
    /// DynamoDB it is.
    pub async fn tapped() -> (World, Wiretap, World) {
        let underneath = World::empty().await;
        let tap = Wiretap::before(underneath.local.description().aws_endpoint.dynamodb.as_deref().unwrap()).await;
        let world = World::over_dynamodb(&tap.endpoint()).await;
        (world, tap, underneath)
    }

    async fn start(persistence: Persistence, identities: &Path) -> World {
        World::start_with(persistence, identities, outside()).await
    }

    async fn start_with(persistence: Persistence, identities: &Path, mut variables: BTreeMap<String, String>) -> World {
        let dir = TempDir::new().unwrap();
        // The machine's own time, in whole seconds: certificates are checked against it by openssl.
        let start = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let clock = Clock::settable(start);
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        variables.insert("SIGNING_IDENTITIES".to_owned(), format!("file:{}", identities.display()));
        let local = start_local(any_port, dir.path(), &clock, persistence, &variables).await;
        World { local, clock, http: client(), dir, persistence, variables }
    }

    async fn open_bakery(&self, campaign: &Value) {
        let office = self.back_office();
        let template = TemplateFolder::coupon();
        office.put_template(CAMPAIGN, &template).await.expect(201);
        let created = office.put_campaign(CAMPAIGN, campaign).await;
        assert!((200..300).contains(&created.status), "{}: {}", created.status, created.text());
    }

    /// Stops the service and starts it again at the same address over the same data directory; the
    /// clock goes on. Queues and APNs start empty: phones must [`IPhone::apns_restarted`].
    pub async fn restart(self) -> World {
        let World { local, clock, http, dir, persistence, variables } = self;
        let address = local.base_url().trim_start_matches("http://").parse().unwrap();
        local.stop().await;
        no_program_holds_our_files();
        let local = start_local(address, dir.path(), &clock, persistence, &variables).await;
        World { local, clock, http, dir, persistence, variables }
    }

    /// Ends the story: the service stops in order.
    pub async fn end(self) {
        self.local.stop().await;
    }

    /// The running service.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// The public URL.
    pub fn base(&self) -> &str {
        self.local.base_url()
    }

    /// A plain HTTP client, as a browser or a stranger has one.
    pub fn http(&self) -> &Client {
        &self.http
    }

    /// APNs, as the service sees it.
    pub fn apns(&self) -> &StandIn {
        self.local.apns().expect("the world has its own APNs")
    }

    /// The time the service believes.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the service's clock.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Runs the sweep once, as the schedule does every minute.
    pub async fn sweep(&self) {
        self.local.sweep().await.expect("a sweep that ends well");
    }

    /// Time passes, and the sweep comes by.
    pub async fn pass_time(&self, by: Duration) {
        self.advance(by);
        self.sweep().await;
    }

    /// All that is still to be done.
    pub async fn intents(&self) -> Vec<Intent> {
        let mut all = Vec::new();
        for shard in 0..SHARDS {
            let always = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
            let page = self.local.app().store.due(shard, always, None).await.expect("a page of intents");
            all.extend(page.intents);
        }
        all
    }

    /// The merchant's office, with the admin key.
    pub fn back_office(&self) -> BackOffice {
        self.back_office_with(self.local.merchant_key())
    }

    /// An office with any key.
    pub fn back_office_with(&self, merchant_key: &str) -> BackOffice {
        BackOffice::new(&self.http, self.base(), merchant_key)
    }

    /// A new key of the same merchant with this role.
    pub async fn key_with_role(&self, role: Role) -> String {
        let made = self.back_office().make_key(&json!({ "role": role })).await.expect(201).json();
        made["secret"].as_str().expect("a secret").to_owned()
    }

    /// The admin key of a merchant who has nothing to do with this one, made as the operator does. Their pass type is
    /// [`OTHER_PASS_TYPE`].
    pub async fn key_of_another_merchant(&self) -> String {
        let key = "other-0123456789abcdef0123456789abcdef".to_owned();
        let (store, role) = (&self.local.app().store, Role::Admin);
        let new = NewKey { key_id: "other", secret: &key, merchant_id: "other", role, name: None };
        assert_eq!(store.make_key(new, Caller::Operator, None, self.now()).await.unwrap(), KeyMade::Done);
        let theirs = OTHER_PASS_TYPE.parse().unwrap();
        assert_eq!(store.assign_pass_type("other", &theirs, self.now()).await.unwrap(), Assigned::Done);
        key
    }

    /// A till of the shop.
    pub fn till(&self) -> Till {
        self.till_named("till 1")
    }

    /// A till with a name of its own.
    pub fn till_named(&self, name: &str) -> Till {
        Till::new(&self.http, self.base(), self.local.merchant_key(), name)
    }

    /// A new iPhone with nothing in its Wallet.
    pub fn iphone(&self) -> IPhone {
        IPhone::new(&self.http, &self.clock, &root_certificate())
    }

    /// Apple's half, as bare calls.
    pub fn web_service(&self) -> WebService {
        WebService::new(&self.http, self.base())
    }

    /// Downloads the pass behind a link, as Safari does.
    pub async fn download(&self, pass: &Issued) -> Answer {
        Answer::to(self.http.get(&pass.download_url)).await.expect(200)
    }

    /// Issues a pass of the usual campaign and adds it to a new iPhone.
    pub async fn customer(&self, holder: &str) -> (Issued, IPhone) {
        let pass = self.back_office().issue(holder).await;
        let mut phone = self.iphone();
        let package = self.download(&pass).await;
        phone.add(&package.body).await;
        (pass, phone)
    }

    /// Asks again and again until the answer is the expected one.
    ///
    /// For what workers do a moment after an answer. Every ask is a real request, so this yields
    /// by itself; after [`PATIENCE`] the story fails with the last answer.
    pub async fn until<T, F>(&self, what: &str, mut ask: impl FnMut() -> F, right: impl Fn(&T) -> bool) -> T
    where
        T: std::fmt::Debug,
        F: Future<Output = T>,
    {
        let begun = Instant::now();
        loop {
            let answer = ask().await;
            if right(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "never came: {what}; last: {answer:?}");
        }
    }
}

/// Another DynamoDB or S3 than the embedded ones, if the environment of the tests names one: the same stories must hold
/// there. Every world has a table and a bucket of its own.
fn outside() -> BTreeMap<String, String> {
    static WORLDS: AtomicU64 = AtomicU64::new(1);
    let mut variables = BTreeMap::new();
    let world = format!("world-{}-{}", std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed));
    for (endpoint, name) in [("AWS_ENDPOINT_URL_DYNAMODB", "TABLE_NAME"), ("AWS_ENDPOINT_URL_S3", "BUCKET_NAME")] {
        if let Ok(url) = std::env::var(endpoint) {
            variables.insert(endpoint.to_owned(), url);
            variables.insert(name.to_owned(), world.clone());
        }
    }
    variables
}

async fn start_local(
    listen: SocketAddr,
    dir: &Path,
    clock: &Clock,
    persistence: Persistence,
    variables: &BTreeMap<String, String>,
) -> Local {
    let options = Options {
        listen,
        data_dir: dir.join("data"),
        persistence,
        public_url: None,
        clock: clock.clone(),
        variables: variables.clone(),
        schedule: Schedule::ByHand,
        sample: Sample::None,
    };
    match Local::start(options).await {
        Ok(local) => local,
        Err(error) => panic!("the service does not start: {error}"),
    }
}

fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build().unwrap()
}

/// The root that every package must chain to.
pub fn root_certificate() -> PathBuf {
    certificates().dir.path().join("root.pem")
}

/// The chain of all worlds: further certificates of it are accepted by every phone.
pub fn chain() -> &'static Chain {
    &certificates().chain
}

/// One set of certificates for all worlds of the process: RSA keys are slow to make.
struct Certificates {
    dir: TempDir,
    chain: Chain,
}

/// Stories live for more than a year by their own clock.
const VALIDITY: Validity = Validity { from_days: -1, to_days: 800 };

fn certificates() -> &'static Certificates {
    static CERTIFICATES: OnceLock<Certificates> = OnceLock::new();
    CERTIFICATES.get_or_init(|| {
        let dir = TempDir::new().unwrap();
        let root = Authority::root(Validity::ROOT).unwrap();
        let wwdr = root.intermediate(Validity::INTERMEDIATE).unwrap();
        let pass = wwdr.issue(PASS_TYPE, TEAM, VALIDITY).unwrap();
        let chain = Chain { root, wwdr, pass };
        chain.write(dir.path()).unwrap();
        let other = chain.wwdr.issue(OTHER_PASS_TYPE, TEAM, VALIDITY).unwrap();
        other.write(dir.path(), &chain.wwdr).unwrap();
        Certificates { dir, chain }
    })
}
