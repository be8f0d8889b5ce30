//! The numbers of a campaign.

use domain::{Campaign, time};
use jiff::{Timestamp, civil::Date};
use passkit::identifiers::{CampaignId, OfferId};
use platform::store::{Report, WALLET_BUCKETS};
use serde::Serialize;

/// A report as merchants see it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportView<'a> {
    campaign_id: &'a CampaignId,
    #[serde(with = "time::text")]
    at: Timestamp,
    from: String,
    until: String,
    issued: u64,
    imported: u64,
    installed: Installed,
    removed: u64,
    unreachable: u64,
    erased: u64,
    forgotten: u64,
    redeemed: u64,
    reversed: u64,
    time_to_wallet: TimeToWallet,
    redemptions: Vec<RowView<'a>>,
}

#[derive(Serialize)]
struct Installed {
    now: u64,
    ever: u64,
}

/// How long versions took to a first phone.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TimeToWallet {
    versions: u64,
    p50_seconds: Option<u32>,
    p95_seconds: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RowView<'a> {
    day: &'a str,
    offer_id: &'a OfferId,
    location: Option<&'a str>,
    redeemed: u64,
    reversed: u64,
}

impl TimeToWallet {
    /// The end of the bucket in which the share lies; none beyond the last.
    fn of(wallet: &[u64]) -> TimeToWallet {
        let versions: u64 = wallet.iter().sum();
        let percentile = |percent: u64| {
            let mut reached = 0;
            let place = wallet.iter().position(|count| {
                reached += count;
                versions > 0 && reached * 100 >= versions * percent
            })?;
            WALLET_BUCKETS.get(place).copied()
        };
        TimeToWallet { versions, p50_seconds: percentile(50), p95_seconds: percentile(95) }
    }
}

impl<'a> ReportView<'a> {
    pub(crate) fn new(
        campaign: &'a Campaign,
        report: &'a Report,
        (from, until): (Date, Date),
        now: Timestamp,
    ) -> ReportView<'a> {
        let gone = report.removed + report.unreachable + report.forgotten;
        let redemptions = report.rows.iter().map(|(row, uses)| RowView {
            day: &row.day,
            offer_id: &row.offer_id,
            location: row.location.as_deref(),
            redeemed: uses.redeemed,
            reversed: uses.reversed,
        });
        ReportView {
            campaign_id: &campaign.campaign_id,
            at: now,
            from: from.to_string(),
            until: until.to_string(),
            issued: report.issued,
            imported: report.imported,
            installed: Installed { now: report.installed.saturating_sub(gone), ever: report.installed },
            removed: report.removed,
            unreachable: report.unreachable,
            erased: report.erased,
            forgotten: report.forgotten,
            redeemed: report.rows.values().map(|uses| uses.redeemed).sum(),
            reversed: report.rows.values().map(|uses| uses.reversed).sum(),
            time_to_wallet: TimeToWallet::of(&report.wallet),
            redemptions: redemptions.collect(),
        }
    }

    /// One measure a line, RFC 4180.
    pub(crate) fn csv(&self) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        csv.write_record(["measure", "day", "offerId", "location", "value"])?;
        let seconds = |seconds: Option<u32>| seconds.map(|seconds| seconds.to_string()).unwrap_or_default();
        let whole = [
            ("issued", self.issued.to_string()),
            ("imported", self.imported.to_string()),
            ("installedNow", self.installed.now.to_string()),
            ("installedEver", self.installed.ever.to_string()),
            ("removed", self.removed.to_string()),
            ("unreachable", self.unreachable.to_string()),
            ("erased", self.erased.to_string()),
            ("forgotten", self.forgotten.to_string()),
            ("timeToWalletP50Seconds", seconds(self.time_to_wallet.p50_seconds)),
            ("timeToWalletP95Seconds", seconds(self.time_to_wallet.p95_seconds)),
        ];
        for (measure, value) in &whole {
            csv.write_record([measure, "", "", "", value])?;
        }
        for row in &self.redemptions {
            let location = spreadsheet_text(row.location.unwrap_or_default());
            for (measure, value) in [("redeemed", row.redeemed), ("reversed", row.reversed)] {
                csv.write_record([measure, row.day, row.offer_id.as_str(), &location, &value.to_string()])?;
            }
        }
        Ok(csv.into_inner()?)
    }
}

/// What a till called its place, for a spreadsheet: one that begins like a formula is none (OWASP, CSV Injection).
fn spreadsheet_text(text: &str) -> String {
    let quote = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("{quote}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_ends_of_their_buckets() {
        let mut wallet = [0; WALLET_BUCKETS.len() + 1];
        assert_eq!(TimeToWallet::of(&wallet), TimeToWallet { versions: 0, p50_seconds: None, p95_seconds: None });
        wallet[1] = 50;
        wallet[4] = 45;
        wallet[13] = 5;
        let told = TimeToWallet::of(&wallet);
        assert_eq!(told, TimeToWallet { versions: 100, p50_seconds: Some(2), p95_seconds: Some(10) });
        wallet[13] = 6;
        assert_eq!(TimeToWallet::of(&wallet).p95_seconds, None);
    }

    #[test]
    fn no_location_is_a_formula() {
        assert_eq!(spreadsheet_text("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")");
        assert_eq!(spreadsheet_text("Rue Cler"), "Rue Cler");
    }
}
