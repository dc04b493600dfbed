//! The report: for people as text, for programs as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::time::Duration;

use queue_core::DeadReason;
use serde::Serialize;

use super::campaign::{Ending, Shipment};
use super::evidence::{Evidence, Fate};

/// What became of everything, on one runtime.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The runtime.
    pub runtime: String,
    /// How long it took.
    pub seconds: f64,
    /// Why it stopped.
    pub ending: Ending,
    /// The sums over all receivers.
    pub total: Line,
    /// A line for each receiver.
    pub receivers: Vec<Line>,
    /// Every dead letter.
    pub dead_letters: Vec<Dead>,
    /// Every delivery that shutdown gave back.
    pub handed_back: Vec<Unfinished>,
    /// What was different because the jobs outlive the process; `None` if they do not.
    pub lives: Option<Lives>,
    /// Everything that is wrong; empty if all is well.
    pub problems: Vec<String>,
}

/// The numbers of one receiver, or of all.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Line {
    /// The receiver.
    pub name: String,
    /// Deliveries that the queue accepted for it.
    pub accepted: usize,
    /// Those that it acknowledged.
    pub acknowledged: usize,
    /// Those that are dead letters.
    pub dead: usize,
    /// Those that shutdown gave back.
    pub handed_back: usize,
    /// Attempts that the queue made.
    pub attempts: u64,
    /// Those of them that reached the receiver.
    pub seen: u64,
    /// Those of them that the receiver recognised as already processed.
    pub duplicates: u64,
}

/// How often the program was started on the same store, and what came of that.
#[derive(Debug, Clone, Serialize)]
pub struct Lives {
    /// How often it was started.
    pub lives: u32,
    /// How often it was killed.
    pub kills: u32,
    /// How many jobs stay in the store.
    pub kept: usize,
    /// Attempts that were begun again in a later life: what was running when it was killed or interrupted.
    pub repeated: u32,
    /// Deliveries that were pushed again because a kill left it unknown whether they had been accepted, and had been.
    pub pushed_twice: usize,
}

/// A dead letter.
#[derive(Debug, Clone, Serialize)]
pub struct Dead {
    /// The delivery's id.
    pub delivery: String,
    /// Its event.
    pub event: String,
    /// Its receiver.
    pub receiver: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why it is dead.
    pub reason: &'static str,
    /// The last error.
    pub error: String,
}

/// A delivery that shutdown gave back.
#[derive(Debug, Clone, Serialize)]
pub struct Unfinished {
    /// The delivery's id.
    pub delivery: String,
    /// Its event.
    pub event: String,
    /// Its receiver.
    pub receiver: String,
    /// How many attempts had failed.
    pub attempts: u32,
}

impl Report {
    /// Sums the evidence up, and audits it.
    #[must_use]
    pub fn of(runtime: &str, took: Duration, evidence: &Evidence) -> Self {
        let mut report = Self {
            runtime: runtime.to_owned(),
            seconds: took.as_secs_f64(),
            ending: evidence.ending,
            total: Line { name: "all".to_owned(), ..Line::default() },
            receivers: evidence
                .routes
                .iter()
                .map(|route| Line { name: route.name.to_owned(), ..Line::default() })
                .collect(),
            dead_letters: Vec::new(),
            handed_back: Vec::new(),
            lives: Lives::of(evidence),
            problems: evidence.problems(),
        };
        for shipment in &evidence.shipments {
            report.add(evidence, shipment);
        }
        report
    }

    /// Whether all is well.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, evidence: &Evidence, shipment: &Shipment) {
        let receiver = evidence.routes[shipment.route].name;
        let mut line = Line {
            accepted: 1,
            attempts: evidence.attempts(shipment.id).into(),
            seen: evidence.record(shipment).map_or(0, |record| record.attempts.into()),
            duplicates: evidence.record(shipment).map_or(0, |record| record.duplicates.into()),
            ..Line::default()
        };
        // More than one is a problem of its own, and counts as what came first.
        match evidence.fates(shipment).first() {
            Some(Fate::Acknowledged) => line.acknowledged = 1,
            Some(Fate::Dead(letter)) => {
                line.dead = 1;
                self.dead_letters.push(Dead {
                    delivery: shipment.delivery.clone(),
                    event: shipment.event.clone(),
                    receiver: receiver.to_owned(),
                    attempts: letter.attempts,
                    reason: in_words(letter.reason),
                    error: letter.error.clone(),
                });
            }
            Some(Fate::HandedBack(returned)) => {
                line.handed_back = 1;
                self.handed_back.push(Unfinished {
                    delivery: shipment.delivery.clone(),
                    event: shipment.event.clone(),
                    receiver: receiver.to_owned(),
                    attempts: returned.attempts,
                });
            }
            Some(Fate::Kept | Fate::Abandoned) | None => {}
        }
        self.receivers[shipment.route].add(&line);
        self.total.add(&line);
    }
}

impl Lives {
    fn of(evidence: &Evidence) -> Option<Self> {
        let history = evidence.history.as_ref()?;
        let deliveries: BTreeSet<_> = evidence.shipments.iter().map(|shipment| &shipment.delivery).collect();
        Some(Self {
            lives: history.lives,
            kills: history.kills,
            kept: evidence.kept,
            repeated: history.attempts.values().map(|attempts| attempts.repeated).sum(),
            pushed_twice: evidence.shipments.len() - deliveries.len(),
        })
    }
}

impl Line {
    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.acknowledged += other.acknowledged;
        self.dead += other.dead;
        self.handed_back += other.handed_back;
        self.attempts += other.attempts;
        self.seen += other.seen;
        self.duplicates += other.duplicates;
    }
}

