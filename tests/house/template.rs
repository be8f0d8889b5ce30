//! `template.yaml`, as far as the house looks at it.

use serde_norway::Value;

use crate::checkout;

/// The template.
pub(crate) struct Template {
    root: Value,
}

/// One of its resources.
#[derive(Clone, Copy)]
pub(crate) struct Resource<'a> {
    /// Its logical id.
    pub(crate) id: &'a str,
    /// The whole of it.
    pub(crate) whole: &'a Value,
}

impl Template {
    pub(crate) fn read() -> Template {
        Template { root: serde_norway::from_str(&checkout::text("template.yaml")).expect("template.yaml is YAML") }
    }

    /// A value below the root.
    pub(crate) fn at(&self, path: &[&str]) -> &Value {
        at(&self.root, path).unwrap_or_else(|| panic!("template.yaml has no {}", path.join(".")))
    }

    /// The resources of one type, in the template's order.
    pub(crate) fn resources(&self, kind: &str) -> Vec<Resource<'_>> {
        let all = self.at(&["Resources"]).as_mapping().expect("Resources is a mapping");
        let of_kind: Vec<_> = all
            .iter()
            .map(|(id, whole)| Resource { id: id.as_str().expect("a name"), whole })
            .filter(|resource| resource.kind() == kind)
            .collect();
        assert!(!of_kind.is_empty(), "there is no {kind}");
        of_kind
    }

    /// The functions.
    pub(crate) fn functions(&self) -> Vec<Resource<'_>> {
        self.resources("AWS::Serverless::Function")
    }

    /// The function in this folder.
    pub(crate) fn function(&self, folder: &str) -> Resource<'_> {
        let found = self.functions().into_iter().find(|function| function.folder() == folder);
        found.unwrap_or_else(|| panic!("no function of the template has the folder {folder}"))
    }
}

impl<'a> Resource<'a> {
    /// Its type.
    pub(crate) fn kind(self) -> &'a str {
        at(self.whole, &["Type"]).and_then(Value::as_str).expect("a Type")
    }

    /// One of its properties, if it has it.
    pub(crate) fn property(self, path: &[&str]) -> Option<&'a Value> {
        at(self.whole, &["Properties"]).and_then(|properties| at(properties, path))
    }

    /// One of its properties, as text.
    pub(crate) fn told(self, path: &[&str]) -> String {
        told(self.property(path).unwrap_or_else(|| panic!("{} has no {}", self.id, path.join("."))))
    }

    /// A function's folder below `functions/`.
    pub(crate) fn folder(self) -> &'a str {
        let code = self.property(&["CodeUri"]).and_then(Value::as_str).expect("a CodeUri");
        code.strip_prefix("functions/").and_then(|code| code.strip_suffix('/')).expect("functions/<folder>/")
    }

    /// A function's events of one type.
    pub(crate) fn events(self, kind: &str) -> Vec<&'a Value> {
        let events = self.property(&["Events"]).and_then(Value::as_mapping).into_iter().flatten();
        let events = events.map(|(_, event)| event);
        events.filter(|event| at(event, &["Type"]).and_then(Value::as_str) == Some(kind)).collect()
    }
}

/// A value below another.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.as_mapping()?.get(name))
}

/// A value as the template writes it: `!Ref Table`, `540`, `PushQueue`.
pub(crate) fn told(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Tagged(tagged) => format!("!{} {}", tagged.tag.to_string().trim_start_matches('!'), told(&tagged.value)),
        Value::Sequence(items) => items.iter().map(told).collect::<Vec<_>>().join(", "),
        Value::Null | Value::Mapping(_) => format!("{value:?}"),
    }
}

/// One value or several, as the template writes them.
pub(crate) fn list(value: &Value) -> Vec<String> {
    value.as_sequence().map_or_else(|| vec![told(value)], |items| items.iter().map(told).collect())
}
