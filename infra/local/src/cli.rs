//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use platform::config::parse_log_filter;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::certificates_command::{self, CertificatesCommand};
use crate::clock::Clock;
use crate::demo::{self, DemoError, Ink};
use crate::keys_command::{self, KeysCommand};
use crate::outcome::{Outcome, Verdict};
use crate::start::{Local, Options, Persistence, Sample, Schedule};

/// What the contract promises for flags, ports and directories that cannot be used.
const CANNOT_START: u8 = 2;

/// The default log filter. The embedded DynamoDB warns of every refused condition, which is how the store works; AWS's
/// configuration of every place where it looked for a region, before the error that says there is none.
const QUIET: &str = "warn,dynoxide=error,aws_config=error";

/// Runs the whole Passloop service on this machine: every function, with an embedded DynamoDB, S3, SQS and APNs.
#[derive(Debug, Parser)]
#[command(name = "passloop", version, after_help = ENVIRONMENT, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Address to serve on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where state and local.json are kept
    #[arg(long, value_name = "DIRECTORY", default_value = ".passloop")]
    data_dir: PathBuf,
    /// Keep nothing after exit; --data-dir then only holds local.json
    #[arg(long)]
    ephemeral: bool,
    /// Base of webServiceURL and links, if phones reach the service under another address [default: http://<listen>]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
}

/// What else it does.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
enum Command {
    /// Plays one phone and one till against a service of their own, in this terminal
    Demo,
    /// Apple's certificates: request one, import it, check what is there
    #[command(subcommand)]
    Certificates(CertificatesCommand),
    /// Merchants' keys on the stack that TABLE_NAME and the AWS variables name: make one, list them, revoke one
    #[command(subcommand)]
    Keys(KeysCommand),
}

const ENVIRONMENT: &str = "\
Environment (each replaces the embedded part it names):
  AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL_SQS, TABLE_NAME, BUCKET_NAME,
  PUSH_QUEUE_URL, FOLLOW_UP_QUEUE_URL, BATCH_QUEUE_URL, WEBHOOK_QUEUE_URL, APNS_ENDPOINT, APNS_CA_FILE, PUBLIC_URL,
  SIGNING_IDENTITIES (file:<directory> or secretsmanager:<prefix>), RUST_LOG (default: warn)
WEBHOOKS_TO_THIS_MACHINE=true admits webhooks at http://127.0.0.1; WALLETPASSES_ENDPOINT turns pushes to Android on.

Ready when <data-dir>/local.json exists. Stop with Ctrl-C or SIGTERM.";

/// The whole program: 0 after Ctrl-C or SIGTERM, 2 with one line on stderr when it cannot start. The demo: 0 when
/// everything held, else 1 with one line.
pub fn run(arguments: impl Iterator<Item = OsString>, variables: BTreeMap<String, String>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return match error.print() {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return refuse(
                "name a command: certificates request, import or check; keys make, list or revoke (see --help)",
            );
        }
        Err(error) => return refuse(&first_line(&error)),
    };
    if let Err(error) = start_logging(variables.get("RUST_LOG").map(String::as_str)) {
        return refuse(&format!("RUST_LOG is no log filter, such as info or warn,platform=debug: {error}"));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start: {error}")),
    };
    match arguments.command {
        Some(Command::Demo) => runtime.block_on(play(ink(&variables))),
        Some(Command::Certificates(command)) => {
            let outcome = certificates_command::run(&command, &variables, jiff::Timestamp::now());
            print(runtime.block_on(outcome))
        }
        Some(Command::Keys(command)) => {
            let outcome = keys_command::run(&command, &variables, jiff::Timestamp::now());
            print(runtime.block_on(outcome))
        }
        None => runtime.block_on(serve(options(arguments, variables))),
    }
}

/// What a command says, and 0 when all is well, else 1.
fn print(outcome: Result<Outcome, impl std::error::Error>) -> ExitCode {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            say(&one_line(&error));
            return ExitCode::FAILURE;
        }
    };
    let printed = std::io::stderr()
        .write_all(outcome.notes.as_bytes())
        .and_then(|()| std::io::stdout().write_all(outcome.result.as_bytes()));
    match (printed, outcome.verdict) {
        (Ok(()), Verdict::Good) => ExitCode::SUCCESS,
        (Ok(()), Verdict::Bad) | (Err(_), _) => ExitCode::FAILURE,
    }
}

fn options(arguments: Arguments, variables: BTreeMap<String, String>) -> Options {
    Options {
        listen: arguments.listen,
        data_dir: arguments.data_dir,
        persistence: if arguments.ephemeral { Persistence::Ephemeral } else { Persistence::OnDisk },
        public_url: arguments.public_url,
        clock: Clock::system(),
        variables,
        schedule: Schedule::ByClock,
        sample: Sample::Load,
    }
}

async fn serve(options: Options) -> ExitCode {
    let stopped = match stop_signal() {
        Ok(stopped) => stopped,
        Err(error) => return refuse(&format!("cannot listen for Ctrl-C: {error}")),
    };
    let mut stopped = std::pin::pin!(stopped);
    // A stop while starting drops what was started so far.
    let local = tokio::select! {
        local = Local::start(options) => local,
        () = &mut stopped => return ExitCode::SUCCESS,
    };
    let local = match local {
        Ok(local) => local,
        Err(error) => return refuse(&one_line(&error)),
    };
    // A closed stdout (`passloop | head -1`) is no reason to stop serving.
    if let Err(error) = std::io::stdout().write_all(welcome(&local).as_bytes()) {
        tracing::debug!(%error, "cannot print");
    }
    stopped.await;
    local.stop().await;
    ExitCode::SUCCESS
}

