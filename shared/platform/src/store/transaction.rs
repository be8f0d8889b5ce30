//! Transactions: what must happen together.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    },
};
use serde::Serialize;

use super::{Item, Key, Store, fault, wait};
use crate::Fault;

/// Writes that happen together or not at all.
#[derive(Default)]
pub(super) struct Transaction {
    writes: Vec<TransactWriteItem>,
    conflict: Conflict,
}

/// What to do when a transaction in flight holds one of the items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Conflict {
    /// Wait for it.
    #[default]
    Wait,
    /// Tell it: whoever writes has another item to go to.
    Tell,
}

/// How a transaction ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Everything is written.
    Committed,
    /// Nothing is: the writes at these places had conditions that do not hold, in the order they were added. At no place:
    /// another transaction held an item, and this one tells it.
    Refused(Vec<usize>),
}

impl Transaction {
    /// How many writes it has; the place of the next one.
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// From now on it does not wait for transactions in flight, but is refused at once.
    pub(super) fn tell_conflicts(&mut self) {
        self.conflict = Conflict::Tell;
    }

    /// Adds the writing of a whole item; a condition is an expression over `values`.
    pub(super) fn put(&mut self, key: &Key, shape: &impl Serialize, condition: Condition) -> Result<(), Fault> {
        let mut item: Item =
            serde_dynamo::aws_sdk_dynamodb_1::to_item(shape).map_err(|error| fault("writing a stored shape", error))?;
        item.extend(key.attributes());
        let put = Put::builder()
            .table_name("")
            .set_item(Some(item))
            .set_condition_expression(condition.expression.map(str::to_owned))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::None);
        let put = put.build().map_err(|error| fault("writing an item", error))?;
        self.writes.push(TransactWriteItem::builder().put(put).build());
        Ok(())
    }

    /// Adds the changing of some attributes of an item.
    pub(super) fn update(&mut self, key: &Key, expression: &str, condition: Condition) -> Result<(), Fault> {
        let update = Update::builder()
            .table_name("")
            .set_key(Some(key.to_item()))
            .update_expression(expression)
            .set_condition_expression(condition.expression.map(str::to_owned))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values());
        let update = update.build().map_err(|error| fault("changing an item", error))?;
        self.writes.push(TransactWriteItem::builder().update(update).build());
        Ok(())
    }

    /// Adds the counting of something; an item that is not there counts from zero.
    pub(super) fn count(&mut self, key: &Key, counting: Counting) -> Result<(), Fault> {
        let (mut names, mut values) = (HashMap::new(), HashMap::new());
        let (mut sets, mut adds, mut conditions) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (name, value)) in counting.sets.into_iter().enumerate() {
            sets.push(format!("#s{index} = :s{index}"));
            names.insert(format!("#s{index}"), name.to_owned());
            values.insert(format!(":s{index}"), value);
        }
        for (index, (name, by, below)) in counting.adds.into_iter().enumerate() {
            adds.push(format!("#a{index} :a{index}"));
            names.insert(format!("#a{index}"), name);
            values.insert(format!(":a{index}"), number(by));
            if let Some(below) = below {
                conditions.push(format!("(attribute_not_exists(#a{index}) OR #a{index} < :b{index})"));
                values.insert(format!(":b{index}"), number(below));
            }
        }
        let update = Update::builder()
            .table_name("")
            .set_key(Some(key.to_item()))
            .update_expression(format!("SET {} ADD {}", sets.join(", "), adds.join(", ")))
            .set_condition_expression((!conditions.is_empty()).then(|| conditions.join(" AND ")))
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values));
        let update = update.build().map_err(|error| fault("counting", error))?;
        self.writes.push(TransactWriteItem::builder().update(update).build());
        Ok(())
    }

    /// Adds a condition on an item that is not written.
    pub(super) fn check(&mut self, key: &Key, condition: Condition) -> Result<(), Fault> {
        let check = ConditionCheck::builder()
            .table_name("")
            .set_key(Some(key.to_item()))
            .set_condition_expression(condition.expression.map(str::to_owned))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values());
        let check = check.build().map_err(|error| fault("checking an item", error))?;
        self.writes.push(TransactWriteItem::builder().condition_check(check).build());
        Ok(())
    }

    /// Adds the deletion of an item, whether it is there or not, unless a condition says more.
    pub(super) fn delete(&mut self, key: &Key, condition: Condition) -> Result<(), Fault> {
        let delete = Delete::builder()
            .table_name("")
            .set_key(Some(key.to_item()))
            .set_condition_expression(condition.expression.map(str::to_owned))
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values());
        let delete = delete.build().map_err(|error| fault("deleting an item", error))?;
        self.writes.push(TransactWriteItem::builder().delete(delete).build());
        Ok(())
    }
}

