//! Doors without the network: each is called as Lambda calls it, over an app whose AWS answers from memory.

use std::{collections::HashMap, sync::Arc};

use http::{Method, Request, header};
use jiff::Timestamp;
use lambda_http::{Body, RequestExt};
use passkit::identifiers::PassIdentity;
use passloop_local::function;
use passloop_tests::{back_office::PASS_TYPE, world::World};
use platform::{App, Function};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    canned::{Alone, Canned},
    fixture,
};

/// A door, ready to be called again and again with the same request and the same answers of AWS.
pub struct Door {
    /// For the table.
    pub name: &'static str,
    /// The calls of AWS, in their order.
    pub calls: Vec<String>,
    function: &'static Function,
    order: Order,
    app: App,
    canned: Canned,
    alone: Alone,
    now: Timestamp,
    runtime: Arc<Runtime>,
}

/// A request, to be built anew for each call.
struct Order {
    method: Method,
    parameters: HashMap<String, String>,
    headers: Vec<(header::HeaderName, String)>,
    body: String,
}

impl Order {
    fn request(&self) -> lambda_http::Request {
        let mut request = Request::builder().method(self.method.clone()).uri("https://passes.example.com/v1/");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = if self.body.is_empty() { Body::Empty } else { Body::Text(self.body.clone()) };
        request.body(body).unwrap().with_path_parameters(self.parameters.clone())
    }
}

impl Door {
    /// One call.
    pub fn call(&self) {
        self.canned.rewind();
        let answer = self.runtime.block_on(self.function.answer(&self.app, self.order.request(), self.now));
        assert!(answer.status().as_u16() < 400, "{}: {}", self.name, answer.status());
    }

    /// The same calls of AWS, made by the SDK alone.
    pub fn sdk_alone(&self) {
        self.canned.rewind();
        self.runtime.block_on(self.alone.make());
    }
}

/// A pass on a phone.
struct Subject {
    serial: String,
    barcode: String,
    authorization: String,
    held: String,
    device: String,
}

impl Subject {
    fn identity(&self) -> PassIdentity {
        PassIdentity { pass_type_identifier: PASS_TYPE.parse().unwrap(), serial_number: self.serial.parse().unwrap() }
    }
}

