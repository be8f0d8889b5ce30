//! Signatures of Standard Webhooks: `v1,` and the base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use passkit::secrets::WebhookSecret;
use sha2::Sha256;

use crate::{Fault, random, store::SigningSecret};

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// A fresh secret: 256 random bits.
pub fn new_secret() -> Result<WebhookSecret, Fault> {
    Ok(WebhookSecret::new(format!("{PREFIX}{}", STANDARD.encode(random::bytes::<32>()?))))
}

/// The value of `webhook-signature`: one signature for each secret that counts at `now`, the newest first.
pub fn signatures(secrets: &[SigningSecret], message_id: &str, body: &str, now: Timestamp) -> Result<String, Fault> {
    let counts = |secret: &&SigningSecret| secret.until.is_none_or(|until| now < until);
    let each = secrets.iter().filter(counts).map(|secret| sign(&secret.secret, message_id, body, now.as_second()));
    Ok(each.collect::<Result<Vec<_>, Fault>>()?.join(" "))
}

fn sign(secret: &WebhookSecret, message_id: &str, body: &str, seconds: i64) -> Result<String, Fault> {
    let key = secret.expose().strip_prefix(PREFIX).and_then(|key| STANDARD.decode(key).ok());
    let key = key.ok_or_else(|| Fault::contradiction("a webhook's secret that is none"))?;
    let mac = Hmac::<Sha256>::new_from_slice(&key);
    let mut mac = mac.map_err(|_| Fault::contradiction("a webhook's secret that is no key"))?;
    mac.update(format!("{message_id}.{seconds}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    /// The example of the specification's own libraries (standard-webhooks, test vectors).
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let secret = WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", r#"{"test": 2432232314}"#, 1_614_265_330);
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_older_secret_signs_too_until_its_time_is_over() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let secret = |until| SigningSecret { secret: new_secret().unwrap(), until };
        let secrets = [secret(None), secret(Some(now + SignedDuration::from_secs(1)))];
        let signed = |now| signatures(&secrets, "msg_1", "{}", now).unwrap().split(' ').count();
        assert_eq!((signed(now), signed(now + SignedDuration::from_secs(1))), (2, 1));
    }
}
