//! The push worker with a pass that very many devices carry: one page of registrations read, pushed, and put back, again
//! and again, over an AWS that answers from memory.

use std::time::Duration;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use cpu_time::ThreadTime;
use jiff::Timestamp;
use passkit::{identifiers::PassIdentity, secrets::PushToken, web_service::ClientKind};
use passloop_local::function;
use passloop_tests::{
    back_office::PASS_TYPE,
    world::{World, root_certificate},
};
use platform::{App, store::Registration};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    canned::{Alone, Canned},
    stand_in::StandIn,
};

/// Registrations of one page, as the worker reads them.
pub const PAGE: u32 = 1000;

/// The worker, with a message about the same page for ever.
pub struct Worker {
    runtime: Runtime,
    app: App,
    canned: Canned,
    alone: Alone,
    message: String,
    now: Timestamp,
    _stand_in: StandIn,
}

impl Worker {
    /// A world with one pass on a few devices more than a page, redeemed; its pushes go to a stand-in of their own.
    pub fn start() -> Worker {
        let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stand_in = StandIn::start(&std::fs::read(root_certificate()).unwrap());
        let canned = Canned::default();
        let (app, sdk, message, now) = many.block_on(async {
            let world = World::new().await;
            let pass = world.back_office().issue("Ada").await;
            let identity = PassIdentity {
                pass_type_identifier: PASS_TYPE.parse().unwrap(),
                serial_number: pass.serial.parse().unwrap(),
            };
            let store = &world.local().app().store;
            let (stored, now) = (store.pass(&identity).await.unwrap().unwrap(), world.now());
            for number in 0..PAGE + 10 {
                let registration = Registration {
                    device: format!("{number:032x}").parse().unwrap(),
                    push_token: PushToken::new(format!("{number:064x}")),
                    client: ClientKind::Apple,
                    registered_at: now,
                };
                store.register(&stored, None, &registration, &[]).await.unwrap();
            }
            let mut config = world.local().app().config.clone();
            config.apns_endpoint = stand_in.endpoint.parse().unwrap();
            config.apns_ca_file = Some(stand_in.ca_file());
            let sdk = platform::app::sdk_config(&config.aws).into_builder().http_client(canned.clone()).build();
            let app = App::new(config, &sdk);
            let message = intent(&world, &identity).await;
            canned.pass_on();
            work(&app, &message, now).await;
            canned.replay();
            world.end().await;
            (app, sdk, message, now)
        });
        let alone = Alone::of(&app, &sdk, &canned.written());
        // The connection of the first page ended with its run time; the next one opens another.
        drop(many);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Worker { runtime, app, canned, alone, message, now, _stand_in: stand_in }
    }

    /// One page: CPU time of the worker.
    pub fn page(&self) -> Duration {
        self.canned.rewind();
        let begun = ThreadTime::now();
        self.runtime.block_on(work(&self.app, &self.message, self.now));
        begun.elapsed()
    }

    /// The calls of AWS for one page, made by the SDK alone.
    pub fn sdk_alone(&self) -> Duration {
        self.canned.rewind();
        let begun = ThreadTime::now();
        self.runtime.block_on(self.alone.make());
        begun.elapsed()
    }
}

/// An intent to push this pass, as a message.
async fn intent(world: &World, identity: &PassIdentity) -> String {
    let store = &world.local().app().store;
    let pass = store.pass(identity).await.unwrap().unwrap().pass;
    let step = platform::store::Step::push(&pass);
    let intent = platform::store::Intent::new(world.now(), step, world.now()).unwrap();
    store.add_intents(std::slice::from_ref(&intent)).await.unwrap();
    json!({ "v": 1, "intent": intent.key }).to_string()
}

async fn work(app: &App, message: &str, now: Timestamp) {
    let mut record = SqsMessage::default();
    record.message_id = Some("message".to_owned());
    record.body = Some(message.to_owned());
    let mut event = SqsEvent::default();
    event.records.push(record);
    let answer = function("push-updates").unwrap().work(app, event, now).await;
    assert!(answer.batch_item_failures.is_empty(), "the push worker failed");
}

/// Peak resident memory of this process so far, in megabytes (`VmHWM` of `/proc/self/status`).
pub fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: f64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    kilobytes / 1024.0
}
