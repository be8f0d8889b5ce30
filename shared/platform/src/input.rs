//! Reading a merchant's JSON: every problem named by its path, not only the first (contract, section 4).

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr};

use jiff::Timestamp;
use lambda_http::RequestExt;
use passkit::{
    overlay::{Change, FieldChange, Overlay},
    problem::{Problem, Problems, note, pointer},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::http::{Failure, JSON_LIMIT, body};

/// A JSON object being read member by member. What is not taken in the end is an unknown field.
pub struct Fields {
    path: String,
    members: Map<String, Value>,
    problems: Problems,
}

/// Objects and arrays within each other, of any JSON from outside. What is stored wraps it in a few more, and has to stay
/// within the 128 that serde_json reads.
pub const DEPTH_LIMIT: usize = 64;

/// Whether a text nests deeper than [`DEPTH_LIMIT`], if it is JSON.
pub fn nests_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_LIMIT {
            return true;
        }
    }
    false
}

/// The body of a request: a JSON object. An empty body is an empty object.
pub fn fields(request: &lambda_http::Request) -> Result<Fields, Failure> {
    let bytes = body(request, JSON_LIMIT)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Fields { path: String::new(), members: Map::new(), problems: Problems::new() });
    }
    if nests_too_deep(bytes) {
        return Err(Failure::Malformed(format!("the body nests deeper than {DEPTH_LIMIT} levels")));
    }
    let value =
        serde_json::from_slice(bytes).map_err(|error| Failure::Malformed(format!("the body is not JSON: {error}")))?;
    match value {
        Value::Object(members) => Ok(Fields { path: String::new(), members, problems: Problems::new() }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Failure::Malformed("the body must be a JSON object".to_owned()))
        }
    }
}

impl Fields {
    /// The members of an object that did not come as a body of its own.
    pub fn of(members: Map<String, Value>) -> Fields {
        Fields { path: String::new(), members, problems: Problems::new() }
    }

