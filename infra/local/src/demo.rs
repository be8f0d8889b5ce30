//! `passloop demo`: one phone and one till against a service of their own, over HTTP only, every package checked.
//!
//! The next offer's delay is waited for in real time, and is what the sample campaign says: 15 seconds.

mod drawing;
mod package;
mod phone;
mod till;
mod wallet;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use openssl::x509::X509;
use passkit::lock_screen::LockScreen;
use reqwest::Client;
use tempfile::TempDir;

use self::package::Package;
use self::phone::{Fetched, Phone, Update};
use self::till::{Redemption, Till};
use crate::apns::StandIn;
use crate::aws::FREE_PORT;
use crate::clock::Clock;
use crate::start::{Local, Options, Persistence, Sample, Schedule, StartError};

pub(crate) use self::drawing::Ink;

/// `nextOfferAfterSeconds` of the sample campaign.
const NEXT_OFFER_AFTER: Duration = Duration::from_secs(15);
/// How long before the next offer is due the phone asks, to see that it is not early.
const ASKED_BEFORE: Duration = Duration::from_secs(1);
/// How long a push may take. Reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why the demo did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The service cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something is not as Apple or the contract has it.
    #[error("the demo failed: {0:#}")]
    Failed(#[from] anyhow::Error),
    /// Ctrl-C or SIGTERM.
    #[error("the demo was stopped before its end")]
    Stopped,
}

/// Plays the whole story, unless `stop` comes first. Nothing is left of it afterwards.
///
/// # Errors
/// See [`DemoError`].
pub(crate) async fn run(ink: Ink, stop: impl Future<Output = ()>) -> Result<(), DemoError> {
    let directory = TempDir::with_prefix("passloop-demo-").context("cannot make a temporary directory")?;
    let options = Options {
        listen: FREE_PORT,
        data_dir: directory.path().to_owned(),
        persistence: Persistence::Ephemeral,
        public_url: None,
        clock: Clock::system(),
        // The embedded parts, whatever the environment names: the demo listens at the embedded APNs.
        variables: BTreeMap::new(),
        schedule: Schedule::ByClock,
        sample: Sample::Load,
    };
    let mut stop = std::pin::pin!(stop);
    let local = tokio::select! {
        local = Local::start(options) => local?,
        () = &mut stop => return Err(DemoError::Stopped),
    };
    let screen = Screen { ink };
    let told = tokio::select! {
        told = tell(&local, &screen) => told.map_err(DemoError::Failed),
        () = &mut stop => Err(DemoError::Stopped),
    };
    // The story may have ended within a line; whatever explains its end starts a new one.
    if told.is_err()
        && let Err(error) = screen.say("")
    {
        tracing::debug!(%error, "stdout is closed");
    }
    local.stop().await;
    told
}

/// The story.
async fn tell(local: &Local, screen: &Screen) -> anyhow::Result<()> {
    let sample = local.sample_pass().context("the service has no sample pass")?;
    let apns = local.apns().context("the service has no APNs of its own")?;
    let root = local.description().root_certificate.as_ref().context("the service names no root certificate")?;
    let root = std::fs::read(root).with_context(|| format!("cannot read {}", root.display()))?;
    let root = X509::from_pem(&root).context("the root certificate is no PEM")?;
    let http = Client::new();
    screen.say(&format!("One phone, one till and one pass, at {}\n", local.base_url()))?;

    let mut phone = Phone::add(&http, &root, &sample.landing_url).await?;
    phone.register().await?;
    let first = barcode(phone.installed()).context("the new pass has no barcode")?;
    screen.say("The phone opens the landing page, adds the pass, registers and fetches:\n")?;
    screen.show(phone.installed())?;

    let till = Till { http, base_url: local.base_url().to_owned(), merchant_key: local.merchant_key().to_owned() };
    screen.say("The till scans the code.\n")?;
    let scanned = Instant::now();
    let (used, (redemption, answered)) = tokio::try_join!(redeemed(&mut phone, apns), async {
        let redemption = till.redeem("demo-sale-1", &first).await?;
        anyhow::Ok((redemption, Instant::now()))
    })?;
    ensure!(barcode(phone.installed()).is_none(), "the used pass still has a barcode");
    screen.at(answered - scanned, &format!("redeemed: {}", redemption.offer.title))?;
    screen.update(scanned, &used, phone.installed())?;

    let due = due(&redemption)?;
    screen.begin(&format!("The next offer is due at {} s ", NEXT_OFFER_AFTER.as_secs()))?;
    let next = screen.dotting(next_offer(&mut phone, apns, scanned)).await?;
    screen.say(&format!(" (asked {} s before: 304)\n", ASKED_BEFORE.as_secs()))?;
    ensure!(next.pushed_at >= due, "the next offer was pushed at {}, before it was due at {due}", next.pushed_at);
    let second = barcode(phone.installed()).context("the next offer has no barcode")?;
    ensure!(second != first, "the next offer has the barcode of the first");
    screen.update(scanned, &next, phone.installed())?;

    let refusal = till.is_refused("demo-sale-2", &first).await?;
    ensure!(refusal.code == "already_redeemed", "the old code is refused as {}, not already_redeemed", refusal.code);
    let counted = refusal.redemption_id.as_deref();
    ensure!(counted == Some(&redemption.redemption_id), "the refusal names another redemption: {counted:?}");
    screen.say(&format!("The till scans the old code again: refused, 409 {}.\n", refusal.code))?;

    for (what, when) in [
        ("redeem answered after", answered),
        ("push received after", used.pushed),
        ("used pass on the phone after", used.installed),
        ("next offer pushed after", next.pushed),
        ("next offer on the phone after", next.installed),
    ] {
        screen.say(&format!("  {what:<30} {:>10}", span(when - scanned)))?;
    }
    screen.say("\nEverything held.")
}

