//! An iPhone's Wallet, as reference 1.4 to 1.7 and 5 describe it, complaints included.
//!
//! It talks to the service as a phone does, keeps what a phone keeps (one tag per service and pass
//! type, one `Last-Modified` per pass, both verbatim) and writes down what iOS would report to
//! `/v1/log`. A story is well told only if there is nothing to report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use passloop_local::Clock;
use passloop_local::apns::StandIn;
use reqwest::Client;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::listing::Listing;
use crate::lock_screen::announcement;
use crate::package::Package;
use crate::web_service::{Registration, WebService};
use crate::world::PATIENCE;

/// Device ids and push tokens are unique over the process.
static DEVICES: AtomicU64 = AtomicU64::new(1);

/// iOS reports "unchanged" and "spurious" only when the last change is at least this old (1.6).
const REPORTED_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// A pass's identity: pass type and serial number (1.1).
type PassId = (String, String);

#[derive(Debug)]
struct Installed {
    package: Package,
    last_modified: Option<String>,
    changed_at: Timestamp,
}

#[derive(Debug, Clone)]
struct Tag {
    text: String,
    received_at: Timestamp,
}

/// What an update may announce, and whether the device may have it already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// L named the serial, asked with a tag: the server says it changed.
    ListedSinceTag,
    /// The user, or a pass just added.
    Other,
}

/// One phone and its Wallet.
#[derive(Debug)]
pub struct IPhone {
    http: Client,
    clock: Clock,
    root: PathBuf,
    scheme: &'static str,
    device: String,
    push_token: String,
    installed: BTreeMap<PassId, Installed>,
    tags: BTreeMap<(String, String), Tag>,
    heard: usize,
    complaints: Vec<String>,
    lock_screen: Vec<String>,
}

impl IPhone {
    /// A new phone; `root` is the certificate it trusts for packages.
    pub fn new(http: &Client, clock: &Clock, root: &Path) -> IPhone {
        let (device, push_token) = new_identity();
        IPhone {
            http: http.clone(),
            clock: clock.clone(),
            root: root.to_owned(),
            scheme: "ApplePass",
            device,
            push_token,
            installed: BTreeMap::new(),
            tags: BTreeMap::new(),
            heard: 0,
            complaints: Vec::new(),
            lock_screen: Vec::new(),
        }
    }

    /// The same behaviour under Android's scheme (reference 7: WalletPasses).
    pub fn as_android(mut self) -> IPhone {
        self.scheme = "AndroidPass";
        self
    }

    /// `deviceLibraryIdentifier`.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The push token that APNs knows.
    pub fn push_token(&self) -> &str {
        &self.push_token
    }

    /// Everything iOS would have reported to `/v1/log`; empty at the end of every story.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Ends the phone's story: it must have nothing to report.
    #[track_caller]
    pub fn was_content(&self) {
        assert!(self.complaints.is_empty(), "the phone reports {:#?}", self.complaints);
    }

    /// The texts that appeared on the lock screen, oldest first (reference 5).
    pub fn lock_screen(&self) -> &[String] {
        &self.lock_screen
    }

    /// The installed pass.
    #[track_caller]
    pub fn pass(&self, serial: &str) -> &Package {
        &self.carried(serial).1.package
    }

    /// The serial numbers of every pass in this Wallet.
    pub fn serials(&self) -> Vec<String> {
        self.installed.keys().map(|(_, serial)| serial.clone()).collect()
    }

    /// The `Last-Modified` kept for a pass.
    #[track_caller]
    pub fn last_modified(&self, serial: &str) -> &str {
        let kept = self.carried(serial).1.last_modified.as_deref();
        kept.expect("the phone fetched this pass before")
    }

    /// The tag kept for a pass type of the only service.
    #[track_caller]
    pub fn tag(&self, pass_type: &str) -> &str {
        let mut tags = self.tags.iter();
        let (_, tag) = tags.find(|((_, of), _)| of == pass_type).expect("the phone has listed this type before");
        &tag.text
    }

    /// The `Authorization` value of a pass.
    #[track_caller]
    pub fn authorization(&self, serial: &str) -> String {
        let token = self.pass(serial).text("authenticationToken");
        format!("{} {token}", self.scheme)
    }

    #[track_caller]
    fn carried(&self, serial: &str) -> (&PassId, &Installed) {
        let mut carried = self.installed.iter();
        carried.find(|((_, of), _)| of == serial).unwrap_or_else(|| panic!("{serial} is not in this Wallet"))
    }

