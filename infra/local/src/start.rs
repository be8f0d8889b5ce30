//! Starting and stopping the whole local service.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use platform::config::SigningIdentitiesSource;
use platform::keys::{self, Ensured, Role};
use platform::store::NewKey;
use platform::{App, Config, ConfigErrors, Fault, Function, random};
use tokio::net::TcpListener;

use crate::apns::{StandIn, StandInOptions};
use crate::aws::{self, Aws, FREE_PORT, resources};
use crate::certificates::{self, Authority, SAMPLE_PASS_TYPE, Validity};
use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::description::{ApnsDescription, AwsEndpoints, LocalJson};
use crate::event_sources::{self, EventSources, Mapping};
use crate::functions::{self, FUNCTIONS};
use crate::gateway::{Gateway, Routes};
use crate::identities::{self, Identity};
use crate::sample::{self, SamplePass};
use crate::server::listen;
use crate::template::{QueueSource, Template, TemplateError};

/// The merchant that the key made at start belongs to.
const MERCHANT: &str = "local";
/// The function that brings back whatever is due and not done.
const SWEEP: &str = "sweep";
/// Stands for a queue's URL while it is not known, so that all other variables can be checked before anything starts.
/// `.invalid` never resolves (RFC 2606).
const NO_QUEUE_YET: &str = "http://queue.invalid/";

/// How to run the service.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to serve; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where state and `local.json` go.
    pub data_dir: PathBuf,
    /// Whether state outlives the process.
    pub persistence: Persistence,
    /// Base of `webServiceURL` and links; without it the variable `PUBLIC_URL`, else the address served.
    pub public_url: Option<String>,
    /// What every invocation's `now` is read from.
    pub clock: Clock,
    /// The environment (contract, section 2). A variable replaces the embedded part it names.
    pub variables: BTreeMap<String, String>,
    /// Who calls the scheduled functions.
    pub schedule: Schedule,
    /// Whether the sample campaign is loaded.
    pub sample: Sample,
}

/// Whether state outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Kept in the data directory.
    OnDisk,
    /// Gone when the service stops; the data directory only holds `local.json`.
    Ephemeral,
}

/// Who calls the scheduled functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// The template's schedules, by the machine's clock.
    ByClock,
    /// Nobody but [`Local::sweep`].
    ByHand,
}

/// Whether the sample campaign is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// Loaded, and one pass issued.
    Load,
    /// An empty service.
    None,
}