    /// Takes a member that must be there. `None` when it is missing or wrong, which is noted.
    pub fn required<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        if !self.members.contains_key(name) {
            self.wrong(name, "is required");
            return None;
        }
        self.present(name)
    }

    /// Takes a member that may be absent or null.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        match self.members.get(name) {
            None => None,
            Some(Value::Null) => {
                self.members.remove(name);
                None
            }
            Some(_) => self.present(name),
        }
    }

    /// Takes a time that must be there.
    pub fn required_time(&mut self, name: &str) -> Option<Timestamp> {
        if self.members.get(name).is_none_or(Value::is_null) {
            self.members.remove(name);
            self.wrong(name, "is required");
            return None;
        }
        self.time(name)
    }

    /// Takes a time that may be absent or null.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        let value: Value = self.optional(name)?;
        let time = value.as_str().and_then(|text| text.parse().ok());
        if time.is_none() {
            self.wrong(name, "must be an RFC 3339 time with a zone, such as 2026-11-27T18:00:00+01:00");
        }
        time
    }

    fn present<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = self.members.remove(name)?;
        let whole = whole(&value);
        match serde_json::from_value(value).or_else(|error| whole.map_or(Err(error), serde_json::from_value)) {
            Ok(read) => Some(read),
            Err(error) => {
                self.wrong(name, told(&error));
                None
            }
        }
    }

    /// Takes a text of 1 to `limit` characters that may be absent or null.
    pub fn text(&mut self, name: &str, limit: usize) -> Option<String> {
        let text: String = self.optional(name)?;
        if text.is_empty() || text.chars().count() > limit {
            self.wrong(name, format!("must have 1 to {limit} characters"));
            return None;
        }
        Some(text)
    }

    /// Reads a member that is an object, or absent or null.
    pub fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields) -> T) -> Option<T> {
        let value = self.members.remove(name)?;
        let path = pointer(&self.path, name);
        self.nested(path, value, read)
    }

    /// Reads a member that is an object; absent or null counts as wrong.
    pub fn required_object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields) -> Option<T>) -> Option<T> {
        if self.members.get(name).is_none_or(Value::is_null) {
            self.members.remove(name);
            self.wrong(name, "is required");
            return None;
        }
        self.object(name, read)?
    }

    /// Reads a member that is an array of objects, or absent or null.
    pub fn optional_objects<T>(&mut self, name: &str, read: impl FnMut(&mut Fields) -> Option<T>) -> Vec<T> {
        if self.members.get(name).is_none_or(Value::is_null) {
            self.members.remove(name);
            return Vec::new();
        }
        self.objects(name, read)
    }

    /// Reads a member that is an array of objects; absent counts as wrong.
    pub fn objects<T>(&mut self, name: &str, mut read: impl FnMut(&mut Fields) -> Option<T>) -> Vec<T> {
        match self.members.remove(name) {
            Some(Value::Array(values)) => {
                let path = pointer(&self.path, name);
                let mut all = Vec::with_capacity(values.len());
                for (index, value) in values.into_iter().enumerate() {
                    let path = pointer(&path, index);
                    // An entry that is null is no absent member: passed over, it would be an entry fewer.
                    if value.is_null() {
                        note(&mut self.problems, Problem::new(path, "must be an object"));
                        continue;
                    }
                    all.extend(self.nested(path, value, &mut read).flatten());
                }
                all
            }
            Some(_) => {
                self.wrong(name, "must be an array of objects");
                Vec::new()
            }
            None => {
                self.wrong(name, "is required");
                Vec::new()
            }
        }
    }

    /// Reads a member that is an array of so many objects; absent counts as wrong.
    pub fn objects_within<T>(
        &mut self,
        name: &str,
        count: RangeInclusive<usize>,
        read: impl FnMut(&mut Fields) -> Option<T>,
    ) -> Vec<T> {
        if let Some(Value::Array(values)) = self.members.get(name)
            && !count.contains(&values.len())
        {
            self.members.remove(name);
            self.wrong(name, format!("must have {} to {} entries", count.start(), count.end()));
            return Vec::new();
        }
        self.objects(name, read)
    }

    /// Reads every remaining member as an object under its own name.
    pub fn every<T>(&mut self, mut read: impl FnMut(&mut Fields) -> T) -> Vec<(String, T)> {
        let members = std::mem::take(&mut self.members);
        let mut all = Vec::new();
        for (name, value) in members {
            if value.is_null() {
                self.wrong(&name, "must be an object");
                continue;
            }
            let path = pointer(&self.path, &name);
            if let Some(one) = self.nested(path, value, &mut read) {
                all.push((name, one));
            }
        }
        all
    }

    fn nested<T>(&mut self, path: String, value: Value, read: impl FnOnce(&mut Fields) -> T) -> Option<T> {
        match value {
            Value::Null => None,
            Value::Object(members) => {
                let mut fields = Fields { path, members, problems: Problems::new() };
                let result = read(&mut fields);
                for problem in fields.finish() {
                    note(&mut self.problems, problem);
                }
                Some(result)
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                note(&mut self.problems, Problem::new(path, "must be an object"));
                None
            }
        }
    }

    /// Takes a member as it is, distinguishing absent from null.
    pub fn raw(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// How many entries a member has that is an array; 0 if it is none.
    pub fn entries(&self, name: &str) -> usize {
        self.members.get(name).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Notes a problem with a member.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        note(&mut self.problems, Problem::new(pointer(&self.path, name), message));
    }

    /// Every problem: those noted, and each member nobody took.
    pub fn finish(self) -> Problems {
        let mut problems = self.problems;
        for name in self.members.keys() {
            note(&mut problems, Problem::new(pointer(&self.path, name), "is no field of this request"));
        }
        problems
    }

    /// Ends the reading of a request that has more to be checked: what was read, if anything, and every problem so far.
    pub fn so_far<T>(self, read: Option<T>) -> (Option<T>, Problems) {
        (read, self.finish())
    }

    /// Whether anything is wrong so far.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    /// Ends the reading: what was read, or every problem. `None` without a problem cannot be, since whatever makes a
    /// part absent notes one.
    pub fn done<T>(self, read: Option<T>) -> Result<T, Failure> {
        let problems = self.finish();
        match read {
            Some(read) if problems.is_empty() => Ok(read),
            Some(_) | None => Err(Failure::Invalid(problems)),
        }
    }
}

