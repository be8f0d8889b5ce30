//! Images: Apple's slots, their sizes, and what a PNG says about itself (reference 3.9).

use std::fmt;

use crate::pass_json::Style;

/// The most pixels a side of an image may have. The largest documented slot is 1344; four times that is a mistake.
pub const MAX_SIDE_PIXELS: u32 = 5376;

/// Memory the PNG header may ask for. Only the header is read, never the pixels.
const HEADER_MEMORY: usize = 1 << 20;

/// A place of the pass that shows an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageSlot {
    /// Lock screen and mail; the one mandatory image.
    Icon,
    /// Top left.
    Logo,
    /// Behind the primary fields.
    Strip,
    /// Beside the fields.
    Thumbnail,
    /// Behind everything.
    Background,
    /// Above the barcode of a boarding pass.
    Footer,
    /// The poster's picture.
    Artwork,
    /// The poster's logo.
    PrimaryLogo,
    /// The poster's second logo.
    SecondaryLogo,
    /// The event guide's map.
    VenueMap,
    /// The logo of the rewards sign-up sheet (reference 3.7).
    PersonalizationLogo,
}

/// Pixels per point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scale {
    /// No suffix.
    One = 1,
    /// `@2x`.
    Two = 2,
    /// `@3x`.
    Three = 3,
}

/// How an image's points are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    /// One of these, in points.
    Exactly(&'static [(u32, u32)]),
    /// At most this, in points.
    AtMost(u32, u32),
    /// About this, with an aspect ratio from 2:3 to 3:2.
    Thumbnail,
    /// Not documented.
    Any,
}

impl ImageSlot {
    /// Every slot.
    pub const ALL: [Self; 11] = [
        Self::Icon,
        Self::Logo,
        Self::Strip,
        Self::Thumbnail,
        Self::Background,
        Self::Footer,
        Self::Artwork,
        Self::PrimaryLogo,
        Self::SecondaryLogo,
        Self::VenueMap,
        Self::PersonalizationLogo,
    ];

