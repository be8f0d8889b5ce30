//! A look: what a pass shows in one state. Template and overlays merged, placeholders found, files chosen, everything
//! examined, once; then rendered for a million passes.

mod mend;
mod node;
mod place;
mod skeleton;

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use serde_json::{Map, Value};
use sha2::Digest;

use crate::{
    expiration::{self, Expiration},
    identifiers::{PassTypeIdentifier, SerialNumber, TeamIdentifier},
    images::{ImageName, ImageSlot},
    overlay::Overlay,
    package::{Rendered, SharedFiles, canonical},
    pass_json::{self, FIELD_GROUPS, SERVICE_KEYS, Stage, Style, styles},
    personalization::Personalization,
    placeholder::{Escape, MAX_PLACEHOLDERS, MAX_SUBSTITUTED_CHARS, Placeholder, Text, resolve, text_of},
    problem::{Problem, Problems, note, pointer},
    secrets::{AuthenticationToken, Barcode},
    strings,
    template::{Template, TemplateFile, split},
};
use node::Node;
use place::Places;
pub use place::{MAXIMUM_SHOWN, Place, Position};
use skeleton::Skeleton;

/// Raised with every change of what equal inputs render to: then all passes count as changed.
const RENDERING: u32 = 1;

/// What the phone asks its owner (reference 3.7).
const PERSONALIZATION_SHEET: &str = "personalization.json";

/// What a look is made of besides the template.
#[derive(Debug, Clone, Copy)]
pub struct LookPlan<'a> {
    /// The overlays in the order in which they apply, each with the JSON pointer its problems are reported under
    /// (`/redeemedOverlay`).
    pub overlays: &'a [(&'a str, &'a Overlay)],
    /// Whether a till can still redeem a pass that looks like this.
    pub redeemability: Redeemability,
    /// `{"offerId", "title", …}`: what `{{ offer.… }}` names.
    pub offer: &'a Value,
    /// Becomes `expirationDate` if neither template nor overlays give one.
    pub expires_at: Option<jiff::Timestamp>,
    /// Where the pass comes up on the lock screen; replaces the template's `locations` unless empty. An overlay that sets
    /// `locations` has the last word.
    pub places: &'a [Place<'a>],
}

/// What becomes of the barcode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redeemability {
    /// Barcode shown.
    Open,
    /// Used: `barcode`, `barcodes` and `nfc` of the template and of all overlays but the last are gone; the last
    /// overlay may put one back.
    Used,
    /// As [`Redeemability::Used`], and `voided: true`.
    Voided,
}

/// What is a pass's own.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// `passTypeIdentifier`, equal to the certificate's.
    pub pass_type_identifier: &'a PassTypeIdentifier,
    /// `teamIdentifier`, equal to the certificate's.
    pub team_identifier: &'a TeamIdentifier,
    /// `serialNumber`
    pub serial_number: &'a SerialNumber,
    /// `authenticationToken`
    pub authentication_token: &'a AuthenticationToken,
    /// `webServiceURL`, without trailing slash.
    pub web_service_url: &'a str,
    /// `{{ pass.barcode }}`; `None`: there is nothing to redeem.
    pub barcode: Option<&'a Barcode>,
    /// What `{{ holder.… }}` names.
    pub holder: &'a Value,
    /// `{{ offer.redemptionsLeft }}`: redemptions left of this offer; `None`: no limit.
    pub remaining: Option<u32>,
    /// `{{ offer.redemptions }}`: redemptions of this offer so far.
    pub redemptions: u32,
    /// Whether the pass still carries the sheet of rewards enrolment.
    pub personalization: Personalization,
}

/// A prepared look.
pub struct Look {
    pass_json: BTreeMap<String, Node>,
    /// The same written out already, where nothing that differs from pass to pass can be wrong.
    skeleton: Option<Skeleton>,
    /// Translations with placeholders.
    strings: Vec<OpenStrings>,
    shared: Arc<SharedFiles>,
    /// The same without the sheet of rewards enrolment, where there is one.
    personalized: Option<Arc<SharedFiles>>,
    places: Places,
    expiration: Option<Expiration>,
    digest: [u8; 32],
}

