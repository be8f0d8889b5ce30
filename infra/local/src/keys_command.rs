//! `passloop keys`: merchants' keys on a stack, for whoever runs it. The first key of a merchant comes from here; with it
//! they make the others themselves (`POST /merchant/v1/keys`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use passkit::identifiers::{MerchantId, PassTypeIdentifier};
use platform::config::AwsVariables;
use platform::keys::Role;
use platform::store::{Assigned, Caller, Holding, KeyMade, KeyRevoked, ListedKey, MAXIMUM_KEYS, NewKey, Store};
use platform::{Fault, random};

use crate::aws::sdk_config;
use crate::outcome::{Outcome, Verdict};

/// What to do about keys.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub(crate) enum KeysCommand {
    /// Makes a key and prints its secret, this once
    Make(Make),
    /// Lists a merchant's keys
    List(List),
    /// Revokes a key; within half a minute it counts nowhere
    Revoke(Revoke),
}

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct Make {
    /// Whose key; a new name is a new merchant
    #[arg(long)]
    merchant: MerchantId,
    /// redeem (a till), issue (a back office) or admin
    #[arg(long)]
    role: Role,
    /// What the merchant calls it
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// Pass types that are this merchant's and no other's; may be given several times
    #[arg(long = "pass-type", value_name = "pass.…")]
    pass_types: Vec<PassTypeIdentifier>,
}

/// Whose keys to list.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct List {
    /// Whose keys
    #[arg(long)]
    merchant: MerchantId,
}

/// A key to be revoked.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct Revoke {
    /// Whose key
    #[arg(long)]
    merchant: MerchantId,
    /// Which, as making or listing it told
    #[arg(allow_hyphen_values = true)]
    key_id: String,
}

/// Characters of a name, as `make-key` has it.
const NAME_LIMIT: usize = 100;

fn name(text: &str) -> Result<String, String> {
    if (1..=NAME_LIMIT).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!("must have 1 to {NAME_LIMIT} characters, none of them a control character"))
    }
}

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// There is no table to look into.
    #[error("TABLE_NAME is not set: it names the stack's table (output Table)")]
    NoTable,
    /// Somebody else has the pass type.
    #[error("{0} is another merchant's pass type; no key was made")]
    PassTypeTaken(PassTypeIdentifier),
    /// The list is full.
    #[error("{0} has {MAXIMUM_KEYS} keys, those revoked in the last 30 days among them")]
    TooMany(MerchantId),
    /// There is no such key.
    #[error("{0} has no key {1:?}")]
    Unknown(MerchantId, String),
    /// Others changed the list all the time.
    #[error("the list of keys was changed by others each time; try again")]
    Busy,
    /// The table does not answer.
    #[error("{}", .0.chain())]
    Table(Fault),
}

impl From<Fault> for KeysError {
    fn from(fault: Fault) -> KeysError {
        KeysError::Table(fault)
    }
}

/// Carries a command out. `variables`: the environment, for the table and the AWS SDK.
///
/// # Errors
/// Nothing was changed, but for pass types that were given to the merchant before the table failed.
pub(crate) async fn run(
    command: &KeysCommand,
    variables: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<Outcome, KeysError> {
    let table = variables.get("TABLE_NAME").filter(|name| !name.is_empty()).ok_or(KeysError::NoTable)?;
    let aws = AwsVariables::from_variables(|name| variables.get(name).cloned());
    let store = Store::new(&sdk_config(&aws).await, &aws, table);
    match command {
        KeysCommand::Make(make) => make.run(&store, now).await,
        KeysCommand::List(list) => {
            let keys = store.keys(list.merchant.as_str(), now).await?;
            Ok(good(table_of(&keys), String::new()))
        }
        KeysCommand::Revoke(revoke) => revoke.run(&store, now).await,
    }
}

impl Make {
    async fn run(&self, store: &Store, now: Timestamp) -> Result<Outcome, KeysError> {
        let Make { merchant, role, name, pass_types } = self;
        for pass_type in pass_types {
            if store.holding(merchant.as_str(), pass_type).await? == Holding::Others {
                return Err(KeysError::PassTypeTaken(pass_type.clone()));
            }
        }
        for pass_type in pass_types {
            match store.assign_pass_type(merchant.as_str(), pass_type, now).await? {
                Assigned::Done => {}
                Assigned::Taken => return Err(KeysError::PassTypeTaken(pass_type.clone())),
            }
        }
        let (key_id, secret) = (random::id()?, random::merchant_key()?);
        let new = NewKey {
            key_id: &key_id,
            secret: &secret,
            merchant_id: merchant.as_str(),
            role: *role,
            name: name.as_deref(),
        };
        match store.make_key(new, Caller::Operator, None, now).await? {
            KeyMade::Done => {
                let notes = format!("key {key_id} of {merchant}, role {role}; this is the only time it is shown:\n");
                Ok(good(format!("{secret}\n"), notes))
            }
            KeyMade::TooMany => Err(KeysError::TooMany(merchant.clone())),
            // A secret of 256 random bits that is taken, an answer without an idempotency key, a key of the operator's own:
            // none of them can be.
            KeyMade::SecretTaken | KeyMade::AnsweredBefore | KeyMade::CallerRevoked | KeyMade::Busy => {
                Err(KeysError::Busy)
            }
        }
    }
}

impl Revoke {
    async fn run(&self, store: &Store, now: Timestamp) -> Result<Outcome, KeysError> {
        let Revoke { merchant, key_id } = self;
        match store.revoke_key(merchant.as_str(), key_id, Caller::Operator, now).await? {
            KeyRevoked::Done => Ok(good(String::new(), format!("key {key_id} of {merchant} is revoked\n"))),
            KeyRevoked::Unknown => Err(KeysError::Unknown(merchant.clone(), key_id.clone())),
            KeyRevoked::LastAdmin | KeyRevoked::CallerRevoked | KeyRevoked::Busy => Err(KeysError::Busy),
        }
    }
}

fn good(result: String, notes: String) -> Outcome {
    Outcome { result, notes, verdict: Verdict::Good }
}

/// One line for each key, tab-separated for programs and wide enough for people.
fn table_of(keys: &[ListedKey]) -> String {
    let mut table = "KEY             \tROLE\tMADE            \tLAST USED       \tREVOKED         \tNAME\n".to_owned();
    let minute = |at: Option<Timestamp>| match at {
        Some(at) => at.strftime("%Y-%m-%d %H:%M").to_string(),
        None => format!("{:<16}", "-"),
    };
    for key in keys {
        let ListedKey { key_id, role, name, created_at, used_at, revoked_at } = key;
        let name = name.as_deref().unwrap_or_default();
        let [made, used, revoked] = [Some(*created_at), *used_at, *revoked_at].map(minute);
        table += &format!("{key_id:<16}\t{role}\t{made}\t{used}\t{revoked}\t{name}\n");
    }
    table
}

#[cfg(test)]
mod tests;
