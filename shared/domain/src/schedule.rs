//! Scheduled updates: an overlay that comes at a time, perhaps goes again, perhaps comes back every week.
//!
//! ```text
//!   create ---> Scheduled --- at ---> Active --- until, no repetition ---> Finished
//!                  ^                    |  |
//!                  +-- until, repeats --+  +-- cancel --> Cancelled <-- cancel -- Scheduled
//! ```
//! Times of a repetition are wall-clock times of its zone: Friday 18:00 in Berlin stays 18:00 across both changes of
//! daylight saving, and so its instants do not.

use jiff::{Span, Timestamp, tz::TimeZone};
use passkit::{
    identifiers::{CampaignId, PassIdentity},
    overlay::Overlay,
    problem::{Problem, Problems},
};
use serde::{Deserialize, Serialize};

use crate::time;

/// What an update changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Target {
    /// Every pass of a campaign.
    Campaign {
        /// Which.
        campaign_id: CampaignId,
    },
    /// One pass.
    Pass(PassIdentity),
}

/// How an update repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    /// Each day.
    Day,
    /// Each week.
    Week,
    /// Each month, on the same day of the month or its last.
    Month,
}

/// Where an update is in the machine above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum UpdateState {
    /// It comes.
    Scheduled,
    /// It is on.
    Active,
    /// It was on for the last time.
    Finished,
    /// The merchant ended it.
    Cancelled,
    /// It could not come, since campaign or template have changed.
    Failed {
        /// Why, by path.
        problems: Vec<Problem>,
    },
}

/// A scheduled update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledUpdate {
    /// Its name, ours.
    pub update_id: String,
    /// Whose it is.
    pub merchant_id: String,
    /// What it changes.
    pub target: Target,
    /// When it first comes.
    #[serde(with = "time::text")]
    pub at: Timestamp,
    /// When it first goes; none: it stays until it is cancelled.
    #[serde(with = "time::optional_text")]
    pub until: Option<Timestamp>,
    /// How it repeats.
    pub every: Option<Every>,
    /// The zone (IANA) whose wall clock repetitions follow.
    pub time_zone: String,
    /// What changes while it is on.
    pub overlay: Overlay,
    /// Where it is.
    #[serde(flatten)]
    pub state: UpdateState,
    /// Which repetition it is in, or waits for; the first is 0.
    pub occurrence: u32,
    /// When it was made.
    #[serde(with = "time::text")]
    pub created_at: Timestamp,
}

/// The beginning or the end of one repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// The overlay comes.
    Begin,
    /// The overlay goes.
    End,
}

/// What follows after an edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The update as it is then.
    pub state: UpdateState,
    /// The repetition it is in, or waits for.
    pub occurrence: u32,
    /// The next edge, and when it is due.
    pub edge: Option<(Edge, Timestamp)>,
}

impl ScheduledUpdate {
    /// A name for an update made at `now`: names sort by the time they were made, and so does a list of them.
    pub fn id(now: Timestamp, random: &str) -> String {
        format!("{:013}-{random}", now.as_millisecond())
    }

    /// Whether a text has the form of such a name.
    pub fn is_id(text: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        text.split_once('-').is_some_and(|(made, random)| {
            made.len() == 13
                && made.bytes().all(|byte| byte.is_ascii_digit())
                && random.len() == 16
                && random.bytes().all(plain)
        })
    }

    /// What is wrong with the update by itself, each by path.
    pub fn problems(&self, now: Timestamp) -> Problems {
        let mut problems = Problems::new();
        let mut wrong = |path: &str, message: &str| problems.push(Problem::new(path, message));
        if self.until.is_some_and(|until| until <= self.at) {
            wrong("/until", "must be later than at");
        }
        if self.every.is_none() && self.until.is_some_and(|until| until <= now) {
            wrong("/until", "is over");
        }
        if self.every.is_some() && self.until.is_none() {
            wrong("/until", "an update that repeats needs an end for each time");
        }
        if TimeZone::get(&self.time_zone).is_err() {
            wrong("/timeZone", "is no IANA time zone, such as Europe/Berlin");
        } else if let (Some(_), Some(until), Some((second, _))) = (self.every, self.until, self.bounds(1))
            && until > second
        {
            wrong("/until", "must not be later than the next time begins");
        }
        if self.overlay == Overlay::default() {
            wrong("/overlay", "changes nothing");
        }
        problems
    }

