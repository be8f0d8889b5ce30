//! A 200 of "What changed?", read as a phone reads it (reference 1.3 L, 1.6).

use serde_json::Value;

use crate::answer::Answer;

/// What a list named.
#[derive(Debug)]
pub(crate) struct Listing {
    /// `serialNumbers`.
    pub(crate) serials: Vec<String>,
    /// `lastUpdated`.
    pub(crate) tag: Option<String>,
}

impl Listing {
    /// Wrong JSON types make the device log a malformed response.
    pub(crate) fn read(answer: &Answer) -> Result<Listing, String> {
        let malformed = || format!("Server response was malformed: {}", answer.text());
        let kind = answer.header("content-type").unwrap_or_default();
        if !kind.starts_with("application/json") {
            return Err(malformed());
        }
        let body: Value = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
        let serials = body["serialNumbers"].as_array().ok_or_else(malformed)?;
        let serials = serials
            .iter()
            .map(|serial| serial.as_str().map(str::to_owned))
            .collect::<Option<Vec<String>>>()
            .ok_or_else(malformed)?;
        let tag = match body.get("lastUpdated") {
            Some(tag) => Some(tag.as_str().ok_or_else(malformed)?.to_owned()),
            None => None,
        };
        Ok(Listing { serials, tag })
    }

    /// What iOS reports about the tag, when it had asked with `before`.
    pub(crate) fn complaint_after(&self, before: Option<&str>) -> Option<String> {
        match &self.tag {
            None => Some("Response to 'What changed?' request omitted a lastUpdated tag".to_owned()),
            Some(tag) if before == Some(tag.as_str()) && !self.serials.is_empty() => Some(format!(
                "Response to 'What changed?' request included {} serial numbers but the \
                 lastUpdated tag ({tag}) remained the same",
                self.serials.len()
            )),
            Some(_) => None,
        }
    }
}
