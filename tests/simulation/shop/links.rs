//! Links of passes: replaced, revoked, followed.

use http::Method;

use super::Shop;
use crate::phone::request;
use crate::wallet::Package;
use crate::world::PUBLIC_URL;

impl Shop {
    /// The pass gets another link, or none.
    pub(crate) async fn change_link(&self, serial: &str) {
        let _desk = self.desk.lock().await;
        let dying = self.world.ledger().download(serial);
        self.world.ledger().dying_links.extend(dying);
        if self.world.dice.chance(0.4) {
            let request = self.request(Method::DELETE, &format!("{}/link", Shop::path(serial)), None, None);
            if self.expect(request, &[200]).await.is_some() {
                self.world.note("office", || format!("has revoked the link of {serial}"));
                self.world.ledger().is_relinked(serial, None);
            }
        } else {
            self.renew_link(serial).await;
        }
    }

    async fn renew_link(&self, serial: &str) {
        let key = format!("link-{}", self.number());
        let path = format!("{}/link", Shop::path(serial));
        let request = self.request(Method::POST, &path, Some(&key), Some("{}".to_owned()));
        let Some(pass) = self.expect(request, &[201]).await else { return };
        let download = pass["downloadUrl"].as_str().unwrap_or_default().replace(PUBLIC_URL, "");
        self.world.note("office", || format!("has renewed the link of {serial}"));
        let mut ledger = self.world.ledger();
        ledger.secret("link", link_of(&download));
        ledger.is_relinked(serial, Some(&download));
    }

    /// Where a pass is downloaded. One whose link was revoked gets another.
    async fn download(&self, serial: &str) -> String {
        let present = || self.world.ledger().download(serial).unwrap_or_default();
        let download = present();
        if self.world.ledger().link_died_at(&download).is_none() {
            return download;
        }
        self.renew_link(serial).await;
        present()
    }

    /// A pass as its link gives it now.
    pub(crate) async fn newest(&self, serial: &str) -> Result<Package, String> {
        let download = self.download(serial).await;
        let answer = self.world.call(request(Method::GET, &download, &[], None)).await;
        Package::open(answer.ok_or("no answer")?.body())
    }
}

/// The secret in the path of a download.
pub(crate) fn link_of(download: &str) -> &str {
    download.trim_start_matches("/p/").trim_end_matches(".pkpass")
}
