use std::io::{Cursor, Write};

use serde_json::json;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{images::tests::png_of, problem::Problem};

/// A template's files as a merchant sends them.
pub(crate) type Folder = BTreeMap<String, Vec<u8>>;

pub(crate) fn coupon() -> Value {
    json!({
        "formatVersion": 1,
        "organizationName": "Maison Levain",
        "description": "A coupon for {{ holder.name }}",
        "coupon": {
            "primaryFields": [{"key": "offer", "label": "OFFER", "value": "{{ offer.title }}"}],
            "secondaryFields": [{"key": "status", "value": "Ready", "changeMessage": "%@"}],
            "backFields": [{"key": "terms", "value": "No cash"}],
        },
        "barcodes": [
            {"format": "PKBarcodeFormatQR", "message": "{{ pass.barcode }}", "messageEncoding": "iso-8859-1"},
        ],
    })
}

/// A right template: every icon, a strip and another that an overlay may map, two languages.
pub(crate) fn folder(pass: &Value) -> Folder {
    let mut files = Folder::from([
        ("pass.json".to_owned(), serde_json::to_vec_pretty(pass).unwrap()),
        ("en.lproj/pass.strings".to_owned(), b"\"OFFER\" = \"Offer\";".to_vec()),
        ("de.lproj/pass.strings".to_owned(), "\"OFFER\" = \"Für {{ holder.name }}\";".as_bytes().to_vec()),
    ]);
    for (suffix, scale) in [("", 1), ("@2x", 2), ("@3x", 3)] {
        files.insert(format!("icon{suffix}.png"), png_of(29 * scale, 29 * scale));
        files.insert(format!("strip{suffix}.png"), png_of(375 * scale, 144 * scale));
        files.insert(format!("used-strip{suffix}.png"), png_of(375 * scale, 123 * scale));
    }
    files
}

pub(crate) fn zip_of(files: &Folder) -> Vec<u8> {
    zip_with(files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())), SimpleFileOptions::default())
}

