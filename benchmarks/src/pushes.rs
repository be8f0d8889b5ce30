//! Pushes through `platform::apns`, as the push worker sends them.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use passkit::{identifiers::PassTypeIdentifier, secrets::PushToken, signing::SigningIdentity};
use platform::apns::{Apns, ApnsSettings, Push, PushOutcome};
use tokio::runtime::Runtime;

use crate::{chain::Identity, fixture::PASS_TYPE, stand_in::StandIn};

/// A client of one connection, on this thread alone.
pub struct Pusher {
    runtime: Runtime,
    apns: Apns,
    identity: SigningIdentity,
    topic: PassTypeIdentifier,
    tokens: Vec<PushToken>,
    stand_in: StandIn,
}

/// One round of pushes, for one push.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// CPU time of the client.
    pub cpu: Duration,
    /// Time on the wall.
    pub wall: Duration,
    /// CPU time of the stand-in.
    pub stand_in: Duration,
}

impl Pusher {
    /// With a stand-in of its own.
    pub fn start(identity: &Identity) -> Pusher {
        let stand_in = StandIn::start(identity.root_pem());
        let settings =
            ApnsSettings { endpoint: stand_in.endpoint.parse().unwrap(), extra_roots_pem: Some(stand_in.ca.clone()) };
        // Apple's tokens have 32 bytes, in hexadecimal.
        let tokens = (0..4096_u64).map(|number| PushToken::new(format!("{number:064x}"))).collect();
        Pusher {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            apns: Apns::new(settings).unwrap(),
            identity: identity.signing(),
            topic: PASS_TYPE.parse().unwrap(),
            tokens,
            stand_in,
        }
    }

    /// The port of the stand-in, for others to push to.
    pub fn port(&self) -> u16 {
        self.stand_in.endpoint.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default()
    }

    /// Writes the stand-in's certificate and key into a directory: for others to trust, and to push with.
    pub fn keep_certificate(&self, directory: &Path) {
        std::fs::write(directory.join("stand-in.pem"), &self.stand_in.ca).unwrap();
        std::fs::write(directory.join("stand-in-key.pem"), &self.stand_in.key).unwrap();
    }

    /// Sends `count` pushes, so many of them in flight.
    pub fn send(&self, count: usize, in_flight: usize) -> Round {
        let (cpu, wall, stand_in) = (ThreadTime::now(), Instant::now(), self.stand_in.cpu_seconds());
        let expiration = Timestamp::now();
        self.runtime.block_on(async {
            let pushes = self.tokens.iter().cycle().take(count).map(|token| async move {
                let push = Push::new(token, &self.topic, expiration);
                self.apns.push(&self.identity, &push).await
            });
            let mut outcomes = stream::iter(pushes).buffer_unordered(in_flight);
            while let Some(outcome) = outcomes.next().await {
                assert!(matches!(outcome, PushOutcome::Accepted { .. }), "{outcome:?}");
            }
        });
        let each = u32::try_from(count).unwrap();
        let stand_in = Duration::from_secs_f64(self.stand_in.cpu_seconds() - stand_in);
        Round { cpu: cpu.elapsed() / each, wall: wall.elapsed() / each, stand_in: stand_in / each }
    }
}
