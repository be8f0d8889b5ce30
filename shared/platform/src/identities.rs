//! Signing identities: read from where `SIGNING_IDENTITIES` says, kept for a quarter of an hour, chosen by pass type.
//!
//! A pass type may have several, while its certificate is being renewed. The one valid longest signs *and* pushes: APNs
//! takes any valid certificate of the topic, so nothing would be gained by pushing with the older. The older serves
//! where the newer is not there yet: in processes that have not read again, and wherever the newer cannot be used.

mod source;

use std::{
    cmp::Reverse,
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use aws_sdk_secretsmanager::Client;
use aws_types::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use passkit::{
    identifiers::PassTypeIdentifier,
    signing::{IdentityError, SigningIdentity},
};
use tokio::sync::Mutex;

use crate::{
    Fault,
    config::{AwsVariables, SigningIdentitiesSource},
    telemetry::{self, Unit},
};

/// How long identities are kept before they are read again. A renewed certificate takes effect within it.
pub const READ_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// The same where something could not be read the last time.
pub const TRY_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// Identities by pass type, of each the one valid longest first.
pub type ByPassType = HashMap<PassTypeIdentifier, Vec<Arc<SigningIdentity>>>;

/// The certificates and keys of one stack.
pub struct Identities {
    source: Source,
    kept: RwLock<Option<Kept>>,
    /// Held by whoever reads the source, so that only one does.
    reading: Mutex<()>,
}

enum Source {
    Directory(PathBuf),
    SecretsManager(Box<Secrets>),
}

/// Secrets Manager. Its client is made at the first reading.
struct Secrets {
    sdk: SdkConfig,
    aws: AwsVariables,
    client: OnceLock<Client>,
    prefix: String,
}

impl Secrets {
    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            let mut builder = aws_sdk_secretsmanager::config::Builder::from(&self.sdk);
            builder.set_endpoint_url(self.aws.secrets_manager_endpoint.clone());
            Client::from_conf(builder.build())
        })
    }
}

/// What was read, and until when it is good.
#[derive(Clone)]
struct Kept {
    by_pass_type: Arc<ByPassType>,
    /// By the name of the sub-directory or secret.
    by_name: Arc<HashMap<String, Arc<SigningIdentity>>>,
    read_again_at: Timestamp,
}

/// One identity of the source, examined.
pub struct Examined {
    /// The name of its sub-directory or secret.
    pub name: String,
    /// The identity, or why it cannot be used.
    pub identity: Result<SigningIdentity, Unusable>,
}

/// Why an identity cannot be used. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Its parts are there and do not do.
    #[error(transparent)]
    Refused(#[from] IdentityError),
    /// Its parts are not there, or not in the shape they should have.
    #[error("{0}")]
    Incomplete(String),
    /// It could not be read.
    #[error("{}", .0.chain())]
    Unread(Fault),
}

impl Identities {
    /// Over a source; nothing is read yet. `aws` names the endpoint, if it is not AWS's own.
    pub fn new(source: SigningIdentitiesSource, aws: &AwsVariables, sdk: &SdkConfig) -> Identities {
        match source {
            SigningIdentitiesSource::Directory(directory) => Identities::in_directory(directory),
            SigningIdentitiesSource::SecretsManager(prefix) => {
                let (sdk, aws) = (sdk.clone(), aws.clone());
                let secrets = Secrets { sdk, aws, client: OnceLock::new(), prefix };
                Identities::over(Source::SecretsManager(Box::new(secrets)))
            }
        }
    }

    /// Over a directory, without AWS; nothing is read yet.
    pub fn in_directory(directory: PathBuf) -> Identities {
        Identities::over(Source::Directory(directory))
    }

    fn over(source: Source) -> Identities {
        Identities { source, kept: RwLock::default(), reading: Mutex::default() }
    }

    /// The identity that signs and pushes passes of this type: of those valid now, the one valid longest.
    ///
    /// # Errors
    /// The source cannot be read, or holds no usable identity at all.
    pub async fn of(
        &self,
        pass_type: &PassTypeIdentifier,
        now: Timestamp,
    ) -> Result<Option<Arc<SigningIdentity>>, Fault> {
        let all = self.all(now).await?;
        let mut of_type = all.get(pass_type).into_iter().flatten();
        // Kept ones may have run out since they were read.
        Ok(of_type.find(|identity| (identity.valid_from()..=identity.valid_until()).contains(&now)).cloned())
    }