    /// Apple's file name without scale and `.png`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Icon => "icon",
            Self::Logo => "logo",
            Self::Strip => "strip",
            Self::Thumbnail => "thumbnail",
            Self::Background => "background",
            Self::Footer => "footer",
            Self::Artwork => "artwork",
            Self::PrimaryLogo => "primaryLogo",
            Self::SecondaryLogo => "secondaryLogo",
            Self::VenueMap => "venueMap",
            Self::PersonalizationLogo => "personalizationLogo",
        }
    }

    /// The slot of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.name() == name)
    }

    /// Whether a pass of that style shows the slot (reference 3.9, "Per style"; the poster slots belong to the styles
    /// that have a poster form). The personalisation logo depends on other files, not on the style.
    pub const fn is_shown_by(self, style: Style) -> bool {
        match self {
            Self::Icon | Self::Logo | Self::PersonalizationLogo => true,
            Self::Strip => matches!(style, Style::Coupon | Style::EventTicket | Style::StoreCard),
            Self::Thumbnail => matches!(style, Style::EventTicket | Style::Generic),
            Self::Background | Self::VenueMap => matches!(style, Style::EventTicket),
            Self::Footer => matches!(style, Style::BoardingPass),
            Self::Artwork => matches!(style, Style::EventTicket | Style::PosterGeneric),
            Self::PrimaryLogo | Self::SecondaryLogo => {
                matches!(style, Style::EventTicket | Style::BoardingPass | Style::PosterGeneric)
            }
        }
    }

    const fn size(self, style: Style) -> Size {
        match self {
            Self::Icon => Size::Exactly(&[(29, 29), (38, 38)]),
            Self::Logo => Size::AtMost(160, 50),
            Self::Strip => match style {
                Style::EventTicket => Size::Exactly(&[(375, 98)]),
                Style::StoreCard => Size::Exactly(&[(375, 144), (375, 123)]),
                Style::BoardingPass | Style::Coupon | Style::Generic | Style::PosterGeneric => {
                    Size::Exactly(&[(375, 144)])
                }
            },
            Self::Thumbnail => Size::Thumbnail,
            Self::Background => Size::Exactly(&[(180, 220), (345, 505)]),
            Self::Footer => Size::AtMost(286, 15),
            Self::Artwork => Size::Exactly(&[(358, 448)]),
            Self::PrimaryLogo => Size::AtMost(126, 30),
            Self::SecondaryLogo => Size::AtMost(135, 12),
            Self::VenueMap => Size::Any,
            Self::PersonalizationLogo => Size::Exactly(&[(150, 40)]),
        }
    }

    /// What is unusual about an image of these pixels in this slot; `None`: it fits.
    pub fn size_advice(self, style: Style, scale: Scale, pixels: Pixels) -> Option<String> {
        let factor = scale as u32;
        let name = self.name();
        match self.size(style) {
            Size::Exactly(sizes) => {
                let fits = |&(width, height): &(u32, u32)| pixels == Pixels::new(width * factor, height * factor);
                let listed = || {
                    let sizes: Vec<String> = sizes
                        .iter()
                        .map(|(width, height)| format!("{} x {}", width * factor, height * factor))
                        .collect();
                    sizes.join(" or ")
                };
                (!sizes.iter().any(fits)).then(|| {
                    format!(
                        "is {pixels} pixels; {name} at @{factor}x is {}, other sizes are scaled and cropped",
                        listed()
                    )
                })
            }
            Size::AtMost(width, height) => {
                (pixels.width > width * factor || pixels.height > height * factor).then(|| {
                    format!(
                        "is {pixels} pixels; {name} at @{factor}x is at most {} x {}, larger ones are scaled down",
                        width * factor,
                        height * factor
                    )
                })
            }
            Size::Thumbnail => {
                let (width, height) = (u64::from(pixels.width), u64::from(pixels.height));
                (width * 3 < height * 2 || height * 3 < width * 2)
                    .then(|| format!("is {pixels} pixels; a thumbnail's aspect ratio is between 2:3 and 3:2"))
            }
            Size::Any => None,
        }
    }
}

impl Scale {
    /// Every scale.
    pub const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];

    /// What the file name carries.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Two => "@2x",
            Self::Three => "@3x",
        }
    }
}

/// An image's file name in its parts: `strip@2x.png` is `strip` at [`Scale::Two`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageName<'n> {
    /// The name without scale and `.png`: a slot's or one that an overlay may map.
    pub stem: &'n str,
    /// The scale.
    pub scale: Scale,
}

impl<'n> ImageName<'n> {
    /// The parts of a file name (no directory); `None` if it is no PNG's.
    pub fn parse(file_name: &'n str) -> Option<Self> {
        let name = file_name.strip_suffix(".png")?;
        let scaled = |suffix, scale| name.strip_suffix(suffix).map(|stem| Self { stem, scale });
        let image = scaled("@2x", Scale::Two)
            .or_else(|| scaled("@3x", Scale::Three))
            .unwrap_or(Self { stem: name, scale: Scale::One });
        (!image.stem.is_empty()).then_some(image)
    }
}

/// Width and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Pixels {
    /// That many pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }
}

impl fmt::Display for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.width, self.height)
    }
}

/// Why a file is no image for a pass. Safe to show to whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Wallet reads PNG only.
    #[error("is not a PNG file; export it as PNG")]
    NotPng,
    /// The header is broken.
    #[error("is a broken PNG file; export it again")]
    Broken,
    /// Larger than any slot can use.
    #[error("is {0} pixels; no side may have more than {MAX_SIDE_PIXELS}")]
    TooLarge(Pixels),
}

