use super::*;

#[tokio::test]
async fn an_import_writes_an_identity_that_the_service_reads() {
    let desk = Desk::with(&CHAIN.pass);
    let out = desk.directory.path().join("identities");
    let done = run_line(&format!("{} --out {}", desk.import(), out.display())).await.unwrap();
    assert_eq!(done.verdict, Verdict::Good);
    assert!(done.result.contains("364 days"), "{}", done.result);
    assert_eq!(names(&out), [PASS_TYPE]);
    let folder = out.join(PASS_TYPE);
    assert_eq!(names(&folder), ["certificate.pem", "key.pem", "wwdr.pem"]);
    let modes = ["certificate.pem", "key.pem", "wwdr.pem"].map(|name| mode(&folder.join(name)));
    assert_eq!(modes, [0o644, 0o600, 0o644]);
    let checked = run_line(&format!("check {}", out.display())).await.unwrap();
    assert_eq!(checked.verdict, Verdict::Good, "{}", checked.result);
}

#[tokio::test]
async fn an_import_takes_a_p12_or_an_encrypted_key_and_finds_the_intermediate_in_the_directory() {
    let desk = Desk::with(&CHAIN.pass);
    let out = desk.directory.path().join("identities");
    fs::create_dir(&out).unwrap();
    // Neither the root, nor another's intermediate of the same name, nor a stray key is in the way.
    let stranger = CHAIN.root.intermediate(Validity::INTERMEDIATE).unwrap();
    fs::write(out.join("root.pem"), CHAIN.root.certificate_pem().unwrap()).unwrap();
    fs::write(out.join("a-stranger.pem"), stranger.certificate_pem().unwrap()).unwrap();
    fs::write(out.join("stray.pem"), CHAIN.pass.key().private_key_to_pem_pkcs8().unwrap()).unwrap();
    fs::write(out.join("wwdr.pem"), CHAIN.wwdr.certificate_pem().unwrap()).unwrap();

    desk.put("identity.p12", &archive(&CHAIN.pass, "sesame"));
    desk.put("password", b"sesame");
    let [p12, password, cer, key] = ["identity.p12", "password", "pass.cer", "pass.key"].map(|name| desk.path(name));
    let to = format!("--out {}", out.display());
    run_line(&format!("import --p12 {p12} --password-file {password} {to}")).await.unwrap();
    let wwdr = fs::read(out.join(PASS_TYPE).join("wwdr.pem")).unwrap();
    assert_eq!(wwdr, CHAIN.wwdr.certificate_pem().unwrap());

    let encrypted =
        CHAIN.pass.key().private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_256_cbc(), b"sesame").unwrap();
    desk.put("pass.key", &encrypted);
    let refused = run_line(&format!("import --cer {cer} --key {key} {to}")).await.unwrap_err();
    assert!(refused.to_string().contains("give its passphrase"), "{refused}");
    run_line(&format!("import --cer {cer} --key {key} --passphrase-file {password} {to}")).await.unwrap();
    let written = fs::read(out.join(PASS_TYPE).join("key.pem")).unwrap();
    assert!(PKey::private_key_from_pem(&written).is_ok());
}

#[tokio::test]
async fn without_the_right_intermediate_nothing_is_written_and_the_missing_one_is_named() {
    let desk = Desk::with(&CHAIN.pass);
    let out = desk.directory.path().join("identities");
    let [cer, key] = ["pass.cer", "pass.key"].map(|name| desk.path(name));
    let line = format!("import --cer {cer} --key {key} --out {}", out.display());
    let refused = run_line(&line).await.unwrap_err().to_string();
    for told in ["Throw-away Worldwide Developer Relations", "OU=G4", "--intermediate"] {
        assert!(refused.contains(told), "{told}: {refused}");
    }
    assert!(!out.exists());

    // Reference 3.4: a certificate that Apple's G4 issued.
    let apple = apples_g4();
    let pass = apple.issue(PASS_TYPE, TEAM, Validity::LEAF).unwrap();
    let desk = Desk::with(&pass);
    let [cer, key] = ["pass.cer", "pass.key"].map(|name| desk.path(name));
    let line = format!("import --cer {cer} --key {key} --out {}", out.display());
    let refused = run_line(&line).await.unwrap_err().to_string();
    for told in ["AppleWWDRCAG4.cer", "13DC77955271E53DC632E8CCFFE521F3CCC5CED2", "apple.com/certificateauthority"] {
        assert!(refused.contains(told), "{told}: {refused}");
    }

    // The name alone makes no G4.
    desk.put("wwdr.cer", &apple.certificate_pem().unwrap());
    let refused = run_line(&format!("{} --out {}", desk.import(), out.display())).await.unwrap_err();
    assert!(matches!(refused, CertificatesError::CounterfeitG4(_)), "{refused}");
    assert!(!out.exists());
    let folder = desk.directory.path().join("identities");
    pass.write(&folder, &apple).unwrap();
    let checked = run_line(&format!("check {}", folder.display())).await.unwrap();
    assert_eq!(checked.verdict, Verdict::Bad);
    assert!(checked.result.contains("cannot be used"), "{}", checked.result);
}

