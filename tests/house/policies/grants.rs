//! What is allowed, or needed, in a form that can be compared.

use std::collections::BTreeSet;

/// Actions that only read.
const READS: [&str; 3] = ["BatchGetItem", "GetItem", "Query"];
/// Actions that write, or take part in a writing.
const WRITES: [&str; 4] = ["ConditionCheckItem", "DeleteItem", "PutItem", "UpdateItem"];

/// Of the table, a function may do some kinds of reading to some partitions and some kinds of writing to some. IAM could
/// say more, but all keys of one request have to stand in one statement: a batch that reads a pass and its campaign is
/// denied by two statements of which each allows one of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    reads: BTreeSet<String>,
    read_keys: BTreeSet<String>,
    writes: BTreeSet<String>,
    written_keys: BTreeSet<String>,
    pub(super) others: BTreeSet<String>,
}

impl Grants {
    /// Actions on the table, of one kind, to partitions that begin so.
    pub(crate) fn table(&mut self, actions: &[&str], keys: &[impl AsRef<str>]) {
        let (kinds, partitions) = if actions.iter().all(|action| READS.contains(action)) {
            (&mut self.reads, &mut self.read_keys)
        } else {
            let known = actions.iter().all(|action| WRITES.contains(action));
            assert!(known, "reading and writing stand apart: {actions:?}");
            (&mut self.writes, &mut self.written_keys)
        };
        kinds.extend(actions.iter().map(|action| (*action).to_owned()));
        partitions.extend(keys.iter().map(|key| key.as_ref().to_owned()));
    }

    /// An action on something else.
    pub(crate) fn other(&mut self, action: &str, resource: &str) {
        self.others.insert(format!("{action} {resource}"));
    }

    /// Reading certificates and keys.
    pub(crate) fn identities(&mut self) {
        self.other("ReadIdentities", "");
    }

    /// Sending to a queue.
    pub(crate) fn send(&mut self, queue: &str) {
        self.other("sqs:SendMessage", &format!("!GetAtt {queue}.Arn"));
    }
}