    /// When repetition `n` begins and ends. `None` beyond the end of the calendar.
    pub fn bounds(&self, n: u32) -> Option<(Timestamp, Option<Timestamp>)> {
        let zone = TimeZone::get(&self.time_zone).ok()?;
        let n = i64::from(n);
        let span = match self.every {
            None if n > 0 => return None,
            None => return Some((self.at, self.until)),
            Some(Every::Day) => Span::new().try_days(n),
            Some(Every::Week) => Span::new().try_weeks(n),
            Some(Every::Month) => Span::new().try_months(n),
        };
        let span = span.ok()?;
        // From the first one each time: a month after January 31 is the last of February, two months after is March 31.
        let shift = |first: Timestamp| Some(first.to_zoned(zone.clone()).checked_add(span).ok()?.timestamp());
        let until = match self.until {
            Some(until) => Some(shift(until)?),
            None => None,
        };
        Some((shift(self.at)?, until))
    }

    /// The first edge of a new update: repetitions that are over already are passed over.
    pub fn first(&self, now: Timestamp) -> Next {
        self.waiting_from(0, now)
    }

    /// What follows when `edge` of the present repetition has been carried out at `now`.
    pub fn after(&self, edge: Edge, now: Timestamp) -> Next {
        match edge {
            Edge::Begin => {
                let end = self.bounds(self.occurrence).and_then(|(_, until)| until);
                Next {
                    state: UpdateState::Active,
                    occurrence: self.occurrence,
                    edge: end.map(|until| (Edge::End, until)),
                }
            }
            Edge::End => self.waiting_from(self.occurrence.saturating_add(1), now),
        }
    }

    /// So many repetitions are over for certain. The search for the first that is not begins there, and not at a date that
    /// a merchant wrote: one of every day since the year 1 would be looked at 740,000 times.
    fn surely_over(&self, now: Timestamp) -> u32 {
        /// Wall clocks are never further from the sun than 26 hours, at either end.
        const ASTRAY: i64 = 52;
        let longest = match self.every {
            None => return 0,
            Some(Every::Day) => 24,
            Some(Every::Week) => 7 * 24,
            Some(Every::Month) => 31 * 24,
        };
        let hours = now.duration_since(self.until.unwrap_or(self.at)).as_hours() - ASTRAY;
        u32::try_from((hours / longest).max(0)).unwrap_or(u32::MAX)
    }

    fn waiting_from(&self, occurrence: u32, now: Timestamp) -> Next {
        let mut n = occurrence.max(self.surely_over(now));
        loop {
            match self.bounds(n) {
                Some((_, Some(until))) if until <= now => n += 1,
                Some((at, _)) => {
                    let edge = Some((Edge::Begin, at));
                    return Next { state: UpdateState::Scheduled, occurrence: n, edge };
                }
                None => return Next { state: UpdateState::Finished, occurrence, edge: None },
            }
        }
    }

