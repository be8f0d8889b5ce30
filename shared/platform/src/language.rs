//! The languages we write in, and which of them a reader wants.

/// A language of our own words: of pages and mails. A pass itself has the languages of its template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English, also for everyone whose language we do not have.
    En,
    /// German.
    De,
}

impl Language {
    /// The reader's favourite among our languages, from an `Accept-Language` header (RFC 9110, 12.5.4). Equal weights
    /// count in the order they are listed.
    #[must_use]
    pub fn from_accept_language(accept_language: &str) -> Language {
        let mut best = (0.0, Language::En);
        for range in accept_language.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let primary = parts.next().unwrap_or_default().split('-').next();
            let language = match primary.map(str::to_ascii_lowercase).as_deref() {
                Some("de") => Language::De,
                Some("en" | "*") => Language::En,
                _ => continue,
            };
            let weight = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(Some(1.0), |weight| weight.trim().parse().ok())
                .unwrap_or(0.0);
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }

    /// The language's tag (RFC 5646).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::De => "de",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_with_the_greatest_weight_wins() {
        // RFC 9110, section 12.5.4.
        for (header, expected) in [
            ("de", Language::De),
            ("de-AT,de;q=0.9,en;q=0.8", Language::De),
            ("DE-ch", Language::De),
            ("en-GB,en;q=0.9,de;q=0.8", Language::En),
            ("en;q=0.3, de;q=0.7", Language::De),
            ("fr, de;q=0.5, en;q=0.4", Language::De),
            ("de;q=0, en", Language::En),
            ("de;q=0", Language::En),
            ("de, en", Language::De),
            ("en, de", Language::En),
        ] {
            assert_eq!(Language::from_accept_language(header), expected, "{header}");
        }
    }

    #[test]
    fn whoever_names_no_language_of_ours_reads_english() {
        for header in ["", "fr-FR,it", "*", "den", ";;;,,,", "de;q=lots"] {
            assert_eq!(Language::from_accept_language(header), Language::En, "{header}");
        }
    }
}
