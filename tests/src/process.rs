//! The real program as a process of its own, that can be killed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use passloop_local::apns::{StandIn, StandInOptions};
use passloop_local::certificates::make_chain;
use serde_json::Value;

use crate::back_office::PASS_TYPE;
use crate::world::TEAM;

/// How long a start may take. A debug binary on a busy machine needs a second or two; the first makes RSA keys.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What stays when the program is killed: an APNs, and the certificates that it and phones trust.
pub struct Outside {
    /// Where pushes go.
    pub apns: StandIn,
    /// The root that packages chain to.
    pub root: PathBuf,
    /// What tells the program of both.
    pub variables: BTreeMap<String, String>,
}

impl Outside {
    /// Makes both below `directory`.
    pub async fn open(directory: &Path) -> Outside {
        let identities = directory.join("identities");
        let files = make_chain(PASS_TYPE, TEAM).unwrap().write(&identities).unwrap();
        let apns = StandIn::start(StandInOptions {
            certificates_dir: directory.join("apns"),
            client_roots_pem: std::fs::read(&files.root).unwrap(),
            listen: ([127, 0, 0, 1], 0).into(),
            clock: Arc::new(jiff::Timestamp::now),
        })
        .await
        .unwrap();
        let variables = [
            ("SIGNING_IDENTITIES", format!("file:{}", identities.display())),
            ("APNS_ENDPOINT", apns.endpoint()),
            ("APNS_CA_FILE", apns.ca_path().display().to_string()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        Outside { apns, root: files.root, variables }
    }
}

/// `passloop`, with its data directory and its address. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    program: PathBuf,
    arguments: Vec<String>,
    directory: PathBuf,
    listen: SocketAddr,
    variables: BTreeMap<String, String>,
    child: Option<Child>,
    description: Value,
}

impl Process {
    /// Starts `program` (with `arguments` before its own) on a free port, with its state below `directory`.
    pub async fn start(
        program: &Path,
        arguments: &[&str],
        directory: &Path,
        variables: BTreeMap<String, String>,
    ) -> Process {
        let mut process = Process {
            program: program.to_owned(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            directory: directory.to_owned(),
            listen: free_address(),
            variables,
            child: None,
            description: Value::Null,
        };
        process.start_again().await;
        process
    }

    /// Starts it once more, over the same data and at the same address. Gives how long it took to be ready.
    pub async fn start_again(&mut self) -> Duration {
        self.kill();
        let begun = Instant::now();
        let ready = self.data_dir().join("local.json");
        // A killed service left it (contract 1: removed at exit).
        let _ = std::fs::remove_file(&ready);
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .args(["--listen", &self.listen.to_string(), "--data-dir"])
            .arg(self.data_dir())
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => panic!("{} does not start: {error}", self.program.display()),
        };
        // Written last, by rename: when it is there, it is whole.
        while !ready.exists() {
            assert!(begun.elapsed() < START_LIMIT, "not ready within {START_LIMIT:?}; it said: {}", self.said());
            if let Some(status) = child.try_wait().unwrap() {
                panic!("it ended with {status} instead of starting; it said: {}", self.said());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.description = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
        self.child = Some(child);
        begun.elapsed()
    }

    /// `kill -9`: no line of it runs any more when this returns.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// What `local.json` said at the last start.
    #[track_caller]
    pub fn described(&self, key: &str) -> &str {
        let text = self.description[key].as_str();
        text.unwrap_or_else(|| panic!("no {key} in local.json: {}", self.description))
    }

    /// Everything it wrote to stderr, over all its lives.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("stderr")
    }

    fn log(&self) -> File {
        OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address that nobody listens on now; it must be known before the start, since a restart has to come back to it.
fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}
