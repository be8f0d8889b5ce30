//! Opens a `.pkpass` as reference 9.1 does: with `unzip`, `sha1sum` and `openssl`, never with the
//! service's own reader.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::RwLock;

use serde_json::Value;
use tempfile::TempDir;

/// The file a signature is over.
const SIGNED: &str = "manifest.json";

/// A package that passed every check of contract section 5.
#[derive(Debug, Clone)]
pub struct Package {
    /// `pass.json`, parsed.
    pub pass: Value,
    /// `manifest.json`, byte for byte: what makes two packages the same pass (reference 1.3 G).
    pub manifest: Vec<u8>,
    /// Every file of the package, by path.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Package {
    /// Unpacks and checks; `root` is the certificate the chain must end in.
    ///
    /// # Errors
    /// Everything that is wrong, as sentences: what a phone calls "invalid pass data".
    pub fn open(bytes: &[u8], root: &Path) -> Result<Package, Vec<String>> {
        // Programs are waited for, so the service's tasks must be able to move to another thread.
        tokio::task::block_in_place(|| Package::check(bytes, root))
    }

    fn check(bytes: &[u8], root: &Path) -> Result<Package, Vec<String>> {
        let dir = TempDir::new().unwrap();
        let archive = dir.path().join("x.pkpass");
        std::fs::write(&archive, bytes).unwrap();
        let contents = dir.path().join("p");
        std::fs::create_dir(&contents).unwrap();
        let unzip = run(&contents, "unzip", &["-q", "../x.pkpass"]);
        if !unzip.status.success() {
            return Err(vec![format!("unzip: {}", said(&unzip))]);
        }
        let mut files = BTreeMap::new();
        read_tree(&contents, "", &mut files);
        let missing: Vec<String> = ["pass.json", "manifest.json", "signature"]
            .iter()
            .filter(|name| !files.contains_key(**name))
            .map(|name| format!("{name} is missing"))
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let mut problems = Vec::new();
        if !files.keys().any(|path| path.starts_with("icon")) {
            problems.push("Pass does not contain icon.png/icon@2x.png/icon@3x.png".to_owned());
        }
        check_manifest(&contents, &files, &mut problems);
        let pass: Value = serde_json::from_slice(&files["pass.json"]).unwrap_or_else(|error| {
            problems.push(format!("pass.json: {error}"));
            Value::Null
        });
        check_pass(&pass, &mut problems);
        check_signature(&contents, root, &pass, &mut problems);
        if problems.is_empty() {
            let manifest = files["manifest.json"].clone();
            Ok(Package { pass, manifest, files })
        } else {
            Err(problems)
        }
    }

    /// What is wrong with a detached signature over `content`, if it is to be of this pass's signer: how a phone checks
    /// a personalization token (reference 1.3 P).
    pub fn signature_problems(&self, signature: &[u8], content: &[u8], root: &Path) -> Vec<String> {
        tokio::task::block_in_place(|| {
            let dir = TempDir::new().unwrap();
            let contents = dir.path().join("p");
            std::fs::create_dir(&contents).unwrap();
            std::fs::write(contents.join("signature"), signature).unwrap();
            std::fs::write(contents.join(SIGNED), content).unwrap();
            let mut problems = Vec::new();
            check_signature(&contents, root, &self.pass, &mut problems);
            problems
        })
    }

    /// A top-level string of pass.json.
    pub fn text(&self, key: &str) -> &str {
        self.pass[key].as_str().unwrap_or_default()
    }

    /// The first barcode's message; `None` when the pass carries no barcode at all.
    pub fn barcode(&self) -> Option<&str> {
        let old = self.pass.get("barcode").map(|code| &code["message"]);
        let code = self.pass["barcodes"].get(0).map(|code| &code["message"]);
        code.or(old).and_then(Value::as_str)
    }

    /// Every field of the pass, by its key.
    pub fn fields(&self) -> BTreeMap<&str, &Value> {
        let styles = ["boardingPass", "coupon", "eventTicket", "generic", "storeCard"];
        styles
            .iter()
            .filter_map(|style| self.pass[style].as_object())
            .flat_map(|style| style.values())
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(|field| Some((field["key"].as_str()?, field)))
            .collect()
    }

    /// A field's value; `Null` when there is no such field.
    pub fn value(&self, key: &str) -> Value {
        self.fields().get(key).map(|field| field["value"].clone()).unwrap_or_default()
    }
}

