//! Working a batch: chunk by chunk, each answered in an object of its own.
//!
//! Everything about a row that could be random is derived from the batch's seed and the row's number, so a chunk that is
//! worked twice (a crash, a message that came twice) makes the same passes, finds those that are there already by their
//! mark, and answers the same. Whose answers count is decided by the store ([`Store::change_batch`]).
//!
//! [`Store::change_batch`]: crate::store::Store::change_batch

use std::{collections::HashMap, sync::Arc};

use domain::{Campaign, Pass, Refusal};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use passkit::{
    identifiers::{CampaignId, PassTypeIdentifier, SerialNumber},
    problem::{Problem, Problems},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    App, Fault,
    batch_files::results_object,
    batch_rows::{self, MAXIMUM_ROWS, Rest, Row},
    input::Fields,
    issuing::{self, Origin},
    links,
    merchant::PresentState,
    random,
    store::{
        ATTEMPTS, Batch, BatchChange, BatchChunk, BatchState, BatchWritten, ISSUED_AT_ONCE, Intent, IntentProgress,
        Issued, Lane, NewIssue, Step,
    },
    webhooks,
};

/// Rows of one chunk: five seconds or so at 200 rows a second, which the table's smallest capacity carries (4,000 write
/// units a second of a new table on demand; a pass takes twelve). Where a chunk ends depends on the rows alone.
const CHUNK_ROWS: usize = 1000;
/// Bytes of rows that one chunk looks at: many times the longest row.
pub const WINDOW: u64 = 1024 * 1024;
/// Transactions in flight at once. Each counts in a place of its own of the campaign's sixteen, so none waits for another;
/// and tills of the same shop keep most of the table's capacity.
const LANES: usize = 8;
/// Problems told of one row.
const PROBLEMS_TOLD: usize = 20;

/// Works the next chunk of a batch, and puts the message for the one after it.
pub async fn chunk(app: &App, intent: &Intent, now: Timestamp) -> Result<(), Fault> {
    let Step::Batch { merchant_id, batch_id } = &intent.step else { return Ok(()) };
    let stored = app.store.batch(merchant_id, batch_id).await?.filter(|stored| stored.batch.is_at_work());
    let Some(mut stored) = stored else {
        return app.store.done(intent).await;
    };
    let worked = work(app, &stored.batch, now).await?;
    let chunk = keep(app, &stored.batch, &worked).await?;
    let place = stored.batch.offset;
    for _ in 0..ATTEMPTS {
        let after = advanced(&stored.batch, &worked, now);
        let goes_on = after.is_at_work();
        let reached = after.offset.to_string();
        let next = intent.reached(reached.clone(), now);
        let progress = if goes_on { IntentProgress::Reached(reached, now) } else { IntentProgress::Done };
        let change =
            BatchChange { chunk: chunk.as_ref(), progress: Some((intent, progress)), ..BatchChange::default() };
        if app.store.change_batch(&stored, &after, change).await? == BatchWritten::Done {
            if goes_on {
                app.queues.send_after_commit(std::slice::from_ref(&next), now).await;
            } else if let Err(fault) = app.batch_files.forget_input(&after).await {
                tracing::warn!(fault = fault.chain(), "the rows of a batch stay until the bucket's rule removes them");
            }
            return Ok(());
        }
        let again = app.store.batch(merchant_id, batch_id).await?;
        match again.filter(|again| again.batch.is_at_work() && again.batch.offset == place) {
            // It was cancelled meanwhile; the rows are worked all the same.
            Some(again) => stored = again,
            // Another worker was faster, and goes on.
            None => return Ok(()),
        }
    }
    Err(Fault::contradiction("a batch changed too often"))
}

/// What became of the rows that were next.
#[derive(Default)]
struct Worked {
    outcomes: Vec<Outcome>,
    length: usize,
    /// Why it cannot go on.
    broken: Option<Problem>,
}

/// What became of one row.
enum Outcome {
    Made(Box<Pass>, Origin),
    Refused(Problems),
}

impl Outcome {
    fn refused(path: &str, message: impl Into<String>) -> Outcome {
        Outcome::Refused(vec![Problem::new(path, message)])
    }
}

/// A pass that a row makes, before it is made.
struct Ready {
    /// Which of the chunk's rows.
    place: usize,
    pass: Pass,
    origin: Origin,
    mark: String,
    then: Vec<Intent>,
}

