//! Placeholders: `{{ holder.a.b }}`, `{{ offer.… }}`, `{{ pass.serialNumber }}`, `{{ pass.barcode }}` in any string of a
//! template (contract, section 4). Of the offer, `{{ offer.redemptions }}` and `{{ offer.redemptionsLeft }}` differ from pass
//! to pass: how often this one used it, and what is left; `{{ pass.remaining }}` is another name of the latter.
//!
//! The whole grammar: `{{`, spaces, a root, a dotted path, spaces, `}}`. No logic, no escapes, no nesting. What is put
//! in is never scanned again, so holder data can neither call on other data nor leave its string.

use std::{borrow::Cow, fmt};

use serde_json::Value;

use crate::package::canonical;

/// The longest text a string may become by substitution, in characters. A pass shows a few dozen per field; a back
/// field of terms may be long. 8 Ki keeps a pass.json of a hundred strings under a megabyte.
pub const MAX_SUBSTITUTED_CHARS: usize = 8 * 1024;

/// The most placeholders of one look, translations included: a pass has a dozen, and thirty languages with a dozen each
/// stay below. Each becomes at most a holder's data (4 KB, and 11 KB more of a customer who enrolled), so a package grows by
/// 2 MB of holder data, 8 MB in the worst case, and packs it well.
pub const MAX_PLACEHOLDERS: usize = 500;

/// Why a string is no valid placeholder text. Safe to show to whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholderError {
    /// `{{` without `}}`.
    #[error("\"{{{{\" is not closed by \"}}}}\"")]
    Unclosed,
    /// Not a dotted path of letters, digits, `_` and `-`.
    #[error(
        "\"{{{{{0}}}}}\" is no placeholder: write a dotted path of letters, digits, \"_\" and \"-\", such as {{{{ holder.name }}}}"
    )]
    BadPath(String),
    /// A first segment other than `holder`, `offer`, `pass`.
    #[error("\"{{{{{0}}}}}\" begins with an unknown name: placeholders begin with holder., offer. or pass.")]
    UnknownRoot(String),
    /// `pass.` followed by something else than its three names.
    #[error("\"{{{{{0}}}}}\" is unknown: of the pass there are pass.serialNumber, pass.barcode and pass.remaining")]
    UnknownPassValue(String),
}

/// What one placeholder names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placeholder {
    /// A dotted path into the pass's holder data.
    Holder(Box<[Box<str>]>),
    /// A dotted path into the offer, the same for every pass that has it.
    Offer(Box<[Box<str>]>),
    /// The pass's serial number.
    SerialNumber,
    /// The barcode of the present offer; empty where there is none.
    Barcode,
    /// Redemptions left of the present offer; empty where it has no limit.
    Remaining,
    /// Redemptions of the present offer so far.
    Redemptions,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Box<str>),
    Placeholder(Placeholder),
}

/// A string with its placeholders found. Adjacent literals are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    parts: Vec<Part>,
}

/// How substituted text is written into its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// As it is.
    Plain,
    /// `attributedValue` is markup (reference 4.3): substituted text must stay text.
    Markup,
}

impl Text {
    /// Finds the placeholders of `source`.
    pub fn compile(source: &str) -> Result<Self, PlaceholderError> {
        let mut text = Self { parts: Vec::new() };
        let mut rest = source;
        while let Some((before, after)) = rest.split_once("{{") {
            text.push_literal(before);
            let (inside, after) = after.split_once("}}").ok_or(PlaceholderError::Unclosed)?;
            text.parts.push(Part::Placeholder(parse(inside)?));
            rest = after;
        }
        text.push_literal(rest);
        Ok(text)
    }

