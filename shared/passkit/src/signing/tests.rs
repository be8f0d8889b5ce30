use std::{path::PathBuf, process::Command, sync::LazyLock};

use openssl::{
    asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time},
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkcs12::Pkcs12,
    rsa::Rsa,
    symm::Cipher,
    x509::{
        X509Builder, X509Extension, X509Name, X509NameBuilder, X509PurposeId,
        extension::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, SubjectKeyIdentifier},
        store::X509StoreBuilder,
    },
};

use super::*;
use crate::{
    identifiers::SerialNumber,
    look::{Inputs, Look, LookPlan, Redeemability},
    secrets::{AuthenticationToken, Barcode},
    template::tests::{coupon, template},
};

const DAY: i64 = 86_400;

/// A certificate with its key.
struct Certified {
    certificate: X509,
    key: PKey<Private>,
}

/// A throw-away chain with the shape of Apple's (reference 3.4, 9.1).
struct Chain {
    root: Certified,
    intermediate: Certified,
    leaf: Certified,
}

static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let root = certify(Subject::authority("Root CA", "Test"), None);
    let intermediate = certify(Subject::authority("Worldwide Developer Relations", "G4"), Some(&root));
    let leaf = certify(Subject::pass(), Some(&intermediate));
    Chain { root, intermediate, leaf }
});

/// What goes into a certificate.
struct Subject {
    names: Vec<(Nid, String)>,
    extension: Option<&'static str>,
    usages: Vec<&'static str>,
    is_authority: bool,
    days: (i64, i64),
}

impl Subject {
    fn authority(name: &str, unit: &str) -> Self {
        Self {
            names: vec![
                (Nid::COMMONNAME, name.to_owned()),
                (Nid::ORGANIZATIONALUNITNAME, unit.to_owned()),
                (Nid::ORGANIZATIONNAME, "Test Inc.".to_owned()),
            ],
            extension: None,
            usages: vec![],
            is_authority: true,
            days: (-2, 1000),
        }
    }