impl Ready {
    fn new_issue(&self) -> NewIssue<'_> {
        NewIssue { pass: &self.pass, origin: self.origin, then: &self.then, mark: Some(&self.mark) }
    }
}

/// The batch after these rows.
fn advanced(batch: &Batch, worked: &Worked, now: Timestamp) -> Batch {
    let mut after = batch.clone();
    after.offset += worked.length as u64;
    for outcome in &worked.outcomes {
        after.rows += 1;
        match outcome {
            Outcome::Made(_, origin) => {
                after.issued += 1;
                after.imported += u32::from(*origin == Origin::Elsewhere);
            }
            Outcome::Refused(_) => after.failed += 1,
        }
    }
    if let Some(problem) = &worked.broken {
        after.problems.push(problem.clone());
        after.end(BatchState::Failed, now);
    } else if batch.state == BatchState::Cancelling {
        after.end(BatchState::Cancelled, now);
    } else if after.offset >= after.bytes {
        after.end(BatchState::Finished, now);
    }
    after
}

async fn work(app: &App, batch: &Batch, now: Timestamp) -> Result<Worked, Fault> {
    let broken = |message: String| Worked { broken: Some(Problem::new("", message)), ..Worked::default() };
    if batch.offset >= batch.bytes {
        return Ok(Worked::default());
    }
    let piece = app.batch_files.input(batch, batch.offset, WINDOW).await?;
    let Some(piece) = piece.filter(|piece| piece.whole == batch.bytes && piece.e_tag == batch.e_tag) else {
        return Ok(broken("the rows were changed after the start".to_owned()));
    };
    let is_last = batch.offset + piece.bytes.len() as u64 >= batch.bytes;
    let rest = if is_last { Rest::Nothing } else { Rest::Follows };
    let room = MAXIMUM_ROWS.saturating_sub(batch.rows) as usize;
    // After the last row that there is room for: blank lines, or the other half of its line end.
    let read = batch_rows::rows(batch.format, &batch.columns, &piece.bytes, rest, CHUNK_ROWS.min(room).max(1));
    if room == 0 && !read.rows.is_empty() {
        return Ok(broken(format!("has more than {MAXIMUM_ROWS} rows; those after them were not read")));
    }
    if read.length == 0 {
        let message =
            format!("row {} does not end within {WINDOW} bytes: is a quotation mark missing?", batch.rows + 1);
        return Ok(broken(message));
    }
    let outcomes = answer(app, batch, read.rows, now).await?;
    Ok(Worked { outcomes, length: read.length, broken: None })
}

/// Makes the passes of these rows; of a batch that is being cancelled, only finds those that were made.
async fn answer(app: &App, batch: &Batch, rows: Vec<Row>, now: Timestamp) -> Result<Vec<Outcome>, Fault> {
    let mut outcomes: Vec<Option<Outcome>> = rows.iter().map(|_| None).collect();
    let ready = prepare(app, batch, rows, &mut outcomes, now).await?;
    let mut open: Vec<&Ready> = Vec::new();
    let mut why: HashMap<usize, Issued> = HashMap::new();
    if batch.state == BatchState::Cancelling {
        // A worker that began before may have been given up and still have passes on their way: now they are made, or never.
        app.store.stop_lanes(batch, LANES).await?;
        open.extend(&ready);
    } else {
        for (place, issued) in issue(app, batch, &ready).await? {
            let ready = &ready[place];
            match issued {
                Some(Issued::New) => {
                    outcomes[ready.place] = Some(Outcome::Made(Box::new(ready.pass.clone()), ready.origin));
                }
                Some(taken @ (Issued::SerialNumberTaken | Issued::BarcodeTaken | Issued::AnsweredBefore)) => {
                    why.insert(ready.place, taken);
                    open.push(ready);
                }
                // It was cancelled meanwhile, and another worker looks what was made.
                None => open.push(ready),
            }
        }
        let then: Vec<Intent> = ready.iter().flat_map(|ready| ready.then.clone()).collect();
        app.queues.send_after_commit(&then, now).await;
    }
    let asked: Vec<_> = open.iter().map(|ready| ready.new_issue()).collect();
    let were = app.store.were_issued(&asked).await?;
    for (ready, was) in open.iter().zip(were) {
        outcomes[ready.place] = Some(match (was, why.get(&ready.place)) {
            (true, _) => Outcome::Made(Box::new(ready.pass.clone()), ready.origin),
            (false, None) => Outcome::refused("", "the batch was cancelled before this row"),
            (false, Some(Issued::BarcodeTaken)) => Outcome::Refused(vec![issuing::barcode_taken()]),
            (false, Some(_)) => {
                let taken = Refusal::SerialNumberTaken(ready.pass.identity.clone());
                Outcome::refused("/serialNumber", taken.to_string())
            }
        });
    }
    let whole: Option<Vec<Outcome>> = outcomes.into_iter().collect();
    whole.ok_or_else(|| Fault::contradiction("a row of a batch got no answer"))
}

