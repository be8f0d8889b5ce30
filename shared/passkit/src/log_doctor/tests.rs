use super::*;

const DEVICE: &str = "0123456789abcdef0123456789abcdef";

/// A task's line in the shape of reference 1.6.
fn task(name: &str, marker: &str, text: &str) -> String {
    format!(
        "[2022-02-10 12:49:07 -0600] {name} (for device {DEVICE}, pass type pass.example.passloop, serial number A-1.b; \
         with web service url https://passes.example.com) encountered {marker}: {text}"
    )
}

fn service(text: &str) -> String {
    format!(
        "[2022-02-10 12:49:07 -0600] Web service error for pass.example.passloop (https://passes.example.com): {text}"
    )
}

fn cause(line: &str) -> Option<Cause> {
    diagnose(line).map(|diagnosis| diagnosis.cause)
}

/// Every row of the table in reference 1.6.
const ROWS: [(&str, Cause); 16] = [
    ("Authentication failure", Cause::AuthenticationFailure),
    ("Unexpected response code 404", Cause::UnexpectedResponseCode),
    ("Server response was malformed (Missing serialNumbers)", Cause::MalformedResponse),
    ("Received invalid pass data (The pass cannot be read because it isn't valid.)", Cause::InvalidPassData),
    ("Requested serial number A-1.b, received serial number B-2", Cause::WrongPass),
    ("Requested pass of type pass.example.passloop, received pass of type pass.example.other", Cause::WrongPass),
    (
        "Response to 'What changed?' request included 2 serial numbers but the lastUpdated tag (123) remained the same",
        Cause::TagNotAdvanced,
    ),
    ("Response to 'What changed?' request included 2 serial numbers but omitted a lastUpdated tag", Cause::TagOmitted),
    ("Update requested for unregistered serial number A-1.b", Cause::UnregisteredSerialNumber),
    (
        "Device received spurious push. Request for passesUpdatedSince '123' returned no serial numbers",
        Cause::SpuriousPush,
    ),
    ("Server requested update to serial number 'A-1.b', but the pass was unchanged", Cause::PassUnchanged),
    (
        "Server ignored the 'if-modified-since' header (Sun, 06 Nov 1994 08:49:37 GMT) and returned the full unchanged \
         pass data",
        Cause::IfModifiedSinceIgnored,
    ),
    (
        "Server returned the pass data for serial number 'A-1.b' but did not provide a 'last-modified' header",
        Cause::LastModifiedMissing,
    ),
    (
        "Personalization request was issued for serial number 'A-1.b' but the pass was unchanged",
        Cause::PersonalizedPassUnchanged,
    ),
    ("invalid personalization token signature", Cause::InvalidPersonalizationSignature),
    ("warning: invalid personalization token signature", Cause::InvalidPersonalizationSignature),
];

#[test]
fn every_known_line_has_its_cause_behind_every_prefix() {
    for (text, expected) in ROWS {
        for line in [task("Get pass task", "error", text), task("Get pass task", "warning", text), service(text)] {
            assert_eq!(cause(&line), Some(expected), "{line}");
            assert_eq!(cause(&line.to_uppercase()), Some(expected), "{line}");
        }
    }
    let seen: std::collections::BTreeSet<Cause> = ROWS.iter().map(|(_, cause)| *cause).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), Cause::ALL);
}

#[test]
fn a_task_names_its_device_and_its_pass() {
    for name in ["Register task", "Unregister task", "Get pass task", "Personalize pass task"] {
        let found = diagnose(&task(name, "error", "Authentication failure")).unwrap();
        let pass = found.pass.unwrap();
        assert_eq!(found.device.unwrap().as_str(), DEVICE);
        assert_eq!(pass.pass_type_identifier.as_str(), "pass.example.passloop");
        assert_eq!(pass.serial_number.as_str(), "A-1.b");
    }
    // A list is about a type, not about one pass; a get-pass line ends in a date.
    let list = format!(
        "[2022-02-10 12:49:07 -0600] Get serial #s task (for device {DEVICE}, pass type pass.example.passloop, last \
         updated (null); with web service url https://h) encountered error: Unexpected response code 401"
    );
    let found = diagnose(&list).unwrap();
    assert_eq!((found.device.unwrap().as_str(), found.pass), (DEVICE, None));
    let get = format!(
        "[2022-02-10 12:49:07 -0600] Get pass task (for device {DEVICE}, pass type pass.example.passloop, serial number \
         A1, if-modified-since (null); with web service url https://h) encountered error: Unexpected response code 500"
    );
    assert_eq!(diagnose(&get).unwrap().pass.unwrap().serial_number.as_str(), "A1");
}

