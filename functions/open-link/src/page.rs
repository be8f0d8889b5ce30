//! The public pages behind a link: the landing page and the page of a dead link.
//!
//! Pure: values in, HTML out. Nothing is loaded from elsewhere and nothing needs JavaScript, so one
//! answer is the whole page. The address of a page is a bearer secret (whoever knows it has the
//! pass), hence no referrer, no index, no cache.
//!
//! Apple's "Add to Apple Wallet" badge may be shown only as Apple's own, unmodified artwork, which
//! is not ours to ship: the button is plain text. `templates/landing.html` marks the place where an
//! operator puts the badge (Apple, "Add to Apple Wallet Guidelines").

use askama::Template;
use platform::language::Language;

mod colors;
mod qr;
mod words;

pub(crate) use colors::Colors;
pub(crate) use qr::{qr_png, qr_svg};
use words::Words;

/// The `Content-Security-Policy` of both pages: nothing is fetched, run, framed or submitted.
///
/// Styles are inline because they carry the campaign's colours, which are numbers by then
/// ([`Rgb`]); there is no script to allow. Set it together with `Referrer-Policy: no-referrer`,
/// `X-Content-Type-Options: nosniff`, `X-Robots-Tag: noindex`, `Cache-Control: no-store` and
/// `Content-Type: text/html; charset=utf-8`.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the reader holds in their hand, as far as the page cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    /// iPhone, iPad or Mac: a `.pkpass` opens here.
    Apple,
    /// Anything else: the pass reaches a phone through the QR code.
    Other,
}

/// The device a `User-Agent` header speaks of; an empty one is [`Device::Other`].
#[must_use]
pub(crate) fn device_from_user_agent(user_agent: &str) -> Device {
    let names = |name: &&str| user_agent.contains(*name);
    // Windows Phone and some Android browsers call themselves "like iPhone".
    if ["Android", "Windows"].iter().any(names) {
        return Device::Other;
    }
    // An iPad asks as "Macintosh" unless told otherwise.
    if ["iPhone", "iPad", "iPod", "Macintosh"].iter().any(names) { Device::Apple } else { Device::Other }
}

/// What the page says about the pass's present state, which is the contract's but for
/// `redeemed` and `finished`: to the reader both are [`PassState::Used`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PassState {
    /// The offer can be redeemed.
    Redeemable,
    /// The offer's time has not come.
    NotYet,
    /// The offer was redeemed; the same pass may carry another one later.
    Used,
    /// The merchant took the pass back.
    Voided,
    /// The offer's time is over.
    Expired,
}

/// The landing page of one pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Landing<'a> {
    /// `organizationName` of the pass.
    pub(crate) organization: &'a str,
    /// Title of the present offer.
    pub(crate) title: &'a str,
    /// `description` of the pass.
    pub(crate) description: &'a str,
    /// Colours of the pass.
    pub(crate) colors: Colors,
    /// Where the `.pkpass` is: a path ("/p/xyz.pkpass") or an https URL.
    pub(crate) download_path: &'a str,
    /// Absolute URL of this page: what the QR code encodes.
    pub(crate) link: &'a str,
    /// What the reader holds.
    pub(crate) device: Device,
    /// The pass's present state.
    pub(crate) state: PassState,
    /// What the reader reads.
    pub(crate) language: Language,
}

impl Landing<'_> {
    /// The page as HTML.
    ///
    /// # Errors
    /// When the link is too long for a QR code (about 2,300 bytes).
    pub(crate) fn render(&self) -> Result<String, askama::Error> {
        let words = Words::of(self.language);
        let action = match (self.state, self.device) {
            (PassState::Voided | PassState::Expired, _) => Action::Nothing,
            (PassState::Redeemable | PassState::NotYet | PassState::Used, Device::Apple) => Action::Add,
            (PassState::Redeemable | PassState::NotYet | PassState::Used, Device::Other) => {
                Action::Scan { code: qr_svg(self.link).map_err(askama::Error::custom)? }
            }
        };
        let (state, note) = match self.state {
            PassState::Redeemable => (words.redeemable, None),
            PassState::NotYet => (words.not_yet, Some(words.not_yet_note)),
            PassState::Used => (words.used, Some(words.used_note)),
            PassState::Voided => (words.voided, Some(words.voided_note)),
            PassState::Expired => (words.expired, Some(words.expired_note)),
        };
        LandingPage {
            words,
            landing: self,
            initial: self.organization.chars().find(|c| c.is_alphanumeric()),
            state,
            note,
            action,
        }
        .render()
    }
}

/// The page of a link that leads nowhere (answered with 404). It is the same for unknown, expired,
/// revoked and used-up links, so it tells a stranger nothing.
///
/// # Errors
/// None in practice; the template engine's own type.
pub(crate) fn gone(language: Language) -> Result<String, askama::Error> {
    GonePage { words: Words::of(language) }.render()
}

/// What the reader can do on the landing page.
enum Action {
    /// Open the pass here.
    Add,
    /// Scan the code (an `<svg>` element) with a phone.
    Scan { code: String },
    /// Nothing: there is no use in having this pass.
    Nothing,
}

#[derive(Template)]
#[template(path = "landing.html")]
struct LandingPage<'a> {
    words: &'static Words,
    landing: &'a Landing<'a>,
    /// First letter of the organisation, as a stand-in for its logo.
    initial: Option<char>,
    state: &'static str,
    note: Option<&'static str>,
    action: Action,
}