    /// Whether the text is the same for every pass.
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// How many placeholders it has.
    pub(crate) fn placeholders(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Placeholder(_))).count()
    }

    /// Whether the text shows what this placeholder names.
    pub(crate) fn shows(&self, placeholder: &Placeholder) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Placeholder(found) if found == placeholder))
    }

    /// The placeholder the text consists of, if it is exactly one and nothing else.
    pub(crate) fn sole_placeholder(&self) -> Option<&Placeholder> {
        match self.parts.as_slice() {
            [Part::Placeholder(placeholder)] => Some(placeholder),
            _ => None,
        }
    }

    /// Puts the offer's values in, once for all passes of a look.
    pub(crate) fn with_offer(&self, offer: &Value, escape: Escape) -> Self {
        let mut text = Self { parts: Vec::with_capacity(self.parts.len()) };
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_literal(literal),
                Part::Placeholder(Placeholder::Offer(path)) => {
                    let value = resolve(offer, path).map(text_of).unwrap_or_default();
                    text.push_literal(&escaped(&value, escape));
                }
                Part::Placeholder(other) => text.parts.push(Part::Placeholder(other.clone())),
            }
        }
        text
    }

    /// The text with every placeholder replaced by what `lookup` answers (`None`: nothing), cut at
    /// [`MAX_SUBSTITUTED_CHARS`].
    pub(crate) fn render<'v>(&self, escape: Escape, lookup: impl Fn(&Placeholder) -> Option<Cow<'v, str>>) -> String {
        let mut rendered = self.render_uncut(escape, lookup);
        if !self.is_literal()
            && let Some((end, _)) = rendered.char_indices().nth(MAX_SUBSTITUTED_CHARS)
        {
            rendered.truncate(end);
        }
        rendered
    }

    /// As [`Text::render`], however long.
    pub(crate) fn render_uncut<'v>(
        &self,
        escape: Escape,
        lookup: impl Fn(&Placeholder) -> Option<Cow<'v, str>>,
    ) -> String {
        let mut rendered = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => rendered.push_str(literal),
                Part::Placeholder(placeholder) => {
                    if let Some(value) = lookup(placeholder) {
                        rendered.push_str(&escaped(&value, escape));
                    }
                }
            }
        }
        rendered
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn push_literal(&mut self, literal: &str) {
        if literal.is_empty() {
            return;
        }
        if let Some(Part::Literal(last)) = self.parts.last_mut() {
            *last = format!("{last}{literal}").into();
        } else {
            self.parts.push(Part::Literal(literal.into()));
        }
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holder(path) => write!(f, "{{{{ holder.{} }}}}", path.join(".")),
            Self::Offer(path) => write!(f, "{{{{ offer.{} }}}}", path.join(".")),
            Self::SerialNumber => f.write_str("{{ pass.serialNumber }}"),
            Self::Barcode => f.write_str("{{ pass.barcode }}"),
            Self::Remaining => f.write_str("{{ pass.remaining }}"),
            Self::Redemptions => f.write_str("{{ offer.redemptions }}"),
        }
    }
}

impl fmt::Display for Text {
    /// The text as a template would write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal(literal) => f.write_str(literal)?,
                Part::Placeholder(placeholder) => placeholder.fmt(f)?,
            }
        }
        Ok(())
    }
}

/// Whether a string of a template still holds a placeholder (its final text is not known yet).
pub(crate) fn is_open(text: &str) -> bool {
    text.contains("{{")
}

/// The value at a dotted path; digits index arrays.
pub(crate) fn resolve<'v>(root: &'v Value, path: &[Box<str>]) -> Option<&'v Value> {
    path.iter().try_fold(root, |value, segment| match value {
        Value::Object(members) => members.get(segment.as_ref()),
        Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// How a value reads within a text. Objects, arrays and null have no text.
pub(crate) fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Number(number) => Cow::Owned(canonical::number(number)),
        Value::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => Cow::Borrowed(""),
    }
}

fn escaped(value: &str, escape: Escape) -> Cow<'_, str> {
    match escape {
        Escape::Plain => Cow::Borrowed(value),
        Escape::Markup if value.contains(['&', '<', '>', '"', '\'']) => Cow::Owned(
            value
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;"),
        ),
        Escape::Markup => Cow::Borrowed(value),
    }
}

