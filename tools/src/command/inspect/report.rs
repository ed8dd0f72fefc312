//! What an inspection found: one tree that prints as text for people and as JSON for programs, and beside it the
//! list of what is wrong. Keeps the order in which things were found; decides nothing.

use crate::output::Table;
use serde_json::{Map, Value};
use std::fmt;

/// A part of what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// One value; numbers stay numbers in JSON.
    Number(u64),
    /// One value.
    Text(String),
    /// Named parts.
    Fields(Vec<(&'static str, Node)>),
    /// Equal things, one per line under a heading.
    Rows { headings: Vec<&'static str>, rows: Vec<Vec<Node>> },
    /// Parts without names.
    List(Vec<Node>),
}

impl Node {
    /// The value as it displays itself.
    pub(super) fn text(value: impl fmt::Display) -> Self {
        Self::Text(value.to_string())
    }

    /// A number of any width.
    pub(super) fn number(value: impl Into<u64>) -> Self {
        Self::Number(value.into())
    }

    fn json(&self) -> Value {
        match self {
            Self::Number(number) => Value::from(*number),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Fields(fields) => {
                let fields = fields.iter().map(|(name, node)| (key(name), node.json()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Self::Rows { headings, rows } => {
                let row = |row: &Vec<Self>| {
                    let cells = headings.iter().zip(row).map(|(name, node)| (key(name), node.json()));
                    Value::Object(cells.collect::<Map<_, _>>())
                };
                Value::Array(rows.iter().map(row).collect())
            }
            Self::List(list) => Value::Array(list.iter().map(Self::json).collect()),
        }
    }

    /// The value on one line, when it is one.
    fn scalar(&self) -> Option<String> {
        match self {
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) if !text.contains('\n') => Some(text.clone()),
            Self::Text(_) | Self::Fields(_) | Self::Rows { .. } | Self::List(_) => None,
        }
    }

    fn write(&self, indent: usize, out: &mut String) {
        match self {
            Self::Number(_) | Self::Text(_) => {
                let text = self.scalar().unwrap_or_else(|| match self {
                    Self::Text(text) => text.clone(),
                    Self::Number(_) | Self::Fields(_) | Self::Rows { .. } | Self::List(_) => String::new(),
                });
                write_lines(&text, indent, out);
            }
            Self::Fields(fields) => write_fields(fields, indent, out),
            Self::Rows { rows, .. } if rows.is_empty() => write_lines("none", indent, out),
            Self::Rows { headings, rows } => {
                let mut table = Table::new(headings);
                for row in rows {
                    table.row(row.iter().map(|cell| cell.scalar().unwrap_or_default()).collect());
                }
                write_lines(&table.to_string(), indent, out);
            }
            Self::List(list) if list.is_empty() => write_lines("none", indent, out),
            Self::List(list) => list.iter().for_each(|node| node.write(indent, out)),
        }
    }
}

/// What was found, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Report {
    fields: Vec<(&'static str, Node)>,
    faults: Vec<String>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self { fields: Vec::new(), faults: Vec::new() }
    }

    /// Adds a part at the end.
    pub(super) fn add(&mut self, name: &'static str, node: Node) {
        self.fields.push((name, node));
    }

    /// Adds what `fill` finds as one device's part of a list.
    pub(super) fn device(&mut self, path: impl fmt::Display, fill: impl FnOnce(&mut Self)) {
        let mut part = Self::new();
        part.add("device", Node::text(&path));
        fill(&mut part);
        self.faults.extend(part.faults.into_iter().map(|fault| format!("{path}: {fault}")));
        let part = Node::Fields(part.fields);
        match self.fields.iter_mut().find(|(name, _)| *name == DEVICES) {
            Some((_, Node::List(list))) => list.push(part),
            Some(_) | None => self.fields.push((DEVICES, Node::List(vec![part]))),
        }
    }

    /// Notes that something is wrong: where, and what.
    pub(super) fn fault(&mut self, place: impl fmt::Display, what: impl fmt::Display) {
        self.faults.push(format!("{place}: {what}"));
    }

    /// Each thing that is wrong, in the order in which it was met.
    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        write_fields(&self.fields, 0, &mut out);
        if !self.faults.is_empty() {
            out.push_str("faults:\n");
            for fault in &self.faults {
                write_lines(fault, INDENT, &mut out);
            }
        }
        out
    }

    /// For a program: the parts by name and an array `faults`.
    pub(super) fn json(&self) -> Value {
        let mut object: Map<_, _> = self.fields.iter().map(|(name, node)| (key(name), node.json())).collect();
        object.insert("faults".to_owned(), Value::from(self.faults.clone()));
        Value::Object(object)
    }
}

const INDENT: usize = 2;
const DEVICES: &str = "devices";

/// Names are words in text and joined words in JSON.
fn key(name: &str) -> String {
    name.replace(' ', "_")
}

fn write_fields(fields: &[(&'static str, Node)], indent: usize, out: &mut String) {
    for (name, node) in fields {
        if let Some(value) = node.scalar() {
            write_lines(&format!("{name}: {value}"), indent, out);
        } else {
            write_lines(&format!("{name}:"), indent, out);
            node.write(indent + INDENT, out);
        }
    }
}

fn write_lines(text: &str, indent: usize, out: &mut String) {
    for line in text.lines() {
        out.push_str(&" ".repeat(indent));
        out.push_str(line);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tree_prints_as_text_and_as_json() {
        let mut report = Report::new();
        report.add("pool", Node::text("demo"));
        let rows = vec![vec![Node::number(1u8), Node::text("log")]];
        report.add("row list", Node::Rows { headings: vec!["offset", "kind"], rows });
        report.add("empty", Node::List(vec![]));
        report.fault("label A", "torn");
        let text = "pool: demo\nrow list:\n  offset  kind\n  1        log\nempty:\n  none\nfaults:\n  label A: torn\n";
        assert_eq!(report.text(), text);
        let json = serde_json::json!({
            "pool": "demo", "row_list": [{"offset": 1, "kind": "log"}], "empty": [], "faults": ["label A: torn"],
        });
        assert_eq!(report.json(), json);
    }
}
