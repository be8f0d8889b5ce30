//! `pass.json` with its placeholders found: parts without any are kept as they are.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use super::{Inputs, lookup};
use crate::{
    package::canonical,
    placeholder::{Escape, Part, Placeholder, PlaceholderError, Text, resolve},
    problem::pointer,
};

#[derive(Debug)]
pub(super) enum Node {
    /// The same for every pass.
    Fixed(Value),
    /// A string with placeholders.
    Text(Text, Escape),
    /// A field's `value` that is exactly one placeholder: a number stays a number, as numberStyle and currencyCode need.
    Value(Placeholder),
    Array(Vec<Node>),
    Object(BTreeMap<String, Node>),
}

impl Node {
    /// Compiles a value at `path`, putting the offer's values in. A text that was reported stays as it is.
    pub(super) fn compile(
        value: &Value,
        offer: &Value,
        path: &str,
        report: &mut impl FnMut(&str, PlaceholderError),
    ) -> Self {
        Self::compile_member(value, Escape::Plain, Place::Elsewhere, offer, path, report)
    }

    fn compile_member(
        value: &Value,
        escape: Escape,
        place: Place,
        offer: &Value,
        path: &str,
        report: &mut impl FnMut(&str, PlaceholderError),
    ) -> Self {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Fixed(value.clone()),
            Value::String(source) => match Text::compile(source) {
                Ok(text) => Self::compile_text(text, escape, place, offer),
                Err(error) => {
                    report(path, error);
                    Self::Fixed(value.clone())
                }
            },
            Value::Array(items) => {
                let nodes: Vec<Self> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Self::compile(item, offer, &pointer(path, index), report))
                    .collect();
                if nodes.iter().all(Self::is_fixed) { Self::Fixed(fixed_array(&nodes)) } else { Self::Array(nodes) }
            }
            Value::Object(members) => {
                let nodes: BTreeMap<String, Self> = members
                    .iter()
                    .map(|(key, member)| {
                        let is_field = members.contains_key("key");
                        let (escape, place) = match key.as_str() {
                            "attributedValue" if is_field => (Escape::Markup, Place::Elsewhere),
                            "value" if is_field => (Escape::Plain, Place::FieldValue),
                            _ => (Escape::Plain, Place::Elsewhere),
                        };
                        let path = pointer(path, key);
                        (key.clone(), Self::compile_member(member, escape, place, offer, &path, report))
                    })
                    .collect();
                if nodes.values().all(Self::is_fixed) { Self::Fixed(fixed_object(&nodes)) } else { Self::Object(nodes) }
            }
        }
    }

    fn compile_text(text: Text, escape: Escape, place: Place, offer: &Value) -> Self {
        if place == Place::FieldValue {
            match text.sole_placeholder() {
                Some(Placeholder::Offer(path)) => {
                    if let Some(Value::Number(number)) = resolve(offer, path) {
                        return Self::Fixed(Value::Number(number.clone()));
                    }
                }
                Some(placeholder) => return Self::Value(placeholder.clone()),
                None => {}
            }
        }
        let text = text.with_offer(offer, escape);
        if text.is_literal() {
            Self::Fixed(Value::from(text.render(escape, |_| None)))
        } else {
            Self::Text(text, escape)
        }
    }

    fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }

    /// The value of one pass.
    pub(super) fn render(&self, inputs: &Inputs<'_>) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(text, escape) => Value::from(text.render(*escape, |placeholder| lookup(inputs, placeholder))),
            Self::Value(placeholder) => value_of(placeholder, inputs),
            Self::Array(nodes) => nodes.iter().map(|node| node.render(inputs)).collect(),
            Self::Object(nodes) => nodes.iter().map(|(key, node)| (key.clone(), node.render(inputs))).collect(),
        }
    }

    /// The value with the placeholders of the pass still standing in it, for examination.
    pub(super) fn specimen(&self) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(text, _) => Value::from(text.to_string()),
            Self::Value(placeholder) => Value::from(placeholder.to_string()),
            Self::Array(nodes) => nodes.iter().map(Self::specimen).collect(),
            Self::Object(nodes) => nodes.iter().map(|(key, node)| (key.clone(), node.specimen())).collect(),
        }
    }

    /// Every string with placeholders, with its path.
    pub(super) fn each_text(&self, path: &str, visit: &mut impl FnMut(String, &Text, Escape)) {
        match self {
            Self::Fixed(_) | Self::Value(_) => {}
            Self::Text(text, escape) => visit(path.to_owned(), text, *escape),
            Self::Array(nodes) => {
                nodes.iter().enumerate().for_each(|(index, node)| node.each_text(&pointer(path, index), visit));
            }
            Self::Object(nodes) => nodes.iter().for_each(|(key, node)| node.each_text(&pointer(path, key), visit)),
        }
    }

    /// How many placeholders there are.
    pub(super) fn placeholders(&self) -> usize {
        match self {
            Self::Fixed(_) => 0,
            Self::Text(text, _) => text.placeholders(),
            Self::Value(_) => 1,
            Self::Array(nodes) => nodes.iter().map(Self::placeholders).sum(),
            Self::Object(nodes) => nodes.values().map(Self::placeholders).sum(),
        }
    }

    /// Feeds a digest: every kind begins with its own tag, every list with its length.
    pub(super) fn feed(&self, part: &mut impl FnMut(&[u8])) {
        let length = |length: usize| (length as u64).to_be_bytes();
        match self {
            Self::Fixed(value) => {
                part(b"fixed");
                part(&canonical::value(value));
            }
            Self::Text(text, escape) => {
                part(match escape {
                    Escape::Plain => b"text",
                    Escape::Markup => b"markup",
                });
                feed_text(text, part);
            }
            Self::Value(placeholder) => {
                part(b"value");
                part(placeholder.to_string().as_bytes());
            }
            Self::Array(nodes) => {
                part(b"array");
                part(&length(nodes.len()));
                nodes.iter().for_each(|node| node.feed(part));
            }
            Self::Object(nodes) => {
                part(b"object");
                part(&length(nodes.len()));
                for (key, node) in nodes {
                    part(key.as_bytes());
                    node.feed(part);
                }
            }
        }
    }
}

