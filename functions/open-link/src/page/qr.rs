//! QR codes of a link, black on white with the quiet zone of four modules, so that they can be read on dark paper too
//! (ISO/IEC 18004, 9.1).

use png::{BitDepth, ColorType, Encoder, EncodingError};
use qrcode::render::svg;
use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode};

/// Modules of quiet zone on each side.
const QUIET_ZONE: usize = 4;
/// Pixels of a PNG, each way, at least: sharp in print at an inch and in a mail at 150 points on a fine display.
const MINIMUM_PIXELS: usize = 300;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QrPngError {
    /// The link is too long for a QR code (about 2,300 bytes).
    #[error("the link makes no QR code")]
    Code(#[from] QrError),
    /// The picture cannot be written. Memory is the only medium.
    #[error("the QR code makes no PNG")]
    Picture(#[from] EncodingError),
}

fn code(link: &str) -> Result<QrCode, QrError> {
    QrCode::with_error_correction_level(link, EcLevel::M)
}

/// A QR code of `link` as an `<svg>` element. It scales with its box.
///
/// # Errors
/// When the link is too long for a QR code (about 2,300 bytes).
pub(crate) fn qr_svg(link: &str) -> Result<String, QrError> {
    let document = code(link)?
        .render::<svg::Color<'_>>()
        .quiet_zone(true)
        .module_dimensions(1, 1)
        .dark_color(svg::Color("#000"))
        .light_color(svg::Color("#fff"))
        .build();
    // The crate writes a document; inside HTML its XML declaration would be a parse error.
    Ok(match document.split_once("?>") {
        Some((_, element)) => element.to_owned(),
        None => document,
    })
}

/// A QR code of `link` as a PNG of one bit a pixel, each module a whole number of pixels.
///
/// # Errors
/// When the link is too long for a QR code (about 2,300 bytes).
pub(crate) fn qr_png(link: &str) -> Result<Vec<u8>, QrPngError> {
    let code = code(link)?;
    let width = code.width();
    let modules = width + 2 * QUIET_ZONE;
    let scale = MINIMUM_PIXELS.div_ceil(modules);
    let pixels = modules * scale;
    let colors = code.to_colors();
    // Outside the code is the quiet zone: light.
    let module = |row: usize, column: usize| {
        let (row, column) = (row.checked_sub(QUIET_ZONE)?, column.checked_sub(QUIET_ZONE)?);
        if row < width && column < width { colors.get(row * width + column).copied() } else { None }
    };
    // PNG, 7.2: eight pixels to a byte, the leftmost in the high bit; of a grey of one bit, 1 is white.
    let mut rows = Vec::with_capacity(pixels * pixels.div_ceil(8));
    for row in 0..modules {
        let mut line = vec![0_u8; pixels.div_ceil(8)];
        for (pixel, byte) in (0..pixels).map(|pixel| (pixel, pixel / 8)) {
            if module(row, pixel / scale) != Some(Color::Dark)
                && let Some(byte) = line.get_mut(byte)
            {
                *byte |= 0x80 >> (pixel % 8);
            }
        }
        for _ in 0..scale {
            rows.extend_from_slice(&line);
        }
    }
    let side = u32::try_from(pixels).map_err(|_| QrError::DataTooLong)?;
    let mut picture = Vec::new();
    let mut encoder = Encoder::new(&mut picture, side, side);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rows)?;
    writer.finish()?;
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "https://pass.example.com/p/9xVb2QmT7LkzR4hNfYc8Ws";

    #[test]
    fn a_qr_code_is_one_svg_element_with_a_white_quiet_zone() {
        let element = qr_svg(LINK).unwrap();
        assert!(element.starts_with("<svg"));
        assert!(element.ends_with("</svg>"));
        // 49 bytes at level M are version 4, 33 modules, and the quiet zone is 4 on each side
        // (ISO/IEC 18004, 7.4.10 and 9.1).
        assert!(element.contains(r#"viewBox="0 0 41 41""#), "{element}");
        assert!(element.contains("#fff"));
    }

    #[test]
    fn the_png_shows_the_same_modules_within_a_white_quiet_zone() {
        let picture = qr_png(LINK).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
        // 41 modules as above; 8 pixels each are the first whole number that gives 300.
        let (width, height) = (reader.info().width, reader.info().height);
        assert_eq!((width, height), (328, 328));
        let line = reader.output_line_size(width).unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let dark = |x: usize, y: usize| pixels[y * line + x / 8] & (0x80 >> (x % 8)) == 0;
        let code = code(LINK).unwrap();
        for y in 0..328 {
            for x in 0..328 {
                let inside = |pixel: usize| (32..328 - 32).contains(&pixel);
                let expected = inside(x) && inside(y) && code[(x / 8 - 4, y / 8 - 4)] == Color::Dark;
                assert_eq!(dark(x, y), expected, "{x}, {y}");
            }
        }
    }

    #[test]
    fn a_link_too_long_for_a_qr_code_is_refused() {
        let link = format!("https://pass.example.com/{}", "x".repeat(2_400));
        assert!(qr_svg(&link).is_err());
        assert!(qr_png(&link).is_err());
    }
}
