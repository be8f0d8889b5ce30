//! A campaign-wide change on the whole local service: from the merchant's request until the last phone was pushed.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, PutRequest, WriteRequest},
};
use passkit::{identifiers::PassIdentity, secrets::PushToken, web_service::ClientKind};
use passloop_tests::{back_office::PASS_TYPE, world::World};
use platform::store::Registration;
use serde_json::json;

/// What names the first pass and its phone, in every item that is theirs. Push tokens are hexadecimal.
const FIRST: &str = "f0000000";
/// What one write of a batch may carry (AWS, BatchWriteItem).
const BATCH: usize = 25;
/// Partitions of a campaign's members.
const SHARDS: usize = 8;
/// Longer than any machine takes for a million.
const PATIENCE: Duration = Duration::from_secs(1800);

type Item = std::collections::HashMap<String, AttributeValue>;

/// A campaign of so many passes, each on one phone, whose offer gets another title. How long the request took, and how long
/// until the last push.
pub fn change(passes: usize) -> (Duration, Duration) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let office = world.back_office();
        let campaign = |title: &str| {
            json!({ "passTypeIdentifier": PASS_TYPE, "templateId": "croissant",
                "offers": [{ "offerId": "coffee", "title": title }] })
        };
        office.put_campaign("many", &campaign("A coffee")).await.expect(201);
        first(&world).await;
        multiply(&world, passes).await;
        let begun = Instant::now();
        office.put_campaign("many", &campaign("A large coffee")).await.expect(200);
        let answered = begun.elapsed();
        while world.apns().received() < passes as u64 {
            assert!(begun.elapsed() < PATIENCE, "pushes are missing");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let pushed = begun.elapsed();
        world.end().await;
        (answered, pushed)
    })
}

/// One pass on one phone, as the service makes them.
async fn first(world: &World) {
    let order = json!({ "campaignId": "many", "serialNumber": format!("pass-{FIRST}"), "holder": { "name": "Ada" } });
    world.back_office().post_pass(&order).await.expect(201);
    let identity = PassIdentity {
        pass_type_identifier: PASS_TYPE.parse().unwrap(),
        serial_number: format!("pass-{FIRST}").parse().unwrap(),
    };
    let store = &world.local().app().store;
    let stored = store.pass(&identity).await.unwrap().unwrap();
    let registration = Registration {
        device: FIRST.repeat(4).parse().unwrap(),
        push_token: PushToken::new(FIRST.repeat(8)),
        client: ClientKind::Apple,
        registered_at: world.now(),
    };
    store.register(&stored, None, &registration, &[]).await.unwrap();
}

/// The same items again for every further pass, under other names: to issue a hundred thousand would take as long as it
/// takes, and is measured elsewhere. Items that a change does not read (barcode, link, history) are left out.
async fn multiply(world: &World, passes: usize) {
    let config = &world.local().app().config;
    let dynamodb = platform::app::dynamodb(&platform::app::sdk_config(&config.aws), &config.aws);
    let all = dynamodb.scan().table_name(&config.table_name).send().await.unwrap().items.unwrap();
    let key = |item: &Item, name: &str| item[name].as_s().unwrap().clone();
    let is_read = |item: &Item| {
        let (partition, sort) = (key(item, "pk"), key(item, "sk"));
        let of_pass = partition.starts_with("PASS#") && (sort == "PASS" || sort.starts_with("DEVICE#"));
        of_pass || partition.starts_with("DEVICE#") || partition.starts_with("MEMBERS#")
    };
    let firsts: Vec<Item> =
        all.into_iter().filter(|item| is_read(item) && format!("{item:?}").contains(FIRST)).collect();
    assert_eq!(firsts.len(), 4, "the pass, its registration twice, its place in the campaign");
    let mut batch = Vec::with_capacity(BATCH);
    for number in 1..passes {
        for first in &firsts {
            let mut item = named(first, &format!("f{number:07}"));
            if key(&item, "pk").starts_with("MEMBERS#") {
                let partition = key(&item, "pk");
                let (campaign, _) = partition.rsplit_once('#').unwrap();
                item.insert("pk".to_owned(), AttributeValue::S(format!("{campaign}#{}", number % SHARDS)));
            }
            batch.push(item);
            if batch.len() == BATCH {
                write(&dynamodb, &config.table_name, std::mem::take(&mut batch)).await;
            }
        }
    }
    write(&dynamodb, &config.table_name, batch).await;
}

fn named(first: &Item, name: &str) -> Item {
    let attributes = first.iter().map(|(attribute, value)| {
        let text = value.as_s().map(|text| AttributeValue::S(text.replace(FIRST, name)));
        (attribute.clone(), text.unwrap_or_else(|_| value.clone()))
    });
    attributes.collect()
}

async fn write(dynamodb: &Client, table: &str, items: Vec<Item>) {
    if items.is_empty() {
        return;
    }
    let put = |item| WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap());
    let writes = items.into_iter().map(|item| put(item).build()).collect();
    let answer = dynamodb.batch_write_item().request_items(table, writes).send().await.unwrap();
    assert!(answer.unprocessed_items.unwrap_or_default().is_empty(), "the embedded DynamoDB takes all");
}