fn zip_with<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>, options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in files {
        writer.start_file(path, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub(crate) fn template(pass: &Value) -> Template {
    Template::from_zip(&zip_of(&folder(pass))).unwrap().0
}

/// The problems of the good folder after `change`.
fn errors(change: impl FnOnce(&mut Folder)) -> Vec<Problem> {
    let mut files = folder(&coupon());
    change(&mut files);
    Template::from_zip(&zip_of(&files)).unwrap_err()
}

fn warnings(change: impl FnOnce(&mut Folder)) -> Vec<String> {
    let mut files = folder(&coupon());
    change(&mut files);
    let (_, warnings) = Template::from_zip(&zip_of(&files)).unwrap();
    warnings.into_iter().map(|problem| problem.path).collect()
}

fn paths(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.path.as_str()).collect()
}

/// An archive whose only entry has that name, written past the writer's own checks.
fn with_entry_name(name: &str) -> Vec<u8> {
    let stand_in = "x".repeat(name.len());
    let mut archive = zip_with([(stand_in.as_str(), b"data".as_slice())], SimpleFileOptions::default());
    let places: Vec<usize> =
        (0..archive.len() - name.len()).filter(|at| archive[*at..].starts_with(stand_in.as_bytes())).collect();
    assert_eq!(places.len(), 2, "local header and central directory");
    for at in places {
        archive[at..at + name.len()].copy_from_slice(name.as_bytes());
    }
    archive
}

#[test]
fn a_good_folder_has_no_problems_and_no_warnings() {
    let (template, warnings) = Template::from_zip(&zip_of(&folder(&coupon()))).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(template.style(), Style::Coupon);
    assert!(template.has_image("used-strip") && template.has_image("strip") && !template.has_image("logo"));
    assert_eq!(template.strings()["de.lproj"]["OFFER"], "Für {{ holder.name }}");
}

#[test]
fn every_problem_is_reported_not_only_the_first() {
    let problems = errors(|files| {
        let mut pass = coupon();
        pass["description"] = json!(1);
        pass["coupon"]["primaryFields"][0]["value"] = json!("{{ nobody.name }}");
        files.insert("pass.json".into(), pass.to_string().into_bytes());
        files.insert("logo.png".into(), b"GIF89a".to_vec());
        files.insert("fr.lproj/pass.strings".into(), b"\"OFFER\" = ".to_vec());
        for icon in ["icon.png", "icon@2x.png", "icon@3x.png"] {
            files.remove(icon);
        }
    });
    assert_eq!(
        paths(&problems),
        [
            "/fr.lproj/pass.strings",
            "/logo.png",
            "/pass.json/coupon/primaryFields/0/value",
            "/pass.json/description",
            "/icon.png"
        ]
    );
}

#[test]
fn the_keys_of_the_service_are_dropped_with_a_warning() {
    let mut pass = coupon();
    for key in crate::pass_json::SERVICE_KEYS {
        pass[key] = json!("merchant's");
    }
    let (template, warnings) = Template::from_zip(&zip_of(&folder(&pass))).unwrap();
    assert_eq!(
        paths(&warnings),
        crate::pass_json::SERVICE_KEYS.map(|key| format!("/pass.json/{key}")).each_ref().map(String::as_str)
    );
    assert!(crate::pass_json::SERVICE_KEYS.iter().all(|key| !template.pass_json().contains_key(*key)));
}

#[test]
fn an_absent_format_version_becomes_1() {
    let mut pass = coupon();
    pass.as_object_mut().unwrap().remove("formatVersion");
    assert_eq!(template(&pass).pass_json()["formatVersion"], 1);
}

#[test]
fn an_enclosing_folder_junk_and_an_old_signature_are_tolerated() {
    let mut files: Folder =
        folder(&coupon()).into_iter().map(|(path, bytes)| (format!("croissant.pass/{path}"), bytes)).collect();
    for junk in ["__MACOSX/croissant.pass/._icon.png", "croissant.pass/.DS_Store", "croissant.pass/en.lproj/Thumbs.db"]
    {
        files.insert(junk.into(), b"junk".to_vec());
    }
    files.insert("croissant.pass/manifest.json".into(), b"{}".to_vec());
    files.insert("croissant.pass/signature".into(), b"old".to_vec());
    let (found, warnings) = Template::from_zip(&zip_of(&files)).unwrap();
    assert_eq!(paths(&warnings), ["/croissant.pass", "/manifest.json", "/signature"]);
    assert_eq!(found.files().keys().collect::<Vec<_>>(), folder(&coupon()).keys().collect::<Vec<_>>());
}

#[test]
fn the_digest_is_of_the_content_not_of_the_archive() {
    let files = folder(&coupon());
    let plain = Template::from_zip(&zip_of(&files)).unwrap().0;
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let reversed = zip_with(files.iter().rev().map(|(path, bytes)| (path.as_str(), bytes.as_slice())), options);
    assert_eq!(Template::from_zip(&reversed).unwrap().0.content_digest(), plain.content_digest());
    let mut other = files.clone();
    other.insert("logo.png".into(), png_of(10, 10));
    assert_ne!(Template::from_zip(&zip_of(&other)).unwrap().0.content_digest(), plain.content_digest());
}

#[test]
fn paths_that_leave_the_folder_are_refused() {
    for bad in
        ["../pass.json", "a/../../icon.png", "/etc/passwd", "a\\icon.png", "C:/icon.png", "./icon.png", "a//icon.png"]
    {
        let problems = Template::from_zip(&with_entry_name(bad)).unwrap_err();
        assert_eq!(paths(&problems), [format!("/{bad}")], "{problems:?}");
    }
}

#[test]
fn links_and_encryption_are_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("icon.png", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let link = writer.finish().unwrap().into_inner();
    let problems = Template::from_zip(&link).unwrap_err();
    assert!(problems[0].path == "/icon.png" && problems[0].message.contains("link"), "{problems:?}");

    let mut archive = zip_with([("icon.png", b"secret".as_slice())], SimpleFileOptions::default());
    // Bit 0 of the general purpose flag: encrypted (APPNOTE 4.4.4), in both headers.
    let central = archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    archive[6] |= 1;
    archive[central + 8] |= 1;
    let problems = Template::from_zip(&archive).unwrap_err();
    assert!(problems[0].path == "/icon.png" && problems[0].message.contains("encrypted"), "{problems:?}");
}

#[test]
fn an_archive_that_names_a_file_twice_is_refused() {
    let mut archive = zip_with([("a.png", b"1".as_slice()), ("b.png", b"2".as_slice())], SimpleFileOptions::default());
    let places: Vec<usize> = (0..archive.len() - 5).filter(|at| archive[*at..].starts_with(b"b.png")).collect();
    for at in places {
        archive[at] = b'a';
    }
    let problems = Template::from_zip(&archive).unwrap_err();
    assert!(problems[0].message.contains("same name"), "{problems:?}");
}

#[test]
fn a_bomb_is_stopped_while_it_unpacks() {
    let zeros = vec![0; Template::MAX_UNPACKED_BYTES / 2 + 1];
    let archive = zip_with([("a.png", zeros.as_slice()), ("b.png", zeros.as_slice())], SimpleFileOptions::default());
    assert!(archive.len() < 100_000, "it looks small");
    let problems = Template::from_zip(&archive).unwrap_err();
    assert!(problems[0].message.contains("unpacks to more than"), "{problems:?}");
}

#[test]
fn too_many_entries_and_too_large_an_archive_are_refused() {
    let names: Vec<String> = (0..=Template::MAX_FILES).map(|index| format!("{index}.png")).collect();
    let archive = zip_with(names.iter().map(|name| (name.as_str(), b"".as_slice())), SimpleFileOptions::default());
    assert!(Template::from_zip(&archive).unwrap_err()[0].message.contains("entries"));
    let problems = Template::from_zip(&vec![0; Template::MAX_ARCHIVE_BYTES + 1]).unwrap_err();
    assert!(problems[0].message.contains("at most"), "{problems:?}");
    assert!(Template::from_zip(b"not a zip").unwrap_err()[0].message.contains("no zip archive"));
    let whole = zip_of(&folder(&coupon()));
    assert!(Template::from_zip(&whole[..whole.len() / 2]).is_err());
}

#[test]
fn a_large_or_broken_pass_json_is_refused() {
    let large = errors(|files| {
        let mut pass = coupon();
        pass["userInfo"] = json!("x".repeat(Template::MAX_TEXT_BYTES));
        files.insert("pass.json".into(), pass.to_string().into_bytes());
    });
    assert!(large[0].path == "/pass.json" && large[0].message.contains("at most"), "{large:?}");
    let broken = errors(|files| {
        files.insert("pass.json".into(), b"{\n  \"a\": }".to_vec());
    });
    assert!(broken[0].message.contains("line 2"), "{broken:?}");
    let absent = errors(|files| {
        files.remove("pass.json");
    });
    assert_eq!(paths(&absent), ["/pass.json"]);
}

#[test]
fn advice_names_the_file() {
    let found = warnings(|files| {
        files.insert("README.md".into(), b"hello".to_vec());
        files.insert("artwork/strip.svg".into(), b"<svg/>".to_vec());
        files.insert("thumbnail.png".into(), png_of(90, 90));
        files.insert("logo@2x.png".into(), png_of(400, 100));
        files.insert("en.lproj/strip.png".into(), png_of(375, 144));
        files.insert("de.lproj/pass.strings".into(), b"\"OTHER\" = \"x\";".to_vec());
        files.remove("icon@3x.png");
    });
    let mut found: Vec<&str> = found.iter().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "/README.md",
            "/artwork/strip.svg",
            "/de.lproj/pass.strings/OFFER",
            "/en.lproj/pass.strings/OTHER",
            "/en.lproj/strip.png",
            "/icon@3x.png",
            "/logo@2x.png",
            "/thumbnail.png"
        ]
    );
}

#[test]
fn scales_of_one_image_relate_exactly() {
    let found = warnings(|files| {
        files.insert("strip@2x.png".into(), png_of(750, 287));
    });
    assert_eq!(found, ["/strip@2x.png", "/strip@2x.png"], "once against its sisters, once against reference 3.9");
}

#[test]
fn rewards_enrolment_stands_or_falls_together() {
    let sheet = json!({"description": "Join", "requiredPersonalizationFields": ["PKPassPersonalizationFieldName"]});
    let alone = warnings(|files| {
        files.insert("personalization.json".into(), sheet.to_string().into_bytes());
    });
    assert_eq!(alone, ["/personalization.json"]);
    let wrong = errors(|files| {
        files.insert("personalization.json".into(), br#"{"requiredPersonalizationFields": ["Shoe"]}"#.to_vec());
    });
    assert_eq!(
        paths(&wrong),
        ["/personalization.json/description", "/personalization.json/requiredPersonalizationFields/0"]
    );
}