/// Why the service cannot start. Each is one line that says what to do; `Variables` is one line per variable.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The data directory cannot be written.
    #[error("cannot use the data directory {}: {source}; choose another with --data-dir", directory.display())]
    DataDir {
        /// The directory.
        directory: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another service uses the data directory.
    #[error("the data directory {} is in use by another passloop; stop it or choose another with --data-dir", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// Variables are malformed.
    #[error(transparent)]
    Variables(#[from] ConfigErrors),
    /// `template.yaml` cannot be run by this program.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Certificates could not be made.
    #[error(transparent)]
    Certificates(#[from] certificates::CertificateError),
    /// An embedded part, or the outside one that replaces it, does not work.
    #[error("{0:#}")]
    Part(#[from] anyhow::Error),
}

/// A running service.
pub struct Local {
    description: LocalJson,
    app: Arc<App>,
    clock: Clock,
    sample: Option<SamplePass>,
    gateway: Gateway,
    event_sources: EventSources,
    apns: Option<StandIn>,
    aws: Aws,
    /// Last: its lock and its temporary directory outlive everything that uses them.
    data_dir: DataDir,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("base_url", &self.description.base_url).finish_non_exhaustive()
    }
}

impl Local {
    /// Starts everything; when it returns, the service is ready and `local.json` says so.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let template = Template::embedded()?;
        let data_dir = DataDir::open(&options.data_dir, options.persistence)?;
        let listener =
            listen(options.listen).map_err(|source| StartError::Listen { address: options.listen, source })?;
        let base_url = base_url(&listener).map_err(|source| StartError::Listen { address: options.listen, source })?;

        let mut variables = options.variables;
        if let Some(url) = options.public_url {
            // `PUBLIC_URL` has no slash at its end; on a command line it is easily pasted with one.
            variables.insert("PUBLIC_URL".to_owned(), url.trim_end_matches('/').to_owned());
        }
        let identity = signing_identity(&mut variables, &data_dir).await?;
        fill(&mut variables, "PUBLIC_URL", || base_url.clone());
        let aws =
            aws::start(&mut variables, &template, data_dir.state(), options.persistence, options.schedule).await?;
        let mut placeholders = variables.clone();
        for named in &template.queue_variables {
            fill(&mut placeholders, &named.variable, || NO_QUEUE_YET.to_owned());
        }
        let draft = config(&placeholders)?;
        let apns = start_apns(&mut variables, &draft, &data_dir, &options.clock).await?;
        resources::ensure_queues(&draft, &template, &mut variables).await?;
        let config = config(&variables)?;
        resources::ensure_table_and_bucket(&config).await?;
        let sdk = aws::sdk_config(&config.aws).await;
        let app = Arc::new(App::new(config, &sdk));
        // The first push should not be the one to find that nobody can be pushed to.
        app.apns().map_err(|fault| anyhow::anyhow!(fault.chain()))?;

        let identity = match identity {
            Some(identity) => identity,
            None => first_identity(&app, options.clock.now()).await?,
        };
        let routes = Routes::new(&template.routes, template.default_function.as_deref(), FUNCTIONS)?;
        let merchant_key = merchant_key(&app, &data_dir, options.clock.now()).await?;
        let event_sources = connect(&template, &variables, &app, &options.clock, options.schedule).await?;
        let gateway = Gateway::start(listener, routes, Arc::clone(&app), options.clock.clone())
            .map_err(|source| StartError::Listen { address: options.listen, source })?;
        let mut local = Self {
            description: describe(&app, base_url, merchant_key, identity, apns.as_ref()),
            app,
            clock: options.clock,
            sample: None,
            gateway,
            event_sources,
            apns,
            aws,
            data_dir,
        };
        if options.sample == Sample::Load {
            let description = &local.description;
            let there = local.sample_there().await?;
            let (base_url, key) = (&description.base_url, &description.merchant_key);
            let pass = sample::load(base_url, key, &description.pass_type_identifier, there);
            local.sample = Some(pass.await.context("cannot load the sample campaign")?);
        }
        // The queues of an earlier run are gone, and with them whatever they held.
        local.run_sweep(serde_json::json!({"queuesLost": true})).await?;
        local.data_dir.announce(&local.description)?;
        Ok(local)
    }
}

impl Local {
    /// Whether an earlier start loaded the sample campaign.
    async fn sample_there(&self) -> anyhow::Result<sample::There> {
        let campaign = self
            .app
            .store
            .campaign(MERCHANT, &sample::CAMPAIGN.parse()?)
            .await
            .map_err(|fault| anyhow::anyhow!(fault.chain()))?;
        Ok(campaign.map_or(sample::There::Nothing, |_| sample::There::Campaign))
    }

    /// Where it answers, without a trailing slash.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.description.base_url
    }

    /// A merchant key of the role admin.
    #[must_use]
    pub fn merchant_key(&self) -> &str {
        &self.description.merchant_key
    }

    /// The file that holds the merchant key.
    #[must_use]
    pub fn merchant_key_file(&self) -> PathBuf {
        self.data_dir.merchant_key_file()
    }

    /// What `local.json` says.
    #[must_use]
    pub fn description(&self) -> &LocalJson {
        &self.description
    }

    /// The pass issued at start, with [`Sample::Load`].
    #[must_use]
    pub fn sample_pass(&self) -> Option<&SamplePass> {
        self.sample.as_ref()
    }

    /// The embedded APNs, unless `APNS_ENDPOINT` named another.
    #[must_use]
    pub fn apns(&self) -> Option<&StandIn> {
        self.apns.as_ref()
    }

    /// What the functions work with.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Calls the sweep function once, at the clock's now, as its schedule does every minute.
    ///
    /// # Errors
    /// When the function fails.
    pub async fn sweep(&self) -> anyhow::Result<()> {
        self.run_sweep(event_sources::scheduled_event(SWEEP, self.clock.now())).await
    }

    async fn run_sweep(&self, event: serde_json::Value) -> anyhow::Result<()> {
        let swept = function(SWEEP)?.run(&self.app, event, self.clock.now()).await;
        swept.map_err(|fault| anyhow::anyhow!("the sweep failed: {}", fault.chain()))
    }

    /// Finishes what runs, then stops everything. With [`Persistence::Ephemeral`] nothing is left.
    pub async fn stop(self) {
        // First of all, so that nobody comes who would be turned away.
        self.data_dir.withdraw();
        self.gateway.stop().await;
        self.event_sources.stop().await;
        if let Some(apns) = self.apns {
            apns.stop().await;
        }
        self.aws.stop().await;
    }
}