/// The doors of the table, over a world that is started, asked once for each, and left.
pub fn all() -> Vec<Door> {
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let runtime = Arc::new(tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    let (world, warm, phone, fresh, sale) = many.block_on(async {
        let world = World::new().await;
        open_shop(&world).await;
        let [warm, phone, sale] = [subject(&world).await, subject(&world).await, subject(&world).await];
        let fresh = [unseen(&world).await, unseen(&world).await];
        (world, warm, phone, fresh, sale)
    });
    let maker = Maker { world, many, runtime };
    let of_phone = |subject: &Subject, method, device: &str, body: String| Order {
        method,
        parameters: HashMap::from([
            ("deviceLibraryIdentifier".to_owned(), device.to_owned()),
            ("passTypeIdentifier".to_owned(), PASS_TYPE.to_owned()),
            ("serialNumber".to_owned(), subject.serial.clone()),
        ]),
        headers: vec![(header::AUTHORIZATION, subject.authorization.clone())],
        body,
    };
    let get = |subject: &Subject| of_phone(subject, Method::GET, &subject.device, String::new());
    let held = |subject: &Subject| {
        let mut order = get(subject);
        order.headers.push((header::IF_MODIFIED_SINCE, subject.held.clone()));
        order
    };
    let key = format!("Bearer {}", maker.world.local().merchant_key());
    let redemption = |subject: &Subject| Order {
        method: Method::POST,
        parameters: HashMap::new(),
        headers: vec![
            (header::AUTHORIZATION, key.clone()),
            (header::HeaderName::from_static("idempotency-key"), format!("sale of {}", subject.serial)),
        ],
        body: json!({ "barcode": subject.barcode, "till": "till 1" }).to_string(),
    };
    let token = json!({ "pushToken": "7".repeat(64) }).to_string();
    let register = |subject: &Subject| of_phone(subject, Method::POST, &"n".repeat(32), token.clone());
    let unregister = |subject: &Subject| of_phone(subject, Method::DELETE, &subject.device, String::new());

    let fetch = "send-updated-pass";
    let doors = vec![
        maker.door("`send-updated-pass`, 304", fetch, held(&warm), held(&phone)),
        // Fetched once before, so that nothing is noted any more.
        maker.door("`send-updated-pass`, cached", fetch, get(&phone), get(&phone)),
        maker.without_packages([&warm, &phone]).door(
            "`send-updated-pass`, built and cached",
            fetch,
            get(&warm),
            get(&phone),
        ),
        maker.door("`send-updated-pass`, built, cached and noted", fetch, get(&fresh[0]), get(&fresh[1])),
        maker.door("`list-updatable-passes`", "list-updatable-passes", get(&warm), get(&phone)),
        maker.door("`register-pass`", "register-pass", register(&warm), register(&phone)),
        maker.door("`unregister-pass`", "unregister-pass", unregister(&warm), unregister(&phone)),
        maker.door("`redeem-pass`", "redeem-pass", redemption(&warm), redemption(&sale)),
    ];
    let Maker { world, many, .. } = maker;
    many.block_on(world.end());
    doors
}

/// The fixture's campaign.
async fn open_shop(world: &World) {
    let office = world.back_office();
    office.put_archive("fixture", fixture::template_zip()).await.expect(201);
    let campaign = json!({
        "passTypeIdentifier": PASS_TYPE, "templateId": "fixture",
        "offers": [{ "offerId": "first", "title": "First" }, { "offerId": "second", "title": "Second" }],
        "redeemedOverlay": { "fields": { "status": { "value": "Used" } } } });
    office.put_campaign("fixture", &campaign).await.expect(201);
}

async fn subject(world: &World) -> Subject {
    let pass = world.back_office().issue_of("fixture", "Ada").await;
    let mut phone = world.iphone();
    phone.add(&world.download(&pass).await.body).await;
    Subject {
        authorization: phone.authorization(&pass.serial),
        held: phone.last_modified(&pass.serial).to_owned(),
        device: phone.device().to_owned(),
        serial: pass.serial,
        barcode: pass.barcode,
    }
}

/// A pass that nobody downloaded: no package of it is cached.
async fn unseen(world: &World) -> Subject {
    let pass = world.back_office().issue_of("fixture", "Ada").await;
    let (authorization, held, device) = (String::new(), String::new(), "u".repeat(32));
    let subject = Subject { authorization, held, device, serial: pass.serial, barcode: pass.barcode };
    let stored = world.local().app().store.pass(&subject.identity()).await.unwrap().unwrap();
    Subject { authorization: format!("ApplePass {}", stored.pass.authentication_token.expose()), ..subject }
}

struct Maker {
    world: World,
    many: Runtime,
    runtime: Arc<Runtime>,
}

impl Maker {
    /// The package cache has nothing of these passes any more.
    fn without_packages(&self, subjects: [&Subject; 2]) -> &Maker {
        for subject in subjects {
            self.many.block_on(self.world.local().app().packages.forget(&subject.identity())).unwrap();
        }
        self
    }

    /// Calls the door twice: to warm it (its key, certificate, campaign and look are read once), and to write down what it
    /// asks of AWS.
    fn door(&self, name: &'static str, function_name: &str, warm: Order, order: Order) -> Door {
        let config = self.world.local().app().config.clone();
        let canned = Canned::default();
        let sdk = platform::app::sdk_config(&config.aws).into_builder().http_client(canned.clone()).build();
        let app = App::new(config, &sdk);
        let (function, now) = (function(function_name).unwrap(), self.world.now());
        for order in [&warm, &order] {
            canned.pass_on();
            let answer = self.many.block_on(function.answer(&app, order.request(), now));
            assert!(answer.status().as_u16() < 400, "{name}: {}", answer.status());
        }
        canned.replay();
        let written = canned.written();
        let alone = Alone::of(&app, &sdk, &written);
        let calls = written.into_iter().map(|call| call.operation).collect();
        Door { name, calls, function, order, app, canned, alone, now, runtime: Arc::clone(&self.runtime) }
    }
}
