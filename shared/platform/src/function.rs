//! The seam between cloud, laptop and tests: every door and worker is one [`Function`].

use std::{future::Future, mem::ManuallyDrop, panic::AssertUnwindSafe, pin::Pin, process::ExitCode, time::Instant};

use ::http::Response;
use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::{FutureExt, future::join_all};
use jiff::Timestamp;
use lambda_http::{Body, Request, RequestExt};
use lambda_runtime::{LambdaEvent, service_fn};

use crate::{
    App, Config, Fault, app, config,
    http::{self, Failure},
    telemetry,
};

/// A future that borrows the app.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// What an HTTP door does: parse, authorise, decide, act, answer.
pub type HttpHandler = for<'a> fn(&'a App, Request, Timestamp) -> BoxFuture<'a, Result<Response<Body>, Failure>>;
/// What a worker does with one message; a fault leaves the message in its queue.
pub type QueueHandler = for<'a> fn(&'a App, &'a SqsMessage, Timestamp) -> BoxFuture<'a, Result<(), Fault>>;
/// What a scheduled function does with its event.
pub type ScheduleHandler = for<'a> fn(&'a App, serde_json::Value, Timestamp) -> BoxFuture<'a, Result<(), Fault>>;

/// A function: its name, which is its folder, crate, binary and `CodeUri`, and what it does.
#[derive(Clone, Copy)]
pub struct Function {
    /// For example `redeem-pass`.
    pub name: &'static str,
    /// By what it is called.
    pub handler: Handler,
}

/// By what a function is called.
#[derive(Clone, Copy)]
pub enum Handler {
    /// API Gateway, for people of one kind.
    Http(Audience, HttpHandler),
    /// SQS, with partial batch failures.
    Queue(QueueHandler),
    /// EventBridge Scheduler.
    Schedule(ScheduleHandler),
}

/// Who reads the answer: it decides how refusals and faults are told ([`crate::http`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A device: only the status counts, and Apple's list of statuses is short.
    Phone,
    /// A merchant's program: problem+json.
    Merchant,
    /// Someone with a browser: a page.
    Visitor,
}

impl Function {
    /// Answers one HTTP request; refusals and faults become answers here. Anything but an HTTP function answers 500.
    pub async fn answer(&self, app: &App, request: Request, now: Timestamp) -> Response<Body> {
        let Handler::Http(audience, handler) = self.handler else {
            let fault = Fault::contradiction(format!("{} is no HTTP function", self.name));
            return http::failure(Audience::Merchant, Failure::Fault(fault), "");
        };
        let started = Instant::now();
        let request_id = telemetry::request_id(&request);
        let method = request.method().clone();
        let outcome = handler(app, request, now).await;
        let (response, refused) = match outcome {
            Ok(response) => (response, None),
            Err(failure) => {
                let told = failure.told();
                (http::failure(audience, failure, &request_id), Some(told))
            }
        };
        telemetry::answered(self.name, &method, response.status(), refused.as_deref(), started.elapsed(), &request_id);
        response
    }

    /// Works through one batch. Messages are worked on side by side; each that failed is named in the answer, so that
    /// SQS delivers it again and no other.
    pub async fn work(&self, app: &App, event: SqsEvent, now: Timestamp) -> SqsBatchResponse {
        let Handler::Queue(handler) = self.handler else {
            tracing::error!(function = self.name, "is no queue function");
            return failed(event.records.iter());
        };
        let each = event.records.iter().map(|message| async move {
            let started = Instant::now();
            // A panic over one message must not take its neighbours with it.
            let outcome = AssertUnwindSafe(handler(app, message, now)).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| Err(Fault::contradiction("the worker panicked")));
            telemetry::worked(self.name, outcome.as_ref().err(), started.elapsed());
            outcome.is_err().then_some(message)
        });
        let failures = join_all(each).await;
        failed(failures.into_iter().flatten())
    }

    /// Runs a scheduled function once.
    pub async fn run(&self, app: &App, event: serde_json::Value, now: Timestamp) -> Result<(), Fault> {
        let Handler::Schedule(handler) = self.handler else {
            return Err(Fault::contradiction(format!("{} is no scheduled function", self.name)));
        };
        let started = Instant::now();
        let outcome = handler(app, event, now).await;
        telemetry::worked(self.name, outcome.as_ref().err(), started.elapsed());
        outcome
    }
}

fn failed<'a>(messages: impl Iterator<Item = &'a SqsMessage>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = messages
        .map(|message| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message.message_id.clone().unwrap_or_default();
            failure
        })
        .collect();
    response
}

/// A path parameter of the route, percent-decoded by API Gateway; empty when the route has none of this name.
pub fn path_parameter(request: &Request, name: &str) -> String {
    request.path_parameters().first(name).unwrap_or_default().to_owned()
}

/// The whole `main` of every function: reads the environment, prepares the app once, then serves Lambda's Runtime API
/// until the environment is shut down.
pub fn serve(function: Function) -> ExitCode {
    telemetry::start(config::log_filter());
    let config = match Config::from_environment() {
        Ok(config) => config,
        Err(errors) => {
            for (name, problem) in &errors.0 {
                tracing::error!(function = function.name, variable = %name, %problem, "environment");
            }
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(function = function.name, %error, "no run time");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(function, config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(function = function.name, %error, "stopped");
            ExitCode::FAILURE
        }
    }
}

async fn run(function: Function, config: Config) -> Result<(), lambda_runtime::Error> {
    let sdk = app::sdk_config(&config.aws);
    // For as long as the process lives. Code that would take an app apart is code of all its parts: without it, a function
    // that never signs is linked without OpenSSL.
    let app: &App = Box::leak(Box::new(ManuallyDrop::new(App::new(config, &sdk))));
    match function.handler {
        Handler::Http(..) => {
            let answer = move |request: Request| async move {
                Ok::<_, lambda_runtime::Error>(function.answer(app, request, Timestamp::now()).await)
            };
            lambda_http::run(service_fn(answer)).await
        }
        Handler::Queue(_) => {
            let work = move |event: LambdaEvent<SqsEvent>| async move {
                Ok::<_, lambda_runtime::Error>(function.work(app, event.payload, Timestamp::now()).await)
            };
            lambda_runtime::run(service_fn(work)).await
        }
        Handler::Schedule(_) => {
            let run = move |event: LambdaEvent<serde_json::Value>| async move {
                function.run(app, event.payload, Timestamp::now()).await.map_err(|fault| fault.chain())
            };
            lambda_runtime::run(service_fn(run)).await
        }
    }
}
