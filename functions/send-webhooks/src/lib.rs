//! The webhook queue: tells merchants' servers what happened to their passes.

use aws_lambda_events::sqs::SqsMessage;
use jiff::Timestamp;
use platform::{App, Fault, Function, Handler, queues, store::Step, webhooks::telling};

/// The worker.
pub const FUNCTION: Function = Function {
    name: "send-webhooks",
    handler: Handler::Queue(|app, message, now| Box::pin(handle(app, message, now))),
};

/// A message whose intent is gone is a duplicate: it was told.
async fn handle(app: &App, message: &SqsMessage, now: Timestamp) -> Result<(), Fault> {
    let Some(intent) = app.store.intent(&queues::intent_of(message)?).await? else { return Ok(()) };
    let is_ours = matches!(intent.step, Step::Webhooks { .. } | Step::Webhook { .. });
    if now < intent.due || !is_ours {
        // Early, or in the wrong queue: a new message, for the right time and place.
        app.queues.send_after_commit(std::slice::from_ref(&intent), now).await;
        return Ok(());
    }
    telling::spread(app, &intent, now).await?;
    telling::one(app, &intent, now).await
}