    fn pass() -> Self {
        Self {
            names: vec![
                (Nid::USERID, "pass.example.passloop".to_owned()),
                (Nid::COMMONNAME, "Pass Type ID: pass.example.passloop".to_owned()),
                (Nid::ORGANIZATIONALUNITNAME, "PASSLOOP01".to_owned()),
            ],
            extension: Some("pass.example.passloop"),
            usages: vec!["clientAuth", "1.2.840.113635.100.4.14"],
            is_authority: false,
            days: (-1, 100),
        }
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn name(parts: &[(Nid, String)]) -> X509Name {
    let mut builder = X509NameBuilder::new().unwrap();
    for (part, text) in parts {
        builder.append_entry_by_nid(*part, text).unwrap();
    }
    builder.build()
}

fn certify(subject: Subject, issuer: Option<&Certified>) -> Certified {
    certify_key(subject, issuer, PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap())
}

fn certify_key(subject: Subject, issuer: Option<&Certified>, key: PKey<Private>) -> Certified {
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(7).and_then(|number| Asn1Integer::from_bn(&number)).unwrap();
    builder.set_serial_number(&serial).unwrap();
    let subject_name = name(&subject.names);
    builder.set_subject_name(&subject_name).unwrap();
    builder.set_issuer_name(issuer.map_or(&*subject_name, |issuer| issuer.certificate.subject_name())).unwrap();
    builder.set_pubkey(&key).unwrap();
    let at = |days: i64| Asn1Time::from_unix(now().as_second() + days * DAY).unwrap();
    builder.set_not_before(&at(subject.days.0)).unwrap();
    builder.set_not_after(&at(subject.days.1)).unwrap();
    if subject.is_authority {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    let context = builder.x509v3_context(issuer.map(|issuer| &*issuer.certificate), None);
    let key_id = SubjectKeyIdentifier::new().build(&context).unwrap();
    let issuer_id = issuer.map(|_| AuthorityKeyIdentifier::new().keyid(true).build(&context).unwrap());
    builder.append_extension(key_id).unwrap();
    if let Some(issuer_id) = issuer_id {
        builder.append_extension(issuer_id).unwrap();
    }
    if !subject.usages.is_empty() {
        let mut usage = ExtendedKeyUsage::new();
        for name in subject.usages {
            usage.other(name);
        }
        builder.append_extension(usage.critical().build().unwrap()).unwrap();
    }
    if let Some(text) = subject.extension {
        let id = Asn1Object::from_str("1.2.840.113635.100.6.1.16").unwrap();
        let der = [&[0x0C, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let content = Asn1OctetString::new_from_bytes(&der).unwrap();
        builder.append_extension(X509Extension::new_from_der(&id, false, &content).unwrap()).unwrap();
    }
    builder.sign(issuer.map_or(&key, |issuer| &issuer.key), MessageDigest::sha256()).unwrap();
    Certified { certificate: builder.build(), key }
}

impl Certified {
    fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }
}

fn load(leaf: &Certified, intermediates: &[Vec<u8>]) -> Result<SigningIdentity, Vec<IdentityProblem>> {
    SigningIdentity::from_parts(&leaf.pem(), &leaf.key_pem(), None, intermediates, now())
        .map_err(|error| error.problems)
}

fn identity() -> SigningIdentity {
    load(&CHAIN.leaf, &[CHAIN.intermediate.pem()]).unwrap()
}

/// Issues a leaf that differs from a right one.
fn leaf(change: impl FnOnce(&mut Subject)) -> Certified {
    let mut subject = Subject::pass();
    change(&mut subject);
    certify(subject, Some(&CHAIN.intermediate))
}

#[test]
fn an_identity_says_what_its_certificate_says() {
    let identity = identity();
    assert_eq!(identity.pass_type_identifier().as_str(), "pass.example.passloop");
    assert_eq!(identity.team_identifier().as_str(), "PASSLOOP01");
    assert_eq!(identity.fingerprint()[..], CHAIN.leaf.certificate.digest(MessageDigest::sha256()).unwrap()[..]);
    let seconds_before_the_end =
        |seconds| identity.days_left(identity.valid_until() - jiff::SignedDuration::from_secs(seconds));
    assert_eq!([2 * DAY, 2 * DAY - 1, 0, -1].map(seconds_before_the_end), [2, 1, 0, -1]);
    assert_eq!(
        identity.tls_chain(),
        [CHAIN.leaf.certificate.to_der().unwrap(), CHAIN.intermediate.certificate.to_der().unwrap()]
    );
    let [certificate, intermediate] = [identity.certificate(), identity.intermediate()];
    assert_eq!(certificate.fingerprint().unwrap(), identity.fingerprint());
    assert_eq!(certificate.issuer(), intermediate.subject());
    assert_eq!(certificate.serial_number(), "07");
    assert_eq!(intermediate.to_pem().unwrap(), CHAIN.intermediate.pem());
    // The leaf begins last and ends first.
    assert_eq!((identity.valid_from(), identity.valid_until()), (certificate.valid_from(), certificate.valid_until()));
    assert!(intermediate.valid_from() < certificate.valid_from());
}

#[test]
fn the_key_never_prints() {
    let identity = identity();
    let key = identity.tls_key_pkcs8().unwrap();
    assert!(PKey::private_key_from_pkcs8(key.expose()).unwrap().public_eq(&CHAIN.leaf.key));
    assert_eq!(format!("{key:?}"), "TlsKey(…)");
    assert!(!format!("{identity:?}").to_lowercase().contains("private"));
}

#[test]
fn the_intermediate_is_chosen_by_name_and_key_among_many() {
    let same_name = certify(Subject::authority("Worldwide Developer Relations", "G4"), Some(&CHAIN.root));
    let others = [CHAIN.root.pem(), same_name.pem(), CHAIN.intermediate.certificate.to_der().unwrap()];
    let identity = load(&CHAIN.leaf, &others).unwrap();
    assert_eq!(identity.tls_chain()[1], CHAIN.intermediate.certificate.to_der().unwrap());
    let bundle = [CHAIN.leaf.pem(), CHAIN.intermediate.pem()].concat();
    assert!(SigningIdentity::from_parts(&bundle, &CHAIN.leaf.key_pem(), None, &[], now()).is_ok());

    let problems = load(&CHAIN.leaf, &[CHAIN.root.pem(), same_name.pem()]).unwrap_err();
    let [IdentityProblem::NoIntermediate { issuer, key_identifier }] = problems.as_slice() else {
        panic!("{problems:?}");
    };
    assert_eq!(issuer, "CN=Worldwide Developer Relations, OU=G4, O=Test Inc.");
    let expected = CHAIN.intermediate.certificate.subject_key_id().unwrap().as_slice();
    assert_eq!(*key_identifier, hex::encode(expected));
}

#[test]
fn everything_that_is_wrong_is_reported_at_once() {
    let wrong = leaf(|subject| {
        subject.names[0].1 = "com.example".to_owned();
        subject.names[2].1 = "team".to_owned();
        subject.usages = vec!["emailProtection"];
        subject.days = (-10, -1);
    });
    let error = SigningIdentity::from_parts(&wrong.pem(), &CHAIN.leaf.key_pem(), None, &[b"nothing".to_vec()], now())
        .unwrap_err();
    assert!(
        matches!(
            error.problems.as_slice(),
            [
                IdentityProblem::UnreadableIntermediate(1),
                IdentityProblem::KeyMismatch,
                IdentityProblem::PassTypeExtension { .. },
                IdentityProblem::BadPassType(_),
                IdentityProblem::BadTeam(_),
                IdentityProblem::UsageMissing(_),
                IdentityProblem::UsageMissing(_),
                IdentityProblem::Expired { which: Which::Pass, .. },
                IdentityProblem::NoIntermediate { .. },
            ]
        ),
        "{:?}",
        error.problems
    );
    assert!(error.to_string().contains("apple.com/certificateauthority"), "{error}");
}

#[test]
fn the_extension_must_agree_with_the_uid_and_may_be_absent() {
    let other = leaf(|subject| subject.extension = Some("pass.example.other"));
    let expected = IdentityProblem::PassTypeExtension {
        uid: "pass.example.passloop".into(),
        extension: "pass.example.other".into(),
    };
    assert_eq!(load(&other, &[CHAIN.intermediate.pem()]).unwrap_err(), [expected]);
    let none = leaf(|subject| subject.extension = None);
    assert!(load(&none, &[CHAIN.intermediate.pem()]).is_ok());
}

#[test]
fn certificates_count_between_their_dates_only() {
    let load = |days: i64| {
        let then = now() + jiff::SignedDuration::from_secs(days * DAY);
        let intermediates = [CHAIN.intermediate.pem()];
        SigningIdentity::from_parts(&CHAIN.leaf.pem(), &CHAIN.leaf.key_pem(), None, &intermediates, then)
            .map_err(|error| error.problems)
    };
    assert!(load(0).is_ok());
    assert!(matches!(load(101).unwrap_err().as_slice(), [IdentityProblem::Expired { which: Which::Pass, .. }]));
    assert!(matches!(
        load(1001).unwrap_err().as_slice(),
        [
            IdentityProblem::Expired { which: Which::Pass, .. },
            IdentityProblem::Expired { which: Which::Intermediate, .. }
        ]
    ));
    assert!(matches!(
        load(-3).unwrap_err().as_slice(),
        [
            IdentityProblem::NotYetValid { which: Which::Pass, .. },
            IdentityProblem::NotYetValid { which: Which::Intermediate, .. }
        ]
    ));
}

#[test]
fn encrypted_keys_need_their_passphrase() {
    let key = CHAIN.leaf.key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret").unwrap();
    let load = |key: &[u8], passphrase| {
        SigningIdentity::from_parts(&CHAIN.leaf.pem(), key, passphrase, &[CHAIN.intermediate.pem()], now())
            .map(|_| ())
            .map_err(|error| error.problems)
    };
    assert_eq!(load(&key, Some("secret")), Ok(()));
    assert_eq!(load(&key, None), Err(vec![IdentityProblem::PassphraseMissing]));
    assert_eq!(load(&key, Some("wrong")), Err(vec![IdentityProblem::PassphraseWrong]));
    assert_eq!(load(b"no key", None), Err(vec![IdentityProblem::UnreadableKey]));
    assert_eq!(load(&CHAIN.leaf.key.private_key_to_der().unwrap(), None), Ok(()));
}

#[test]
fn a_pkcs_12_file_is_read_and_its_troubles_are_told_apart() {
    let p12 = Pkcs12::builder().pkey(&CHAIN.leaf.key).cert(&CHAIN.leaf.certificate).build2("secret").unwrap();
    let p12 = p12.to_der().unwrap();
    let load = |p12: &[u8], password| {
        SigningIdentity::from_pkcs12(p12, password, &[CHAIN.intermediate.pem()], now())
            .map(|identity| identity.fingerprint())
            .map_err(|error| error.problems)
    };
    assert_eq!(load(&p12, "secret"), Ok(identity().fingerprint()));
    assert_eq!(load(&p12, "wrong"), Err(vec![IdentityProblem::Pkcs12PasswordWrong]));
    assert_eq!(load(&p12, "sec\0ret"), Err(vec![IdentityProblem::Pkcs12PasswordWrong]));
    assert_eq!(load(b"nothing", "secret"), Err(vec![IdentityProblem::UnreadablePkcs12]));
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("passkit-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    /// Runs a program in the folder; `None`: this machine does not have it.
    fn run(&self, program: &str, arguments: &[&str]) -> Option<std::process::Output> {
        match Command::new(program).args(arguments).current_dir(&self.0).output() {
            Ok(output) => Some(output),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("{program} is not installed: this check is left to machines that have it");
                None
            }
            Err(error) => panic!("{program}: {error}"),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind at worst: the test's verdict stands either way.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Reference 9.1: unzip, hashes, `openssl cms -verify -purpose any`.
#[test]
fn a_package_satisfies_unzip_and_openssl() {
    let identity = identity();
    let template = template(&coupon());
    let offer = serde_json::json!({"offerId": "free", "title": "Free croissant"});
    let plan =
        LookPlan { overlays: &[], redeemability: Redeemability::Open, offer: &offer, expires_at: None, places: &[] };
    let look = Look::prepare(&template, &plan).unwrap();
    let rendered = look.render(&Inputs {
        pass_type_identifier: identity.pass_type_identifier(),
        team_identifier: identity.team_identifier(),
        serial_number: &"S1".parse::<SerialNumber>().unwrap(),
        authentication_token: &AuthenticationToken::new("vxwxd7J8AlNNFPS8k0a0FfUFtq0ewzFdc"),
        web_service_url: "https://passes.example.com",
        barcode: Some(&Barcode::new("ABC")),
        holder: &serde_json::json!({"name": "Ada"}),
        remaining: None,
        redemptions: 0,
        personalization: crate::personalization::Personalization::Offered,
    });
    let signature = identity.sign(rendered.manifest(), now()).unwrap();
    let folder = Folder::new("package");
    folder.write("x.pkpass", &rendered.package(&signature).unwrap());
    folder.write("root.pem", &CHAIN.root.pem());

    let Some(unzip) = folder.run("unzip", &["-q", "x.pkpass", "-d", "p"]) else { return };
    assert!(unzip.status.success(), "{}", text(&unzip));
    assert_eq!(std::fs::read(folder.0.join("p/manifest.json")).unwrap(), rendered.manifest());
    let manifest: std::collections::BTreeMap<String, String> = serde_json::from_slice(rendered.manifest()).unwrap();
    for (path, expected) in &manifest {
        let bytes = std::fs::read(folder.0.join("p").join(path)).unwrap();
        assert_eq!(hex::encode(openssl::sha::sha1(&bytes)), *expected, "{path}");
    }
    let listing = folder.run("unzip", &["-Z1", "x.pkpass"]).unwrap();
    let mut names: Vec<String> = text(&listing).lines().map(str::to_owned).collect();
    names.sort();
    let mut expected: Vec<String> = manifest.into_keys().chain(["manifest.json".into(), "signature".into()]).collect();
    expected.sort();
    assert_eq!(names, expected);

    let verify = [
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "p/signature",
        "-content",
        "p/manifest.json",
        "-CAfile",
        "root.pem",
        "-purpose",
        "any",
        "-out",
        "verified",
    ];
    let Some(verified) = folder.run("openssl", &verify) else { return };
    assert!(verified.status.success(), "{}", text(&verified));
    folder.write("p/manifest.json", &[rendered.manifest(), b" "].concat());
    assert!(!folder.run("openssl", &verify).unwrap().status.success(), "one byte more must not verify");

    let print = folder.run("openssl", &["cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", "p/signature"]);
    let print = text(&print.unwrap());
    assert!(print.contains("eContent: <ABSENT>"), "detached");
    assert!(print.contains("signingTime"), "reference 3.3");
    assert!(print.contains("sha256"), "reference 3.3");
    let certificates =
        folder.run("openssl", &["pkcs7", "-inform", "DER", "-in", "p/signature", "-print_certs", "-noout"]);
    assert_eq!(text(&certificates.unwrap()).matches("subject").count(), 2, "leaf and intermediate");
}

/// OpenSSL's opinion of a signature.
fn verifies(signature: &[u8], content: &[u8], signer: &Certified) -> bool {
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(CHAIN.root.certificate.clone()).unwrap();
    store.set_purpose(X509PurposeId::ANY).unwrap();
    let mut signed = CmsContentInfo::from_der(signature).unwrap();
    let holds_the_signer = signature.windows(64).any(|window| window == &signer.certificate.to_der().unwrap()[..64]);
    signed.verify(None, Some(&store.build()), Some(content), None, CMSOptions::BINARY).is_ok() && holds_the_signer
}

#[test]
fn what_the_pattern_makes_is_what_openssl_makes() {
    let identity = identity();
    let contents = [&b""[..], b"{}", &[7; 5000]];
    for content in contents {
        // The signing time is in whole seconds; OpenSSL reads the clock itself.
        let same = (0..5).any(|_| {
            let (ours, theirs) = (identity.sign(content, now()).unwrap(), identity.put_together(content).unwrap());
            ours == theirs
        });
        assert!(same);
    }
    assert!(identity.pattern.get().is_some_and(Option::is_some), "it is the pattern that was tried");
}

#[test]
fn a_signature_says_the_time_it_was_given_and_holds_for_its_content_only() {
    let identity = identity();
    let at: jiff::Timestamp = "2031-02-03T04:05:06.789Z".parse().unwrap();
    let signature = identity.sign(b"content", at).unwrap();
    assert!(signature.windows(13).any(|window| window == b"310203040506Z"));
    assert!(verifies(&signature, b"content", &CHAIN.leaf));
    assert!(!verifies(&signature, b"another", &CHAIN.leaf));
    // Each by the same pattern.
    assert!(verifies(&identity.sign(b"another", at).unwrap(), b"another", &CHAIN.leaf));
}

#[test]
fn times_outside_the_century_of_utctime_are_left_to_openssl() {
    let identity = identity();
    for at in ["1999-12-31T23:59:59Z", "2050-01-01T00:00:00Z", "-000001-01-01T00:00:00Z"] {
        let signature = identity.sign(b"content", at.parse().unwrap()).unwrap();
        assert!(verifies(&signature, b"content", &CHAIN.leaf), "{at}");
    }
    let last = identity.sign(b"content", "2049-12-31T23:59:59Z".parse().unwrap()).unwrap();
    assert!(last.windows(13).any(|window| window == b"491231235959Z"));
}

#[test]
fn keys_of_elliptic_curves_sign_too() {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
    let leaf = certify_key(Subject::pass(), Some(&CHAIN.intermediate), key);
    let identity = load(&leaf, &[CHAIN.intermediate.pem()]).unwrap();
    for _ in 0..20 {
        assert!(verifies(&identity.sign(b"content", now()).unwrap(), b"content", &leaf));
    }
    assert!(identity.pattern.get().is_some_and(Option::is_none));
}

/// Keychain Access and old tools export RC2 and 3DES, which current OpenSSL reads only with `-legacy`.
#[test]
fn an_outdated_pkcs_12_file_is_called_outdated() {
    let folder = Folder::new("legacy");
    folder.write("leaf.pem", &[CHAIN.leaf.pem(), CHAIN.leaf.key_pem()].concat());
    let export = ["pkcs12", "-export", "-legacy", "-in", "leaf.pem", "-out", "old.p12", "-passout", "pass:secret"];
    let Some(made) = folder.run("openssl", &export) else { return };
    if !made.status.success() {
        eprintln!("this openssl cannot make an outdated file: {}", text(&made));
        return;
    }
    let old = std::fs::read(folder.0.join("old.p12")).unwrap();
    let loaded = SigningIdentity::from_pkcs12(&old, "secret", &[CHAIN.intermediate.pem()], now());
    assert_eq!(loaded.unwrap_err().problems, [IdentityProblem::Pkcs12Outdated]);
}