fn function(name: &str) -> anyhow::Result<&'static Function> {
    functions::function(name).with_context(|| format!("there is no function {name}"))
}

fn fill(variables: &mut BTreeMap<String, String>, name: &str, value: impl FnOnce() -> String) {
    // An empty variable counts as none, as it does in `platform::Config`.
    if variables.get(name).is_none_or(String::is_empty) {
        variables.insert(name.to_owned(), value());
    }
}

fn config(variables: &BTreeMap<String, String>) -> Result<Config, ConfigErrors> {
    Config::from_variables(|name| variables.get(name).cloned())
}

/// `http://<address>`. A service on every address is reached on this machine's own.
fn base_url(listener: &TcpListener) -> io::Result<String> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Ok(format!("http://{address}"))
}

/// The sample's identity among those that `SIGNING_IDENTITIES` names, or a throw-away one, made where it is missing.
async fn signing_identity(
    variables: &mut BTreeMap<String, String>,
    data_dir: &DataDir,
) -> Result<Option<Identity>, StartError> {
    if let Some(given) = variables.get("SIGNING_IDENTITIES").filter(|given| !given.is_empty()) {
        let found = given.strip_prefix("file:").and_then(|directory| Identity::find(directory.as_ref()));
        return Ok(found);
    }
    let directory = data_dir.state().join("certificates");
    variables.insert("SIGNING_IDENTITIES".to_owned(), format!("file:{}", directory.display()));
    // RSA keys take a moment to make; the run time has other things to do.
    let made = tokio::task::spawn_blocking(move || certificates::ensure(&directory)).await;
    Ok(Some(Identity::throw_away(made.context("cannot make throw-away certificates")??)))
}

/// The identity that signs the sample among those only the service can read (Secrets Manager, PKCS#12). Their
/// certificates are in no file of their own.
async fn first_identity(app: &App, now: Timestamp) -> anyhow::Result<Identity> {
    let all = app.identities.all(now).await.map_err(|fault| anyhow::anyhow!(fault.chain()))?;
    let mut names: Vec<_> =
        all.values().flatten().map(|each| (each.pass_type_identifier(), each.team_identifier())).collect();
    // The sample's own pass type first, then by name.
    names.sort_by_key(|(pass_type, _)| (pass_type.as_str() != SAMPLE_PASS_TYPE, pass_type.as_str()));
    let (pass_type, team) = names.first().context("SIGNING_IDENTITIES: no usable identity")?;
    Ok(Identity { pass_type: pass_type.to_string(), team: team.to_string(), root: None, wwdr: None, certificate: None })
}

/// Starts the embedded APNs, unless a variable names another.
async fn start_apns(
    variables: &mut BTreeMap<String, String>,
    draft: &Config,
    data_dir: &DataDir,
    clock: &Clock,
) -> anyhow::Result<Option<StandIn>> {
    if variables.get("APNS_ENDPOINT").is_some_and(|endpoint| !endpoint.is_empty()) {
        return Ok(None);
    }
    let clock = clock.clone();
    let options = StandInOptions {
        certificates_dir: data_dir.state().join("apns"),
        client_roots_pem: client_roots(draft)?,
        listen: FREE_PORT,
        clock: Arc::new(move || clock.now()),
    };
    let apns = StandIn::start(options).await.context("cannot start the embedded APNs")?;
    variables.insert("APNS_ENDPOINT".to_owned(), apns.endpoint());
    variables.insert("APNS_CA_FILE".to_owned(), apns.ca_path().display().to_string());
    Ok(Some(apns))
}

