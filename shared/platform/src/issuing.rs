//! One reading of a pass request, for the door that makes one pass and for batches that make many.

use domain::{Campaign, Imported, Link, LinkTerms, Pass, pass::NewPass};
use jiff::Timestamp;
use passkit::{
    identifiers::{CampaignId, PassIdentity, SerialNumber},
    problem::{Problem, Problems},
    secrets::{AuthenticationToken, Barcode, LinkId},
};
use serde_json::{Map, Value};

use crate::{
    App, Fault, erasing,
    input::Fields,
    keys::Role,
    links,
    merchant::{HOLDER_LIMIT, of_holder},
    store::{Intent, Step},
};

/// Characters of an `authenticationToken` at least (PassKit Package Format Reference).
pub const TOKEN_AT_LEAST: usize = 16;
/// Characters of an `authenticationToken` at most: it travels in a header with every call of a phone.
pub const TOKEN_LIMIT: usize = 255;
/// Characters of an imported `barcode`: what `redeem-pass` reads from a till.
pub const BARCODE_LIMIT: usize = 512;

/// A pass as a merchant asks for it.
#[derive(Debug, Clone)]
pub struct Order {
    /// Of which campaign.
    pub campaign_id: CampaignId,
    /// `None`: one of ours.
    pub serial_number: Option<SerialNumber>,
    holder: Value,
    link_terms: LinkTerms,
    import: Option<Import>,
}

/// What a pass brings from another system.
#[derive(Debug, Clone)]
struct Import {
    authentication_token: AuthenticationToken,
    barcode: Option<Barcode>,
    imported: Imported,
}

/// The unguessable parts of a new pass; an import brings some of them.
pub struct Fresh {
    /// For an order without one.
    pub serial_number: SerialNumber,
    /// What phones present.
    pub authentication_token: AuthenticationToken,
    /// The link's secret.
    pub link: LinkId,
    /// What the till scans.
    pub barcode: Barcode,
    /// Names the last redemption of a pass that was used elsewhere.
    pub redemption_id: String,
}

/// Where the barcode of a pass comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Everything is new.
    Here,
    /// From another system; the barcode may be one that is taken.
    Elsewhere,
}

/// What can be read of the order, and every problem of its form.
pub fn read(mut fields: Fields) -> (Option<Order>, Problems) {
    let campaign_id = fields.required("campaignId");
    let serial_number = fields.optional("serialNumber");
    let holder = fields.raw("holder").filter(|holder| !holder.is_null()).unwrap_or_else(|| Value::Object(Map::new()));
    if !holder.is_object() {
        fields.wrong("holder", "must be an object");
    }
    if holder.to_string().len() > HOLDER_LIMIT {
        fields.wrong("holder", format!("must be at most {HOLDER_LIMIT} bytes of JSON"));
    }
    let link_terms = links::terms(&mut fields);
    let import = import(&mut fields);
    if import.is_some() && serial_number.is_none() && fields.is_good() {
        fields.wrong("serialNumber", "is required with authenticationToken: it is the one that phones know");
    }
    let order = campaign_id.map(|campaign_id| Order { campaign_id, serial_number, holder, link_terms, import });
    fields.so_far(order)
}

fn import(fields: &mut Fields) -> Option<Import> {
    let token: Option<String> = fields.optional("authenticationToken");
    let barcode: Option<String> = fields.optional("barcode");
    let state: Option<String> = fields.optional("state");
    let offer_id = fields.optional("offerId");
    let redemptions: Option<u32> = fields.optional("redemptions");
    let redeemed_at = fields.time("redeemedAt").map(domain::time::to_milliseconds);
    if let Some(barcode) = &barcode
        && (barcode.is_empty()
            || barcode.chars().count() > BARCODE_LIMIT
            // It names an item of the table, whose keys have 2048 bytes.
            || barcode.len() > 3 * BARCODE_LIMIT)
    {
        fields.wrong("barcode", format!("must have 1 to {BARCODE_LIMIT} characters"));
    }
    // A till leaves them away, as what a scanner ends with.
    if barcode.as_ref().is_some_and(|barcode| barcode.ends_with(['\r', '\n', '\t'])) {
        fields.wrong("barcode", "must not end with a line end or a tab");
    }
    let state = state.map(|state| state.parse().map_err(|error: domain::import::NoImportedState| error.to_string()));
    let state = match state {
        Some(Ok(state)) => Some(state),
        Some(Err(message)) => {
            fields.wrong("state", message);
            None
        }
        None => None,
    };
    let Some(token) = token else {
        let given = [
            ("barcode", barcode.is_some()),
            ("state", state.is_some()),
            ("offerId", offer_id.is_some()),
            ("redemptions", redemptions.is_some()),
            ("redeemedAt", redeemed_at.is_some()),
        ];
        for (name, _) in given.into_iter().filter(|(_, given)| *given) {
            fields.wrong(name, "belongs to a pass from another system, which brings its authenticationToken");
        }
        return None;
    };
    if !(TOKEN_AT_LEAST..=TOKEN_LIMIT).contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message =
            format!("must have {TOKEN_AT_LEAST} to {TOKEN_LIMIT} printable ASCII characters, and no blanks among them");
        fields.wrong("authenticationToken", message);
    }
    Some(Import {
        authentication_token: AuthenticationToken::new(token),
        barcode: barcode.map(Barcode::new),
        imported: Imported { state: state.unwrap_or_default(), offer_id, redemptions, redeemed_at },
    })
}