/// Reads the size of a PNG from its header.
pub fn probe(bytes: &[u8]) -> Result<Pixels, ImageError> {
    const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";
    const END: &[u8] = b"IEND\xAE\x42\x60\x82";
    if !bytes.starts_with(MAGIC) {
        return Err(ImageError::NotPng);
    }
    let limits = png::Limits { bytes: HEADER_MEMORY };
    let mut decoder = png::Decoder::new_with_limits(std::io::Cursor::new(bytes), limits);
    let info = decoder.read_header_info().map_err(|_| ImageError::Broken)?;
    let pixels = Pixels::new(info.width, info.height);
    if pixels.width > MAX_SIDE_PIXELS || pixels.height > MAX_SIDE_PIXELS {
        return Err(ImageError::TooLarge(pixels));
    }
    // An upload that was cut short ends before the closing chunk.
    if !bytes.ends_with(END) {
        return Err(ImageError::Broken);
    }
    Ok(pixels)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A real PNG of that size.
    pub(crate) fn png_of(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&vec![0x80; (width * height) as usize]).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn names_hold_stem_and_scale() {
        let parse = |name| ImageName::parse(name).map(|image| (image.stem, image.scale));
        assert_eq!(parse("icon.png"), Some(("icon", Scale::One)));
        assert_eq!(parse("strip@2x.png"), Some(("strip", Scale::Two)));
        assert_eq!(parse("used-strip@3x.png"), Some(("used-strip", Scale::Three)));
        for name in ["icon.PNG", "icon.jpg", "@2x.png", ".png", "icon"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn sizes_follow_reference_3_9() {
        let advice =
            |slot: ImageSlot, style, scale, width, height| slot.size_advice(style, scale, Pixels::new(width, height));
        assert_eq!(advice(ImageSlot::Icon, Style::Coupon, Scale::Two, 58, 58), None);
        assert_eq!(advice(ImageSlot::Icon, Style::Coupon, Scale::Three, 114, 114), None);
        assert!(advice(ImageSlot::Icon, Style::Coupon, Scale::Two, 29, 29).is_some());
        assert_eq!(advice(ImageSlot::Strip, Style::Coupon, Scale::Three, 1125, 432), None);
        assert_eq!(advice(ImageSlot::Strip, Style::EventTicket, Scale::Two, 750, 196), None);
        assert!(advice(ImageSlot::Strip, Style::EventTicket, Scale::Two, 750, 288).is_some());
        assert_eq!(advice(ImageSlot::Logo, Style::Generic, Scale::Two, 100, 100), None);
        assert!(advice(ImageSlot::Logo, Style::Generic, Scale::Two, 321, 100).is_some());
        assert_eq!(advice(ImageSlot::Thumbnail, Style::Generic, Scale::One, 60, 90), None);
        assert!(advice(ImageSlot::Thumbnail, Style::Generic, Scale::One, 59, 90).is_some());
    }

    #[test]
    fn slots_belong_to_styles_as_reference_3_9_lists() {
        let shown = |style| -> Vec<&str> {
            let classic = ImageSlot::ALL.into_iter().take(6);
            classic.filter(|slot| slot.is_shown_by(style)).map(ImageSlot::name).collect()
        };
        assert_eq!(shown(Style::BoardingPass), ["icon", "logo", "footer"]);
        assert_eq!(shown(Style::Coupon), ["icon", "logo", "strip"]);
        assert_eq!(shown(Style::EventTicket), ["icon", "logo", "strip", "thumbnail", "background"]);
        assert_eq!(shown(Style::Generic), ["icon", "logo", "thumbnail"]);
        assert_eq!(shown(Style::StoreCard), ["icon", "logo", "strip"]);
    }

    #[test]
    fn only_whole_and_sensible_png_files_are_images() {
        let good = png_of(29, 29);
        assert_eq!(probe(&good), Ok(Pixels::new(29, 29)));
        assert_eq!(probe(b"\xFF\xD8\xFF\xE0 a photograph"), Err(ImageError::NotPng));
        assert_eq!(probe(b""), Err(ImageError::NotPng));
        assert_eq!(probe(&good[..20]), Err(ImageError::Broken));
        assert_eq!(probe(&good[..good.len() - 4]), Err(ImageError::Broken));
        assert_eq!(
            probe(&png_of(MAX_SIDE_PIXELS + 1, 1)),
            Err(ImageError::TooLarge(Pixels::new(MAX_SIDE_PIXELS + 1, 1)))
        );
    }
}