    /// Adds a downloaded package: R, then L and G as in 1.4. Gives R's status.
    pub async fn add(&mut self, package: &[u8]) -> u16 {
        let package = match Package::open(package, &self.root) {
            Ok(package) => package,
            Err(problems) => panic!("the download is not a valid pass: {problems:#?}"),
        };
        let id = id_of(&package);
        let installed = Installed { package, last_modified: None, changed_at: self.clock.now() };
        self.installed.insert(id.clone(), installed);
        self.register(&id).await
    }

    /// R for one pass, and what follows its success.
    async fn register(&mut self, id: &PassId) -> u16 {
        let answer = self
            .web_service(id)
            .register(self.registration(id), Some(&self.authorization(&id.1)), &self.push_token)
            .await;
        if !self.accepts("Register task", &answer, &[200, 201]) {
            return answer.status;
        }
        let had_tag = self.tags.contains_key(&self.tag_key(id));
        let mut listed = self.list(id).await;
        if had_tag {
            // The tag may hide the new pass, so it is fetched besides (1.4).
            listed.retain(|serial| *serial != id.1);
            self.get(id, Cause::Other).await;
        }
        let cause = if had_tag { Cause::ListedSinceTag } else { Cause::Other };
        self.get_all(&id.0, &listed, cause).await;
        answer.status
    }

