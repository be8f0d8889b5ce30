//! A look's `pass.json` written out already, but for what is each pass's own: a pass is copied together and filled in.
//!
//! Only a look has one in which nothing a pass fills in can be wrong (a label may be any text, a date may not): then there
//! is nothing to examine or to mend. Every other look, and a pass whose text makes an exception, is put together, examined
//! and mended member by member; what comes out is the same, byte for byte.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Inputs, lookup, node::Node, node::value_of, of_service};
use crate::{
    package::canonical,
    pass_json::{FIELD_GROUPS, SERVICE_KEYS, Style},
    placeholder::{Escape, Placeholder, Text, is_open},
};

/// Bytes that a pass fills in, mostly: identifiers, a token, a name.
const FILLED: usize = 512;

pub(super) struct Skeleton {
    pieces: Vec<Piece>,
    /// Of all fixed pieces, in bytes.
    length: usize,
}

enum Piece {
    /// JSON as it stands in every pass.
    Fixed(String),
    /// A string that may be any text.
    Text(Text, Escape),
    /// A string that has to say something. Where it does not, or not in ASCII, the pass is examined.
    Said(Text, Escape),
    /// The `value` of a field that is shown as it is.
    Value(Placeholder),
    /// What the service sets.
    Service(&'static str),
}

/// Where a value stands, as far as it matters to what it may be (`pass_json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spot {
    Top,
    Style,
    Fields,
    Field,
    Barcodes,
    Barcode,
    /// A string here may be any text.
    AnyText,
    /// A `value` here may be any text or number.
    AnyValue,
    /// A string here must not be blank.
    SomeText,
    /// What stands here is examined for what it says.
    Examined,
}

impl Spot {
    fn member(self, key: &str, siblings: &BTreeMap<String, Node>) -> Self {
        const FORMATTERS: [&str; 4] = ["dateStyle", "timeStyle", "numberStyle", "currencyCode"];
        match (self, key) {
            (Self::Top, "barcodes") => Self::Barcodes,
            (Self::Top, "barcode") => Self::Barcode,
            (Self::Top, "logoText") => Self::AnyText,
            (Self::Top, "organizationName" | "description") => Self::SomeText,
            (Self::Top, key) if Style::from_key(key).is_some() => Self::Style,
            (Self::Style, key) if FIELD_GROUPS.contains(&key) => Self::Fields,
            (Self::Field, "label" | "attributedValue" | "changeMessage") => Self::AnyText,
            (Self::Field, "value") if !FORMATTERS.iter().any(|key| siblings.contains_key(*key)) => Self::AnyValue,
            (Self::Barcode, "message") => Self::SomeText,
            (Self::Barcode, "altText") => Self::AnyText,
            _ => Self::Examined,
        }
    }

    fn item(self) -> Self {
        match self {
            Self::Fields => Self::Field,
            Self::Barcodes => Self::Barcode,
            Self::Top
            | Self::Style
            | Self::Field
            | Self::Barcode
            | Self::AnyText
            | Self::AnyValue
            | Self::SomeText
            | Self::Examined => Self::Examined,
        }
    }
}

impl Skeleton {
    /// `None`: what a pass fills in could be wrong.
    pub(super) fn of(pass: &BTreeMap<String, Node>) -> Option<Self> {
        let mut drawing = Drawing { pieces: Vec::new(), fixed: String::new() };
        let mut keys: Vec<&str> = pass.keys().map(String::as_str).chain(SERVICE_KEYS).collect();
        keys.sort_unstable();
        keys.dedup();
        for (place, key) in keys.into_iter().enumerate() {
            drawing.open_member(place, key);
            match SERVICE_KEYS.into_iter().find(|service| *service == key) {
                Some(service) => drawing.open(Piece::Service(service)),
                None => drawing.node(pass.get(key)?, Spot::Top.member(key, pass))?,
            }
        }
        drawing.fixed.push('}');
        drawing.pieces.push(Piece::Fixed(drawing.fixed));
        let length = drawing.pieces.iter().map(Piece::length).sum();
        Some(Self { pieces: drawing.pieces, length })
    }

    /// The `pass.json` of one pass; `None`: it has to be examined.
    pub(super) fn fill(&self, inputs: &Inputs<'_>) -> Option<Vec<u8>> {
        let mut out = String::with_capacity(self.length + FILLED);
        let text = |text: &Text, escape: Escape| text.render(escape, |placeholder| lookup(inputs, placeholder));
        for piece in &self.pieces {
            match piece {
                Piece::Fixed(fixed) => out.push_str(fixed),
                Piece::Text(open, escape) => canonical::write_string(&text(open, *escape), &mut out),
                Piece::Said(open, escape) => {
                    let said = text(open, *escape);
                    if !said.is_ascii() || said.trim().is_empty() {
                        return None;
                    }
                    canonical::write_string(&said, &mut out);
                }
                Piece::Value(placeholder) => canonical::write(&value_of(placeholder, inputs), &mut out),
                Piece::Service(key) => canonical::write_string(of_service(inputs, key), &mut out),
            }
        }
        Some(out.into_bytes())
    }
}

/// A skeleton in the making.
struct Drawing {
    pieces: Vec<Piece>,
    /// What follows them, so far.
    fixed: String,
}

impl Drawing {
    fn node(&mut self, node: &Node, spot: Spot) -> Option<()> {
        match (node, spot) {
            // Braces that came with the offer: they were not examined as what they are.
            (Node::Fixed(value), _) if has_braces(value) => return None,
            (Node::Fixed(value), _) => canonical::write(value, &mut self.fixed),
            (Node::Text(text, escape), Spot::AnyText | Spot::AnyValue) => {
                self.open(Piece::Text(text.clone(), *escape));
            }
            (Node::Text(text, escape), Spot::SomeText) => self.open(Piece::Said(text.clone(), *escape)),
            (Node::Value(placeholder), Spot::AnyValue) => self.open(Piece::Value(placeholder.clone())),
            (Node::Text(..) | Node::Value(_), _) => return None,
            (Node::Array(nodes), _) => {
                for (place, node) in nodes.iter().enumerate() {
                    self.fixed.push(if place == 0 { '[' } else { ',' });
                    self.node(node, spot.item())?;
                }
                self.fixed.push_str(if nodes.is_empty() { "[]" } else { "]" });
            }
            (Node::Object(members), _) => {
                for (place, (key, node)) in members.iter().enumerate() {
                    self.open_member(place, key);
                    self.node(node, spot.member(key, members))?;
                }
                self.fixed.push_str(if members.is_empty() { "{}" } else { "}" });
            }
        }
        Some(())
    }

    fn open_member(&mut self, place: usize, key: &str) {
        self.fixed.push(if place == 0 { '{' } else { ',' });
        canonical::write_string(key, &mut self.fixed);
        self.fixed.push(':');
    }

    /// Here each pass has something of its own.
    fn open(&mut self, piece: Piece) {
        let fixed = std::mem::take(&mut self.fixed);
        self.pieces.extend([Piece::Fixed(fixed), piece]);
    }
}

impl Piece {
    fn length(&self) -> usize {
        match self {
            Self::Fixed(text) => text.len(),
            Self::Text(..) | Self::Said(..) | Self::Value(_) | Self::Service(_) => 0,
        }
    }
}

fn has_braces(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => is_open(text),
        Value::Array(items) => items.iter().any(has_braces),
        Value::Object(members) => members.values().any(has_braces),
    }
}