/// A `pass.strings` that differs from pass to pass.
struct OpenStrings {
    path: Arc<str>,
    entries: Vec<(String, Text)>,
}

impl Look {
    /// Merges, compiles and examines. Every problem is reported, by the path of the overlay or template member it comes
    /// from.
    pub fn prepare(template: &Template, plan: &LookPlan<'_>) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let mut images = BTreeMap::new();
        let mut merged = merge(template, plan, &mut images, &mut problems);
        let expiration = Expiration::read(merged.get(expiration::KEY), plan.offer);
        finish(&mut merged, plan);
        let of_overlay = plan.overlays.iter().any(|(_, overlay)| overlay.set.contains_key("locations"));
        let places = if of_overlay { &[] } else { plan.places };
        let places = Places::compile(places, plan.offer, &mut problems);
        let at = |pointer: &str| origin(plan, &merged, pointer);

        let mut compiled = BTreeMap::new();
        for (key, value) in &merged {
            let path = pointer("", key);
            let node = Node::compile(value, plan.offer, &path, &mut |path, error| {
                note(&mut problems, Problem::new(at(path), error.to_string()));
            });
            compiled.insert(key.clone(), node);
        }
        let specimen: Map<String, Value> = compiled.iter().map(|(key, node)| (key.clone(), node.specimen())).collect();
        for problem in pass_json::examine(&specimen, Stage::Template, "").errors {
            problems.push(Problem::new(at(&problem.path), problem.message));
        }

        let mut files = choose_images(template, &images, &merged);
        if !files.keys().any(|path| ImageName::parse(path).is_some_and(|image| image.stem == "icon")) {
            problems.push(Problem::new("/icon.png", "is missing; a pass needs icon.png, icon@2x.png and icon@3x.png"));
        }
        let bytes: usize = files.values().map(|file| file.bytes.len()).sum();
        if bytes > Template::MAX_UNPACKED_BYTES {
            let most = Template::MAX_UNPACKED_BYTES;
            let message = format!(
                "puts {bytes} bytes of images into a pass; at most {most}. One image counts in each of its places"
            );
            problems.push(Problem::new(at("/images"), message));
        }
        let mut open_strings = Vec::new();
        for (directory, entries) in template.strings() {
            let path = format!("{directory}/pass.strings");
            match compile_strings(&path, entries, plan.offer, &mut problems) {
                CompiledStrings::Fixed(bytes) => {
                    files.insert(path, TemplateFile::new(bytes));
                }
                CompiledStrings::Open(entries) => open_strings.push(OpenStrings { path: path.into(), entries }),
            }
        }
        let mut placeholders: usize = places.texts().map(|(_, text)| text.placeholders()).sum();
        placeholders += compiled.values().map(Node::placeholders).sum::<usize>();
        let open = open_strings.iter().flat_map(|strings| &strings.entries);
        placeholders += open.map(|(_, text)| text.placeholders()).sum::<usize>();
        if placeholders > MAX_PLACEHOLDERS {
            let message = format!(
                "holds {placeholders} placeholders with its translations; at most {MAX_PLACEHOLDERS} are allowed"
            );
            note(&mut problems, Problem::new("/pass.json", message));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let open: Vec<&str> = open_strings.iter().map(|strings| &*strings.path).collect();
        let share = |files: &BTreeMap<String, TemplateFile>| {
            SharedFiles::prepare(files, &open).map_err(|error| vec![Problem::new("", error.to_string())])
        };
        let shared = share(&files)?;
        // What this holds follows from `shared`, so the digest covers both.
        let digest = digest(&compiled, &open_strings, &shared, &places);
        let offers_personalization = files.contains_key(PERSONALIZATION_SHEET);
        files.retain(|path, _| !is_of_personalization(path));
        let personalized = offers_personalization.then(|| share(&files).map(Arc::new)).transpose()?;
        let shared = Arc::new(shared);
        let skeleton = if places.is_empty() { Skeleton::of(&compiled) } else { None };
        Ok(Self {
            pass_json: compiled,
            skeleton,
            strings: open_strings,
            shared,
            personalized,
            places,
            expiration,
            digest,
        })
    }

    /// SHA-256 over everything a pass of this look is made of, save the per-pass [`Inputs`]. Equal digests render equal
    /// packages, so revisions are raised only when it changes.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// When passes of this look end, as template or overlays say; [`LookPlan::expires_at`] is not among it.
    pub fn expiration(&self) -> Option<&Expiration> {
        self.expiration.as_ref()
    }

    /// Whether a pass of this look shows how often it was redeemed, or how often it still can be.
    pub fn shows_remaining(&self) -> bool {
        self.shows(&Placeholder::Remaining) || self.shows(&Placeholder::Redemptions)
    }

    /// Whether a pass of this look shows its barcode's message anywhere.
    pub fn shows_barcode(&self) -> bool {
        self.shows(&Placeholder::Barcode)
    }

    fn shows(&self, placeholder: &Placeholder) -> bool {
        let mut shows = self.places.shows(placeholder);
        let mut visit = |_: String, text: &Text, _: Escape| shows |= text.shows(placeholder);
        for node in self.pass_json.values() {
            node.each_text("", &mut visit);
        }
        let mut entries = self.strings.iter().flat_map(|strings| &strings.entries);
        shows || entries.any(|(_, text)| text.shows(placeholder))
    }

    /// Examines the pass these inputs would make: when one is issued or its holder data changes.
    pub fn check(&self, inputs: &Inputs<'_>) -> Result<(), Problems> {
        let mut problems = pass_json::examine(&self.values(inputs), Stage::Finished, "/pass.json").errors;
        let mut cut = |path: String, text: &Text, escape: Escape| {
            if !text.is_literal()
                && text.render_uncut(escape, |placeholder| lookup(inputs, placeholder)).chars().count()
                    > MAX_SUBSTITUTED_CHARS
            {
                let message = format!("becomes longer than {MAX_SUBSTITUTED_CHARS} characters");
                note(&mut problems, Problem::new(path, message));
            }
        };
        for (key, node) in &self.pass_json {
            node.each_text(&pointer("/pass.json", key), &mut cut);
        }
        for (index, text) in self.places.texts() {
            cut(pointer(&pointer("/locations", index), "relevantText"), text, Escape::Plain);
        }
        for strings in &self.strings {
            for (key, text) in &strings.entries {
                cut(pointer(&format!("/{}", strings.path), key), text, Escape::Plain);
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The pass. Holder data that makes a part of it invalid leaves that part out: a pass that was issued can always be
    /// fetched.
    pub fn render(&self, inputs: &Inputs<'_>) -> Rendered {
        let filled = self.skeleton.as_ref().and_then(|skeleton| skeleton.fill(inputs));
        let pass_json = filled.unwrap_or_else(|| self.mended(inputs));
        let strings = self.strings.iter().map(|strings| {
            let entries = strings.entries.iter();
            let rendered =
                entries.map(|(key, text)| (key, text.render(Escape::Plain, |placeholder| lookup(inputs, placeholder))));
            (Arc::clone(&strings.path), strings::encode(rendered))
        });
        let shared = match (inputs.personalization, &self.personalized) {
            (Personalization::Done, Some(personalized)) => personalized,
            (Personalization::Done, None) | (Personalization::Offered, _) => &self.shared,
        };
        Rendered::new(Arc::clone(shared), pass_json, strings.collect())
    }

    /// `pass.json`, put together, examined and mended.
    fn mended(&self, inputs: &Inputs<'_>) -> Vec<u8> {
        let mut pass = self.values(inputs);
        mend::mend(&mut pass);
        canonical::value(&Value::Object(pass))
    }

    fn values(&self, inputs: &Inputs<'_>) -> Map<String, Value> {
        let mut pass: Map<String, Value> =
            self.pass_json.iter().map(|(key, node)| (key.clone(), node.render(inputs))).collect();
        if !self.places.is_empty() {
            let text = |text: &Text| text.render(Escape::Plain, |placeholder| lookup(inputs, placeholder));
            pass.insert("locations".to_owned(), self.places.render(inputs.holder, text));
        }
        for key in SERVICE_KEYS {
            pass.insert(key.to_owned(), Value::from(of_service(inputs, key)));
        }
        pass
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look").field("digest", &hex::encode(self.digest)).finish_non_exhaustive()
    }
}

/// What the service sets.
fn of_service<'v>(inputs: &Inputs<'v>, key: &str) -> &'v str {
    match key {
        "passTypeIdentifier" => inputs.pass_type_identifier.as_str(),
        "teamIdentifier" => inputs.team_identifier.as_str(),
        "serialNumber" => inputs.serial_number.as_str(),
        "authenticationToken" => inputs.authentication_token.expose(),
        _ => inputs.web_service_url,
    }
}

/// What a placeholder stands for; `None`: nothing. The offer's were put in when the look was prepared.
fn lookup<'v>(inputs: &Inputs<'v>, placeholder: &Placeholder) -> Option<Cow<'v, str>> {
    match placeholder {
        Placeholder::Holder(path) => resolve(inputs.holder, path).map(text_of),
        Placeholder::Offer(_) => None,
        Placeholder::SerialNumber => Some(Cow::Borrowed(inputs.serial_number.as_str())),
        Placeholder::Barcode => inputs.barcode.map(|barcode| Cow::Borrowed(barcode.expose())),
        Placeholder::Remaining => inputs.remaining.map(|remaining| Cow::Owned(remaining.to_string())),
        Placeholder::Redemptions => Some(Cow::Owned(inputs.redemptions.to_string())),
    }
}

