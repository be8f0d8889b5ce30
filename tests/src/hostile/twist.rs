//! One thing of a request made wrong.

use serde_json::{Map, Value, json};

use super::{Body, Request};
use crate::chance::Chance;

/// Texts that programs stumble over.
const TEXTS: [&str; 24] = [
    "",
    " ",
    "\0",
    "\u{feff}",
    "\u{202e}\u{2028}",
    "é",
    "👩‍👩‍👧‍👦",
    "..",
    "../../etc/passwd",
    "#",
    "PASS#a#b",
    "{{",
    "{{ pass.barcode }}",
    "{{ holder.a.b.c.0.1 }}",
    "%@ %s %n",
    "%00%ff%2e%2e%2f",
    "';--",
    "<script>alert(1)</script>",
    "2026-11-25T10:00:00Z",
    "-009999-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999+25:59",
    "2026-02-30T25:61:61+99:99",
    "Wed, 31 Feb 10000 99:99:99 GMT",
    "Africa/Casablanca",
];

/// Makes something of it wrong.
pub(super) fn twist(request: &mut Request, chance: &mut Chance) {
    match chance.below(10) {
        0 => target(&mut request.target, chance),
        1 => headers(request, chance),
        2 => {
            let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PRI", "get"];
            request.method = (*chance.of(&methods).expect("a method")).to_owned();
        }
        _ => body(&mut request.body, chance),
    }
}

fn text(chance: &mut Chance) -> String {
    match chance.below(8) {
        0 => "a".repeat(chance.between(60, 300) as usize),
        1 => "é".repeat(chance.between(1, 40_000) as usize),
        2 => format!("{{{{{}}}}}", "x".repeat(chance.below(500) as usize)),
        3 => (0..chance.below(40)).filter_map(|_| char::from_u32(chance.below(0x11_0000) as u32)).collect(),
        _ => (*chance.of(&TEXTS).expect("a text")).to_owned(),
    }
}

/// Another segment, or another value of the query; percent-encoded, or as raw as HTTP allows.
fn target(target: &mut String, chance: &mut Chance) {
    let piece = text(chance);
    let piece: String = if chance.one_in(2) {
        piece.bytes().map(|byte| format!("%{byte:02X}")).collect()
    } else {
        piece.chars().filter(|letter| letter.is_ascii_graphic()).collect()
    };
    let places: Vec<usize> = target.match_indices(['/', '=', '&', '?']).map(|(place, _)| place + 1).collect();
    let start = chance.of(&places).copied().unwrap_or(1);
    match chance.below(3) {
        0 => target.insert_str(start, &piece),
        1 => target.truncate(start),
        _ => {
            let end = target[start..].find(['/', '&', '?']).map_or(target.len(), |end| start + end);
            target.replace_range(start..end, &piece);
        }
    }
    // A request line of more is the gateway's affair.
    target.truncate(8000);
}

fn headers(request: &mut Request, chance: &mut Chance) {
    let value: Vec<u8> = match chance.below(3) {
        0 => text(chance).into_bytes(),
        1 => (0..chance.below(80)).map(|_| chance.below(256) as u8).collect(),
        _ => b"gzip, */*;q=0.000000001, text/csv".to_vec(),
    };
    // A line break would be another header, which is twisted in its turn.
    let value: Vec<u8> = value.into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).take(6000).collect();
    let index = chance.below(request.headers.len() as u64 + 2) as usize;
    match request.headers.get_mut(index) {
        Some((_, old)) if !chance.one_in(4) => *old = value,
        Some(_) => drop(request.headers.remove(index)),
        None => {
            let names =
                ["Accept", "X-Pass-Client", "Cookie", "Content-Encoding", "X-Forwarded-For", "Authorization", "Range"];
            request.headers.push(((*chance.of(&names).expect("a name")).to_owned(), value));
        }
    }
}

fn body(body: &mut Body, chance: &mut Chance) {
    match body {
        Body::None => *body = Body::Bytes(text(chance).into_bytes()),
        Body::Json(value) if !chance.one_in(8) => {
            let depth = chance.below(6);
            exchange(value, depth, chance);
        }
        Body::Json(value) => *body = Body::Bytes(value.to_string().into_bytes()),
        Body::Bytes(bytes) => break_bytes(bytes, chance),
    }
}

/// Goes down a few levels and exchanges what is there.
fn exchange(value: &mut Value, depth: u64, chance: &mut Chance) {
    let child = match value {
        Value::Object(members) if depth > 0 && !members.is_empty() => {
            let place = chance.below(members.len() as u64) as usize;
            members.values_mut().nth(place)
        }
        Value::Array(items) if depth > 0 && !items.is_empty() => {
            let place = chance.below(items.len() as u64) as usize;
            items.get_mut(place)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match child {
        Some(child) => exchange(child, depth - 1, chance),
        None => alter(value, chance),
    }
}

fn alter(value: &mut Value, chance: &mut Chance) {
    match (chance.below(12), &mut *value) {
        (0, _) => *value = Value::Null,
        (1, _) => *value = json!([0, -1, 1e308, 5e-324, u64::MAX, i64::MIN, 0.1]),
        (2, _) => *value = json!(*chance.of(&[0.0, -1.0, 1e308, 4_294_967_296.0, 1.5]).expect("a number")),
        (3, _) => *value = json!(*chance.of(&[0, 1, u64::MAX, 31_536_001, 1_000_001]).expect("a number")),
        (4, _) => {
            for _ in 0..chance.between(1, 130) {
                *value = if chance.one_in(2) { json!([value.take()]) } else { json!({ "a": value.take() }) };
            }
        }
        (5, Value::Object(members)) => drop(members.insert(text(chance), json!(text(chance)))),
        (6, Value::Object(members)) => {
            let members_of_it: Map<String, Value> =
                (0..chance.below(5000)).map(|number| (format!("m{number}"), json!({ "value": number }))).collect();
            members.extend(members_of_it);
        }
        (7, Value::Array(items)) => {
            let item = items.first().cloned().unwrap_or_default();
            items.resize(chance.below(3000) as usize, item);
        }
        (8, _) => *value = json!({}),
        (9, _) => *value = json!(true),
        _ => *value = json!(text(chance)),
    }
}

fn break_bytes(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let place = chance.below(bytes.len() as u64 + 1) as usize;
    match chance.below(5) {
        0 => bytes.truncate(place),
        1 => bytes.extend_from_slice(&bytes.clone()),
        2 => bytes.extend(std::iter::repeat_n(b' ', 300_000)),
        _ => {
            for _ in 0..chance.between(1, 20) {
                let place = chance.below(bytes.len().max(1) as u64) as usize;
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = chance.below(256) as u8;
                }
            }
        }
    }
}