    /// Every identity, read when it has to be. While one caller reads again, the others go on with what there is; where
    /// reading again fails, all do. A first reading that fails is kept by nobody.
    ///
    /// # Errors
    /// As [`Identities::of`].
    pub async fn all(&self, now: Timestamp) -> Result<Arc<ByPassType>, Fault> {
        let earlier = self.kept();
        let fresh = |kept: &Kept| now < kept.read_again_at;
        let _reading = match &earlier {
            Some(kept) if fresh(kept) => return Ok(Arc::clone(&kept.by_pass_type)),
            Some(kept) => match self.reading.try_lock() {
                Ok(reading) => reading,
                Err(_) => return Ok(Arc::clone(&kept.by_pass_type)),
            },
            None => self.reading.lock().await,
        };
        // Somebody else may have read while we waited.
        let earlier = self.kept();
        if let Some(kept) = earlier.as_ref().filter(|kept| fresh(kept)) {
            return Ok(Arc::clone(&kept.by_pass_type));
        }
        let kept = match (self.read(earlier.as_ref(), now).await, earlier) {
            (Ok(kept), _) => kept,
            (Err(fault), Some(earlier)) => {
                tracing::error!(fault = fault.chain(), "identities cannot be read again; the earlier ones stay");
                Kept { read_again_at: now + TRY_AGAIN_AFTER, ..earlier }
            }
            (Err(fault), None) => return Err(fault),
        };
        let all = Arc::clone(&kept.by_pass_type);
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(all)
    }

    /// Every identity the source names, usable or not, in the order of their names. Read now, kept by nobody.
    ///
    /// # Errors
    /// The source itself cannot be read.
    pub async fn examine(&self, now: Timestamp) -> Result<Vec<Examined>, Fault> {
        let mut found = match &self.source {
            Source::Directory(directory) => source::in_directory(directory)?,
            Source::SecretsManager(secrets) => source::in_secrets_manager(secrets.client(), &secrets.prefix).await?,
        };
        found.sort_by(|one, other| one.name.cmp(&other.name));
        let examined = found.into_iter().map(|found| Examined {
            name: found.name,
            identity: found.parts.and_then(|parts| Ok(parts.examine(now)?)),
        });
        Ok(examined.collect())
    }

    fn kept(&self) -> Option<Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self, earlier: Option<&Kept>, now: Timestamp) -> Result<Kept, Fault> {
        let mut by_name = HashMap::new();
        let mut unusable = Vec::new();
        let mut read_again_at = now + READ_AGAIN_AFTER;
        for Examined { name, identity } in self.examine(now).await? {
            match identity {
                Ok(identity) => {
                    tracing::info!(identity = %name, pass_type = %identity.pass_type_identifier(), days_left = identity.days_left(now), "certificate");
                    by_name.insert(name, Arc::new(identity));
                }
                // One bad certificate must not stop the others' passes, nor its own as long as an earlier one of its
                // name is good.
                Err(problem) => {
                    tracing::error!(identity = %name, %problem, "certificate");
                    if let Unusable::Unread(_) = problem {
                        read_again_at = now + TRY_AGAIN_AFTER;
                    }
                    let replaced = earlier.and_then(|kept| kept.by_name.get(&name));
                    if let Some(replaced) = replaced.filter(|replaced| now <= replaced.valid_until()) {
                        by_name.insert(name.clone(), Arc::clone(replaced));
                    }
                    unusable.push(format!("{name}: {problem}"));
                }
            }
        }
        if by_name.is_empty() {
            let why = if unusable.is_empty() { "none was found".to_owned() } else { unusable.join("; ") };
            return Err(Fault::contradiction(format!("SIGNING_IDENTITIES: no usable identity: {why}")));
        }
        let by_pass_type = by_pass_type(&by_name);
        for signer in by_pass_type.values().filter_map(|of_type| of_type.first()) {
            // The certificates of one stack last for years: far from where a float is not exact.
            let days_left = signer.days_left(now) as f64;
            telemetry::metric("CertificateDaysLeft", Unit::None, days_left, &[], now);
        }
        Ok(Kept { by_pass_type: Arc::new(by_pass_type), by_name: Arc::new(by_name), read_again_at })
    }
}

fn by_pass_type(by_name: &HashMap<String, Arc<SigningIdentity>>) -> ByPassType {
    let mut all = ByPassType::new();
    for identity in by_name.values() {
        all.entry(identity.pass_type_identifier().clone()).or_default().push(Arc::clone(identity));
    }
    for of_type in all.values_mut() {
        of_type.sort_by_key(|identity| Reverse(identity.precedence()));
    }
    all
}