/// What a reader in another language than ours makes of it.
fn told(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    for whole in ["u8", "u16", "u32", "u64"] {
        text = text.replace(&format!("expected {whole}"), "expected a whole number that is not negative");
    }
    text.replace("expected f64", "expected a number").replace("unknown variant", "is none of the values:")
}

/// 8.0 as 8: to JSON Schema both are integers (2020-12, Validation, 6.1.1: "any number with a zero fractional part").
fn whole(value: &Value) -> Option<Value> {
    // Up to 2^53 both forms are the same number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = value.as_f64().filter(|number| value.is_f64() && number.fract() == 0.0 && number.abs() <= EXACT)?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within 2^53")]
    let number = number as i64;
    Some(Value::from(number))
}

/// The parameters of a query being read one by one. What is not taken in the end is an unknown parameter.
pub struct Query {
    parameters: BTreeMap<String, String>,
    problems: Problems,
}

/// The query of a request; of a parameter given twice the first counts.
pub fn query(request: &lambda_http::Request) -> Query {
    let mut parameters = BTreeMap::new();
    for (name, value) in request.query_string_parameters().iter() {
        parameters.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    Query { parameters, problems: Problems::new() }
}

impl Query {
    /// Takes a parameter that must be there. `None` when it is missing or wrong, which is noted.
    pub fn required<T: FromStr>(&mut self, name: &str) -> Option<T>
    where
        T::Err: Display,
    {
        if !self.parameters.contains_key(name) {
            self.wrong(name, "is required");
        }
        self.optional(name)
    }

    /// Takes a parameter that may be absent.
    pub fn optional<T: FromStr>(&mut self, name: &str) -> Option<T>
    where
        T::Err: Display,
    {
        let text = self.parameters.remove(name)?;
        match text.parse() {
            Ok(read) => Some(read),
            Err(error) => {
                self.wrong(name, error.to_string());
                None
            }
        }
    }

    /// Notes a problem with a parameter.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        note(&mut self.problems, Problem::new(pointer("", name), message));
    }

    /// Ends the reading: what was read, or every problem. `None` without a problem cannot be, as in [`Fields::done`].
    pub fn done<T>(self, read: Option<T>) -> Result<T, Failure> {
        let mut problems = self.problems;
        for name in self.parameters.keys() {
            note(&mut problems, Problem::new(pointer("", name), "is no parameter of this call"));
        }
        match read {
            Some(read) if problems.is_empty() => Ok(read),
            Some(_) | None => Err(Failure::Invalid(problems)),
        }
    }
}

/// Reads an overlay (contract, section 4, Campaigns).
pub fn overlay(fields: &mut Fields) -> Overlay {
    let set: Map<String, Value> = fields.optional("set").unwrap_or_default();
    let changes = fields.object("fields", |fields| fields.every(field_change)).unwrap_or_default();
    Overlay {
        set,
        fields: changes.into_iter().collect(),
        remove_fields: fields.optional("removeFields").unwrap_or_default(),
        images: fields.optional("images").unwrap_or_default(),
    }
}

