//! Leaving out what holder data made invalid: the field with a date that is none, the barcode without message. A pass
//! that was issued stays fetchable whatever its data became.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::pass_json::{self, FIELD_GROUPS, Stage, Style};

/// Leaving a part out can break another that needs it (`appLaunchURL` its store identifiers). Chains are short.
const MAX_ROUNDS: usize = 4;

/// Keys a pass cannot do without.
const REQUIRED: [&str; 3] = ["formatVersion", "organizationName", "description"];

pub(super) fn mend(pass: &mut Map<String, Value>) {
    for _ in 0..MAX_ROUNDS {
        let errors = pass_json::examine(pass, Stage::Finished, "").errors;
        let parts: BTreeSet<Part> = errors.iter().filter_map(|error| part_of(pass, &error.path)).collect();
        if parts.is_empty() {
            return;
        }
        // From the back, so that indices stay right.
        for part in parts.into_iter().rev() {
            part.leave_out(pass);
        }
    }
}

/// What can be left out by itself.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A top-level key.
    Key(String),
    /// An entry of a top-level array.
    Entry(String, usize),
    /// A field of a group of a style.
    Field(String, String, usize),
}

impl Part {
    fn leave_out(self, pass: &mut Map<String, Value>) {
        let (list, index) = match self {
            Self::Key(key) => {
                pass.remove(&key);
                return;
            }
            Self::Entry(key, index) => (pass.get_mut(&key), index),
            Self::Field(style, group, index) => (pass.get_mut(&style).and_then(|style| style.get_mut(&group)), index),
        };
        if let Some(Value::Array(items)) = list
            && index < items.len()
        {
            items.remove(index);
        }
        // An empty list of barcodes says nothing.
        pass.retain(|_, value| value.as_array().is_none_or(|items| !items.is_empty()));
    }
}

/// The smallest part that holds `path`; `None`: the pass cannot do without.
fn part_of(pass: &Map<String, Value>, path: &str) -> Option<Part> {
    let tokens: Vec<&str> = path.split('/').skip(1).collect();
    let index = |token: &&str| token.parse::<usize>().ok();
    match tokens.as_slice() {
        [style, rest @ ..] if Style::from_key(style).is_some() => match rest {
            [group, item, ..] if FIELD_GROUPS.contains(group) => {
                Some(Part::Field((*style).to_owned(), (*group).to_owned(), index(item)?))
            }
            _ => None,
        },
        [key, ..] if REQUIRED.contains(key) => None,
        [key, item, ..] if pass.get(*key).is_some_and(Value::is_array) => {
            Some(Part::Entry((*key).to_owned(), index(item)?))
        }
        [key, ..] if !key.is_empty() => Some(Part::Key((*key).to_owned())),
        _ => None,
    }
}