fn in_words(reason: DeadReason) -> &'static str {
    match reason {
        DeadReason::RetriesExhausted => "retries exhausted",
        DeadReason::Discarded => "discarded",
        DeadReason::NoHandler => "no handler",
        DeadReason::ShutDown => "outlived shutdown",
        _ => "unknown",
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.ending {
            Ending::Settled => "settled",
            Ending::Interrupted => "interrupted",
            Ending::OutOfPatience => "given up",
        };
        writeln!(
            f,
            "{}: {} deliveries, {how} after {:.1} s",
            self.runtime, self.total.accepted, self.seconds
        )?;
        writeln!(
            f,
            "  {:<9} {:>8} {:>12} {:>5} {:>11}   {:>8} {:>5} {:>10}",
            "receiver", "accepted", "acknowledged", "dead", "handed back", "attempts", "seen", "duplicates",
        )?;
        for line in self.receivers.iter().chain([&self.total]) {
            writeln!(f, "{line}")?;
        }
        let dead = self.dead_letters.iter().map(|dead| {
            let Dead { receiver, reason, attempts, error, .. } = dead;
            (
                format!("{receiver}, {reason} after {}: {error}", count(*attempts, "attempt")),
                &dead.delivery,
                &dead.event,
            )
        });
        list(f, "dead letters", dead)?;
        let back = self.handed_back.iter().map(|back| {
            let Unfinished { receiver, attempts, .. } = back;
            (format!("{receiver}, after {}", count(*attempts, "failed attempt")), &back.delivery, &back.event)
        });
        list(f, "handed back", back)?;
        if let Some(Lives { lives, kills, kept, repeated, pushed_twice }) = self.lives {
            writeln!(
                f,
                "  life {lives} on this store, killed {kills} times; begun again {repeated}, pushed again \
                 {pushed_twice}, kept for later {kept}"
            )?;
        }
        if self.is_ok() {
            return writeln!(
                f,
                "  checked: nothing lost, nothing doubled, nothing altered; all accounts agree"
            );
        }
        writeln!(f, "  NOT OK, problems: {}", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "    {problem}"))
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, accepted, acknowledged, dead, handed_back, attempts, seen, duplicates } = self;
        write!(
            f,
            "  {name:<9} {accepted:>8} {acknowledged:>12} {dead:>5} {handed_back:>11}   {attempts:>8} {seen:>5} \
             {duplicates:>10}"
        )
    }
}

fn count(number: u32, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Deliveries by what they have in common, so that a long list can be read.
fn list<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    deliveries: impl Iterator<Item = (String, &'a String, &'a String)>,
) -> fmt::Result {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for (common, delivery, event) in deliveries {
        groups
            .entry(common)
            .or_default()
            .push(format!("{} {event}", delivery.trim_start_matches("delivery-")));
    }
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(f, "  {title}:")?;
    for (common, deliveries) in groups {
        writeln!(f, "    {common} ({})", deliveries.len())?;
        wrap(f, &deliveries)?;
    }
    Ok(())
}

const WIDTH: usize = 100;

fn wrap(f: &mut fmt::Formatter<'_>, words: &[String]) -> fmt::Result {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() && line.len() + word.len() + 2 > WIDTH {
            writeln!(f, "      {line},")?;
            line.clear();
        }
        let comma = if line.is_empty() { "" } else { ", " };
        line = line + comma + word;
    }
    writeln!(f, "      {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let line = Line {
            name: "gone".to_owned(),
            accepted: 3,
            dead: 2,
            handed_back: 1,
            attempts: 2,
            seen: 2,
            ..Line::default()
        };
        let (receiver, event) = ("gone".to_owned(), "push".to_owned());
        let dead = |delivery: &str| Dead {
            delivery: delivery.to_owned(),
            event: event.clone(),
            receiver: receiver.clone(),
            attempts: 1,
            reason: in_words(DeadReason::Discarded),
            error: "status 410".to_owned(),
        };
        Report {
            runtime: "tokio".to_owned(),
            seconds: 1.25,
            ending: Ending::Interrupted,
            total: Line { name: "all".to_owned(), ..line.clone() },
            receivers: vec![line],
            dead_letters: vec![dead("delivery-001"), dead("delivery-002")],
            handed_back: vec![Unfinished {
                delivery: "delivery-003".to_owned(),
                event,
                receiver,
                attempts: 0,
            }],
            lives: None,
            problems: vec![],
        }
    }

    #[test]
    fn people_get_a_table_and_lists() {
        let text = "\
tokio: 3 deliveries, interrupted after 1.2 s
  receiver  accepted acknowledged  dead handed back   attempts  seen duplicates
  gone             3            0     2           1          2     2          0
  all              3            0     2           1          2     2          0
  dead letters:
    gone, discarded after 1 attempt: status 410 (2)
      001 push, 002 push
  handed back:
    gone, after 0 failed attempts (1)
      003 push
  checked: nothing lost, nothing doubled, nothing altered; all accounts agree
";
        assert_eq!(report().to_string(), text);
    }

    #[test]
    fn problems_take_the_place_of_the_good_news() {
        let mut report = report();
        report.problems = vec!["delivery-001 to gone: accepted and then lost".to_owned()];
        assert!(!report.is_ok());
        let text = report.to_string();
        assert!(
            text.ends_with("  NOT OK, problems: 1\n    delivery-001 to gone: accepted and then lost\n"),
            "{text}"
        );
    }

    #[test]
    fn programs_get_every_delivery() {
        let json = serde_json::to_value(report()).expect("it can be written");
        assert_eq!(json["ending"], "interrupted");
        assert_eq!(json["dead_letters"][1]["delivery"], "delivery-002");
        assert_eq!(json["dead_letters"][1]["reason"], "discarded");
        assert_eq!(json["total"]["dead"], 2);
        assert_eq!(json["problems"], serde_json::json!([]));
    }
}
