//! The batch queue: makes the passes of a batch, some rows for each message.

use aws_lambda_events::sqs::SqsMessage;
use jiff::Timestamp;
use platform::{App, Fault, Function, Handler, batch_work, queues, store::Step};

/// The worker.
pub const FUNCTION: Function =
    Function { name: "work-batch", handler: Handler::Queue(|app, message, now| Box::pin(handle(app, message, now))) };

/// A message whose intent is gone is a duplicate: the batch is over.
async fn handle(app: &App, message: &SqsMessage, now: Timestamp) -> Result<(), Fault> {
    let Some(intent) = app.store.intent(&queues::intent_of(message)?).await? else { return Ok(()) };
    match &intent.step {
        // The sweep sends again what waits, so a batch that waited for others has several messages: one is enough.
        Step::Batch { .. } if queues::is_late(message, &intent)? => Ok(()),
        Step::Batch { .. } => batch_work::chunk(app, &intent, now).await,
        // In the wrong queue: a new message, for the right one.
        Step::NextOffer { .. }
        | Step::ScheduledUpdate { .. }
        | Step::Erase { .. }
        | Step::EraseAgain { .. }
        | Step::Retain { .. }
        | Step::RetainCampaign { .. }
        | Step::Webhooks { .. }
        | Step::Webhook { .. }
        | Step::Push { .. }
        | Step::PushAgain { .. }
        | Step::PushUnfetched { .. }
        | Step::PushCampaign { .. }
        | Step::PushMembers { .. } => {
            app.queues.send_after_commit(std::slice::from_ref(&intent), now).await;
            Ok(())
        }
    }
}