/// Here null means something: the member goes.
fn field_change(fields: &mut Fields) -> FieldChange {
    let mut change = |name: &str| match fields.raw(name) {
        None => Change::Keep,
        Some(Value::Null) => Change::Remove,
        Some(value) => Change::Set(value),
    };
    FieldChange { value: change("value"), label: change("label"), change_message: change("changeMessage") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Fields {
        let Value::Object(members) = value else { panic!("no object") };
        Fields { path: String::new(), members, problems: Problems::new() }
    }

    #[test]
    fn every_problem_is_named_by_its_path() {
        let mut fields =
            read(json!({"name": 5, "list": [{"n": 1}, {"n": "x", "extra~/": 0}, 7, null], "unknown": true}));
        let name: Option<String> = fields.required("name");
        let gone: Option<String> = fields.required("gone");
        let list = fields.objects("list", |item| item.required::<u32>("n"));
        assert_eq!((name, gone, list), (None, None, vec![1]));
        let mut paths: Vec<_> = fields.finish().into_iter().map(|problem| problem.path).collect();
        paths.sort();
        assert_eq!(paths, ["/gone", "/list/1/extra~0~1", "/list/1/n", "/list/2", "/list/3", "/name", "/unknown"]);
    }

    #[test]
    fn a_body_that_is_wrong_everywhere_below_a_long_name_costs_no_more_than_itself() {
        let wrong: Map<String, Value> = (0..10_000).map(|number| (number.to_string(), json!(0))).collect();
        let mut long = Map::new();
        long.insert("n".repeat(100_000), Value::Object(wrong));
        let mut fields = read(json!({"fields": long}));
        fields.object("fields", |fields| fields.every(|_| ()));
        let problems = fields.finish();
        assert_eq!(problems.len(), passkit::problem::TOLD + 1);
        let told: usize = problems.iter().map(|problem| problem.path.len() + problem.message.len()).sum();
        assert!(told < 1 << 20, "{told}");
    }

    #[test]
    fn what_nests_deeper_than_the_limit_is_seen_whatever_its_texts_hold() {
        let nested =
            |open: &str, inner: &str, close: &str, levels: usize| open.repeat(levels) + inner + &close.repeat(levels);
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for inner in ["1", r#""[[{\"""#, r#""\\""#] {
                let deep = |levels| nests_too_deep(nested(open, inner, close, levels).as_bytes());
                assert_eq!((deep(DEPTH_LIMIT), deep(DEPTH_LIMIT + 1)), (false, true), "{open}{inner}");
                assert!(serde_json::from_str::<Value>(&nested(open, inner, close, DEPTH_LIMIT + 1)).is_ok());
            }
        }
        // One after the other is not one within the other.
        assert!(!nests_too_deep("[],".repeat(1000).as_bytes()));
        // What the 64 levels are wrapped in when they are stored has to fit into what can be read.
        assert!(serde_json::from_str::<Value>(&nested("[", "1", "]", DEPTH_LIMIT + 60)).is_ok());
    }

    #[test]
    fn a_number_without_a_fraction_is_an_integer() {
        let read = |value: Value| read(json!({ "n": value })).optional::<u32>("n");
        assert_eq!(read(json!(8826.0)), Some(8826));
        assert_eq!((read(json!(0.5)), read(json!(-1.0)), read(json!(1e18))), (None, None, None));
        let mut latitude = Fields { path: String::new(), members: Map::new(), problems: Problems::new() };
        latitude.members.insert("latitude".to_owned(), json!(52.0));
        assert_eq!(latitude.optional::<f64>("latitude"), Some(52.0));
    }

    #[test]
    fn an_array_of_too_few_or_too_many_is_one_problem() {
        for count in [0, 3] {
            let mut fields = read(json!({"list": vec![json!({}); count]}));
            assert!(fields.objects_within("list", 1..=2, |_| Some(())).is_empty());
            let paths: Vec<_> = fields.finish().into_iter().map(|problem| problem.path).collect();
            assert_eq!(paths, ["/list"], "{count}");
        }
        assert_eq!(read(json!({"list": [{}, {}]})).objects_within("list", 1..=2, |_| Some(())).len(), 2);
    }

    #[test]
    fn every_problem_of_a_query_is_named() {
        let parameters =
            [("limit", "x"), ("sate", "voided")].map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
        let parameters: std::collections::HashMap<_, _> = parameters.into();
        let request = lambda_http::Request::new(lambda_http::Body::Empty).with_query_string_parameters(parameters);
        let mut query = query(&request);
        assert_eq!((query.required::<u8>("campaignId"), query.optional::<u8>("limit")), (None, None));
        let Err(Failure::Invalid(problems)) = query.done(Some(())) else { panic!("no problems") };
        let paths: Vec<_> = problems.into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["/campaignId", "/limit", "/sate"]);
    }

    #[test]
    fn null_is_no_time_where_one_is_needed() {
        for given in [json!({}), json!({"at": null}), json!({"at": "soon"})] {
            let mut fields = read(given.clone());
            assert_eq!(fields.required_time("at"), None);
            let paths: Vec<_> = fields.finish().into_iter().map(|problem| problem.path).collect();
            assert_eq!(paths, ["/at"], "{given}");
        }
    }

    #[test]
    fn null_is_absent_where_a_member_is_optional() {
        let mut fields = read(json!({"a": null, "b": "x"}));
        assert_eq!(fields.optional::<String>("a"), None);
        assert_eq!(fields.text("b", 3), Some("x".to_owned()));
        assert!(fields.finish().is_empty());
    }
}
