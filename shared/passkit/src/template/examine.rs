//! Examining the files of a template: which belong into a pass, and whether each is right.

use std::collections::{BTreeMap, BTreeSet};

use super::{Map, Problems, Style, Template, TemplateFile, Value, split, styles};
use crate::{
    images::{self, ImageName, ImageSlot, Pixels, Scale},
    pass_json::{self, SERVICE_KEYS, Stage},
    placeholder::Text,
    problem::{Findings, TOLD, pointer},
    strings,
};

/// What an image's directory and name hold: its pixels by scale.
type Sizes<'f> = BTreeMap<(&'f str, &'f str), BTreeMap<Scale, Pixels>>;

pub(super) fn examine(
    unpacked: BTreeMap<String, Vec<u8>>,
    warnings: Problems,
) -> Result<(Template, Problems), Problems> {
    let mut findings = Findings { errors: Problems::new(), warnings };
    let mut files = BTreeMap::new();
    let mut all_strings = BTreeMap::new();
    let mut pixels = BTreeMap::new();
    for (path, bytes) in unpacked {
        let at = format!("/{path}");
        match kind_of(&path) {
            Kind::Text if bytes.len() > Template::MAX_TEXT_BYTES => {
                findings
                    .error(at, format!("has {} bytes; at most {} are allowed", bytes.len(), Template::MAX_TEXT_BYTES));
                continue;
            }
            Kind::Text => {}
            Kind::Strings => {
                if let Some(entries) = examine_strings(&mut findings, &at, &bytes) {
                    all_strings.insert(split(&path).0.to_owned(), entries);
                }
            }
            Kind::Image => match images::probe(&bytes) {
                Ok(size) => {
                    pixels.insert(path.clone(), size);
                }
                Err(error) => findings.error(at, error.to_string()),
            },
            Kind::MadeAnew => {
                findings.warn(at, "is made anew for every pass; it was left out");
                continue;
            }
            Kind::Foreign(message) => {
                findings.warn(at, message);
                continue;
            }
        }
        files.insert(path, TemplateFile::new(bytes));
    }

    let pass_json = examine_pass_json(&mut findings, files.get("pass.json"));
    let style = pass_json.as_ref().and_then(|pass| styles(pass).next());
    examine_images(&mut findings, &pixels, pass_json.as_ref());
    examine_languages(&mut findings, &all_strings);
    examine_personalization(&mut findings, &files, pass_json.as_ref());
    match (pass_json, style) {
        (Some(pass_json), Some(style)) if findings.errors.is_empty() => {
            Ok((Template { pass_json, files, strings: all_strings, style }, findings.warnings))
        }
        _ => Err(findings.errors),
    }
}

enum Kind {
    /// `pass.json`, `personalization.json`
    Text,
    /// `xx.lproj/pass.strings`
    Strings,
    /// A PNG in the root or a language.
    Image,
    /// `manifest.json`, `signature`
    MadeAnew,
    /// Anything else.
    Foreign(&'static str),
}

fn kind_of(path: &str) -> Kind {
    let (directory, name) = split(path);
    let is_language = is_language_directory(directory);
    match name {
        "pass.json" | "personalization.json" if directory.is_empty() => Kind::Text,
        "manifest.json" | "signature" if directory.is_empty() => Kind::MadeAnew,
        "pass.strings" if is_language => Kind::Strings,
        _ if !directory.is_empty() && !is_language => Kind::Foreign(
            "stands in a folder that a pass does not have (languages are named like fr.lproj, zh-Hans.lproj); it was left out",
        ),
        _ if ImageName::parse(name).is_some() => Kind::Image,
        _ => Kind::Foreign("is no file of a pass; it was left out"),
    }
}

/// `<language>[-<REGION or Script>].lproj` (reference 3.8).
fn is_language_directory(directory: &str) -> bool {
    directory.strip_suffix(".lproj").is_some_and(|language| {
        let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric()) && part.len() >= 2;
        language == "Base" || language.split(['-', '_']).all(letters)
    })
}