/// Whose certificates the embedded APNs accepts. Without any it would not start, so it is given a root that nobody has.
fn client_roots(config: &Config) -> anyhow::Result<Vec<u8>> {
    let found = match &config.signing_identities {
        SigningIdentitiesSource::Directory(directory) => identities::trust_anchors(directory),
        SigningIdentitiesSource::SecretsManager(_) => Vec::new(),
    };
    if !found.is_empty() {
        return Ok(found);
    }
    tracing::warn!("the embedded APNs knows no root of your certificates and refuses them all; set APNS_ENDPOINT");
    Ok(Authority::root(Validity::ROOT)?.certificate_pem()?)
}

/// The admin key of an earlier start, or a new one if there is none or it was revoked; known to the service either way.
async fn merchant_key(app: &App, data_dir: &DataDir, now: Timestamp) -> Result<String, StartError> {
    let fault = |fault: Fault| StartError::Part(anyhow::anyhow!("cannot make a merchant key: {}", fault.chain()));
    if let Some(kept) = data_dir.merchant_key()?
        && ensure(app, &kept, now).await.map_err(fault)? == Ensured::Good
    {
        return Ok(kept);
    }
    let key = random::merchant_key().map_err(fault)?;
    data_dir.keep_merchant_key(&key)?;
    ensure(app, &key, now).await.map_err(fault)?;
    Ok(key)
}

async fn ensure(app: &App, secret: &str, now: Timestamp) -> Result<Ensured, Fault> {
    let key_id = random::id()?;
    let new = NewKey { key_id: &key_id, secret, merchant_id: MERCHANT, role: Role::Admin, name: None };
    keys::ensure(app, new, now).await
}

/// Connects the queues to their workers, and the schedules to theirs.
async fn connect(
    template: &Template,
    variables: &BTreeMap<String, String>,
    app: &Arc<App>,
    clock: &Clock,
    schedule: Schedule,
) -> anyhow::Result<EventSources> {
    let client = platform::app::sqs(&aws::sdk_config(&app.config.aws).await, &app.config.aws);
    let around = event_sources::Surroundings { app: Arc::clone(app), clock: clock.clone(), client };
    let mut sources = EventSources::new();
    for source in &template.queue_sources {
        let mapping = Mapping {
            source: source.clone(),
            queue_url: queue_url(template, variables, source)?,
            function: function(&source.function)?,
        };
        sources.connect(mapping, &around);
    }
    if schedule == Schedule::ByClock {
        for each in &template.schedules {
            sources.schedule(each, function(&each.function)?, &around);
        }
    }
    Ok(sources)
}

fn queue_url(
    template: &Template,
    variables: &BTreeMap<String, String>,
    source: &QueueSource,
) -> anyhow::Result<String> {
    let named = template.queue_variables.iter().find(|named| named.queue == source.queue);
    let url = named.and_then(|named| variables.get(&named.variable)).cloned();
    url.with_context(|| format!("template.yaml: no variable carries the URL of {}", source.queue))
}

fn describe(
    app: &App,
    base_url: String,
    merchant_key: String,
    identity: Identity,
    apns: Option<&StandIn>,
) -> LocalJson {
    let aws = &app.config.aws;
    let endpoint = app.config.apns_endpoint.to_string();
    LocalJson {
        base_url,
        merchant_key,
        pass_type_identifier: identity.pass_type,
        team_identifier: identity.team,
        sample_campaign_id: sample::CAMPAIGN.to_owned(),
        root_certificate: identity.root,
        wwdr_certificate: identity.wwdr,
        pass_certificate: identity.certificate,
        aws_endpoint: AwsEndpoints {
            dynamodb: aws.dynamodb_endpoint.clone(),
            s3: aws.s3_endpoint.clone(),
            sqs: aws.sqs_endpoint.clone(),
        },
        apns: ApnsDescription {
            // An `http::Uri` without a path prints one.
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            certificate: apns.map(|apns| apns.ca_path().to_owned()).or_else(|| app.config.apns_ca_file.clone()),
        },
    }
}

#[cfg(test)]
mod tests;