/// What is counted in one item.
pub(super) struct Counting {
    sets: Vec<(&'static str, AttributeValue)>,
    adds: Vec<(String, i64, Option<u32>)>,
}

impl Default for Counting {
    fn default() -> Counting {
        Counting { sets: vec![("v", number(1))], adds: Vec::new() }
    }
}

impl Counting {
    /// Adds to a count.
    pub(super) fn add(self, attribute: impl Into<String>, by: i64) -> Counting {
        self.add_below(attribute, by, None)
    }

    /// Adds to a count on the condition that it is below a number, if one is given.
    pub(super) fn add_below(mut self, attribute: impl Into<String>, by: i64, below: Option<u32>) -> Counting {
        self.adds.push((attribute.into(), by, below));
        self
    }

    /// Notes what the item counts.
    pub(super) fn set(mut self, attribute: &'static str, value: AttributeValue) -> Counting {
        self.sets.push((attribute, value));
        self
    }
}

/// What must hold of an item for a write to happen.
#[derive(Default)]
pub(super) struct Condition {
    expression: Option<&'static str>,
    names: Vec<(&'static str, &'static str)>,
    values: Vec<(&'static str, AttributeValue)>,
}

impl Condition {
    /// Nothing.
    pub(super) fn none() -> Condition {
        Condition::default()
    }

    /// There is no such item yet.
    pub(super) fn absent() -> Condition {
        Condition::holds("attribute_not_exists(pk)")
    }

    /// This expression.
    pub(super) fn holds(expression: &'static str) -> Condition {
        Condition { expression: Some(expression), ..Condition::default() }
    }

    /// Stands for an attribute whose name is a word of DynamoDB's own.
    pub(super) fn named(mut self, name: &'static str, attribute: &'static str) -> Condition {
        self.names.push((name, attribute));
        self
    }

    /// Gives a value to a name used in the expression.
    pub(super) fn with(mut self, name: &'static str, value: AttributeValue) -> Condition {
        self.values.push((name, value));
        self
    }

    fn names(&self) -> Option<HashMap<String, String>> {
        let names = self.names.iter().map(|(name, attribute)| ((*name).to_owned(), (*attribute).to_owned()));
        (!self.names.is_empty()).then(|| names.collect())
    }

    fn values(&self) -> Option<HashMap<String, AttributeValue>> {
        let values = self.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        (!self.values.is_empty()).then(|| values.collect())
    }
}

/// A number as an attribute.
pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A text as an attribute.
pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

impl Store {
    /// Writes a transaction. The SDK repeats a call whose answer was lost under the same client token, so that it takes
    /// effect once; conflicts with a transaction in flight are waited out here, a few times with jitter.
    pub(super) async fn commit(&self, transaction: Transaction) -> Result<Outcome, Fault> {
        const CONFLICTS: u32 = 8;
        let writes: Vec<_> = transaction.writes.into_iter().map(|write| self.in_table(write)).collect();
        for conflict in 0.. {
            let request = self.client().transact_write_items().set_transact_items(Some(writes.clone()));
            let error = match request.send().await {
                Ok(_) => return Ok(Outcome::Committed),
                Err(error) => error,
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
            else {
                return Err(fault("writing a transaction", error));
            };
            let codes: Vec<&str> =
                cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None")).collect();
            let refused: Vec<usize> = codes
                .iter()
                .enumerate()
                .filter(|(_, code)| **code == "ConditionalCheckFailed")
                .map(|(place, _)| place)
                .collect();
            if !refused.is_empty() {
                return Ok(Outcome::Refused(refused));
            }
            let is_throttled = |code: &&str| matches!(*code, "ThrottlingError" | "ProvisionedThroughputExceeded");
            let throttled = codes.iter().any(is_throttled);
            let passing =
                codes.iter().all(|code| matches!(*code, "None" | "TransactionConflict") || is_throttled(code));
            // Of a conflict somebody may know a way around; the table that has enough to do is everybody's.
            if passing && !throttled && transaction.conflict == Conflict::Tell {
                return Ok(Outcome::Refused(Vec::new()));
            }
            if !passing || conflict >= CONFLICTS {
                return Err(fault("writing a transaction", error));
            }
            wait(if throttled { 100 } else { 10 } << conflict.min(5)).await?;
        }
        Err(Fault::contradiction("an endless loop ended"))
    }

    fn in_table(&self, mut write: TransactWriteItem) -> TransactWriteItem {
        if let Some(put) = &mut write.put {
            put.table_name.clone_from(&self.table);
        }
        if let Some(update) = &mut write.update {
            update.table_name.clone_from(&self.table);
        }
        if let Some(check) = &mut write.condition_check {
            check.table_name.clone_from(&self.table);
        }
        if let Some(delete) = &mut write.delete {
            delete.table_name.clone_from(&self.table);
        }
        write
    }
}
