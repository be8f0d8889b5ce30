//! Draws the front of a pass for the terminal: in the pass's own colours, or plain.

use qrcode::{Color, QrCode};

use super::wallet::{Barcode, Field, Front, Rgb};

/// Columns inside the pass.
const WIDTH: usize = 40;
/// Columns between the edge of the pass and its text.
const MARGIN: usize = 2;
/// Columns between the edge of the terminal and the pass.
const INDENT: usize = 4;
/// Light modules around a code. The standard asks for four; Wallet and scanners do with two.
const QUIET: usize = 2;
const RESET: &str = "\x1b[0m";

/// How the terminal takes colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// 24-bit ANSI.
    TrueColor,
    /// None: not a terminal, or <https://no-color.org>.
    Plain,
}

/// One line of the pass: texts at its left and right edge, or a piece of the code.
enum Line {
    Labels(String, String),
    Values(String, String),
    /// Two rows of modules, dark or light.
    Modules(Vec<(Color, Color)>),
}

/// The front as lines of text, each with its line feed.
pub(super) fn draw(front: &Front, ink: Ink) -> String {
    let lines = lines(front);
    let indent = " ".repeat(INDENT);
    match ink {
        Ink::TrueColor => lines.iter().map(|line| format!("{indent}{}\n", painted(line, front))).collect(),
        Ink::Plain => {
            let edge = "─".repeat(WIDTH + 2 * MARGIN);
            let inside: String = lines.iter().map(|line| format!("{indent}│{}│\n", plain(line))).collect();
            format!("{indent}┌{edge}┐\n{inside}{indent}└{edge}┘\n")
        }
    }
}

fn lines(front: &Front) -> Vec<Line> {
    let blank = || Line::Values(String::new(), String::new());
    let join = |fields: &[Field], part: fn(&Field) -> &str| fields.iter().map(part).collect::<Vec<_>>().join("  ");
    let name = if front.logo_text.is_empty() { &front.organization } else { &front.logo_text };
    let mut lines = vec![
        blank(),
        Line::Labels(String::new(), join(&front.header, |field| &field.label)),
        Line::Values(name.clone(), join(&front.header, |field| &field.value)),
        blank(),
    ];
    for field in &front.primary {
        lines.push(Line::Values(field.value.clone(), String::new()));
        lines.push(Line::Labels(field.label.clone(), String::new()));
        lines.push(blank());
    }
    for pair in front.secondary.chunks(2) {
        let part = |at: usize, part: fn(&Field) -> &String| pair.get(at).map(part).cloned().unwrap_or_default();
        lines.push(Line::Labels(part(0, |field| &field.label), part(1, |field| &field.label)));
        lines.push(Line::Values(part(0, |field| &field.value), part(1, |field| &field.value)));
        lines.push(blank());
    }
    if let Some(barcode) = &front.barcode {
        lines.extend(modules(barcode).unwrap_or_else(|| vec![caption(barcode)]));
        lines.push(blank());
    }
    lines
}

/// The code in words.
fn caption(barcode: &Barcode) -> Line {
    let format = barcode.format.strip_prefix("PKBarcodeFormat").unwrap_or(&barcode.format);
    Line::Values(format!("[{format}] {}", barcode.message), String::new())
}

/// The code as a scanner can read it; none if it is no QR code, or wider than the pass.
fn modules(barcode: &Barcode) -> Option<Vec<Line>> {
    if barcode.format != "PKBarcodeFormatQR" {
        return None;
    }
    let code = QrCode::new(&barcode.message).ok()?;
    let (size, colors) = (code.width(), code.to_colors());
    if size + 2 * QUIET > WIDTH {
        return None;
    }
    let module = |x: usize, y: usize| match (x.checked_sub(QUIET), y.checked_sub(QUIET)) {
        (Some(x), Some(y)) if x < size && y < size => colors.get(y * size + x).copied().unwrap_or(Color::Light),
        _ => Color::Light,
    };
    let rows = (0..size + 2 * QUIET).step_by(2);
    let row = |y: usize| (0..size + 2 * QUIET).map(|x| (module(x, y), module(x, y + 1))).collect();
    Some(rows.map(|y| Line::Modules(row(y))).collect())
}

fn plain(line: &Line) -> String {
    let margin = " ".repeat(MARGIN);
    match line {
        Line::Labels(left, right) => format!("{margin}{}{margin}", spread(&left.to_uppercase(), &right.to_uppercase())),
        Line::Values(left, right) => format!("{margin}{}{margin}", spread(left, right)),
        Line::Modules(modules) => {
            let (before, after) = beside(modules);
            let code: String = modules.iter().map(|pair| half_blocks(*pair)).collect();
            format!("{before}{code}{after}")
        }
    }
}

fn painted(line: &Line, front: &Front) -> String {
    let (pass, margin) = (background(front.background), " ".repeat(MARGIN));
    let text = match line {
        Line::Labels(left, right) => {
            format!(
                "{}{margin}{}{margin}",
                foreground(front.label),
                spread(&left.to_uppercase(), &right.to_uppercase())
            )
        }
        Line::Values(left, right) => format!("{}{margin}{}{margin}", foreground(front.foreground), spread(left, right)),
        Line::Modules(modules) => {
            let (before, after) = beside(modules);
            let code: String = modules
                .iter()
                .map(|(upper, lower)| format!("{}{}▀", foreground(shade(*upper)), background(shade(*lower))))
                .collect();
            format!("{before}{code}{pass}{after}")
        }
    };
    format!("{pass}{text}{RESET}")
}

/// Both texts in `WIDTH` columns, one per character; the left one gives way.
fn spread(left: &str, right: &str) -> String {
    let right: String = right.chars().take(WIDTH).collect();
    let beside = WIDTH - right.chars().count();
    let room = if right.is_empty() { beside } else { beside.saturating_sub(1) };
    let left = if left.chars().count() <= room {
        left.to_owned()
    } else {
        left.chars().take(room.saturating_sub(1)).chain(['…']).take(room).collect()
    };
    format!("{left:<beside$}{right}")
}

/// The blank columns before and after a centred code.
fn beside(modules: &[(Color, Color)]) -> (String, String) {
    let outside = (WIDTH + 2 * MARGIN).saturating_sub(modules.len());
    (" ".repeat(outside / 2), " ".repeat(outside - outside / 2))
}

/// Without colours a code is drawn for light text on a dark ground, as most terminals are: light is ink.
fn half_blocks((upper, lower): (Color, Color)) -> char {
    match (upper, lower) {
        (Color::Light, Color::Light) => '█',
        (Color::Light, Color::Dark) => '▀',
        (Color::Dark, Color::Light) => '▄',
        (Color::Dark, Color::Dark) => ' ',
    }
}

fn shade(module: Color) -> Rgb {
    module.select(Rgb::BLACK, Rgb::WHITE)
}

fn foreground(Rgb(red, green, blue): Rgb) -> String {
    format!("\x1b[38;2;{red};{green};{blue}m")
}

fn background(Rgb(red, green, blue): Rgb) -> String {
    format!("\x1b[48;2;{red};{green};{blue}m")
}

#[cfg(test)]
mod tests;