impl Order {
    /// The role that may give it: passes from another system bring secrets of their own choice, so they are the owner's.
    pub fn needs(&self) -> Role {
        match self.origin() {
            Origin::Here => Role::Issue,
            Origin::Elsewhere => Role::Admin,
        }
    }

    /// Whether it is an import.
    pub fn origin(&self) -> Origin {
        if self.import.is_some() { Origin::Elsewhere } else { Origin::Here }
    }

    /// What is wrong with it at this time alone. Apart from [`read`] because a request that is repeated later still gets
    /// its first answer.
    pub fn problems(&self, now: Timestamp) -> Problems {
        links::problems_of_terms(&self.link_terms, now)
    }
}

/// The pass that an order makes of its campaign, or what is wrong with that.
pub async fn make(
    app: &App,
    order: &Order,
    campaign: &Campaign,
    fresh: Fresh,
    now: Timestamp,
) -> Result<Result<Pass, Problems>, Fault> {
    let serial_number = order.serial_number.clone().unwrap_or(fresh.serial_number);
    let pass_type_identifier = campaign.draft.pass_type_identifier.clone();
    let (token, barcode) = match &order.import {
        None => (None, None),
        Some(import) => (Some(import.authentication_token.clone()), import.barcode.clone()),
    };
    let new = NewPass {
        identity: PassIdentity { pass_type_identifier, serial_number },
        authentication_token: token.unwrap_or(fresh.authentication_token),
        link: Link { id: fresh.link, terms: order.link_terms.clone() },
        barcode: barcode.unwrap_or(fresh.barcode),
        holder: order.holder.clone(),
    };
    let pass = match &order.import {
        None => Pass::issue(new, campaign, now)?,
        Some(import) => match Pass::import(new, &import.imported, fresh.redemption_id, campaign, now)? {
            Ok(pass) => pass,
            Err(problems) => return Ok(Err(problems)),
        },
    };
    let problems = app.packages.check(app, &pass, campaign, now).await?;
    Ok(if problems.is_empty() { Ok(pass) } else { Err(of_holder(problems)) })
}

/// The steps that a new pass waits for: its next offer, if it was used elsewhere, and the look whether it is to be erased, if
/// its campaign keeps passes for a time.
pub fn following(pass: &Pass, campaign: &Campaign, now: Timestamp) -> Result<Vec<Intent>, Fault> {
    let identity = pass.identity.clone();
    let next = pass.next_offer_at().map(|due| Intent::new(due, Step::NextOffer { identity, due }, now)).transpose()?;
    let look = erasing::first_look(pass, campaign, now)?;
    Ok(next.into_iter().chain(look).collect())
}

/// The one problem of a barcode that another pass has, or had.
pub fn barcode_taken() -> Problem {
    Problem::new("/barcode", "another pass has or had this barcode, and a barcode belongs to one pass for ever")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(value: Value) -> Vec<String> {
        let Value::Object(members) = value else { panic!("no object") };
        let (_, problems) = read(Fields::of(members));
        let mut paths: Vec<_> = problems.into_iter().map(|problem| problem.path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn what_an_import_brings_needs_its_token() {
        let loose = json!({ "campaignId": "c", "barcode": "b", "state": "voided", "offerId": "o", "redemptions": 1 });
        assert_eq!(paths(loose), ["/barcode", "/offerId", "/redemptions", "/state"]);
        assert_eq!(paths(json!({ "campaignId": "c", "authenticationToken": "0123456789abcdef" })), ["/serialNumber"]);
    }

    #[test]
    fn tokens_have_16_characters_that_a_header_can_carry() {
        for (token, good) in [
            ("0123456789abcde", false),
            ("0123456789abcdef", true),
            ("0123456789 bcdef", false),
            ("0123456789äbcdef", false),
            (&"x".repeat(255), true),
            (&"x".repeat(256), false),
        ] {
            let order = json!({ "campaignId": "c", "serialNumber": "s", "authenticationToken": token });
            assert_eq!(paths(order).is_empty(), good, "{token}");
        }
    }
}
