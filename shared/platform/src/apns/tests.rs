//! What can be known without a peer; the rest is tried on the wire in infra/local's APNs tests.

use super::*;

fn settings(endpoint: &str, extra: Option<&[u8]>) -> ApnsSettings {
    ApnsSettings { endpoint: endpoint.parse().unwrap(), extra_roots_pem: extra.map(<[u8]>::to_vec) }
}

#[test]
fn an_endpoint_is_https_with_a_host_and_nothing_more() {
    for good in ["https://api.push.apple.com", "https://api.push.apple.com:2197/", "https://127.0.0.1:8443"] {
        assert!(Endpoint::parse(&good.parse().unwrap()).is_ok(), "{good}");
    }
    assert!(Endpoint::parse(&"https://[::1]:8443".parse().unwrap()).is_ok());
    for bad in [
        "http://api.push.apple.com",
        "api.push.apple.com",
        "/3/device",
        "https://api.push.apple.com/3",
        "https://api.push.apple.com?x=1",
        "https://user@api.push.apple.com",
        "https://-_-:443",
    ] {
        assert!(Endpoint::parse(&bad.parse().unwrap()).is_err(), "{bad}");
    }
}

#[test]
fn a_refused_endpoint_is_named() {
    let error = Apns::new(settings("http://127.0.0.1:1", None)).err().unwrap();
    assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");
}

#[test]
fn extra_roots_that_are_no_certificates_are_refused() {
    for pem in [
        &b""[..],
        b"no PEM at all",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        let refused = Apns::new(settings("https://127.0.0.1:1", Some(pem)));
        assert!(matches!(refused, Err(ApnsSettingsError::ExtraRoots(_))), "{}", String::from_utf8_lossy(pem));
    }
}

#[test]
fn tokens_are_hexadecimal_of_any_length() {
    for good in ["00", "aF09", &"0".repeat(512)] {
        assert!(is_hexadecimal(&PushToken::new(good)), "{good}");
    }
    for bad in ["", "0g", "0-1", "0/1", " 00", "００"] {
        assert!(!is_hexadecimal(&PushToken::new(bad)), "{bad}");
    }
}

#[test]
fn only_background_pushes_have_priority_5() {
    let token = PushToken::new("00");
    let topic = "pass.example.passloop".parse().unwrap();
    let mut push = Push::new(&token, &topic, Timestamp::UNIX_EPOCH);
    assert_eq!((push.push_type, push.priority().to_string().as_str()), (PushType::Alert, "10"));
    push.push_type = PushType::Background;
    assert_eq!(push.priority().to_string(), "5");
}

#[test]
fn a_push_does_not_print_its_token() {
    let token = PushToken::new("5ec4e7");
    let topic = "pass.example.passloop".parse().unwrap();
    assert!(!format!("{:?}", Push::new(&token, &topic, Timestamp::UNIX_EPOCH)).contains("5ec4e7"));
}

/// Trusts nothing and so connects to nothing.
fn unconnected() -> Apns {
    Apns {
        endpoint: Endpoint::parse(&"https://127.0.0.1:1".parse().unwrap()).unwrap(),
        road: Road::Tls(Arc::new(RootCertStore::empty())),
        lines: Mutex::default(),
    }
}

#[test]
fn one_line_per_identity_and_no_more_than_the_limit() {
    let apns = unconnected();
    let first = apns.line([0; 32]);
    assert!(Arc::ptr_eq(&first, &apns.line([0; 32])));
    for number in 1..=u8::try_from(KEPT_CONNECTIONS).unwrap() {
        apns.line([number; 32]);
        // Used again each time, so never the oldest.
        assert!(Arc::ptr_eq(&first, &apns.line([0; 32])));
    }
    let lines = apns.lines.lock().unwrap();
    assert_eq!(lines.by_fingerprint.len(), KEPT_CONNECTIONS);
    assert!(!lines.by_fingerprint.contains_key(&[1; 32]), "the line unused for longest is the one to go");
}

#[test]
fn an_expiration_before_1970_is_one_attempt() {
    let token = PushToken::new("00");
    let topic = "pass.example.passloop".parse().unwrap();
    let request = unconnected().request(&Push::new(&token, &topic, Timestamp::MIN)).unwrap();
    // Apple: 0 means one attempt; a negative number would be BadExpirationDate.
    assert_eq!(request.headers()["apns-expiration"], "0");
    assert_eq!(request.uri(), "https://127.0.0.1:1/3/device/00");
}