/// Reads and checks the rows; those that can make no pass get their answers.
async fn prepare(
    app: &App,
    batch: &Batch,
    rows: Vec<Row>,
    outcomes: &mut [Option<Outcome>],
    now: Timestamp,
) -> Result<Vec<Ready>, Fault> {
    let mut campaigns: HashMap<CampaignId, Option<Arc<Campaign>>> = HashMap::new();
    let mut serials: HashMap<(PassTypeIdentifier, SerialNumber), u32> = HashMap::new();
    let mut barcodes: HashMap<String, u32> = HashMap::new();
    let mut ready = Vec::with_capacity(rows.len());
    for (place, row) in rows.into_iter().enumerate() {
        let number = number(batch, place);
        let made = match row {
            Ok(members) => one(app, batch, number, members, &mut campaigns).await?,
            Err(problems) => Err(problems),
        };
        let (pass, origin) = match made {
            Ok(made) => made,
            Err(problems) => {
                outcomes[place] = Some(Outcome::Refused(problems));
                continue;
            }
        };
        // One transaction holds no two of one name; the first row has it.
        let name = (pass.identity.pass_type_identifier.clone(), pass.identity.serial_number.clone());
        let earlier = serials.get(&name).map(|row| ("/serialNumber", "serial number", *row));
        let earlier = earlier.or_else(|| barcodes.get(pass.barcode.expose()).map(|row| ("/barcode", "barcode", *row)));
        if let Some((path, what, row)) = earlier {
            outcomes[place] = Some(Outcome::refused(path, format!("row {row} of this batch has this {what}")));
            continue;
        }
        serials.insert(name, number);
        if origin == Origin::Elsewhere {
            barcodes.insert(pass.barcode.expose().to_owned(), number);
        }
        let campaign = campaigns.get(&pass.campaign_id).and_then(Option::as_deref);
        let campaign = campaign.ok_or_else(|| Fault::contradiction("a pass without its campaign"))?;
        let mark = random::mark_of_row(&batch.seed, number);
        let mut then = issuing::following(&pass, campaign, now)?;
        then.extend(webhooks::news(app, &pass, now).await?);
        ready.push(Ready { place, pass, origin, mark, then });
    }
    Ok(ready)
}

/// The number of a row in its batch, by its place in the chunk.
fn number(batch: &Batch, place: usize) -> u32 {
    batch.rows.saturating_add(u32::try_from(place).unwrap_or(u32::MAX)).saturating_add(1)
}

/// The pass that a row asks for, or every problem of the row.
async fn one(
    app: &App,
    batch: &Batch,
    number: u32,
    mut members: Map<String, Value>,
    campaigns: &mut HashMap<CampaignId, Option<Arc<Campaign>>>,
) -> Result<Result<(Pass, Origin), Problems>, Fault> {
    // Whatever the rows wait, they are as old as their batch: the same answer whenever they are worked.
    let now = batch.started_at.unwrap_or(batch.created_at);
    if let Some(campaign_id) = &batch.campaign_id
        && members.get("campaignId").is_none_or(Value::is_null)
    {
        members.insert("campaignId".to_owned(), campaign_id.as_str().into());
    }
    let (order, mut problems) = issuing::read(Fields::of(members));
    let Some(order) = order else { return Ok(Err(problems)) };
    problems.extend(order.problems(now));
    if order.needs() > batch.role {
        let message = format!("this needs a batch made with a key with the role {}", order.needs());
        problems.push(Problem::new("/authenticationToken", message));
    }
    if !campaigns.contains_key(&order.campaign_id) {
        let found = app.store.campaign(&batch.merchant_id, &order.campaign_id).await?;
        campaigns.insert(order.campaign_id.clone(), found.map(|stored| stored.campaign));
    }
    let campaign = campaigns.get(&order.campaign_id).and_then(Option::as_deref);
    if campaign.is_none() {
        problems.push(Problem::new("/campaignId", "there is no such campaign"));
    }
    let Some(campaign) = campaign.filter(|_| problems.is_empty()) else { return Ok(Err(problems)) };
    let fresh = random::of_row(&batch.seed, number)?;
    let made = issuing::make(app, &order, campaign, fresh, now).await?;
    Ok(made.map(|pass| (pass, order.origin())))
}