fn examine_strings(findings: &mut Findings, at: &str, bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    if bytes.len() > Template::MAX_TEXT_BYTES {
        findings.error(at, format!("has {} bytes; at most {} are allowed", bytes.len(), Template::MAX_TEXT_BYTES));
        return None;
    }
    let strings = match strings::parse(bytes) {
        Ok(strings) => strings,
        Err(error) => {
            findings.error(at, error.to_string());
            return None;
        }
    };
    for key in strings.repeated {
        findings.warn(pointer(at, key), "stands more than once; the last text counts");
    }
    for (key, text) in &strings.entries {
        if let Err(error) = Text::compile(text) {
            findings.error(pointer(at, key), error.to_string());
        }
    }
    Some(strings.entries)
}

fn examine_pass_json(findings: &mut Findings, file: Option<&TemplateFile>) -> Option<Map<String, Value>> {
    const AT: &str = "/pass.json";
    let Some(file) = file else {
        findings.error(AT, "is missing; the archive holds the contents of a .pass folder");
        return None;
    };
    let text = file.bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&file.bytes);
    let mut pass = match serde_json::from_slice(text) {
        Ok(Value::Object(pass)) => pass,
        Ok(_) => {
            findings.error(AT, "must be a JSON object");
            return None;
        }
        Err(error) => {
            findings.error(AT, format!("is not valid JSON: {error}"));
            return None;
        }
    };
    for key in SERVICE_KEYS {
        if pass.remove(key).is_some() {
            findings.warn(pointer(AT, key), "is set by the service; it was left out");
        }
    }
    pass.entry("formatVersion").or_insert_with(|| Value::from(1));
    compile_all(findings, AT, &pass);
    let report = pass_json::examine(&pass, Stage::Template, AT);
    findings.errors.extend(report.errors);
    findings.warnings.extend(report.warnings);
    Some(pass)
}

