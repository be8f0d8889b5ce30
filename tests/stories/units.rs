//! What every door asks of the table, the bucket and the queues, counted: `docs/performance.md` says the same numbers, so
//! a change of them is noticed where the bill is reckoned (`docs/cost.md`).
//!
//! Units are DynamoDB's own `ConsumedCapacity`: one read unit for each 4 KB read strongly, one write unit for each 1 KB
//! written, twice that in a transaction (AWS, "Read/write capacity mode"). The containers are warm: their key, their
//! certificate and their campaign were read before.

use std::path::Path;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName, IF_MODIFIED_SINCE};
use http::{Method, StatusCode};
use passkit::identifiers::PassIdentity;
use passloop_tests::back_office::{Issued, PASS_TYPE};
use passloop_tests::meter::{Metered, Reading, Worker};
use passloop_tests::world::World;
use serde_json::{Value, json};

/// Devices of the pass that many carry.
const MANY: usize = 100;
/// Passes of the campaign that changes.
const MEMBERS: usize = 20;

struct Doors {
    world: World,
    metered: Metered,
    rows: Vec<String>,
}

impl Doors {
    async fn phone(
        &self,
        door: &str,
        method: Method,
        device: &str,
        of: (&Issued, &str),
        since: Option<&str>,
        body: Value,
    ) -> StatusCode {
        let (pass, authorization) = of;
        let parameters = [
            ("deviceLibraryIdentifier", device),
            ("passTypeIdentifier", PASS_TYPE),
            ("serialNumber", pass.serial.as_str()),
        ];
        let mut headers = vec![(AUTHORIZATION, authorization)];
        headers.extend(since.map(|since| (IF_MODIFIED_SINCE, since)));
        self.metered.call(&self.world, door, method, &parameters, &headers, &body).await.status()
    }

    async fn till(&self, key: &str, body: Value) -> StatusCode {
        let authorization = format!("Bearer {}", self.world.local().merchant_key());
        let headers = [(AUTHORIZATION, authorization.as_str()), (HeaderName::from_static("idempotency-key"), key)];
        self.metered.call(&self.world, "redeem-pass", Method::POST, &[], &headers, &body).await.status()
    }

    async fn put_campaign(&self, campaign: &Value) -> StatusCode {
        let key = format!("Bearer {}", self.world.local().merchant_key());
        let (parameters, headers) = ([("campaignId", "many")], [(AUTHORIZATION, key.as_str())]);
        self.metered.call(&self.world, "put-campaign", Method::PUT, &parameters, &headers, campaign).await.status()
    }

    /// One row of the table.
    fn row(&mut self, what: &str) -> Reading {
        let reading = self.metered.read();
        let Reading { table_calls, read_units, write_units, objects_read, objects_written, queue_calls, .. } = &reading;
        let objects = format!("{objects_read} / {objects_written}");
        self.rows
            .push(format!("| {what} | {table_calls} | {read_units} | {write_units} | {objects} | {queue_calls} |"));
        reading
    }
}

