//! What must be true at the end: the three accounts of the same deliveries agree, and nothing was lost, doubled or altered.
//!
//! Pure: it looks at an [`Evidence`] and names every problem it finds.

use std::collections::BTreeSet;

use super::campaign::{Ending, Shipment};
use super::evidence::{Evidence, Fate};
use super::tally::Track;

impl Evidence {
    /// Everything that is wrong; empty if all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for shipment in &self.shipments {
            let mut complain = |what: String| {
                let (delivery, receiver) = (&shipment.delivery, self.routes[shipment.route].name);
                problems.push(format!("{delivery} to {receiver}: {what}"));
            };
            self.audit_fate(shipment, &mut complain);
            self.audit_attempts(shipment, &mut complain);
        }
        self.audit_lives(&mut problems);
        self.audit_strangers(&mut problems);
        self.audit_shutdown(&mut problems);
        problems
    }

    fn audit_fate(&self, shipment: &Shipment, complain: &mut impl FnMut(String)) {
        let fates = self.fates(shipment);
        let [fate] = fates[..] else {
            complain(match fates.len() {
                0 => "accepted and then lost".to_owned(),
                _ => format!("has more than one fate: {fates:?}"),
            });
            return;
        };
        let route = &self.routes[shipment.route];
        let track = self.track(shipment.id);
        let acks = self.record(shipment).map_or(0, |record| record.acks);
        match fate {
            Fate::Acknowledged => {
                if let Some(reason) = route.expected_death() {
                    complain(format!("counts as delivered, but should be dead: {reason:?}"));
                }
                // A receiver that is killed may have answered and not yet noted that it did.
                let may_have = self.kills() > 0 && self.was_answered(shipment);
                if acks == 0 && !may_have {
                    complain("counts as delivered, but its receiver never acknowledged it".to_owned());
                }
            }
            Fate::Dead(letter) => {
                if route.expected_death() != Some(letter.reason) {
                    complain(format!("an unexpected dead letter: {:?}: {}", letter.reason, letter.error));
                }
                if acks > 0 {
                    complain("a dead letter that its receiver acknowledged".to_owned());
                }
                if letter.error.is_empty() {
                    complain("a dead letter without a reason".to_owned());
                }
                let told = track.failed + track.died;
                if letter.attempts != told && (track.cut == 0 || letter.attempts < told) {
                    complain(format!("dead after {} attempts: {track:?}", letter.attempts));
                }
                if letter.payload[..] != shipment.payload[..] {
                    complain("a dead letter that was altered".to_owned());
                }
            }
            Fate::HandedBack(returned) => {
                if self.ending == Ending::Settled {
                    complain("handed back, although everything was settled".to_owned());
                }
                if returned.attempts != track.failed {
                    complain(format!("handed back after {} attempts: {track:?}", returned.attempts));
                }
                if returned.payload[..] != shipment.payload[..] {
                    complain("handed back altered".to_owned());
                }
            }
            Fate::Kept => {
                if self.ending == Ending::Settled {
                    complain("still in the store, although everything was settled".to_owned());
                }
            }
            Fate::Abandoned => complain("still running after shutdown".to_owned()),
        }
    }

    fn audit_attempts(&self, shipment: &Shipment, complain: &mut impl FnMut(String)) {
        let track = self.track(shipment.id);
        let Track { started, succeeded, failed, interrupted, died, .. } = track;
        if track.cut == 0 && started != succeeded + failed + interrupted + died {
            complain(format!("attempts without an end, or with two: {track:?}"));
        }
        if succeeded > 1 {
            complain(format!("acknowledged {succeeded} times"));
        }
        let Some(record) = self.record(shipment) else { return };
        let made = self.made(shipment);
        if record.attempts > made {
            complain(format!("its receiver saw {} attempts, but only {made} were made", record.attempts));
        }
        // The receiver does its work at the first, and recognises the others by their id.
        if record.acks > record.duplicates + u32::from(record.processed) {
            complain(format!("its receiver processed it more than once: {record:?}"));
        }
        if record.altered > 0 || record.fingerprint != shipment.fingerprint {
            complain("what its receiver saw is not what was sent".to_owned());
        }
    }

    /// No attempt comes back after its end, and no job is forgotten by the store or remembered after its end.
    fn audit_lives(&self, problems: &mut Vec<String>) {
        let Some(history) = &self.history else { return };
        for (id, attempts) in &history.attempts {
            let delivery = history.accepted.get(id).map_or("a delivery that nobody pushed", String::as_str);
            problems
                .extend(attempts.problems.iter().map(|problem| format!("{delivery}, job {id}: {problem}")));
            let letter = self.dead.iter().find(|letter| letter.id == *id);
            if let Some(letter) = letter.filter(|letter| letter.attempts < attempts.counted) {
                problems.push(format!(
                    "{delivery}: dead after {} attempts, but {} began",
                    letter.attempts, attempts.counted
                ));
            }
        }
        let kept = self.stays();
        let at_most = kept.clone().count() + history.unknown();
        let at_least = kept.filter(|shipment| !self.may_have_ended_unheard(shipment)).count();
        if !(at_least..=at_most).contains(&self.kept) {
            problems.push(format!(
                "shutdown leaves {} jobs in the store, but that should be {at_least} to {at_most}",
                self.kept
            ));
        }
    }

    /// Nothing is known of a delivery that was never accepted.
    fn audit_strangers(&self, problems: &mut Vec<String>) {
        let known: BTreeSet<_> = self.shipments.iter().map(|shipment| shipment.id).collect();
        let dead = self.dead.iter().map(|letter| letter.id);
        let returned = self.returned.iter().map(|returned| returned.id);
        let others = self.abandoned.iter().chain(self.tracks.keys()).copied();
        let strangers: BTreeSet<_> =
            dead.chain(returned).chain(others).filter(|id| !known.contains(id)).collect();
        problems.extend(strangers.iter().map(|id| format!("job {id} was never pushed")));

        for account in &self.ledger.accounts {
            let sent =
                self.shipments.iter().filter(|shipment| self.routes[shipment.route].name == account.name);
            let sent: BTreeSet<_> = sent.map(|shipment| &shipment.delivery).collect();
            let strangers = account.deliveries.keys().filter(|delivery| !sent.contains(delivery));
            problems.extend(strangers.map(|delivery| format!("{delivery} to {}: never sent", account.name)));
            if account.malformed > 0 {
                problems.push(format!("{} got {} requests that are none", account.name, account.malformed));
            }
        }
    }

    /// The report of shutdown adds up: what ended before and during it, and what it gave back, is all there was.
    fn audit_shutdown(&self, problems: &mut Vec<String>) {
        if self.ending == Ending::OutOfPatience {
            problems.push("it came to no end by itself".to_owned());
        }
        if self.missed_events > 0 {
            problems.push(format!("{} events were missed", self.missed_events));
        }
        if self.cancelled > 0 {
            problems.push(format!("{} jobs were cancelled, and nobody asked for it", self.cancelled));
        }
        let during = usize::try_from(self.drained + self.cancelled).unwrap_or(usize::MAX);
        let reported = during.saturating_add(self.returned.len() + self.kept + self.abandoned.len());
        // Jobs that stay in the store and that nobody knows to have been accepted.
        let unknown = self.kept.saturating_sub(self.stays().count());
        let all = self.shipments.len() + unknown;
        let left = all.saturating_sub(reported);
        let (at_least, at_most) = self.ended_before(during);
        if !(at_least..=at_most).contains(&left) {
            problems.push(format!(
                "shutdown reports {reported} of {all} jobs, which leaves {left} that ended before it; that were \
                 {at_least} to {at_most}",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use queue_core::{DeadReason, JobId, Payload};

    use super::*;
    use crate::webhooks::evidence::{Letter, Returned};
    use crate::webhooks::history::{Attempts, History};
    use crate::webhooks::logbook::Entry;
    use crate::webhooks::plan::Route;
    use crate::webhooks::receivers::{Account, Behaviour, Fingerprint, Ledger, Record};

    const ACKNOWLEDGED: u64 = 1;
    const DEAD: u64 = 2;
    const RETURNED: u64 = 3;

    /// One delivery of each fate, and nothing wrong: acknowledged after a lost answer, discarded, handed back.
    fn sound() -> Evidence {
        let routes = vec![
            Route::new("hangup", Behaviour::Hangup, 1, 1),
            Route::new("gone", Behaviour::Gone, 1, 1),
            Route::new("refused", Behaviour::Refused, 1, 1),
        ];
        let shipments: Vec<_> = (0..3).map(shipment).collect();
        let account = |route: usize, records: Vec<(String, Record)>| Account {
            name: routes[route].name.to_owned(),
            behaviour: routes[route].behaviour,
            deliveries: records.into_iter().collect(),
            malformed: 0,
        };
        let acknowledged = Record { attempts: 2, acks: 1, duplicates: 1, processed: true, ..record(0) };
        let ledger = Ledger {
            accounts: vec![
                account(0, vec![("delivery-1".to_owned(), acknowledged)]),
                account(1, vec![("delivery-2".to_owned(), Record { attempts: 1, ..record(1) })]),
                account(2, vec![]),
            ],
        };
        let tracks = [
            (ACKNOWLEDGED, Track { started: 2, failed: 1, succeeded: 1, ..Track::default() }),
            (DEAD, Track { started: 1, died: 1, ..Track::default() }),
            (RETURNED, Track { started: 3, failed: 2, interrupted: 1, handed_back: 1, ..Track::default() }),
        ];
        Evidence {
            dead: vec![Letter {
                id: JobId::new(DEAD),
                attempts: 1,
                reason: DeadReason::Discarded,
                error: "status 410".to_owned(),
                payload: shipments[1].payload.clone(),
            }],
            returned: vec![Returned {
                id: JobId::new(RETURNED),
                attempts: 2,
                payload: shipments[2].payload.clone(),
            }],
            kept: 0,
            abandoned: vec![],
            routes,
            shipments,
            ending: Ending::Interrupted,
            tracks: tracks.map(|(id, track)| (JobId::new(id), track)).into(),
            missed_events: 0,
            drained: 1,
            cancelled: 0,
            ended_before: (1, Some(1)),
            ledger,
            history: None,
        }
    }

    fn shipment(route: usize) -> Shipment {
        let number = route as u64 + 1;
        Shipment {
            id: JobId::new(number),
            delivery: format!("delivery-{number}"),
            event: "ping".to_owned(),
            route,
            payload: Payload::from(format!("payload {number}")),
            fingerprint: fingerprint(route),
        }
    }

    fn fingerprint(route: usize) -> Fingerprint {
        Fingerprint::of("ping", format!("body {route}").as_bytes())
    }

    fn record(route: usize) -> Record {
        Record {
            attempts: 0,
            acks: 0,
            abandoned: 0,
            duplicates: 0,
            altered: 0,
            processed: false,
            fingerprint: fingerprint(route),
        }
    }

    /// The problems after something was forged.
    fn after(forge: impl FnOnce(&mut Evidence)) -> Vec<String> {
        let mut evidence = sound();
        forge(&mut evidence);
        evidence.problems()
    }

    fn track(evidence: &mut Evidence, id: u64) -> &mut Track {
        evidence.tracks.get_mut(&JobId::new(id)).expect("every job has one")
    }

    fn record_of(evidence: &mut Evidence, id: u64) -> &mut Record {
        let account = usize::try_from(id).expect("a small number") - 1;
        let deliveries = &mut evidence.ledger.accounts[account].deliveries;
        deliveries.values_mut().next().expect("it was seen")
    }

    #[track_caller]
    fn assert_found(problems: &[String], text: &str) {
        assert!(problems.iter().any(|problem| problem.contains(text)), "{text:?} is not in {problems:#?}");
    }

    #[test]
    fn nothing_is_wrong_with_sound_evidence() {
        assert_eq!(sound().problems(), Vec::<String>::new());
    }

    #[test]
    fn a_lost_delivery_is_found() {
        assert_found(&after(|it| it.returned.clear()), "delivery-3 to refused: accepted and then lost");
        assert_found(&after(|it| it.dead.clear()), "delivery-2 to gone: accepted and then lost");
        let silent =
            after(|it| *track(it, ACKNOWLEDGED) = Track { started: 2, failed: 2, ..Track::default() });
        assert_found(&silent, "delivery-1 to hangup: accepted and then lost");
    }

    #[test]
    fn a_success_that_the_receiver_knows_nothing_of_is_found() {
        let never = "delivery-1 to hangup: counts as delivered, but its receiver never acknowledged it";
        assert_found(&after(|it| record_of(it, ACKNOWLEDGED).acks = 0), never);
        assert_found(&after(|it| it.ledger.accounts[0].deliveries.clear()), never);
    }

    #[test]
    fn two_fates_are_found() {
        let twice = after(|it| it.returned.push(Returned { id: JobId::new(DEAD), ..it.returned[0].clone() }));
        assert_found(&twice, "delivery-2 to gone: has more than one fate");
        let both = after(|it| it.dead.push(it.dead[0].clone()));
        assert_found(&both, "delivery-2 to gone: has more than one fate");
    }

    /// The same after a kill in which everything was under way, as its logbook has it.
    fn after_a_kill(forge: impl FnOnce(&mut Evidence)) -> Vec<String> {
        after(|it| {
            let mut history = History::default();
            history.kills = 1;
            for shipment in &it.shipments {
                let (delivery, job) = (shipment.delivery.clone(), shipment.id.as_u64());
                history.add(Entry::Accepted { delivery, job });
                let begun = it.tracks[&shipment.id].started;
                let attempts = history.attempts.entry(shipment.id).or_default();
                (attempts.begun, attempts.counted) = (begun, begun);
            }
            it.history = Some(history);
            it.tracks.values_mut().for_each(|track| track.cut = 1);
            it.ended_before.1 = None;
            forge(it);
        })
    }

    #[test]
    fn what_a_kill_may_hide_is_no_problem() {
        assert_eq!(after_a_kill(|_| ()), Vec::<String>::new());
        let unheard = after_a_kill(|it| *track(it, ACKNOWLEDGED) = Track { cut: 1, ..Track::default() });
        assert_eq!(unheard, Vec::<String>::new(), "its receiver has answered");
        let unnoted = after_a_kill(|it| record_of(it, ACKNOWLEDGED).acks = 0);
        assert_eq!(unnoted, Vec::<String>::new(), "the client has heard it, the receiver was killed");
    }

    #[test]
    fn what_a_kill_may_not_do_is_found() {
        let lost = after_a_kill(|it| it.returned.clear());
        assert_found(&lost, "delivery-3 to refused: accepted and then lost");
        let unanswered = after_a_kill(|it| {
            *track(it, ACKNOWLEDGED) = Track { cut: 1, ..Track::default() };
            record_of(it, ACKNOWLEDGED).duplicates = 0;
        });
        assert_found(&unanswered, "delivery-1 to hangup: accepted and then lost");
        assert_found(
            &after_a_kill(|it| record_of(it, DEAD).attempts = 2),
            "saw 2 attempts, but only 1 were made",
        );
        let attempts = |it: &mut Evidence, id, forge: fn(&mut Attempts)| {
            let history = it.history.as_mut().expect("it has one");
            forge(history.attempts.get_mut(&JobId::new(id)).expect("it ran"));
        };
        let forgotten = after_a_kill(|it| attempts(it, DEAD, |it| it.counted = 5));
        assert_found(&forgotten, "delivery-2: dead after 1 attempts, but 5 began");
        let back = after_a_kill(|it| attempts(it, DEAD, |it| it.problems.push("it is back".to_owned())));
        assert_found(&back, "delivery-2, job 2: it is back");
    }

    #[test]
    fn what_stays_in_the_store_adds_up() {
        let keep = |it: &mut Evidence, kept| {
            it.returned.clear();
            it.kept = kept;
        };
        assert_eq!(after_a_kill(|it| keep(it, 1)), Vec::<String>::new());
        assert_found(
            &after_a_kill(|it| keep(it, 2)),
            "leaves 2 jobs in the store, but that should be 1 to 1",
        );
        let doubted = |it: &mut Evidence, kept| {
            keep(it, kept);
            let history = it.history.as_mut().expect("it has one");
            let pushing = Entry::Pushing { delivery: "delivery-3".to_owned() };
            for entry in [Entry::Born, pushing, Entry::Born] {
                history.add(entry);
            }
        };
        for kept in [1, 2] {
            assert_eq!(after_a_kill(|it| doubted(it, kept)), Vec::<String>::new(), "it may be there twice");
        }
        assert_found(
            &after_a_kill(|it| doubted(it, 3)),
            "leaves 3 jobs in the store, but that should be 1 to 2",
        );
        let settled = after_a_kill(|it| {
            keep(it, 1);
            it.ending = Ending::Settled;
        });
        assert_found(&settled, "delivery-3 to refused: still in the store");
    }

    #[test]
    fn a_doubled_attempt_is_found() {
        assert_found(&after(|it| record_of(it, DEAD).attempts = 2), "saw 2 attempts, but only 1 were made");
        assert_found(&after(|it| track(it, ACKNOWLEDGED).succeeded = 2), "acknowledged 2 times");
        assert_found(&after(|it| track(it, DEAD).died = 0), "attempts without an end");
        assert_found(&after(|it| record_of(it, ACKNOWLEDGED).acks = 3), "processed it more than once");
    }

    #[test]
    fn an_altered_body_is_found() {
        let sent = "what its receiver saw is not what was sent";
        assert_found(&after(|it| record_of(it, DEAD).altered = 1), sent);
        assert_found(&after(|it| record_of(it, DEAD).fingerprint = fingerprint(7)), sent);
        assert_found(
            &after(|it| it.dead[0].payload = "other".to_owned().into()),
            "a dead letter that was altered",
        );
        assert_found(&after(|it| it.returned[0].payload = "other".to_owned().into()), "handed back altered");
    }

    #[test]
    fn a_dead_letter_needs_its_reason() {
        let unexpected = after(|it| it.dead[0].reason = DeadReason::RetriesExhausted);
        assert_found(
            &unexpected,
            "delivery-2 to gone: an unexpected dead letter: RetriesExhausted: status 410",
        );
        assert_found(&after(|it| it.dead[0].error.clear()), "a dead letter without a reason");
        assert_found(
            &after(|it| record_of(it, DEAD).acks = 1),
            "a dead letter that its receiver acknowledged",
        );
        assert_found(&after(|it| it.dead[0].attempts = 2), "dead after 2 attempts");
        let alive = after(|it| it.routes[0].behaviour = Behaviour::Broken);
        assert_found(
            &alive,
            "delivery-1 to hangup: counts as delivered, but should be dead: RetriesExhausted",
        );
    }

    #[test]
    fn only_an_early_end_hands_jobs_back() {
        let settled = after(|it| it.ending = Ending::Settled);
        assert_found(&settled, "delivery-3 to refused: handed back, although everything was settled");
        assert_found(&after(|it| it.returned[0].attempts = 3), "handed back after 3 attempts");
        let abandoned = after(|it| {
            it.returned.clear();
            it.abandoned.push(JobId::new(RETURNED));
        });
        assert_found(&abandoned, "delivery-3 to refused: still running after shutdown");
    }

    #[test]
    fn strangers_are_found() {
        let job = after(|it| it.dead.push(Letter { id: JobId::new(9), ..it.dead[0].clone() }));
        assert_found(&job, "job 9 was never pushed");
        let delivery = after(|it| {
            let deliveries = &mut it.ledger.accounts[2].deliveries;
            deliveries.insert("delivery-1".to_owned(), record(0));
        });
        assert_found(&delivery, "delivery-1 to refused: never sent");
        assert_found(&after(|it| it.ledger.accounts[0].malformed = 1), "hangup got 1 requests that are none");
    }

    #[test]
    fn a_report_of_shutdown_that_does_not_add_up_is_found() {
        assert_found(&after(|it| it.drained = 2), "shutdown reports 3 of 3 jobs, which leaves 0");
        assert_found(&after(|it| it.drained = 0), "shutdown reports 1 of 3 jobs, which leaves 2");
        let too_many = after_a_kill(|it| it.drained = 2);
        assert_found(
            &too_many,
            "shutdown reports 3 of 3 jobs, which leaves 0 that ended before it; that were 1",
        );
        assert_found(&after(|it| it.cancelled = 1), "1 jobs were cancelled");
        assert_found(&after(|it| it.missed_events = 1), "1 events were missed");
        assert_found(&after(|it| it.ending = Ending::OutOfPatience), "came to no end");
    }
}
