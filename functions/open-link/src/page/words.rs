//! Everything the pages say, in each language.

use platform::language::Language;

/// Everything the pages say in one language.
pub(super) struct Words {
    pub(super) code: &'static str,
    pub(super) redeemable: &'static str,
    pub(super) not_yet: &'static str,
    pub(super) not_yet_note: &'static str,
    pub(super) used: &'static str,
    pub(super) used_note: &'static str,
    pub(super) voided: &'static str,
    pub(super) voided_note: &'static str,
    pub(super) expired: &'static str,
    pub(super) expired_note: &'static str,
    pub(super) add: &'static str,
    pub(super) add_hint: &'static str,
    pub(super) scan_title: &'static str,
    pub(super) scan_hint: &'static str,
    pub(super) scan_alternative: &'static str,
    pub(super) download: &'static str,
    pub(super) gone_title: &'static str,
    pub(super) gone_note: &'static str,
}

impl Words {
    pub(super) fn of(language: Language) -> &'static Words {
        match language {
            Language::En => &ENGLISH,
            Language::De => &GERMAN,
        }
    }
}

static ENGLISH: Words = Words {
    code: "en",
    redeemable: "Ready to redeem",
    not_yet: "Not yet redeemable",
    not_yet_note: "The time of this offer is still to come. You can add the pass already.",
    used: "Already used",
    used_note: "This offer has been redeemed. If another one follows, it appears in the same pass.",
    voided: "No longer valid",
    voided_note: "This pass has been withdrawn and can no longer be redeemed.",
    expired: "Expired",
    expired_note: "The time of this offer is over; it can no longer be redeemed.",
    add: "Add to Apple Wallet",
    add_hint: "Nothing happens? Open this page in Safari.",
    scan_title: "Get it on your iPhone",
    scan_hint: "Point the iPhone camera at the code and open the link it shows. There you can add the pass to Apple Wallet.",
    scan_alternative: "QR code with the link of this page",
    download: "Download the pass file",
    gone_title: "This link is no longer valid",
    gone_note: "Please ask whoever sent it to you for a new one.",
};

static GERMAN: Words = Words {
    code: "de",
    redeemable: "Einlösbar",
    not_yet: "Noch nicht einlösbar",
    not_yet_note: "Die Zeit dieses Angebots kommt noch. Die Karte lässt sich schon jetzt ablegen.",
    used: "Bereits eingelöst",
    used_note: "Dieses Angebot wurde eingelöst. Folgt ein weiteres, erscheint es auf derselben Karte.",
    voided: "Nicht mehr gültig",
    voided_note: "Diese Karte wurde zurückgezogen und kann nicht mehr eingelöst werden.",
    expired: "Abgelaufen",
    expired_note: "Die Zeit dieses Angebots ist vorbei; es kann nicht mehr eingelöst werden.",
    // Apple's own German wording.
    add: "Zu Apple Wallet hinzufügen",
    add_hint: "Es passiert nichts? Diese Seite in Safari öffnen.",
    scan_title: "Aufs iPhone holen",
    scan_hint: "Die iPhone-Kamera auf den Code richten und den angezeigten Link öffnen. Dort lässt sich die Karte in Apple Wallet ablegen.",
    scan_alternative: "QR-Code mit dem Link dieser Seite",
    download: "Kartendatei laden",
    gone_title: "Dieser Link ist nicht mehr gültig",
    gone_note: "Bitte dort, wo er herkam, um einen neuen bitten.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apple_wallet_is_always_named_in_full() {
        // apple-wallet.md, section 6, badge rules: always write "Apple Wallet".
        for words in [&ENGLISH, &GERMAN] {
            for text in [words.add, words.add_hint, words.scan_title, words.scan_hint] {
                assert_eq!(text.matches("Wallet").count(), text.matches("Apple Wallet").count(), "{text}");
            }
        }
    }
}
