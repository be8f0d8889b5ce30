//! DynamoDB: the embedded one, called in process with the bodies that the SDK sends.

use dynoxide::{Database, DynoxideError};
use passloop_tests::back_office::PASS_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An answer: status and body.
pub(crate) type Answer = (u16, String);

/// Carries one call out.
pub(crate) fn answer(database: &Database, operation: &str, body: &str) -> Answer {
    match operation {
        "GetItem" => run(body, |request| database.get_item(request)),
        "BatchGetItem" => run(body, |request| database.batch_get_item(request)),
        "Query" => run(body, |request| database.query(request)),
        "TransactWriteItems" => run(body, |request| database.transact_write_items(request)),
        "PutItem" => run(body, |request| database.put_item(request)),
        "UpdateItem" => run(body, |request| database.update_item(request)),
        "DeleteItem" => run(body, |request| database.delete_item(request)),
        "CreateTable" => run(body, |request| database.create_table(request)),
        "DescribeTable" => run(body, |request| database.describe_table(request)),
        "UpdateTimeToLive" => run(body, |request| database.update_time_to_live(request)),
        other => panic!("the simulation's DynamoDB does not know {other}: add it to tests/simulation/dynamodb.rs"),
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(body: &str, call: impl FnOnce(Q) -> Result<A, DynoxideError>) -> Answer {
    let request = serde_json::from_str(body).unwrap_or_else(|error| panic!("not a DynamoDB request: {error}: {body}"));
    match call(request) {
        Ok(answer) => (200, serde_json::to_string(&answer).unwrap()),
        Err(error) => (error.status_code(), error.to_json()),
    }
}

/// Fewer items on a page than asked for, as DynamoDB may bring at any time (AWS, Query: "Paginating table query results").
pub(crate) fn shorter_page(body: &str, most: u64) -> String {
    let mut request: Value = serde_json::from_str(body).unwrap();
    let asked = request["Limit"].as_u64().unwrap_or(u64::MAX);
    request["Limit"] = json!(asked.min(most));
    request.to_string()
}

/// Only some of a batch, the rest as `UnprocessedKeys` (AWS, BatchGetItem).
pub(crate) fn shorter_batch(database: &Database, body: &str, most: usize) -> Answer {
    let mut request: Value = serde_json::from_str(body).unwrap();
    let mut rest = serde_json::Map::new();
    for (table, of) in request["RequestItems"].as_object_mut().unwrap() {
        let keys = of["Keys"].as_array_mut().unwrap();
        let left = keys.split_off(most.min(keys.len()));
        if !left.is_empty() {
            let mut same = of.clone();
            same["Keys"] = Value::Array(left);
            rest.insert(table.clone(), same);
        }
    }
    let (status, answer) = answer(database, "BatchGetItem", &request.to_string());
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    if status == 200 {
        answer["UnprocessedKeys"] = Value::Object(rest);
    }
    (status, answer.to_string())
}

/// A member that this release does not know.
const ADDED_LATER: &str = "addedLater";

/// Adds it to an object that is written as JSON text.
pub(crate) fn add_later(text: &mut Value) {
    if let Some(Ok(mut object)) = text.as_str().map(serde_json::from_str::<Value>)
        && object.is_object()
    {
        object[ADDED_LATER] = json!("more");
        *text = object.to_string().into();
    }
}

/// What the next release writes: all of this, and more in every item and every document of one, as an added feature brings
/// it (docs/deploy.md, "Updating without a gap"). This release must read past it.
pub(crate) fn of_next_release(body: &str) -> String {
    /// Attributes that hold an object as JSON text, and those that hold one as a map.
    const DOCUMENTS: [&str; 6] = ["document", "step", "event", "counted", "counted_in", "reversal"];
    const MAPS: [&str; 3] = ["last", "used", "state"];
    let mut request: Value = serde_json::from_str(body).unwrap();
    for write in request["TransactItems"].as_array_mut().into_iter().flatten() {
        let Some(item) = write.pointer_mut("/Put/Item").and_then(Value::as_object_mut) else { continue };
        for (name, value) in item.iter_mut() {
            if DOCUMENTS.contains(&name.as_str())
                && let Some(text) = value.get_mut("S")
            {
                add_later(text);
            } else if MAPS.contains(&name.as_str())
                && let Some(members) = value["M"].as_object_mut()
            {
                members.insert(ADDED_LATER.to_owned(), json!({ "S": "more" }));
            }
        }
        item.insert(ADDED_LATER.to_owned(), json!({ "S": "more" }));
    }
    request.to_string()
}

/// A refusal since another transaction holds one of the items (AWS, TransactWriteItems).
pub(crate) fn conflict(body: &str) -> Answer {
    let request: Value = serde_json::from_str(body).unwrap();
    let writes = request["TransactItems"].as_array().map_or(1, Vec::len);
    let reasons: Vec<Value> = (0..writes)
        .map(|place| match place {
            0 => json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" }),
            _ => json!({ "Code": "None" }),
        })
        .collect();
    refusal(400, "TransactionCanceledException", Some(reasons))
}

/// Another refusal.
pub(crate) fn refusal(status: u16, kind: &str, reasons: Option<Vec<Value>>) -> Answer {
    let mut body = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "simulated" });
    if let Some(reasons) = reasons {
        body["CancellationReasons"] = Value::Array(reasons);
    }
    (status, body.to_string())
}

/// Steps that are not done: their intents, with when they are due (milliseconds), by the items of `DUE#…`.
pub(crate) fn intents(database: &Database, table: &str) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    for shard in 0..platform::store::SHARDS {
        let query = json!({ "TableName": table, "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": { ":pk": { "S": format!("DUE#{shard}") } } });
        let (_, page) = answer(database, "Query", &query.to_string());
        let page: Value = serde_json::from_str(&page).unwrap();
        for item in page["Items"].as_array().into_iter().flatten() {
            let due = item["due"]["N"].as_str().and_then(|due| due.parse().ok()).unwrap_or_default();
            all.push((due, item["step"]["S"].as_str().unwrap_or_default().to_owned()));
        }
    }
    all.sort();
    all
}

/// Every item of the table.
pub(crate) fn all(database: &Database, table: &str) -> Vec<Value> {
    let (mut items, mut request) = (Vec::new(), json!({ "TableName": table }));
    loop {
        let (_, page) = run(&request.to_string(), |request| database.scan(request));
        let mut page: Value = serde_json::from_str(&page).unwrap();
        items.extend(page["Items"].as_array_mut().map(std::mem::take).unwrap_or_default());
        let next = page["LastEvaluatedKey"].take();
        if next.is_null() {
            return items;
        }
        request["ExclusiveStartKey"] = next;
    }
}

/// How many devices are registered for a pass, by its items `DEVICE#…`.
pub(crate) fn registrations(database: &Database, table: &str, serial: &str) -> usize {
    let query = json!({ "TableName": table, "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
        "ExpressionAttributeValues": { ":pk": { "S": format!("PASS#{PASS_TYPE}#{serial}") }, ":sk": { "S": "DEVICE#" } } });
    let (_, page) = answer(database, "Query", &query.to_string());
    let page: Value = serde_json::from_str(&page).unwrap();
    page["Items"].as_array().map_or(0, Vec::len)
}