/// Two-way match and SHA-1 of every file (reference 3.2).
fn check_manifest(contents: &Path, files: &BTreeMap<String, Vec<u8>>, problems: &mut Vec<String>) {
    let manifest: BTreeMap<String, String> = match serde_json::from_slice(&files["manifest.json"]) {
        Ok(manifest) => manifest,
        Err(error) => {
            problems.push(format!("manifest.json: {error}"));
            return;
        }
    };
    let listed: Vec<&str> = manifest.keys().map(String::as_str).collect();
    let present: Vec<&str> =
        files.keys().map(String::as_str).filter(|path| *path != "manifest.json" && *path != "signature").collect();
    if listed != present {
        problems.push(format!("manifest lists {listed:?}, the zip has {present:?}"));
        return;
    }
    let mut arguments = vec!["--"];
    arguments.extend(&present);
    let sums = run(contents, "sha1sum", &arguments);
    let sums = String::from_utf8_lossy(&sums.stdout).into_owned();
    let computed: BTreeMap<String, String> = sums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, path)| (path.to_owned(), sum.to_owned()))
        .collect();
    if computed != manifest {
        problems.push(format!("hashes differ: {manifest:?}, sha1sum says {computed:?}"));
    }
}

/// What a phone needs in pass.json before it takes the pass (reference 3.6, 4.1).
fn check_pass(pass: &Value, problems: &mut Vec<String>) {
    if pass["formatVersion"] != 1 {
        problems.push("formatVersion is not 1".to_owned());
    }
    for key in
        ["passTypeIdentifier", "teamIdentifier", "serialNumber", "organizationName", "description", "webServiceURL"]
    {
        if pass[key].as_str().unwrap_or_default().is_empty() {
            problems.push(format!("{key} is missing or not a string"));
        }
    }
    let token = pass["authenticationToken"].as_str().unwrap_or_default();
    if token.len() < 16 {
        problems.push("authenticationToken is shorter than 16 characters".to_owned());
    }
    // Contract section 3: webServiceURL never ends in a slash.
    if pass["webServiceURL"].as_str().unwrap_or_default().ends_with('/') {
        problems.push("webServiceURL ends in a slash".to_owned());
    }
    if pass.to_string().contains("{{") {
        problems.push("a placeholder was left in pass.json".to_owned());
    }
}

/// Detached DER CMS over the manifest, with signing time, leaf and intermediate inside, the chain
/// to the root, UID and OU as in pass.json (reference 9.1).
fn check_signature(contents: &Path, root: &Path, pass: &Value, problems: &mut Vec<String>) {
    let root = root.to_string_lossy();
    let verify = run(
        contents,
        "openssl",
        &[
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "DER",
            "-in",
            "signature",
            "-content",
            SIGNED,
            "-CAfile",
            &root,
            "-purpose",
            "any",
            "-signer",
            "../leaf.pem",
            "-out",
            "/dev/null",
        ],
    );
    if !verify.status.success() {
        problems.push(format!("openssl cms -verify: {}", said(&verify)));
        return;
    }
    let print = ["cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", "signature"];
    let print = run(contents, "openssl", &print);
    let print = String::from_utf8_lossy(&print.stdout).into_owned();
    let detached = print.lines().any(|line| line.contains("eContent:") && line.contains("ABSENT"));
    if !detached {
        problems.push("the signature is not detached".to_owned());
    }
    if !print.contains("signingTime") {
        problems.push("Signature must contain a signing date".to_owned());
    }
    let certificates = ["pkcs7", "-inform", "DER", "-in", "signature", "-print_certs", "-noout"];
    let certificates = run(contents, "openssl", &certificates);
    let certificates = String::from_utf8_lossy(&certificates.stdout).into_owned();
    let count = certificates.matches("subject=").count();
    if count != 2 {
        problems.push(format!("{count} certificates inside, not leaf and intermediate"));
    }
    let subject = ["x509", "-in", "../leaf.pem", "-noout", "-subject", "-nameopt", "RFC2253,sep_multiline"];
    let subject = run(contents, "openssl", &subject);
    let subject = String::from_utf8_lossy(&subject.stdout).into_owned();
    for (attribute, key) in [("UID", "passTypeIdentifier"), ("OU", "teamIdentifier")] {
        let expected = format!("{attribute}={}", pass[key].as_str().unwrap_or_default());
        if !subject.lines().any(|line| line.trim() == expected) {
            problems.push(format!("no {expected} in the certificate's {subject}"));
        }
    }
}

fn read_tree(dir: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            read_tree(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
}

/// Read while a program runs: until it has begun, it owns copies of all our open files.
static RUNNING: RwLock<()> = RwLock::new(());

/// Returns once no program holds a copy of a file that this process has closed before the call.
/// A service's lock on its data directory is such a file.
pub(crate) fn no_program_holds_our_files() {
    tokio::task::block_in_place(|| drop(RUNNING.write().unwrap()));
}

fn run(dir: &Path, program: &str, arguments: &[&str]) -> Output {
    let output = {
        let _running = RUNNING.read().unwrap();
        Command::new(program).args(arguments).current_dir(dir).output()
    };
    match output {
        Ok(output) => output,
        Err(error) => panic!("packages are checked by `{program}`, which must be installed: {error}"),
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