/// Makes passes, several in a transaction and several transactions at once; answers how each ended, by its place, and nothing
/// of those that were not to be made any more.
async fn issue(app: &App, batch: &Batch, ready: &[Ready]) -> Result<Vec<(usize, Option<Issued>)>, Fault> {
    let groups: Vec<(usize, &[Ready])> =
        ready.chunks(ISSUED_AT_ONCE).enumerate().map(|(place, group)| (place * ISSUED_AT_ONCE, group)).collect();
    // Batches side by side begin in different places.
    let first_shard = batch.seed.bytes().map(usize::from).sum::<usize>();
    let lanes = (0..LANES).map(|lane| {
        let groups = groups.iter().skip(lane).step_by(LANES);
        async move {
            let mut ended = Vec::new();
            for (first, group) in groups {
                let passes: Vec<_> = group.iter().map(Ready::new_issue).collect();
                let in_lane = Lane { batch, number: lane };
                let issued = app.store.issue_several(&passes, in_lane, first_shard + lane).await?;
                ended.extend(issued.into_iter().enumerate().map(|(place, issued)| (first + place, issued)));
            }
            Ok::<_, Fault>(ended)
        }
    });
    Ok(try_join_all(lanes).await?.into_iter().flatten().collect())
}

/// The answer to a row that made a pass.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MadeLine<'a> {
    row: u32,
    pass_type_identifier: &'a PassTypeIdentifier,
    serial_number: &'a SerialNumber,
    campaign_id: &'a CampaignId,
    state: PresentState,
    barcode: &'a str,
    landing_url: Option<String>,
    download_url: Option<String>,
}

/// The answer to a row that made none.
#[derive(Serialize)]
struct RefusedLine<'a> {
    row: u32,
    errors: &'a [Problem],
}

/// Writes the answers, a line for each row, into an object that nobody else writes.
async fn keep(app: &App, batch: &Batch, worked: &Worked) -> Result<Option<BatchChunk>, Fault> {
    if worked.outcomes.is_empty() {
        return Ok(None);
    }
    let mut lines = Vec::new();
    for (place, outcome) in worked.outcomes.iter().enumerate() {
        let row = number(batch, place);
        let written = match outcome {
            Outcome::Made(pass, _) => serde_json::to_writer(&mut lines, &made_line(app, row, pass)),
            Outcome::Refused(problems) => {
                let errors = &problems[..problems.len().min(PROBLEMS_TOLD)];
                serde_json::to_writer(&mut lines, &RefusedLine { row, errors })
            }
        };
        written.map_err(|error| Fault::new("writing the answers of a batch", error))?;
        lines.push(b'\n');
    }
    let first_row = number(batch, 0);
    let object = results_object(batch, first_row, &random::id()?);
    app.batch_files.put_results(&object, lines).await?;
    let failed = worked.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Refused(_))).count();
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(Some(BatchChunk { object, first_row, rows: count(worked.outcomes.len()), failed: count(failed) }))
}

fn made_line<'a>(app: &App, row: u32, pass: &'a Pass) -> MadeLine<'a> {
    let landing_url = pass.link.as_ref().map(|link| links::landing_url(app, &link.id));
    MadeLine {
        row,
        pass_type_identifier: &pass.identity.pass_type_identifier,
        serial_number: &pass.identity.serial_number,
        campaign_id: &pass.campaign_id,
        state: PresentState::unexpired(&pass.state),
        barcode: pass.barcode.expose(),
        download_url: landing_url.as_ref().map(|url| format!("{url}.pkpass")),
        landing_url,
    }
}
