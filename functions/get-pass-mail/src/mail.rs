//! The mail: subject, plain text and HTML.
//!
//! Pure: values in, text out. The HTML is a fragment for the merchant's own mail: one table with inline styles, since
//! mail programs drop style sheets, and no resource but the QR code and the operator's badge.
//!
//! Apple's badge is Apple's artwork, unmodified, one to a layout, with clear space around it of a tenth of its height
//! (Apple, "Add to Apple Wallet Guidelines"; reference 6). We neither ship nor imitate it: without an address of one,
//! there is a plain text link.

use askama::Template;
use platform::language::Language;

/// Characters of a subject; what is longer is cut off by mail programs anyway.
const SUBJECT_CHARACTERS: usize = 150;

/// A mail that hands out one pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mail<'a> {
    /// `organizationName` of the pass.
    pub(crate) organization: &'a str,
    /// Title of the present offer.
    pub(crate) title: &'a str,
    /// `description` of the pass.
    pub(crate) description: &'a str,
    /// The landing page; with `.png` the QR code.
    pub(crate) landing_url: &'a str,
    /// The operator's copy of Apple's badge.
    pub(crate) badge_url: Option<&'a str>,
    /// What the reader reads.
    pub(crate) language: Language,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct Snippet<'a> {
    mail: &'a Mail<'a>,
    words: &'static Words,
    language: &'static str,
}

/// What a mail says in one language.
struct Words {
    /// Apple's own wording, as Apple localises it.
    add: &'static str,
    /// Between title and the name of the place.
    subject: &'static str,
    scan: &'static str,
    scan_alternative: &'static str,
}

static ENGLISH: Words = Words {
    add: "Add to Apple Wallet",
    subject: "for Apple Wallet",
    scan: "Reading this on another device? Point the iPhone camera at the code.",
    scan_alternative: "QR code with the link of the pass",
};

static GERMAN: Words = Words {
    add: "Zu Apple Wallet hinzufügen",
    subject: "für Apple Wallet",
    scan: "Auf einem anderen Gerät geöffnet? Die iPhone-Kamera auf den Code richten.",
    scan_alternative: "QR-Code mit dem Link der Karte",
};

impl Mail<'_> {
    fn words(&self) -> &'static Words {
        match self.language {
            Language::En => &ENGLISH,
            Language::De => &GERMAN,
        }
    }

    /// One line, whatever the merchant wrote: a line break in a subject would begin another header (RFC 5322, 2.2).
    pub(crate) fn subject(&self) -> String {
        let subject = format!("{}: {} {}", self.organization, self.title, self.words().subject);
        let line = one_line(&subject);
        line.chars().take(SUBJECT_CHARACTERS).collect()
    }

    /// The mail for programs that show no HTML.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![one_line(self.organization), one_line(self.title)];
        if !self.description.is_empty() {
            lines.push(one_line(self.description));
        }
        lines.push(String::new());
        lines.push(format!("{}:", self.words().add));
        lines.push(self.landing_url.to_owned());
        lines.push(String::new());
        lines.join("\n")
    }

    /// The mail as a fragment of HTML.
    ///
    /// # Errors
    /// None in practice; the template engine's own type.
    pub(crate) fn html(&self) -> Result<String, askama::Error> {
        Snippet { mail: self, words: self.words(), language: self.language.tag() }.render()
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "https://pass.example.com/p/9xVb2QmT7LkzR4hNfYc8Ws";
    const BADGE: &str = "https://cdn.example.com/badge.png?a=1&b=2";

    fn mail() -> Mail<'static> {
        Mail {
            organization: "Maison Levain",
            title: "Free croissant",
            description: "One butter croissant on the house",
            landing_url: LINK,
            badge_url: None,
            language: Language::En,
        }
    }

    #[test]
    fn without_a_badge_there_is_a_text_link_to_the_landing_page() {
        let html = mail().html().unwrap();
        assert!(html.contains(&format!(r#"<a href="{LINK}""#)), "{html}");
        assert!(html.contains(">Add to Apple Wallet</a>"), "{html}");
        // Reference 6: Apple's artwork only; we draw nothing like it.
        assert_eq!(html.matches("<img").count(), 1, "{html}");
        assert!(html.contains(&format!(r#"src="{LINK}.png""#)), "{html}");
    }

    #[test]
    fn an_operators_badge_is_the_one_button_with_clear_space_and_apples_words() {
        let html = Mail { badge_url: Some(BADGE), ..mail() }.html().unwrap();
        assert!(html.contains(r#"src="https://cdn.example.com/badge.png?a=1&#38;b=2""#), "{html}");
        assert!(html.contains(r#"alt="Add to Apple Wallet""#), "{html}");
        assert!(!html.contains(">Add to Apple Wallet<"), "{html}");
        assert_eq!(html.matches("<a ").count(), 1, "{html}");
        // Reference 6: clear space of at least 0.1 of the height; the height alone is set, so the shape stays Apple's.
        assert!(
            html.contains(r#"height="48""#) && html.contains("width:auto") && html.contains("padding:8px"),
            "{html}"
        );
    }

    #[test]
    fn nothing_else_is_loaded_and_no_style_sheet_is_needed() {
        let html = Mail { badge_url: Some(BADGE), ..mail() }.html().unwrap();
        assert_eq!(html.matches("src=").count(), 2, "{html}");
        for unwanted in ["<style", "<script", "<link", "url(", "@import", "class=", "<html", "<body"] {
            assert!(!html.contains(unwanted), "{unwanted}");
        }
    }

    #[test]
    fn what_a_merchant_wrote_is_text_and_nothing_else() {
        let hostile = "</td><script>alert(1)</script>\"'&\r\nBcc: everyone@example.com";
        let attacked = Mail { organization: hostile, title: hostile, description: hostile, ..mail() };
        let tags = |mail: Mail<'_>| mail.html().unwrap().matches('<').count();
        assert_eq!(tags(attacked), tags(mail()));
        assert!(!attacked.subject().contains(['\r', '\n']), "{}", attacked.subject());
        assert!(attacked.subject().chars().count() <= SUBJECT_CHARACTERS);
    }

    #[test]
    fn the_plain_text_has_the_link_on_a_line_of_its_own() {
        assert_eq!(
            mail().text(),
            format!(
                "Maison Levain\nFree croissant\nOne butter croissant on the house\n\nAdd to Apple Wallet:\n{LINK}\n"
            )
        );
    }

    #[test]
    fn german_readers_see_apples_german_wording() {
        let mail = Mail { language: Language::De, ..mail() };
        assert!(mail.html().unwrap().contains("Zu Apple Wallet hinzufügen"));
        assert!(mail.html().unwrap().contains(r#"lang="de""#));
        assert_eq!(mail.subject(), "Maison Levain: Free croissant für Apple Wallet");
    }

    #[test]
    fn apple_wallet_is_always_named_in_full() {
        // Reference 6, badge rules: always write "Apple Wallet".
        for words in [&ENGLISH, &GERMAN] {
            for text in [words.add, words.subject, words.scan, words.scan_alternative] {
                assert_eq!(text.matches("Wallet").count(), text.matches("Apple Wallet").count(), "{text}");
            }
        }
    }
}
