//! Links: from their secret to a pass, and how often they were used.
//!
//! The terms of a link are the pass's ([`domain::Link`]); the link item holds whose it is and the count of downloads. A
//! link counts while its item is there *and* its pass names it: revoking writes the one and deletes the other together.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Link, Pass};
use passkit::{identifiers::PassIdentity, secrets::LinkId};

use super::{
    Store, fault,
    items::{self, LinkItem},
    transaction::{Condition, Transaction, number},
};
use crate::Fault;

/// Devices of a pass that are counted for whoever asks how many there are; beyond, some number from there on is told.
pub const COUNTED_DEVICES: u64 = 10_000;

/// A link that somebody opened.
#[derive(Debug)]
pub struct FoundLink {
    /// The pass it was made for.
    pub identity: PassIdentity,
    /// Downloads it has answered.
    pub downloads: u64,
}

/// What is counted of a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Devices that carry it.
    pub devices: u64,
    /// Downloads that its present link has answered.
    pub downloads: u64,
}

/// Whether a download may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Download {
    /// It is counted.
    Counted,
    /// The link was revoked or used up meanwhile.
    Refused,
}

impl Transaction {
    /// Adds a fresh link.
    pub(super) fn put_link(&mut self, identity: &PassIdentity, link: &Link) -> Result<(), Fault> {
        let PassIdentity { pass_type_identifier, serial_number } = identity.clone();
        let item = LinkItem { v: 1, pass_type: pass_type_identifier, serial: serial_number, downloads: 0 };
        self.put(&items::link_key(&link.id), &item, Condition::none())
    }

    /// Adds the change from one link of a pass to another.
    pub(super) fn replace_link(&mut self, before: &Pass, after: &Pass) -> Result<(), Fault> {
        if before.link == after.link {
            return Ok(());
        }
        if let Some(link) = &before.link {
            self.delete(&items::link_key(&link.id), Condition::none())?;
        }
        after.link.as_ref().map_or(Ok(()), |link| self.put_link(&after.identity, link))
    }
}

impl Store {
    /// The pass a link was made for.
    pub async fn find_link(&self, id: &LinkId) -> Result<Option<FoundLink>, Fault> {
        let item: Option<LinkItem> = self.get(&items::link_key(id)).await?;
        Ok(item.map(|LinkItem { pass_type, serial, downloads, .. }| FoundLink {
            identity: PassIdentity { pass_type_identifier: pass_type, serial_number: serial },
            downloads,
        }))
    }

    /// Counts a download, if the link is there and its limit leaves one: of a hundred at once, as many as are left.
    ///
    /// One conditional write of the link alone. When its answer is lost the SDK repeats it, and a limited link then has
    /// one download fewer than it answered; never one more.
    pub async fn count_download(&self, link: &Link) -> Result<Download, Fault> {
        let condition = match link.terms.download_limit {
            None => "attribute_exists(pk)",
            Some(_) => "attribute_exists(pk) AND (attribute_not_exists(downloads) OR downloads < :most)",
        };
        let most = link.terms.download_limit.map(|limit| (":most".to_owned(), number(limit)));
        let values = [(":one".to_owned(), number(1))].into_iter().chain(most);
        let request = self
            .client()
            .update_item()
            .table_name(&self.table)
            .set_key(Some(items::link_key(&link.id).to_item()))
            .update_expression("ADD downloads :one")
            .condition_expression(condition)
            .set_expression_attribute_values(Some(
                values.collect::<std::collections::HashMap<String, AttributeValue>>(),
            ));
        match request.send().await {
            Ok(_) => Ok(Download::Counted),
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(Download::Refused)
            }
            Err(error) => Err(fault("counting a download", error)),
        }
    }

    /// What is counted of a pass: devices and downloads.
    pub async fn counts(&self, pass: &Pass) -> Result<Counts, Fault> {
        let downloads = async {
            let Some(link) = &pass.link else { return Ok(0) };
            Ok(self.find_link(&link.id).await?.map_or(0, |found| found.downloads))
        };
        let (devices, downloads) =
            tokio::try_join!(self.count_registrations(&pass.identity, COUNTED_DEVICES), downloads)?;
        Ok(Counts { devices, downloads })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_link_from_before_downloads_were_counted_has_none() {
        let item = json!({ "v": 1, "type": "pass.example.passloop", "serial": "7" });
        assert_eq!(serde_json::from_value::<LinkItem>(item).unwrap().downloads, 0);
    }
}