/// The update that a redemption brings.
async fn redeemed(phone: &mut Phone, apns: &StandIn) -> anyhow::Result<Update> {
    let update = phone.await_update(apns, Instant::now() + PATIENCE).await?;
    update.with_context(|| format!("no push came within {} s of the redemption", PATIENCE.as_secs()))
}

/// The update that the next offer brings. Shortly before it is due, there must be none.
async fn next_offer(phone: &mut Phone, apns: &StandIn, scanned: Instant) -> anyhow::Result<Update> {
    let (asked, due) = (scanned + NEXT_OFFER_AFTER - ASKED_BEFORE, scanned + NEXT_OFFER_AFTER);
    if let Some(early) = phone.await_update(apns, asked).await? {
        anyhow::bail!("the next offer came early, {} after the redemption", span(early.pushed - scanned));
    }
    if let Fetched::Replaced(_) = phone.fetch().await? {
        anyhow::bail!("the pass changed before the next offer was due");
    }
    let update = phone.await_update(apns, due + PATIENCE).await?;
    update.with_context(|| format!("no push came within {} s of the next offer's time", PATIENCE.as_secs()))
}

/// When the next offer is due, by the service's own words.
fn due(redemption: &Redemption) -> anyhow::Result<Timestamp> {
    let due = redemption.next_offer_at.context("the redemption promises no next offer")?;
    let after = due.duration_since(redemption.redeemed_at);
    let expected = SignedDuration::try_from(NEXT_OFFER_AFTER)?;
    ensure!(
        after == expected,
        "the redemption promises the next offer after {after:#}, the campaign after {expected:#}"
    );
    Ok(due)
}

/// What a scanner reads from the pass.
fn barcode(package: &Package) -> Option<String> {
    wallet::front(&package.pass, &package.strings).barcode.map(|barcode| barcode.message)
}

/// The terminal.
struct Screen {
    ink: Ink,
}

impl Screen {
    fn say(&self, text: &str) -> anyhow::Result<()> {
        self.begin(&format!("{text}\n"))
    }

    /// Without a line feed.
    fn begin(&self, text: &str) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("cannot print")
    }

    fn at(&self, since: Duration, what: &str) -> anyhow::Result<()> {
        self.say(&format!("{:>10}  {what}", span(since)))
    }

    /// The pass as Wallet shows it.
    fn show(&self, package: &Package) -> anyhow::Result<()> {
        let front = wallet::front(&package.pass, &package.strings);
        self.begin(&drawing::draw(&front, self.ink))?;
        let code = if front.barcode.is_some() { "a code to scan" } else { "no code to scan" };
        self.say(&format!("    {code}; package verified: {} files, {}\n", package.files, package.signer))
    }

    /// What the owner of the phone sees of an update.
    fn update(&self, scanned: Instant, update: &Update, package: &Package) -> anyhow::Result<()> {
        self.at(update.pushed - scanned, "push received from APNs")?;
        self.at(update.installed - scanned, "fetched, checked, and in Wallet:\n")?;
        self.show(package)?;
        let said = LockScreen::of_update(&update.old.pass, &package.pass, &package.strings, update.pushed_at);
        let said = said
            .text()
            .map_or_else(|| "stays dark".to_owned(), |said| format!("{}\n      {said}", organization(package)));
        self.say(&format!("    Lock screen: {said}\n"))
    }

    /// A dot every second until `work` is done.
    async fn dotting<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let mut work = std::pin::pin!(work);
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = second.tick() => self.begin(".")?,
            }
        }
    }
}

fn organization(package: &Package) -> String {
    wallet::front(&package.pass, &package.strings).organization
}

/// `8.1 ms`, `15.012 s`.
fn span(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
    } else {
        format!("{:.3} s", duration.as_secs_f64())
    }
}
