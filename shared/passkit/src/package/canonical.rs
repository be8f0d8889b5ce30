//! JSON that always has the same bytes: keys sorted, no spaces, numbers in one notation, whatever features of
//! `serde_json` other crates of a binary turn on (`preserve_order`, `arbitrary_precision`).

use serde_json::{Number, Value};

/// A value.
pub(crate) fn value(value: &Value) -> Vec<u8> {
    let mut out = String::with_capacity(4096);
    write(value, &mut out);
    out.into_bytes()
}

/// A number.
pub(crate) fn number(number: &Number) -> String {
    if let Some(whole) = number.as_i64() {
        whole.to_string()
    } else if let Some(whole) = number.as_u64() {
        whole.to_string()
    } else {
        number.as_f64().and_then(Number::from_f64).map_or_else(|| number.to_string(), |number| number.to_string())
    }
}

/// Appends a value.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(value) => out.push_str(&number(value)),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => separated(items.iter(), '[', ']', out, write),
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            // They are already, unless another crate of the binary asked for the order of insertion.
            sorted.sort_unstable_by_key(|(key, _)| *key);
            separated(sorted.into_iter(), '{', '}', out, |(key, value), out| {
                write_string(key, out);
                out.push(':');
                write(value, out);
            });
        }
    }
}

fn separated<T>(
    items: impl Iterator<Item = T>,
    open: char,
    close: char,
    out: &mut String,
    item: impl Fn(T, &mut String),
) {
    out.push(open);
    for (index, value) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        item(value, out);
    }
    out.push(close);
}

/// Appends a string. RFC 8259, section 7: quotation mark, reverse solidus and control characters must be escaped.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    // What has to be escaped is ASCII, so every cut lies between characters.
    while let Some(place) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        let (plain, after) = rest.split_at(place);
        out.push_str(plain);
        let (escaped, after) = after.split_at(1);
        match escaped {
            "\"" => out.push_str("\\\""),
            "\\" => out.push_str("\\\\"),
            "\n" => out.push_str("\\n"),
            control => out.push_str(&format!("\\u{:04x}", control.bytes().next().unwrap_or_default())),
        }
        rest = after;
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_at_every_depth_and_nothing_else_changes() {
        let source = json!({"b": [1, -2, 1.5, true, null, {"z": "", "a": u64::MAX}], "a": "é\"\\\n\u{1}"});
        let bytes = value(&source);
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"a":"é\"\\\n\u0001","b":[1,-2,1.5,true,null,{"a":18446744073709551615,"z":""}]}"#
        );
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), source);
    }
}