/// What a field's `value` becomes that is one placeholder: a number stays a number.
pub(super) fn value_of(placeholder: &Placeholder, inputs: &Inputs<'_>) -> Value {
    match placeholder {
        Placeholder::Holder(path) if resolve(inputs.holder, path).is_some_and(Value::is_number) => {
            resolve(inputs.holder, path).cloned().unwrap_or_default()
        }
        Placeholder::Remaining => inputs.remaining.map_or_else(|| Value::from(""), Value::from),
        Placeholder::Redemptions => Value::from(inputs.redemptions),
        other @ (Placeholder::Holder(_) | Placeholder::Offer(_) | Placeholder::SerialNumber | Placeholder::Barcode) => {
            Value::from(lookup(inputs, other).map(Cow::into_owned).unwrap_or_default())
        }
    }
}

/// Feeds a digest with a text: a literal `{{ x }}` and a placeholder differ.
pub(super) fn feed_text(text: &Text, part: &mut impl FnMut(&[u8])) {
    part(&(text.parts().len() as u64).to_be_bytes());
    for piece in text.parts() {
        match piece {
            Part::Literal(literal) => {
                part(b"literal");
                part(literal.as_bytes());
            }
            Part::Placeholder(placeholder) => {
                part(b"placeholder");
                part(placeholder.to_string().as_bytes());
            }
        }
    }
}

/// Where a string stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is the `value` of a field.
    FieldValue,
    Elsewhere,
}

fn fixed_array(nodes: &[Node]) -> Value {
    nodes.iter().map(Node::specimen).collect()
}

fn fixed_object(nodes: &BTreeMap<String, Node>) -> Value {
    nodes.iter().map(|(key, node)| (key.clone(), node.specimen())).collect()
}