#[test]
fn a_service_error_names_its_pass_but_no_device() {
    for text in [
        "Server requested update to serial number 'A-1.b', but the pass was unchanged",
        "Server requested update to serial number \u{2018}A-1.b\u{2019}, but the pass was unchanged",
        "Update requested for unregistered serial number A-1.b.",
    ] {
        let found = diagnose(&service(text)).unwrap();
        assert_eq!(found.device, None);
        let pass = found.pass.unwrap();
        assert_eq!(pass.pass_type_identifier.as_str(), "pass.example.passloop");
        assert_eq!(pass.serial_number.as_str(), "A-1.b");
    }
}

#[test]
fn any_clock_will_do() {
    let rest = "Register task (for device d, pass type pass.a, serial number 1; with web service url https://h) \
                encountered error: Authentication failure";
    for clock in
        ["[2022-02-10 12:49:07 PM -0600] ", "[10.02.22, 12:49:07 MEZ] ", "[2022-02-10 0:49:07\u{202f}p.m. +0000] ", ""]
    {
        let found = diagnose(&format!("{clock}{rest}")).unwrap();
        assert_eq!(found.cause, Cause::AuthenticationFailure);
        assert_eq!(found.pass.unwrap().serial_number.as_str(), "1");
    }
}

#[test]
fn other_lines_are_unknown() {
    for line in [
        "",
        "hello",
        "[",
        "encountered error: ",
        &service("The network connection was lost."),
        "é’é'",
        "serial number ",
    ] {
        assert_eq!(cause(line), None, "{line:?}");
    }
}

#[test]
fn what_is_no_identifier_names_nothing() {
    let line =
        "x (for device a#b, pass type com.example, serial number a/b; ) encountered error: Authentication failure";
    let found = diagnose(line).unwrap();
    assert_eq!((found.device, found.pass), (None, None));
}

#[test]
fn names_are_kebab_case_and_differ_and_advice_is_a_sentence() {
    let mut names = std::collections::BTreeSet::new();
    for cause in Cause::ALL {
        assert!(cause.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{cause}");
        assert!(names.insert(cause.name()), "{cause}");
        assert!(cause.advice().ends_with('.') && !cause.advice().contains("  "), "{}", cause.advice());
    }
}

#[test]
fn a_shape_names_nobody() {
    let secrets =
        [DEVICE, "pass.example.passloop", "ada-lovelace", "passes.example.com", "ada@example.com", "Ada Lovelace"];
    for line in [
        format!(
            "[2022-02-10 12:49:07 -0600] Get pass task (for device {DEVICE}, pass type pass.example.passloop, serial \
             number ada-lovelace; with web service url https://passes.example.com) encountered error: lost ada@example.com"
        ),
        service("the server's certificate of 'Ada Lovelace' for serial number ada-lovelace is odd"),
        format!(
            "{DEVICE} https://passes.example.com/v1/passes/pass.example.passloop/ada-lovelace?x=1 \"Ada Lovelace\""
        ),
        format!("token=abc {DEVICE}"),
    ] {
        let shape = shape(&line);
        for secret in secrets {
            assert!(!shape.contains(secret), "{secret} in {shape}");
        }
        assert!(!shape.chars().any(|c| c.is_ascii_digit()), "{shape}");
    }
    assert!(!shape("token=abc").contains("abc"));
}

#[test]
fn lines_that_report_the_same_have_one_shape() {
    let line = |clock: &str, device: &str, serial: &str| {
        format!(
            "[{clock}] Get pass task (for device {device}, pass type pass.example.passloop, serial number {serial}; with \
             web service url https://h) encountered error: The network connection was lost."
        )
    };
    let one = shape(&line("2022-02-10 12:49:07 -0600", DEVICE, "A1"));
    assert_eq!(one, shape(&line("10.02.22, 1:49:07 PM", "ffff", "ada")));
    assert_eq!(
        one,
        "Get pass task (for device …, pass type …, serial number …; with web service url …) encountered error: The \
         network connection was lost."
    );
    assert_ne!(one, shape(&service("The request timed out.")));
}

#[test]
fn a_shape_is_bounded_whatever_the_line() {
    for line in
        ["", "[", "'", "''", "\u{1F980}'\u{1F980}", "serial number ", "a’b", &"word ".repeat(1000), &"é".repeat(1000)]
    {
        assert!(shape(line).chars().count() <= SHAPE_CHARACTERS, "{line:?}");
    }
}