    /// Waits until APNs has a push this phone has not reacted to, and reacts, until something was
    /// new. APNs promises at least once, so a repeated push that brings nothing is waited over.
    ///
    /// Gives the serial numbers that were listed.
    pub async fn hear(&mut self, apns: &StandIn) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let pushes = apns.wait_for(&self.push_token, self.heard + 1, left).await;
            assert!(pushes.len() > self.heard, "no push came within {PATIENCE:?}");
            let new = pushes.into_iter().skip(self.heard);
            // Several pushes of one topic are one to the phone (reference 2.2, collapse).
            let topics: Vec<String> = new.map(|push| push.topic).collect();
            self.heard += topics.len();
            let mut updated = Vec::new();
            let mut asked: Vec<String> = Vec::new();
            for topic in topics {
                if !asked.contains(&topic) {
                    updated.extend(self.pushed(&topic).await);
                    asked.push(topic);
                }
            }
            if !updated.is_empty() {
                return updated;
            }
        }
    }

    /// Reacts to what APNs has pushed by now, several pushes of one topic as one, and waits for nothing.
    ///
    /// Gives the serial numbers that were listed.
    pub async fn hear_what_came(&mut self, apns: &StandIn) -> Vec<String> {
        let pushes = apns.wait_for(&self.push_token, 0, Duration::ZERO).await;
        let topics: BTreeSet<&str> = pushes.iter().skip(self.heard).map(|push| push.topic.as_str()).collect();
        self.heard = pushes.len();
        let mut listed = Vec::new();
        for topic in topics {
            listed.extend(self.pushed(topic).await);
        }
        listed
    }

    /// APNs was started anew and has forgotten what it pushed before.
    pub fn apns_restarted(&mut self) {
        self.heard = 0;
    }

    /// A push for a pass type: L once with the tag, G for each listed serial (1.4).
    pub async fn pushed(&mut self, pass_type: &str) -> Vec<String> {
        let Some(id) = self.installed.keys().find(|(of, _)| of == pass_type).cloned() else {
            return Vec::new();
        };
        let tag = self.tags.get(&self.tag_key(&id)).cloned();
        let listed = self.list(&id).await;
        let old = |tag: &Tag| self.clock.now().duration_since(tag.received_at) >= REPORTED_AFTER;
        if listed.is_empty() && tag.as_ref().is_some_and(old) {
            self.complain("Device received spurious push");
        }
        let cause = match tag {
            Some(_) => Cause::ListedSinceTag,
            None => Cause::Other,
        };
        self.get_all(pass_type, &listed, cause).await;
        listed
    }

    /// Asks L with the kept tag: the service must have nothing to say. Stricter than iOS, which
    /// forgives this for five minutes.
    pub async fn nothing_new(&mut self, pass_type: &str) {
        let id = self.installed.keys().find(|(of, _)| of == pass_type);
        let id = id.cloned().expect("a pass of this type");
        let listed = self.list(&id).await;
        assert!(listed.is_empty(), "listed again although up to date: {listed:?}");
    }

    /// The user pulls the pass's back down: G only (1.4).
    pub async fn pull_to_refresh(&mut self, serial: &str) {
        let id = self.carried(serial).0.clone();
        self.get(&id, Cause::Other).await;
    }

    /// The user fills in the sheet of rewards enrolment: P, then G (1.3 P). Gives what P answered.
    pub async fn personalize(&mut self, serial: &str, token: &str, facts: &Value) -> Answer {
        let id = self.carried(serial).0.clone();
        if !self.pass(serial).files.contains_key("personalization.json") {
            self.complain("a pass without personalization.json shows no sheet");
        }
        let body = json!({ "personalizationToken": token, "requiredPersonalizationInfo": facts }).to_string();
        let answer = self.web_service(&id).personalize(&id.0, serial, Some(&self.authorization(serial)), body).await;
        if !self.accepts("Personalize pass task", &answer, &[200]) {
            return answer;
        }
        if answer.header("content-type") != Some("application/octet-stream") {
            self.complain(format!("content-type {:?}", answer.header("content-type")));
        }
        let problems = self.pass(serial).signature_problems(&answer.body, token.as_bytes(), &self.root);
        if !problems.is_empty() {
            self.complain(format!("invalid personalization token signature: {problems:?}"));
        }
        let before = self.pass(serial).manifest.clone();
        self.get(&id, Cause::Other).await;
        if self.pass(serial).manifest == before {
            self.complain("Personalization request was issued, but the pass was unchanged");
        }
        answer
    }

    /// Sends everything it has to report to `/v1/log`, in the shape of 1.6, and has nothing to report any more.
    pub async fn report(&mut self, serial: &str) {
        let id = self.carried(serial).0.clone();
        let service = self.pass(serial).text("webServiceURL").to_owned();
        let line = |text: String| {
            format!(
                "[{}] Get pass task (for device {}, pass type {}, serial number {serial}; with web service url {service}) \
                 encountered error: {text}",
                self.clock.now(),
                self.device,
                id.0
            )
        };
        let logs: Vec<String> = std::mem::take(&mut self.complaints).into_iter().map(line).collect();
        let body = json!({ "logs": logs }).to_string();
        self.web_service(&id).log("application/json", body.into_bytes()).await.expect(200);
    }

    /// The user deletes the pass: U.
    pub async fn delete(&mut self, serial: &str) {
        let id = self.carried(serial).0.clone();
        let answer = self.web_service(&id).unregister(self.registration(&id), Some(&self.authorization(serial))).await;
        self.accepts("Unregister task", &answer, &[200, 201]);
        self.installed.remove(&id);
    }

    /// iOS rotates the push token: R again for every pass under a new device id; the old id is
    /// not unregistered (1.4). Gives the statuses of R.
    pub async fn rotate_push_token(&mut self) -> Vec<u16> {
        (self.device, self.push_token) = new_identity();
        self.register_all_again().await
    }

    /// The token alone changes, the device id stays (1.3 R: always overwrite it).
    pub async fn rotate_push_token_only(&mut self) -> Vec<u16> {
        self.push_token = new_identity().1;
        self.register_all_again().await
    }

    async fn register_all_again(&mut self) -> Vec<u16> {
        self.heard = 0;
        let mut statuses = Vec::new();
        for id in self.installed.keys().cloned().collect::<Vec<_>>() {
            statuses.push(self.register(&id).await);
        }
        statuses
    }

    /// L with the kept tag; keeps the new one and gives the serials.
    async fn list(&mut self, id: &PassId) -> Vec<String> {
        let key = self.tag_key(id);
        let tag = self.tags.get(&key).map(|tag| tag.text.clone());
        let answer = self.web_service(id).list(&self.device, &id.0, tag.as_deref()).await;
        if !self.accepts("Get serial #s task", &answer, &[200, 204]) {
            return Vec::new();
        }
        if answer.status == 204 {
            if !answer.body.is_empty() {
                self.complain("a 204 with a body");
            }
            return Vec::new();
        }
        let listing = match Listing::read(&answer) {
            Ok(listing) => listing,
            Err(complaint) => {
                self.complain(complaint);
                return Vec::new();
            }
        };
        if let Some(complaint) = listing.complaint_after(tag.as_deref()) {
            self.complain(complaint);
        }
        if let Some(text) = listing.tag {
            let received_at = self.clock.now();
            self.tags.insert(key, Tag { text, received_at });
        }
        let serials = listing.serials;
        for serial in &serials {
            if !self.installed.contains_key(&(id.0.clone(), serial.clone())) {
                self.complain(format!("Update requested for unregistered serial number {serial}"));
            }
        }
        serials
    }

    async fn get_all(&mut self, pass_type: &str, serials: &[String], cause: Cause) {
        for serial in serials {
            let id = (pass_type.to_owned(), serial.clone());
            if self.installed.contains_key(&id) {
                self.get(&id, cause).await;
            }
        }
    }

    /// G, and what a phone makes of the answer (1.3 G, 1.6).
    async fn get(&mut self, id: &PassId, cause: Cause) {
        let installed = &self.installed[id];
        let since = installed.last_modified.clone();
        let settled = self.clock.now().duration_since(installed.changed_at) >= REPORTED_AFTER;
        let answer = self.web_service(id).pass(&id.0, &id.1, Some(&self.authorization(&id.1)), since.as_deref()).await;
        if !self.accepts("Get pass task", &answer, &[200, 304]) {
            return;
        }
        let unchanged = format!("Server requested update to serial number '{}', but the pass was unchanged", id.1);
        let reports_unchanged = cause == Cause::ListedSinceTag && settled;
        if answer.status == 304 {
            if since.is_none() {
                self.complain("304 although no if-modified-since was sent");
            }
            if !answer.body.is_empty() {
                self.complain("a 304 with a body");
            }
            if reports_unchanged {
                self.complain(unchanged);
            }
            return;
        }
        if answer.header("content-type") != Some("application/vnd.apple.pkpass") {
            self.complain(format!("content-type {:?}", answer.header("content-type")));
        }
        let last_modified = answer.header("last-modified").map(str::to_owned);
        match last_modified.as_deref().map(httpdate::parse_http_date) {
            Some(Ok(_)) => {}
            Some(Err(_)) => self.complain("last-modified is not an HTTP date"),
            None => self.complain(format!(
                "Server returned the pass data for serial number '{}' but did not provide a 'last-modified' header",
                id.1
            )),
        }
        let new = match Package::open(&answer.body, &self.root) {
            Ok(new) => new,
            Err(problems) => {
                self.complain(format!("Received invalid pass data ({problems:?})"));
                return;
            }
        };
        if id_of(&new) != *id {
            self.complain(format!("Requested {id:?}, received {:?}", id_of(&new)));
            return;
        }
        let now = self.clock.now();
        let installed = self.installed.get_mut(id).unwrap();
        installed.last_modified = last_modified;
        if new.manifest == installed.package.manifest {
            if let Some(since) = since {
                self.complain(format!(
                    "Server ignored the 'if-modified-since' header ({since}) and returned the full \
                     unchanged pass data"
                ));
            }
            if reports_unchanged {
                self.complain(unchanged);
            }
            return;
        }
        let text = announcement(&installed.package, &new, now);
        // What an update may not change (reference 1.9): old copies keep using the old ones.
        let kept = ["authenticationToken", "webServiceURL", "teamIdentifier"]
            .iter()
            .find(|key| installed.package.text(key) != new.text(key));
        let complaint = kept.map(|key| format!("an update changed {key}"));
        installed.package = new;
        installed.changed_at = now;
        self.lock_screen.extend(text);
        self.complaints.extend(complaint);
    }

    fn web_service(&self, id: &PassId) -> WebService {
        WebService::new(&self.http, self.installed[id].package.text("webServiceURL"))
    }

    fn tag_key(&self, id: &PassId) -> (String, String) {
        let service = self.installed[id].package.text("webServiceURL");
        (service.to_owned(), id.0.clone())
    }

    fn registration<'a>(&'a self, id: &'a PassId) -> Registration<'a> {
        Registration { device: &self.device, pass_type: &id.0, serial: &id.1 }
    }

    fn accepts(&mut self, task: &str, answer: &Answer, statuses: &[u16]) -> bool {
        let accepted = statuses.contains(&answer.status);
        if answer.status == 401 {
            self.complain(format!("{task}: Authentication failure ({})", answer.asked));
        } else if !accepted {
            self.complain(format!("{task}: Unexpected response code {} ({})", answer.status, answer.asked));
        }
        accepted
    }

    fn complain(&mut self, text: impl Into<String>) {
        self.complaints.push(text.into());
    }
}

fn id_of(package: &Package) -> PassId {
    let text = |key| package.text(key).to_owned();
    (text("passTypeIdentifier"), text("serialNumber"))
}

/// 32 hex digits of device id and 64 of push token: their usual lengths (1.1).
fn new_identity() -> (String, String) {
    let number = DEVICES.fetch_add(1, Ordering::Relaxed);
    (format!("{:032x}", number), format!("{:064x}", number + 0xA000_0000))
}