#[derive(Template)]
#[template(path = "gone.html")]
struct GonePage {
    words: &'static Words,
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
    const MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15";
    const PIXEL: &str = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36";
    const LUMIA: &str = "Mozilla/5.0 (Mobile; Windows Phone 8.1; Android 4.0; ARM; Trident/7.0; rv:11.0; IEMobile/11.0; NOKIA; Lumia 930) like iPhone OS 7_0_3 Mac OS X AppleWebKit/537 (KHTML, like Gecko) Mobile Safari/537";

    fn landing() -> Landing<'static> {
        Landing {
            organization: "Maison Levain",
            title: "Free croissant",
            description: "One butter croissant on the house",
            colors: Colors::from_pass(Some("rgb(94, 45, 22)"), None, None),
            download_path: "/p/9xVb2QmT7LkzR4hNfYc8Ws.pkpass",
            link: "https://pass.example.com/p/9xVb2QmT7LkzR4hNfYc8Ws",
            device: Device::Apple,
            state: PassState::Redeemable,
            language: Language::En,
        }
    }

    #[test]
    fn a_device_is_known_by_its_user_agent() {
        assert_eq!(device_from_user_agent(IPHONE), Device::Apple);
        assert_eq!(device_from_user_agent(MAC), Device::Apple);
        assert_eq!(device_from_user_agent(PIXEL), Device::Other);
        assert_eq!(device_from_user_agent(LUMIA), Device::Other);
        assert_eq!(device_from_user_agent("curl/8.7.1"), Device::Other);
        assert_eq!(device_from_user_agent(""), Device::Other);
    }

    #[test]
    fn an_apple_device_gets_the_link_to_the_pass() {
        // Contract, section 4, Links.
        let page = landing().render().unwrap();
        assert!(page.contains(r#"<a class="add" href="/p/9xVb2QmT7LkzR4hNfYc8Ws.pkpass">Add to Apple Wallet</a>"#));
        assert!(!page.contains("<svg"));
    }

    #[test]
    fn another_device_gets_the_qr_code_of_the_link() {
        // Contract, section 4, Links; the badge belongs only where it can work (apple-wallet.md, 6).
        let landing = Landing { device: Device::Other, ..landing() };
        let page = landing.render().unwrap();
        assert!(page.contains(&qr_svg(landing.link).unwrap()));
        assert!(page.contains(r#"role="img" aria-label="QR code with the link of this page""#));
        assert!(!page.contains("Add to Apple Wallet"));
        assert!(page.contains(r#"href="/p/9xVb2QmT7LkzR4hNfYc8Ws.pkpass""#));
    }

    #[test]
    fn german_readers_see_apples_german_wording() {
        let page = Landing { language: Language::De, ..landing() }.render().unwrap();
        assert!(page.contains(r#"<html lang="de">"#));
        assert!(page.contains("Zu Apple Wallet hinzufügen"));
    }

    #[test]
    fn a_used_pass_can_still_be_added_for_the_offer_to_come() {
        let page = Landing { state: PassState::Used, ..landing() }.render().unwrap();
        assert!(page.contains("Already used"));
        assert!(page.contains("Add to Apple Wallet"));
    }

    #[test]
    fn a_voided_or_expired_pass_is_not_offered_any_more() {
        for (state, words) in [(PassState::Voided, "No longer valid"), (PassState::Expired, "Expired")] {
            for device in [Device::Apple, Device::Other] {
                let page = Landing { state, device, ..landing() }.render().unwrap();
                assert!(page.contains(words));
                assert!(!page.contains(".pkpass"));
                assert!(!page.contains("<svg"));
            }
        }
    }

    #[test]
    fn what_a_merchant_wrote_is_text_and_nothing_else() {
        let hostile = "</style></title><script>alert(1)</script>\"'&";
        let page = Landing {
            organization: hostile,
            title: hostile,
            description: hostile,
            download_path: hostile,
            device: Device::Apple,
            ..landing()
        }
        .render()
        .unwrap();
        assert!(!page.contains("<script"));
        assert_eq!(page.matches("</style>").count(), 1);
        assert_eq!(page.matches("</title>").count(), 1);
        assert!(!page.contains("href=\"</style>"));
    }

    #[test]
    fn nothing_on_a_page_is_loaded_from_elsewhere() {
        let pages = [
            landing().render().unwrap(),
            Landing { device: Device::Other, ..landing() }.render().unwrap(),
            gone(Language::De).unwrap(),
        ];
        for page in pages {
            for loader in ["<script", "<link", "<img", "<iframe", "url(", "@import", "src="] {
                assert!(!page.contains(loader), "{loader}");
            }
            assert!(page.contains(r#"<meta name="robots" content="noindex, nofollow">"#));
            assert!(page.contains(r#"<meta name="referrer" content="no-referrer">"#));
        }
    }

    #[test]
    fn a_dead_link_says_so_and_no_more() {
        let page = gone(Language::En).unwrap();
        assert!(page.contains("<h1>This link is no longer valid</h1>"));
        assert!(!page.contains("/p/"));
        assert!(gone(Language::De).unwrap().contains("nicht mehr gültig"));
    }

    #[test]
    fn a_link_too_long_for_a_qr_code_makes_no_page() {
        let link = format!("https://pass.example.com/{}", "x".repeat(2_400));
        assert!(Landing { link: &link, device: Device::Other, ..landing() }.render().is_err());
    }
}
