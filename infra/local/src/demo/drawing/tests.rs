use super::*;

fn coupon(barcode: Option<Barcode>) -> Front {
    let field = |label: &str, value: &str| Field { label: label.to_owned(), value: value.to_owned() };
    Front {
        organization: "Maison Levain".to_owned(),
        logo_text: String::new(),
        header: vec![field("Status", "Valid")],
        primary: vec![field("on the house", "Free croissant")],
        secondary: vec![field("For", "Alex"), field("Where", "Anywhere")],
        barcode,
        background: Rgb(94, 45, 22),
        foreground: Rgb(255, 247, 235),
        label: Rgb(246, 205, 150),
    }
}

fn barcode(format: &str) -> Option<Barcode> {
    Some(Barcode { format: format.to_owned(), message: "0123456789ABCDEF0123".to_owned() })
}

#[test]
fn a_plain_drawing_has_every_text_and_no_escape() {
    let drawing = draw(&coupon(None), Ink::Plain);
    for text in ["Maison Levain", "STATUS", "Valid", "Free croissant", "ON THE HOUSE", "FOR", "Alex", "Anywhere"] {
        assert!(drawing.contains(text), "{text} is missing in\n{drawing}");
    }
    assert!(!drawing.contains('\x1b') && !drawing.contains('█'), "{drawing}");
}

#[test]
fn every_line_of_a_plain_drawing_is_equally_wide() {
    let drawing = draw(&coupon(barcode("PKBarcodeFormatQR")), Ink::Plain);
    let widths: Vec<_> = drawing.lines().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == INDENT + WIDTH + 2 * MARGIN + 2), "{widths:?}\n{drawing}");
}

#[test]
fn a_coloured_drawing_is_in_the_passs_colours_and_resets_them_on_every_line() {
    let drawing = draw(&coupon(None), Ink::TrueColor);
    for colour in ["\x1b[48;2;94;45;22m", "\x1b[38;2;255;247;235m", "\x1b[38;2;246;205;150m"] {
        assert!(drawing.contains(colour), "{drawing:?}");
    }
    assert!(drawing.lines().all(|line| line.ends_with(RESET)), "{drawing:?}");
}

#[test]
fn a_qr_code_is_drawn_and_any_other_is_named() {
    let drawn = draw(&coupon(barcode("PKBarcodeFormatQR")), Ink::Plain);
    assert!(drawn.contains('█') && !drawn.contains("0123456789"), "{drawn}");
    let named = draw(&coupon(barcode("PKBarcodeFormatAztec")), Ink::Plain);
    assert!(named.contains("[Aztec] 0123456789ABCDEF0123"), "{named}");
}

#[test]
fn a_drawn_qr_code_has_its_light_border_and_finder_pattern() {
    let rows = modules(&barcode("PKBarcodeFormatQR").unwrap()).unwrap();
    let [Line::Modules(border), Line::Modules(first), ..] = rows.as_slice() else { panic!("two rows at least") };
    assert!(border.iter().all(|pair| *pair == (Color::Light, Color::Light)));
    // ISO/IEC 18004: seven dark modules above, one dark, five light and one dark below.
    let finder = [Color::Dark, Color::Light, Color::Light, Color::Light, Color::Light, Color::Light, Color::Dark];
    let drawn: Vec<_> = first.iter().skip(QUIET).take(7).copied().collect();
    assert_eq!(drawn, finder.map(|lower| (Color::Dark, lower)));
}

#[test]
fn a_long_text_gives_way_to_the_one_at_the_right() {
    let long = "x".repeat(WIDTH);
    assert_eq!(spread(&long, ""), long);
    let line = spread(&long, "Valid");
    assert!(line.ends_with("x… Valid") && line.chars().count() == WIDTH, "{line}");
    assert_eq!(spread(&long, &long), long);
}
