//! What changes in a template's `pass.json` and images while a pass is in one state (contract, section 4, Campaigns).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    images::ImageSlot,
    pass_json::{FIELD_GROUPS, SERVICE_KEYS, Style, styles},
    problem::{Problem, Problems, pointer},
    template::Template,
};

/// Entries of each list of an overlay. A pass has some forty fields and eleven images; each entry is looked for among all
/// fields of the template, in every look.
pub const MAXIMUM_CHANGES: usize = 200;

/// The changes of one state. Applied in this order: `set`, `fields`, `removeFields`, `images`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Overlay {
    /// A JSON merge patch (RFC 7396) of `pass.json`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
    /// Changes of single fields, by field key, wherever in the style the field stands.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldChange>,
    /// Keys of fields that are not shown in this state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_fields: Vec<String>,
    /// An image of the pass (`strip`) to the template's image that stands in for it (`used-strip`), in every scale and
    /// language.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
}

/// What changes in one field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FieldChange {
    /// The field's `value`.
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub value: Change,
    /// The field's `label`.
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub label: Change,
    /// The field's `changeMessage`.
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub change_message: Change,
}

/// What happens to one member: absent keeps it, null removes it, anything else replaces it.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Change {
    /// Stays as the template or an earlier overlay has it.
    #[default]
    Keep,
    /// Goes.
    Remove,
    /// Becomes this.
    Set(Value),
}

impl Change {
    fn is_keep(&self) -> bool {
        *self == Self::Keep
    }

