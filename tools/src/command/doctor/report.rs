//! Facts under headings, each with what is to be done about it, if anything; printed for people and for programs.

use serde_json::{Value, json};
use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Harm {
    /// The server does not start, or not with this device.
    Stops,
    /// What was acknowledged can be lost.
    Unsafe,
    /// It works, and could be faster.
    Slow,
}

impl Harm {
    fn word(self) -> &'static str {
        match self {
            Self::Stops => "stops",
            Self::Unsafe => "unsafe",
            Self::Slow => "slow",
        }
    }
}

#[derive(Debug)]
struct Fact {
    name: &'static str,
    value: String,
    problem: Option<(Harm, String)>,
}

#[derive(Debug)]
struct Part {
    heading: String,
    facts: Vec<Fact>,
}

/// What was found so far.
#[derive(Debug)]
pub(super) struct Report {
    parts: Vec<Part>,
}

impl Report {
    pub(super) fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// What follows is about `heading`.
    pub(super) fn part(&mut self, heading: impl Into<String>) {
        self.parts.push(Part { heading: heading.into(), facts: Vec::new() });
    }

    /// Something that is as it is.
    pub(super) fn fact(&mut self, name: &'static str, value: impl fmt::Display) {
        self.check(name, value, None);
    }

    /// Something that may be wrong: how bad that is, and what to do about it, in one line.
    pub(super) fn check(
        &mut self,
        name: &'static str,
        value: impl fmt::Display,
        problem: Option<(Harm, String)>,
    ) {
        let fact = Fact { name, value: value.to_string(), problem };
        match self.parts.last_mut() {
            Some(part) => part.facts.push(fact),
            None => self.parts.push(Part { heading: String::new(), facts: vec![fact] }),
        }
    }

    /// Facts about which something is to be done.
    pub(super) fn problem_count(&self) -> usize {
        self.problems().count()
    }

    fn problems(&self) -> impl Iterator<Item = (&str, &Fact, Harm, &str)> {
        self.parts.iter().flat_map(|part| {
            part.facts.iter().filter_map(|fact| {
                let (harm, remedy) = fact.problem.as_ref()?;
                Some((part.heading.as_str(), fact, *harm, remedy.as_str()))
            })
        })
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let facts = || self.parts.iter().flat_map(|part| &part.facts);
        let width = facts().map(|fact| fact.name.len()).max().unwrap_or(0);
        let mut out = String::new();
        for part in &self.parts {
            out.push_str(&format!("{}\n", part.heading));
            for Fact { name, value, problem } in &part.facts {
                let mark = problem.as_ref().map(|(harm, _)| format!("   <- {}", harm.word()));
                out.push_str(&format!("  {name:<width$}  {value}{}\n", mark.unwrap_or_default()));
            }
        }
        for (heading, fact, harm, remedy) in self.problems() {
            out.push_str(&format!("{}: {heading}: {}: {remedy}\n", harm.word(), fact.name));
        }
        out
    }

    /// For a program: the same, with an array `problems`.
    pub(super) fn json(&self) -> Value {
        let facts = |part: &Part| {
            let pairs = part.facts.iter().map(|fact| (fact.name.to_owned(), json!(fact.value)));
            Value::Object(pairs.collect())
        };
        let parts: Vec<Value> =
            self.parts.iter().map(|part| json!({"about": part.heading, "facts": facts(part)})).collect();
        let problems: Vec<Value> = self
            .problems()
            .map(|(heading, fact, harm, remedy)| {
                json!({"about": heading, "fact": fact.name, "harm": harm.word(), "remedy": remedy})
            })
            .collect();
        json!({"parts": parts, "problems": problems})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_done_stands_at_the_end_and_in_json() {
        let mut report = Report::new();
        report.part("machine");
        report.fact("kernel", "6.12");
        report.check("locked memory", "8 MiB", Some((Harm::Slow, "raise it".to_owned())));
        assert_eq!(
            report.text(),
            "machine\n  kernel         6.12\n  locked memory  8 MiB   <- slow\n\
             slow: machine: locked memory: raise it\n"
        );
        assert_eq!(report.problem_count(), 1);
        let json = report.json();
        assert_eq!(json["parts"][0]["facts"]["kernel"], "6.12");
        assert_eq!(json["problems"][0]["harm"], "slow");
    }
}