/// A campaign-wide change: one write, whatever the campaign's size, and reads of whoever is to be told.
async fn campaign_change(doors: &mut Doors) {
    let office = doors.world.back_office();
    let mut campaign = json!({ "passTypeIdentifier": PASS_TYPE, "templateId": "croissant",
        "offers": [{ "offerId": "coffee", "title": "A coffee" }] });
    office.put_campaign("many", &campaign).await.expect(201);
    for number in 0..MEMBERS {
        // Chosen serial numbers, so that the passes always lie in the same partitions: some in each of the eight.
        let order =
            json!({ "campaignId": "many", "serialNumber": format!("many-{number}"), "holder": { "name": "Ada" } });
        let pass = Issued::read(&office.post_pass(&order).await.expect(201).json());
        let identity = PassIdentity {
            pass_type_identifier: PASS_TYPE.parse().unwrap(),
            serial_number: pass.serial.parse().unwrap(),
        };
        let stored = doors.world.local().app().store.pass(&identity).await.unwrap().unwrap();
        let authorization = format!("ApplePass {}", stored.pass.authentication_token.expose());
        let device = format!("c{number:031x}");
        let token = json!({ "pushToken": device.repeat(2) });
        let register = doors.phone("register-pass", Method::POST, &device, (&pass, &authorization), None, token);
        assert_eq!(register.await, StatusCode::CREATED);
    }
    campaign["offers"][0]["title"] = json!("A large coffee");
    // Warm: the door's container has read key, template and certificate.
    assert_eq!(doors.put_campaign(&campaign).await, StatusCode::OK);
    doors.metered.drop_messages();
    doors.metered.read();
    campaign["offers"][0]["title"] = json!("A very large coffee");
    assert_eq!(doors.put_campaign(&campaign).await, StatusCode::OK);
    doors.row("`put-campaign`, a change that every pass shows");
    let before = doors.world.apns().pushes().len();
    doors.metered.work(&doors.world, Worker::Push).await;
    doors.row("`push-updates`, that change, 20 passes on one device each");
    assert_eq!(doors.world.apns().pushes().len() - before, MEMBERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_every_door_asks_for_is_what_the_page_says() {
    let world = World::new().await;
    let metered = Metered::new(&world).await;
    let mut doors = Doors { world, metered, rows: Vec::new() };
    let (pass, phone) = doors.world.customer("Ada").await;
    let authorization = phone.authorization(&pass.serial);
    let held = phone.last_modified(&pass.serial).to_owned();
    let of = (&pass, authorization.as_str());
    let token = |device: &str| json!({ "pushToken": device.repeat(2) });

    // Warm: the first redemption of a container reads the merchant's key and the pass's campaign besides.
    let warm = doors.world.back_office().issue("Warm").await;
    assert_eq!(doors.till("warm", json!({ "barcode": warm.barcode })).await, StatusCode::CREATED);
    doors.metered.drop_messages();
    doors.metered.read();

    // A phone.
    let device = "d".repeat(32);
    let register = doors.phone("register-pass", Method::POST, &device, of, None, token(&device));
    assert_eq!(register.await, StatusCode::CREATED);
    assert_eq!(doors.row("`register-pass`, a new device").table_calls, 2);
    let register = doors.phone("register-pass", Method::POST, &device, of, None, token(&device));
    assert_eq!(register.await, StatusCode::OK);
    doors.row("`register-pass`, a known device");
    let fetch = doors.phone("send-updated-pass", Method::GET, "", of, Some(&held), Value::Null);
    assert_eq!(fetch.await, StatusCode::NOT_MODIFIED);
    assert_eq!(doors.row("`send-updated-pass`, 304").table_calls, 1);

    // A redemption, and what follows on one phone.
    assert_eq!(doors.till("sale-1", json!({ "barcode": pass.barcode })).await, StatusCode::CREATED);
    let redeemed = doors.row("`redeem-pass` by barcode");
    assert_eq!((redeemed.table_calls, redeemed.queue_calls), (3, 2));
    doors.metered.drop_messages();
    assert_eq!(doors.till("sale-1", json!({ "barcode": pass.barcode })).await, StatusCode::CREATED);
    doors.row("`redeem-pass`, the same request again");

    let listed = doors.phone("list-updatable-passes", Method::GET, &device, of, None, Value::Null);
    assert_eq!(listed.await, StatusCode::OK);
    doors.row("`list-updatable-passes`, the first phone that is told a version");
    let listed = doors.phone("list-updatable-passes", Method::GET, &device, of, None, Value::Null);
    assert_eq!(listed.await, StatusCode::OK);
    doors.row("`list-updatable-passes`, told before and not fetched yet");
    let fetch = doors.phone("send-updated-pass", Method::GET, "", of, Some(&held), Value::Null);
    assert_eq!(fetch.await, StatusCode::OK);
    doors.row("`send-updated-pass`, the first fetch of a version");
    let fetch = doors.phone("send-updated-pass", Method::GET, "", of, Some(&held), Value::Null);
    assert_eq!(fetch.await, StatusCode::OK);
    assert_eq!(doors.row("`send-updated-pass`, every later one").table_calls, 1);
    let listed = doors.phone("list-updatable-passes", Method::GET, &device, of, None, Value::Null);
    assert_eq!(listed.await, StatusCode::OK);
    assert_eq!(doors.row("`list-updatable-passes`, fetched before").table_calls, 2);
    let unregister = doors.phone("unregister-pass", Method::DELETE, &device, of, None, Value::Null);
    assert_eq!(unregister.await, StatusCode::OK);
    assert_eq!(doors.row("`unregister-pass`").table_calls, 2);

    // By its identity a pass is found without its barcode's item.
    let (named, _) = doors.world.customer("Grace").await;
    let by_identity = json!({ "passTypeIdentifier": PASS_TYPE, "serialNumber": named.serial });
    assert_eq!(doors.till("sale-2", by_identity).await, StatusCode::CREATED);
    let redeemed = doors.row("`redeem-pass` by pass type and serial number");
    assert_eq!((redeemed.table_calls, redeemed.queue_calls), (2, 2));
    doors.metered.drop_messages();

    // The pushes of one redemption: one device, and many.
    for (devices, what) in
        [(1, "`push-updates`, a pass on one device"), (MANY, "`push-updates`, a pass on 100 devices")]
    {
        let (pass, phone) = doors.world.customer("Joan").await;
        let authorization = phone.authorization(&pass.serial);
        let of = (&pass, authorization.as_str());
        for number in 1..devices {
            let device = format!("f{number:031x}");
            let register = doors.phone("register-pass", Method::POST, &device, of, None, token(&device));
            assert_eq!(register.await, StatusCode::CREATED);
        }
        let identity = json!({ "passTypeIdentifier": PASS_TYPE, "serialNumber": pass.serial });
        assert_eq!(doors.till(&format!("sale of {devices}"), identity).await, StatusCode::CREATED);
        doors.metered.read();
        let before = doors.world.apns().pushes().len();
        doors.metered.work(&doors.world, Worker::Push).await;
        doors.row(what);
        assert_eq!(doors.world.apns().pushes().len() - before, devices);
        if devices == 1 {
            doors.world.advance(Duration::from_secs(15));
            doors.metered.work(&doors.world, Worker::FollowUp).await;
            doors.row("`follow-up`, the next offer");
        }
        doors.metered.drop_messages();
    }

    campaign_change(&mut doors).await;

    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md")).unwrap();
    let missing: Vec<&String> = doors.rows.iter().filter(|row| !page.contains(*row)).collect();
    assert!(missing.is_empty(), "docs/performance.md lacks {missing:#?}; all rows:\n{}", doors.rows.join("\n"));
    doors.world.end().await;
}