fn merge(
    template: &Template,
    plan: &LookPlan<'_>,
    images: &mut BTreeMap<ImageSlot, String>,
    problems: &mut Problems,
) -> Map<String, Value> {
    let mut pass = template.pass_json().clone();
    if !plan.places.is_empty() {
        pass.remove("locations");
    }
    let close = |pass: &mut Map<String, Value>| match plan.redeemability {
        Redeemability::Open => {}
        Redeemability::Used | Redeemability::Voided => {
            for key in ["barcode", "barcodes", "nfc"] {
                pass.remove(key);
            }
        }
    };
    let Some(((last_prefix, last), earlier)) = plan.overlays.split_last() else {
        close(&mut pass);
        return pass;
    };
    for (prefix, overlay) in earlier {
        overlay.apply(template, prefix, &mut pass, images, problems);
    }
    close(&mut pass);
    last.apply(template, last_prefix, &mut pass, images, problems);
    pass
}

/// Puts in what the plan says beside its overlays.
fn finish(pass: &mut Map<String, Value>, plan: &LookPlan<'_>) {
    if plan.redeemability == Redeemability::Voided {
        pass.insert("voided".to_owned(), Value::from(true));
    }
    if let Some(expires_at) = plan.expires_at
        && !pass.contains_key(expiration::KEY)
    {
        let text = expires_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        pass.insert(expiration::KEY.to_owned(), Value::from(text));
    }
}

