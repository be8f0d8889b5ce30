//! A pass's colours, made safe for CSS and legible.

use std::fmt;

/// The least contrast between text and its background (WCAG 2.2, success criterion 1.4.3).
const LEAST_CONTRAST: f64 = 4.5;

/// One colour: red, green and blue from 0 to 255. Displays as CSS `rgb(r, g, b)`, the form of
/// `pass.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rgb(u8, u8, u8);

impl Rgb {
    const BLACK: Rgb = Rgb(0, 0, 0);
    const WHITE: Rgb = Rgb(255, 255, 255);

    /// Reads a colour of `pass.json`: `rgb(r, g, b)` as Apple documents it, or `#RRGGBB`/`#RGB` as
    /// Apple's own builder accepts it. Anything else is `None`.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Rgb> {
        let text = text.trim();
        if let Some(digits) = text.strip_prefix('#') {
            return Self::parse_hex(digits);
        }
        let mut parts =
            text.strip_prefix("rgb(")?.strip_suffix(')')?.split(',').map(|part| part.trim().parse::<u8>().ok());
        let color = Rgb(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(color)
    }

    fn parse_hex(digits: &str) -> Option<Rgb> {
        let nibbles: Vec<u8> = digits
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
            .collect::<Option<_>>()?;
        match nibbles.as_slice() {
            [r, g, b] => Some(Rgb(r * 17, g * 17, b * 17)),
            [r, s, g, h, b, c] => Some(Rgb(r * 16 + s, g * 16 + h, b * 16 + c)),
            _ => None,
        }
    }

    /// Relative luminance, 0 (black) to 1 (white), as WCAG 2.2 defines it.
    fn luminance(self) -> f64 {
        let linear = |channel: u8| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }

    /// Contrast ratio, 1 to 21, as WCAG 2.2 defines it.
    fn contrast(self, other: Rgb) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// This colour where it can be read on `background`, else black or white, whichever reads better.
    fn legible_on(self, background: Rgb) -> Rgb {
        if self.contrast(background) >= LEAST_CONTRAST {
            self
        } else if Rgb::WHITE.contrast(background) >= Rgb::BLACK.contrast(background) {
            Rgb::WHITE
        } else {
            Rgb::BLACK
        }
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rgb({}, {}, {})", self.0, self.1, self.2)
    }
}

/// The colours of the offer on the page. Text is always legible on `background`: see
/// [`Colors::from_pass`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colors {
    pub(super) background: Rgb,
    pub(super) foreground: Rgb,
    pub(super) label: Rgb,
}

impl Colors {
    /// From `backgroundColor`, `foregroundColor` and `labelColor` of a `pass.json`. What is absent
    /// or no colour gets a default; what could not be read on the background becomes black or white.
    #[must_use]
    pub(crate) fn from_pass(background: Option<&str>, foreground: Option<&str>, label: Option<&str>) -> Colors {
        let parse = |color: Option<&str>| color.and_then(Rgb::parse);
        let background = parse(background).unwrap_or(Rgb(38, 40, 46));
        let foreground = parse(foreground).unwrap_or(Rgb::WHITE).legible_on(background);
        let label = parse(label).unwrap_or(foreground).legible_on(background);
        Colors { background, foreground, label }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_color_is_read_in_apples_form_and_in_hex() {
        // apple-wallet.md, section 4: `rgb(r, g, b)`; hex is accepted by Apple's 2026 builder.
        assert_eq!(Rgb::parse("rgb(94, 45, 22)"), Some(Rgb(94, 45, 22)));
        assert_eq!(Rgb::parse(" rgb(0,0,0) "), Some(Rgb::BLACK));
        assert_eq!(Rgb::parse("#5E2d16"), Some(Rgb(94, 45, 22)));
        assert_eq!(Rgb::parse("#fff"), Some(Rgb::WHITE));
    }

    #[test]
    fn what_is_no_color_never_becomes_one() {
        for text in [
            "",
            "red",
            "rgb(1, 2)",
            "rgb(1, 2, 3, 4)",
            "rgb(256, 0, 0)",
            "rgb(-1, 0, 0)",
            "rgb(1, 2, 3); } body { background: url(//evil.example) ",
            "#ff",
            "#12345g",
            "#ééé",
        ] {
            assert_eq!(Rgb::parse(text), None, "{text}");
        }
    }

    #[test]
    fn contrast_is_the_one_of_the_wcag() {
        assert!((Rgb::BLACK.contrast(Rgb::WHITE) - 21.0).abs() < 1e-9);
        assert!((Rgb::WHITE.contrast(Rgb::WHITE) - 1.0).abs() < 1e-9);
        // The well-known lightest grey that passes AA on white.
        assert!(Rgb(0x76, 0x76, 0x76).contrast(Rgb::WHITE) >= LEAST_CONTRAST);
        assert!(Rgb(0x77, 0x77, 0x77).contrast(Rgb::WHITE) < LEAST_CONTRAST);
    }

    #[test]
    fn colors_that_can_be_read_are_kept() {
        let colors = Colors::from_pass(Some("rgb(94, 45, 22)"), Some("rgb(255, 247, 235)"), Some("rgb(246, 205, 150)"));
        assert_eq!(
            colors,
            Colors { background: Rgb(94, 45, 22), foreground: Rgb(255, 247, 235), label: Rgb(246, 205, 150) }
        );
    }

    #[test]
    fn text_that_could_not_be_read_becomes_black_or_white() {
        let pale = Colors::from_pass(Some("rgb(250, 250, 250)"), Some("#eee"), Some("#ddd"));
        assert_eq!((pale.foreground, pale.label), (Rgb::BLACK, Rgb::BLACK));
        let dark = Colors::from_pass(Some("#000"), Some("#111"), None);
        assert_eq!((dark.foreground, dark.label), (Rgb::WHITE, Rgb::WHITE));
    }

    #[test]
    fn a_pass_without_colors_gets_legible_ones() {
        for colors in [
            Colors::from_pass(None, None, None),
            Colors::from_pass(Some("nonsense"), Some("nonsense"), Some("nonsense")),
        ] {
            assert!(colors.foreground.contrast(colors.background) >= LEAST_CONTRAST);
            assert!(colors.label.contrast(colors.background) >= LEAST_CONTRAST);
        }
    }
}