fn parse(inside: &str) -> Result<Placeholder, PlaceholderError> {
    let path = inside.trim();
    let is_segment = |segment: &str| {
        !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    if !path.split('.').all(is_segment) {
        return Err(PlaceholderError::BadPath(inside.to_owned()));
    }
    let unknown_root = || PlaceholderError::UnknownRoot(inside.to_owned());
    let (root, rest) = path.split_once('.').ok_or_else(unknown_root)?;
    let segments = || rest.split('.').map(Box::from).collect();
    match (root, rest) {
        ("holder", _) => Ok(Placeholder::Holder(segments())),
        ("offer", "redemptionsLeft") | ("pass", "remaining") => Ok(Placeholder::Remaining),
        ("offer", "redemptions") => Ok(Placeholder::Redemptions),
        ("offer", _) => Ok(Placeholder::Offer(segments())),
        ("pass", "serialNumber") => Ok(Placeholder::SerialNumber),
        ("pass", "barcode") => Ok(Placeholder::Barcode),
        ("pass", _) => Err(PlaceholderError::UnknownPassValue(inside.to_owned())),
        _ => Err(unknown_root()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(source: &str, holder: &Value) -> String {
        Text::compile(source).unwrap().render(Escape::Plain, |placeholder| match placeholder {
            Placeholder::Holder(path) => resolve(holder, path).map(text_of),
            Placeholder::Barcode => Some("B".into()),
            Placeholder::Offer(_) | Placeholder::SerialNumber | Placeholder::Remaining | Placeholder::Redemptions => {
                None
            }
        })
    }

    #[test]
    fn a_dotted_path_reaches_into_objects_and_arrays() {
        let holder = json!({"name": {"given": "Ada"}, "pets": ["Bo", {"age": 3}], "vip": true});
        assert_eq!(render("Hi {{holder.name.given}}, {{ holder.pets.0 }}!", &holder), "Hi Ada, Bo!");
        assert_eq!(render("{{ holder.pets.1.age }}{{ pass.barcode }}{{ holder.vip }}", &holder), "3Btrue");
    }

    #[test]
    fn of_the_offer_two_values_are_the_pass_own() {
        let text =
            Text::compile("{{ offer.redemptions }} of {{offer.redemptionLimit}}, {{ offer.redemptionsLeft }} left")
                .unwrap();
        let text = text.with_offer(&json!({"redemptionLimit": 10, "redemptions": 99}), Escape::Plain);
        let rendered = text.render(Escape::Plain, |placeholder| match placeholder {
            Placeholder::Redemptions => Some("3".into()),
            Placeholder::Remaining => Some("7".into()),
            Placeholder::Holder(_) | Placeholder::Offer(_) | Placeholder::SerialNumber | Placeholder::Barcode => None,
        });
        assert_eq!(rendered, "3 of 10, 7 left");
        assert_eq!(Text::compile("{{ pass.remaining }}"), Text::compile("{{ offer.redemptionsLeft }}"));
    }

    #[test]
    fn what_is_missing_or_has_no_text_is_empty() {
        let holder = json!({"name": {"given": "Ada"}, "none": null});
        assert_eq!(
            render("[{{ holder.x }}{{ holder.name }}{{ holder.none }}{{ holder.name.given.x }}]", &holder),
            "[]"
        );
    }

    #[test]
    fn substituted_text_is_never_scanned_again() {
        let holder = json!({"name": "{{ pass.barcode }}", "open": "{{"});
        assert_eq!(render("{{ holder.name }}", &holder), "{{ pass.barcode }}");
        assert_eq!(render("{{ holder.open }} pass.barcode }}", &holder), "{{ pass.barcode }}");
        let with_offer = Text::compile("{{ offer.title }} pass.barcode }}")
            .unwrap()
            .with_offer(&json!({"title": "{{"}), Escape::Plain);
        assert!(with_offer.is_literal());
        assert_eq!(with_offer.render(Escape::Plain, |_| Some("leak".into())), "{{ pass.barcode }}");
    }

    #[test]
    fn bad_syntax_and_unknown_names_are_told_apart() {
        use PlaceholderError::{BadPath, Unclosed, UnknownPassValue, UnknownRoot};
        let error = |source: &str| Text::compile(source).unwrap_err();
        assert_eq!(error("a {{ holder.name"), Unclosed);
        assert_eq!(error("{{ holder.name | upper }}"), BadPath(" holder.name | upper ".into()));
        assert_eq!(error("{{ holder..name }}"), BadPath(" holder..name ".into()));
        assert_eq!(error("{{}}"), BadPath(String::new()));
        assert_eq!(error("{{ holder }}"), UnknownRoot(" holder ".into()));
        assert_eq!(error("{{ user.name }}"), UnknownRoot(" user.name ".into()));
        assert_eq!(error("{{ pass.authenticationToken }}"), UnknownPassValue(" pass.authenticationToken ".into()));
        assert!(error("{{ x }}").to_string().contains("{{ x }}"));
    }

    #[test]
    fn long_holder_data_is_cut_between_characters() {
        let rendered = render("{{ holder.name }}", &json!({"name": "é".repeat(MAX_SUBSTITUTED_CHARS + 5)}));
        assert_eq!(rendered.chars().count(), MAX_SUBSTITUTED_CHARS);
    }

    #[test]
    fn markup_in_holder_data_stays_text_in_an_attributed_value() {
        let text = Text::compile("<a href='https://example.com'>{{ holder.name }}</a>").unwrap();
        let rendered = text.render(Escape::Markup, |_| Some("<a href='https://evil.example'>".into()));
        assert_eq!(rendered, "<a href='https://example.com'>&lt;a href=&#39;https://evil.example&#39;&gt;</a>");
    }
}