/// The path, for whoever wrote it, of what stands at `pointer` of the merged `pass.json`: the last overlay that wrote
/// there, else the template.
fn origin(plan: &LookPlan<'_>, merged: &Map<String, Value>, path: &str) -> String {
    let tokens: Vec<&str> = path.split('/').skip(1).collect();
    let field = field_key(merged, &tokens);
    for (prefix, overlay) in plan.overlays.iter().rev() {
        if let Some(key) = field
            && let Some(change) = overlay.fields.get(key)
            && let Some((member, rest)) = tokens.get(3).zip(tokens.get(4..))
        {
            let written = match *member {
                "value" => Some(&change.value),
                "label" => Some(&change.label),
                "changeMessage" => Some(&change.change_message),
                _ => None,
            };
            if written.is_some_and(|change| *change != crate::overlay::Change::Keep) {
                let path = pointer(&pointer(&pointer(prefix, "fields"), key), member);
                return rest.iter().fold(path, |path, token| format!("{path}/{token}"));
            }
        }
        if wrote(&overlay.set, &tokens) {
            return format!("{prefix}/set{path}");
        }
    }
    format!("/pass.json{path}")
}

/// The key of the field that `/style/group/index/…` lies in.
fn field_key<'v>(merged: &'v Map<String, Value>, tokens: &[&str]) -> Option<&'v str> {
    let [style, group, index, ..] = tokens else { return None };
    let is_field = Style::from_key(style).is_some() && FIELD_GROUPS.contains(group);
    let field = merged.get(*style)?.get(*group)?.get(index.parse::<usize>().ok()?)?;
    if is_field { field.get("key")?.as_str() } else { None }
}