/// Reports every string whose placeholders are wrong.
fn compile_all(findings: &mut Findings, at: &str, members: &Map<String, Value>) {
    fn visit(findings: &mut Findings, at: &str, value: &Value) {
        match value {
            Value::String(text) => {
                if let Err(error) = Text::compile(text) {
                    findings.error(at, error.to_string());
                }
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| visit(findings, &pointer(at, index), item));
            }
            Value::Object(members) => compile_all(findings, at, members),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    members.iter().for_each(|(key, value)| visit(findings, &pointer(at, key), value));
}

fn examine_images(findings: &mut Findings, pixels: &BTreeMap<String, Pixels>, pass: Option<&Map<String, Value>>) {
    let mut sizes = Sizes::new();
    for (path, size) in pixels {
        let (directory, name) = split(path);
        if let Some(image) = ImageName::parse(name) {
            sizes.entry((directory, image.stem)).or_default().insert(image.scale, *size);
        }
    }
    let languages: BTreeSet<&str> = sizes.keys().map(|(directory, _)| *directory).collect();
    examine_icon(findings, &sizes);
    let styles: Vec<Style> = pass.map(|pass| styles(pass).collect()).unwrap_or_default();
    for ((directory, stem), scales) in &sizes {
        let at = |scale: Scale| {
            let slash = if directory.is_empty() { "" } else { "/" };
            format!("/{directory}{slash}{stem}{}.png", scale.suffix())
        };
        if let Some((first_scale, first)) = scales.first_key_value() {
            let (base, unit) = (*first, *first_scale as u32);
            for (scale, size) in scales.iter().skip(1) {
                let factor = *scale as u32;
                if size.width * unit != base.width * factor || size.height * unit != base.height * factor {
                    findings.warn(
                        at(*scale),
                        format!(
                            "is {size} pixels and {} is {base}; scales of one image relate exactly 1 : 2 : 3",
                            &at(*first_scale)[1..]
                        ),
                    );
                }
            }
        }
        if !directory.is_empty() && sizes.contains_key(&("", *stem)) {
            findings.warn(
                format!("/{directory}/{stem}.png"),
                "is never shown: an image of the same name in the root overrides it; move that one into every language",
            );
        }
        let Some(slot) = ImageSlot::from_name(stem) else { continue };
        let Some(style) = styles.iter().copied().find(|style| slot.is_shown_by(*style)) else {
            if let Some(style) = styles.first() {
                let path = scales.keys().next().map(|scale| at(*scale)).unwrap_or_default();
                findings.warn(path, format!("is not shown by a {}; it is left out of its passes", style.key()));
            }
            continue;
        };
        for (scale, size) in scales {
            if let Some(advice) = slot.size_advice(style, *scale, *size) {
                findings.warn(at(*scale), advice);
            }
        }
    }
    let has = |stem: &str| languages.iter().any(|directory| sizes.contains_key(&(*directory, stem)));
    let is_poster = pass.is_some_and(|pass| pass.contains_key("preferredStyleSchemes"));
    if styles.contains(&Style::EventTicket) && !is_poster && has("strip") && (has("background") || has("thumbnail")) {
        findings.warn("/strip.png", "an eventTicket shows either strip, or background and thumbnail");
    }
}

/// An icon is mandatory, in the root: the phone looks there (reference 3.6, 2).
fn examine_icon(findings: &mut Findings, sizes: &Sizes<'_>) {
    let Some(scales) = sizes.get(&("", "icon")) else {
        findings.error("/icon.png", "is missing; a pass needs icon.png, icon@2x.png and icon@3x.png");
        return;
    };
    for scale in [Scale::Two, Scale::Three] {
        if !scales.contains_key(&scale) {
            findings.warn(format!("/icon{}.png", scale.suffix()), "is missing; today's phones show this scale");
        }
    }
}

fn examine_languages(findings: &mut Findings, all_strings: &BTreeMap<String, BTreeMap<String, String>>) {
    let keys: BTreeSet<&String> = all_strings.values().flat_map(BTreeMap::keys).collect();
    let missing = all_strings.iter().flat_map(|(directory, strings)| {
        let missing = keys.iter().filter(|key| !strings.contains_key(**key));
        missing.map(move |key| (directory, key))
    });
    // A thousand languages without a word in common miss many times as many words as are told.
    for (directory, key) in missing.take(TOLD + 1) {
        findings.warn(
            pointer(&format!("/{directory}/pass.strings"), key),
            "is missing though another language has it; Wallet shows the key itself",
        );
    }
}

/// Rewards enrolment (reference 3.7): the JSON, a logo and `nfc` stand or fall together.
fn examine_personalization(
    findings: &mut Findings,
    files: &BTreeMap<String, TemplateFile>,
    pass: Option<&Map<String, Value>>,
) {
    const AT: &str = "/personalization.json";
    const FIELDS: [&str; 4] = [
        "PKPassPersonalizationFieldName",
        "PKPassPersonalizationFieldPostalCode",
        "PKPassPersonalizationFieldEmailAddress",
        "PKPassPersonalizationFieldPhoneNumber",
    ];
    let Some(file) = files.get("personalization.json") else { return };
    let Ok(Value::Object(sheet)) = serde_json::from_slice(&file.bytes) else {
        findings.error(AT, "must be a JSON object");
        return;
    };
    if !sheet.get("description").is_some_and(Value::is_string) {
        findings.error(pointer(AT, "description"), "is missing or not a string");
    }
    let required = pointer(AT, "requiredPersonalizationFields");
    match sheet.get("requiredPersonalizationFields").and_then(Value::as_array) {
        None => findings.error(required, "is missing or not an array"),
        Some(fields) => {
            for (index, field) in fields.iter().enumerate() {
                if !field.as_str().is_some_and(|field| FIELDS.contains(&field)) {
                    findings.error(pointer(&required, index), format!("must be one of {}", FIELDS.join(", ")));
                }
            }
        }
    }
    if sheet.get("termsAndConditions").is_some_and(|terms| !terms.is_string()) {
        findings.error(pointer(AT, "termsAndConditions"), "must be a string");
    }
    let has_logo = files.keys().any(|path| {
        ImageName::parse(split(path).1).is_some_and(|image| image.stem == ImageSlot::PersonalizationLogo.name())
    });
    if !has_logo || !pass.is_some_and(|pass| pass.contains_key("nfc")) {
        findings
            .warn(AT, "takes effect only together with personalizationLogo@2x.png and nfc; it is left out of passes");
    }
}