    /// When the next edge is due, for whoever looks.
    pub fn next_at(&self) -> Option<Timestamp> {
        let (at, until) = self.bounds(self.occurrence)?;
        match self.state {
            UpdateState::Scheduled => Some(at),
            UpdateState::Active => until,
            UpdateState::Finished | UpdateState::Cancelled | UpdateState::Failed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(at: &str, until: Option<&str>, every: Option<Every>, zone: &str) -> ScheduledUpdate {
        let overlay = serde_json::from_value(serde_json::json!({ "set": { "logoText": "20 %" } })).unwrap();
        ScheduledUpdate {
            update_id: "u".into(),
            merchant_id: "m".into(),
            target: Target::Campaign { campaign_id: "c".parse().unwrap() },
            at: at.parse().unwrap(),
            until: until.map(|until| until.parse().unwrap()),
            every,
            time_zone: zone.into(),
            overlay,
            state: UpdateState::Scheduled,
            occurrence: 0,
            created_at: at.parse().unwrap(),
        }
    }

    fn begin(update: &ScheduledUpdate, n: u32) -> String {
        update.bounds(n).unwrap().0.to_string()
    }

    #[test]
    fn friday_evening_in_berlin_stays_friday_evening_across_both_changes_of_daylight_saving() {
        // Daylight saving in Berlin: until 25 October 2026, again from 28 March 2027.
        let fridays =
            update("2026-10-23T18:00:00+02:00", Some("2026-10-24T00:00:00+02:00"), Some(Every::Week), "Europe/Berlin");
        assert_eq!(begin(&fridays, 0), "2026-10-23T16:00:00Z");
        assert_eq!(begin(&fridays, 1), "2026-10-30T17:00:00Z");
        assert_eq!(begin(&fridays, 22), "2027-03-26T17:00:00Z");
        assert_eq!(begin(&fridays, 23), "2027-04-02T16:00:00Z");
        assert_eq!(fridays.bounds(1).unwrap().1.unwrap().to_string(), "2026-10-30T23:00:00Z");
    }

    #[test]
    fn the_end_of_january_repeats_at_the_end_of_each_month() {
        let monthly = update("2027-01-31T10:00:00Z", Some("2027-01-31T11:00:00Z"), Some(Every::Month), "UTC");
        assert_eq!(begin(&monthly, 1), "2027-02-28T10:00:00Z");
        assert_eq!(begin(&monthly, 2), "2027-03-31T10:00:00Z");
    }

    #[test]
    fn a_single_update_begins_ends_and_is_finished() {
        let once = update("2026-11-24T10:00:00Z", Some("2026-11-24T11:00:00Z"), None, "UTC");
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let first = once.first(now);
        assert_eq!(first.edge, Some((Edge::Begin, once.at)));
        let active = once.after(Edge::Begin, once.at);
        assert_eq!((active.state, active.edge), (UpdateState::Active, Some((Edge::End, once.until.unwrap()))));
        let ended = once.after(Edge::End, once.until.unwrap());
        assert_eq!((ended.state, ended.edge), (UpdateState::Finished, None));
    }

    #[test]
    fn what_was_missed_while_nothing_ran_is_passed_over() {
        let daily = update("2026-11-20T10:00:00Z", Some("2026-11-20T11:00:00Z"), Some(Every::Day), "UTC");
        let next = daily.first("2026-11-23T10:30:00Z".parse().unwrap());
        assert_eq!((next.occurrence, next.edge.unwrap().0), (3, Edge::Begin));
        let next = daily.first("2026-11-23T11:00:00Z".parse().unwrap());
        assert_eq!(next.occurrence, 4);
    }

    #[test]
    fn a_date_of_any_age_is_as_quick_as_yesterday() {
        let now: Timestamp = "2026-11-23T10:30:00Z".parse().unwrap();
        let begun = std::time::Instant::now();
        for every in [Every::Day, Every::Week, Every::Month] {
            for zone in ["UTC", "Europe/Berlin", "Pacific/Apia", "Asia/Manila"] {
                for start in
                    ["-009998-01-01T10:00:00Z", "1800-02-28T23:00:00Z", "2011-12-29T12:00:00Z", "2026-11-20T10:00:00Z"]
                {
                    let at: Timestamp = start.parse().unwrap();
                    let until = at.checked_add(jiff::SignedDuration::from_hours(1)).unwrap().to_string();
                    let update = update(start, Some(&until), Some(every), zone);
                    let next = update.first(now);
                    let (begins, ends) = update.bounds(next.occurrence).unwrap();
                    assert_eq!(next.edge, Some((Edge::Begin, begins)));
                    assert!(ends.unwrap() > now, "over: {start}, {every:?}, {zone}");
                    let earlier = update.bounds(next.occurrence - 1).unwrap().1.unwrap();
                    assert!(earlier <= now, "one too late: {start}, {every:?}, {zone}");
                }
            }
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn problems_are_named_by_path() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let paths = |update: &ScheduledUpdate| -> Vec<String> {
            update.problems(now).into_iter().map(|problem| problem.path).collect()
        };
        assert_eq!(paths(&update("2026-11-24T10:00:00Z", None, None, "UTC")), Vec::<String>::new());
        assert_eq!(paths(&update("2026-11-24T10:00:00Z", Some("2026-11-24T09:00:00Z"), None, "UTC")), ["/until"]);
        assert_eq!(paths(&update("2026-11-24T10:00:00Z", None, Some(Every::Day), "UTC")), ["/until"]);
        let long = update("2026-11-24T10:00:00Z", Some("2026-11-26T10:00:00Z"), Some(Every::Day), "UTC");
        assert_eq!(paths(&long), ["/until"]);
        assert_eq!(paths(&update("2026-11-24T10:00:00Z", None, None, "Mars/Olympus")), ["/timeZone"]);
    }
}