/// Whether a merge patch decides what stands at that path.
fn wrote(patch: &Map<String, Value>, tokens: &[&str]) -> bool {
    let Some((first, rest)) = tokens.split_first() else { return false };
    match patch.get(&first.replace("~1", "/").replace("~0", "~")) {
        Some(Value::Object(members)) if !rest.is_empty() => wrote(members, rest),
        Some(_) => true,
        None => false,
    }
}

/// The images of the package: Apple's slots only, mapped, and only those the style shows.
fn choose_images(
    template: &Template,
    mapped: &BTreeMap<ImageSlot, String>,
    pass: &Map<String, Value>,
) -> BTreeMap<String, TemplateFile> {
    let shown_styles: Vec<Style> = styles(pass).collect();
    let has_logo = template.has_image(ImageSlot::PersonalizationLogo.name());
    let sheet = template.files().get(PERSONALIZATION_SHEET).filter(|_| has_logo && pass.contains_key("nfc"));
    let mut files = BTreeMap::new();
    for (path, file) in template.files() {
        let (directory, name) = split(path);
        let Some(image) = ImageName::parse(name) else { continue };
        let own = ImageSlot::from_name(image.stem).filter(|slot| !mapped.contains_key(slot));
        let stands_in = mapped.iter().filter(|(_, source)| source.as_str() == image.stem).map(|(slot, _)| *slot);
        for slot in own.into_iter().chain(stands_in) {
            let is_shown = if slot == ImageSlot::PersonalizationLogo {
                sheet.is_some()
            } else {
                shown_styles.iter().any(|style| slot.is_shown_by(*style))
            };
            if is_shown {
                let slash = if directory.is_empty() { "" } else { "/" };
                let path = format!("{directory}{slash}{}{}.png", slot.name(), image.scale.suffix());
                files.insert(path, file.clone());
            }
        }
    }
    if let Some(sheet) = sheet {
        files.insert(PERSONALIZATION_SHEET.to_owned(), sheet.clone());
    }
    files
}

/// Whether the file is there only for rewards enrolment.
fn is_of_personalization(path: &str) -> bool {
    let is_logo = |image: ImageName<'_>| image.stem == ImageSlot::PersonalizationLogo.name();
    path == PERSONALIZATION_SHEET || ImageName::parse(split(path).1).is_some_and(is_logo)
}

enum CompiledStrings {
    Fixed(Vec<u8>),
    Open(Vec<(String, Text)>),
}

fn compile_strings(
    path: &str,
    entries: &BTreeMap<String, String>,
    offer: &Value,
    problems: &mut Problems,
) -> CompiledStrings {
    let mut compiled = Vec::with_capacity(entries.len());
    for (key, text) in entries {
        match Text::compile(text) {
            Ok(text) => compiled.push((key.clone(), text.with_offer(offer, Escape::Plain))),
            Err(error) => note(problems, Problem::new(pointer(&format!("/{path}"), key), error.to_string())),
        }
    }
    if compiled.iter().all(|(_, text)| text.is_literal()) {
        let fixed = compiled.iter().map(|(key, text)| (key, text.render(Escape::Plain, |_| None)));
        CompiledStrings::Fixed(strings::encode(fixed))
    } else {
        CompiledStrings::Open(compiled)
    }
}

fn digest(pass: &BTreeMap<String, Node>, strings: &[OpenStrings], shared: &SharedFiles, places: &Places) -> [u8; 32] {
    let mut digest = sha2::Sha256::new();
    digest.update(RENDERING.to_be_bytes());
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    part(&(pass.len() as u64).to_be_bytes());
    for (key, node) in pass {
        part(key.as_bytes());
        node.feed(&mut part);
    }
    part(&(strings.len() as u64).to_be_bytes());
    for strings in strings {
        part(strings.path.as_bytes());
        part(&(strings.entries.len() as u64).to_be_bytes());
        for (key, text) in &strings.entries {
            part(key.as_bytes());
            node::feed_text(text, &mut part);
        }
    }
    for (path, hash) in shared.hashes() {
        part(path.as_bytes());
        part(hash.as_bytes());
    }
    places.feed(&mut part);
    digest.finalize().into()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