    fn apply(&self, field: &mut Map<String, Value>, key: &str) {
        match self {
            Self::Keep => {}
            Self::Remove => {
                field.remove(key);
            }
            Self::Set(value) => {
                field.insert(key.to_owned(), value.clone());
            }
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Remove => serializer.serialize_none(),
            Self::Set(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Change {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(if value.is_null() { Self::Remove } else { Self::Set(value) })
    }
}

impl Overlay {
    /// Whether it may show what a redemption changes: the barcode, or how often the pass was or can be redeemed.
    pub fn may_show_use(&self) -> bool {
        // `offer.redemptions` is the beginning of `offer.redemptionsLeft` too.
        let names = ["pass.barcode", "pass.remaining", "offer.redemptions"];
        serde_json::to_string(self).is_ok_and(|written| names.iter().any(|name| written.contains(name)))
    }

    /// Changes `pass` and `images` (shown image to the template's image). Problems are reported below `prefix`.
    pub(crate) fn apply(
        &self,
        template: &Template,
        prefix: &str,
        pass: &mut Map<String, Value>,
        images: &mut BTreeMap<ImageSlot, String>,
        problems: &mut Problems,
    ) {
        let lists =
            [("fields", self.fields.len()), ("removeFields", self.remove_fields.len()), ("images", self.images.len())];
        for (list, entries) in lists {
            if entries > MAXIMUM_CHANGES {
                let message = format!("has {entries} entries; at most {MAXIMUM_CHANGES} are allowed");
                problems.push(Problem::new(pointer(prefix, list), message));
                return;
            }
        }
        self.apply_set(&pointer(prefix, "set"), pass, problems);
        for (key, change) in &self.fields {
            let path = pointer(&pointer(prefix, "fields"), key);
            let removes_value = change.value == Change::Remove;
            if removes_value {
                problems.push(Problem::new(
                    pointer(&path, "value"),
                    "a field always has a value: give another one, or list the field in removeFields",
                ));
            }
            let mut found = false;
            for_each_field(pass, |field| {
                if field.get("key").and_then(Value::as_str) == Some(key) {
                    found = true;
                    if !removes_value {
                        change.value.apply(field, "value");
                    }
                    change.label.apply(field, "label");
                    change.change_message.apply(field, "changeMessage");
                }
            });
            if !found {
                problems.push(Problem::new(path, "there is no field with this key"));
            }
        }
        self.remove_fields(prefix, pass, problems);
        self.map_images(template, &pointer(prefix, "images"), images, problems);
    }

    fn apply_set(&self, prefix: &str, pass: &mut Map<String, Value>, problems: &mut Problems) {
        let mut patch = self.set.clone();
        for key in SERVICE_KEYS {
            if patch.remove(key).is_some() {
                problems.push(Problem::new(pointer(prefix, key), "is set by the service; remove it"));
            }
        }
        for style in Style::ALL {
            let Some(content) = patch.get(style.key()) else { continue };
            let message = if !pass.contains_key(style.key()) {
                "the template has another style, and a pass keeps its style"
            } else if !content.is_object() {
                "must be an object: a pass keeps its style"
            } else {
                continue;
            };
            problems.push(Problem::new(pointer(prefix, style.key()), message));
            patch.remove(style.key());
        }
        let mut merged = Value::Object(std::mem::take(pass));
        json_patch::merge(&mut merged, &Value::Object(patch));
        // A merge of two objects is an object (RFC 7396, section 2).
        if let Value::Object(merged) = merged {
            *pass = merged;
        }
    }

    fn remove_fields(&self, prefix: &str, pass: &mut Map<String, Value>, problems: &mut Problems) {
        let prefix = pointer(prefix, "removeFields");
        let mut present = BTreeSet::new();
        for_each_group(pass, |fields| {
            fields.retain(|field| match field.get("key").and_then(Value::as_str) {
                Some(key) if self.remove_fields.iter().any(|removed| removed == key) => {
                    present.insert(key.to_owned());
                    false
                }
                _ => true,
            });
        });
        for (index, key) in self.remove_fields.iter().enumerate() {
            if !present.contains(key) {
                problems.push(Problem::new(pointer(&prefix, index), format!("there is no field with the key {key:?}")));
            }
        }
    }

    fn map_images(
        &self,
        template: &Template,
        prefix: &str,
        images: &mut BTreeMap<ImageSlot, String>,
        problems: &mut Problems,
    ) {
        for (shown, source) in &self.images {
            let path = pointer(prefix, shown);
            match ImageSlot::from_name(shown) {
                None => {
                    let names: Vec<&str> = ImageSlot::ALL.into_iter().map(ImageSlot::name).collect();
                    problems.push(Problem::new(
                        &path,
                        format!("is no image of a pass; the images are {}", names.join(", ")),
                    ));
                }
                Some(slot) if !template.has_image(shown) => {
                    let name = slot.name();
                    problems.push(Problem::new(&path, format!("the template has no {name}.png in any scale")));
                }
                Some(slot) if !styles(template.pass_json()).any(|style| slot.is_shown_by(style)) => {
                    problems.push(Problem::new(&path, format!("a {} shows no {shown}", template.style().key())));
                }
                Some(slot) if template.has_image(source) => {
                    images.insert(slot, source.clone());
                }
                Some(_) => {}
            }
            if !template.has_image(source) {
                problems.push(Problem::new(&path, format!("the template has no {source}.png in any scale")));
            }
        }
    }
}

fn for_each_group(pass: &mut Map<String, Value>, mut change: impl FnMut(&mut Vec<Value>)) {
    let present: Vec<Style> = styles(pass).collect();
    for style in present {
        for group in FIELD_GROUPS {
            if let Some(Value::Array(fields)) = pass.get_mut(style.key()).and_then(|style| style.get_mut(group)) {
                change(fields);
            }
        }
    }
}

fn for_each_field(pass: &mut Map<String, Value>, mut change: impl FnMut(&mut Map<String, Value>)) {
    for_each_group(pass, |fields| {
        for field in fields.iter_mut().filter_map(Value::as_object_mut) {
            change(field);
        }
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_keeps_null_removes_and_a_value_replaces() {
        let overlay: Overlay = serde_json::from_value(json!({
            "fields": {"status": {"value": "Used", "label": null}}, "removeFields": ["terms"],
        }))
        .unwrap();
        let change = &overlay.fields["status"];
        assert_eq!(change.value, Change::Set(json!("Used")));
        assert_eq!(change.label, Change::Remove);
        assert_eq!(change.change_message, Change::Keep);
    }

    #[test]
    fn an_overlay_reads_back_as_it_was_written() {
        let source = json!({
            "set": {"voided": true, "logoText": null},
            "fields": {"status": {"value": 1, "label": null}},
            "removeFields": ["terms"],
            "images": {"strip": "used-strip"},
        });
        let overlay: Overlay = serde_json::from_value(source.clone()).unwrap();
        assert_eq!(serde_json::to_value(&overlay).unwrap(), source);
        assert_eq!(serde_json::to_value(Overlay::default()).unwrap(), json!({}));
    }

    #[test]
    fn unknown_members_and_a_set_that_is_no_object_are_refused() {
        for bad in [json!({"sett": {}}), json!({"fields": {"a": {"text": 1}}}), json!({"set": 1})] {
            assert!(serde_json::from_value::<Overlay>(bad.clone()).is_err(), "{bad}");
        }
    }
}