/// Ctrl-C or SIGTERM.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

async fn play(ink: Ink) -> ExitCode {
    let stopped = match stop_signal() {
        Ok(stopped) => stopped,
        Err(error) => return refuse(&format!("cannot listen for Ctrl-C: {error}")),
    };
    match demo::run(ink, stopped).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(DemoError::Start(error)) => refuse(&one_line(&error)),
        Err(error @ (DemoError::Failed(_) | DemoError::Stopped)) => {
            say(&one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// Colours for a terminal whose owner did not decline them (<https://no-color.org>).
fn ink(variables: &BTreeMap<String, String>) -> Ink {
    let declined = variables.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !declined { Ink::TrueColor } else { Ink::Plain }
}

/// What a person needs first.
fn welcome(local: &Local) -> String {
    let base = local.base_url();
    let key_file = local.merchant_key_file();
    let key_file = key_file.display();
    let mut text = format!("Passloop runs at {base}\n");
    if let Some(pass) = local.sample_pass() {
        text += &format!(
            "\n  A fresh pass, to open on a phone or in a browser:\n    {landing}\n\
             \n  Redeem it, as a till does:\n    curl -X POST {base}/merchant/v1/redemptions \\\n      \
             -H \"Authorization: Bearer $(cat '{key_file}')\" \\\n      \
             -H \"Idempotency-Key: till-$(date +%s)\" -H 'Content-Type: application/json' \\\n      \
             -d '{{\"passTypeIdentifier\":\"{kind}\",\"serialNumber\":\"{serial}\"}}'\n",
            landing = pass.landing_url,
            kind = pass.pass_type_identifier,
            serial = pass.serial_number,
        );
    }
    text += &format!("\n  The merchant key (role admin) is in {key_file}\n  Ctrl-C stops it\n");
    text
}

/// Logs go to stderr, so that stdout stays what was asked for.
fn start_logging(filter: Option<&str>) -> Result<(), ParseError> {
    let filter = parse_log_filter(filter.filter(|filter| !filter.is_empty()).unwrap_or(QUIET))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    if let Err(error) = tracing_subscriber::registry().with(lines).with(filter).try_init() {
        tracing::debug!(%error, "logging was already set up");
    }
    Ok(())
}

fn refuse(line: &str) -> ExitCode {
    say(line);
    ExitCode::from(CANNOT_START)
}

fn say(line: &str) {
    let mut stderr = std::io::stderr();
    match writeln!(stderr, "passloop: {line}") {
        // Without stderr there is only the exit code left to say it.
        Ok(()) | Err(_) => {}
    }
}

/// clap's message without its usage and hints: `error: …` is its first line.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let message = lines.join(" ");
    format!("{} (see --help)", message.strip_prefix("error: ").unwrap_or(&message))
}

/// An error with its causes on one line.
fn one_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from([&["passloop"], arguments].concat())
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        let arguments = parse(&[]).unwrap();
        assert_eq!(arguments.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!(arguments.data_dir, PathBuf::from(".passloop"));
        assert!(!arguments.ephemeral && arguments.public_url.is_none());
    }

    #[test]
    fn the_demo_is_a_command_of_its_own() {
        assert_eq!(parse(&["demo"]).unwrap().command, Some(Command::Demo));
        assert_eq!(parse(&[]).unwrap().command, None);
    }

    #[test]
    fn certificates_are_a_command_with_commands_of_its_own() {
        let arguments = parse(&["certificates", "check", ".passloop/certificates"]).unwrap();
        assert!(matches!(arguments.command, Some(Command::Certificates(CertificatesCommand::Check(_)))));
        // What the line about a missing command stands for.
        assert_eq!(parse(&["certificates"]).unwrap_err().kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    }

    #[test]
    fn keys_are_a_command_with_commands_of_its_own() {
        let arguments = parse(&["keys", "make", "--merchant", "shop", "--role", "admin", "--pass-type", "pass.a.b"]);
        assert!(matches!(arguments.unwrap().command, Some(Command::Keys(KeysCommand::Make(_)))));
        assert_eq!(parse(&["keys"]).unwrap_err().kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
        for wrong in [&["--merchant", "a#b", "--role", "admin"][..], &["--merchant", "a", "--role", "king"]] {
            let line = first_line(&parse(&[&["keys", "make"], wrong].concat()).unwrap_err());
            assert!(line.contains("must be"), "{line}");
        }
    }

    #[test]
    fn bad_flags_are_one_clear_line() {
        for (arguments, named) in [
            (&["--listen", "nonsense"][..], "--listen"),
            (&["--nope"][..], "--nope"),
            (&["--data-dir"][..], "--data-dir"),
            (&["dance"][..], "dance"),
            (&["--ephemeral", "demo"][..], "demo"),
        ] {
            let line = first_line(&parse(arguments).unwrap_err());
            assert!(line.contains(named) && !line.contains('\n'), "{line}");
        }
    }
}