/// An authority with the name of Apple's G4.
fn apples_g4() -> Authority {
    let name = [
        ("CN", "Apple Worldwide Developer Relations Certification Authority"),
        ("OU", "G4"),
        ("O", "Apple Inc."),
        ("C", "US"),
    ];
    CHAIN.root.intermediate_named(&name, Validity::INTERMEDIATE).unwrap()
}

#[tokio::test]
async fn an_identity_that_does_not_do_is_refused_before_anything_is_written() {
    let desk = Desk::with(&CHAIN.pass);
    let out = desk.directory.path().join("identities");
    desk.put("pass.key", &RENEWED.key().private_key_to_pem_pkcs8().unwrap());
    let refused = run_line(&format!("{} --out {}", desk.import(), out.display())).await.unwrap_err();
    assert!(matches!(refused, CertificatesError::Identity(_)), "{refused}");
    assert!(!out.exists());
}

#[tokio::test]
async fn a_renewal_keeps_the_earlier_identity_beside_it() {
    let out = TempDir::new().unwrap();
    let to = format!("--out {}", out.path().display());
    let desk = Desk::with(&CHAIN.pass);
    run_line(&format!("{} {to}", desk.import())).await.unwrap();
    // The intermediate is found in the earlier identity's folder.
    let desk = Desk::with(&RENEWED);
    let [cer, key] = ["pass.cer", "pass.key"].map(|name| desk.path(name));
    let renewal = format!("import --cer {cer} --key {key} {to}");
    let done = run_line(&renewal).await.unwrap();
    let [current, earlier] = names(out.path()).try_into().unwrap();
    assert_eq!(current, PASS_TYPE);
    assert!(done.result.contains(&earlier), "{}", done.result);
    let certificate = |folder: &str| fs::read(out.path().join(folder).join("certificate.pem")).unwrap();
    assert_eq!(certificate(&current), RENEWED.certificate_pem().unwrap());
    assert_eq!(certificate(&earlier), CHAIN.pass.certificate_pem().unwrap());

    // The same again, as after an interruption, changes nothing.
    run_line(&renewal).await.unwrap();
    assert_eq!(names(out.path()), [current, earlier]);
}

#[tokio::test]
async fn an_expired_predecessor_is_put_where_the_service_does_not_look() {
    let out = TempDir::new().unwrap();
    let expired = CHAIN.wwdr.issue(PASS_TYPE, TEAM, Validity::EXPIRED).unwrap();
    expired.write(out.path(), &CHAIN.wwdr).unwrap();
    let desk = Desk::with(&CHAIN.pass);
    let done = run_line(&format!("{} --out {}", desk.import(), out.path().display())).await.unwrap();
    assert!(done.result.contains("expired on"), "{}", done.result);
    let [hidden, current] = names(out.path()).try_into().unwrap();
    assert!(hidden.starts_with(".pass.example.bakery."), "{hidden}");
    assert_eq!(current, PASS_TYPE);
    let checked = run_line(&format!("check {}", out.path().display())).await.unwrap();
    assert_eq!(checked.verdict, Verdict::Good, "{}", checked.result);
}

#[tokio::test]
async fn a_folder_that_the_import_does_not_understand_is_left_alone() {
    let out = TempDir::new().unwrap();
    let folder = out.path().join(PASS_TYPE);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("identity.p12"), archive(&CHAIN.pass, "sesame")).unwrap();
    let desk = Desk::with(&RENEWED);
    let refused = run_line(&format!("{} --out {}", desk.import(), out.path().display())).await;
    assert!(matches!(refused, Err(CertificatesError::Taken(_))));
    assert_eq!(names(out.path()), [PASS_TYPE]);
    assert_eq!(names(&folder), ["identity.p12"]);
}
