//! How far it has come: a bar for each receiver on a terminal, plain lines elsewhere. On standard error, so that the
//! report can be redirected.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, stderr};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use queue_core::{Event, Name};
use queue_examples::webhooks::campaign::Ending;
use queue_examples::webhooks::{Plan, RuntimeName, Watcher};

/// Watches one campaign. Dropping it clears the bars.
#[derive(Debug)]
pub(crate) struct Progress {
    runtime: RuntimeName,
    all: usize,
    settled: usize,
    retries: usize,
    bars: Option<Bars>,
}

#[derive(Debug)]
struct Bars {
    screen: MultiProgress,
    by_queue: BTreeMap<Name, Bar>,
}

#[derive(Debug)]
struct Bar {
    gauge: ProgressBar,
    retries: usize,
    dead: usize,
}

impl Progress {
    pub(crate) fn new(runtime: RuntimeName, plan: &Plan) -> anyhow::Result<Self> {
        let bars = if stderr().is_terminal() { Some(Bars::new(runtime, plan)?) } else { None };
        let all = plan.payloads.len();
        if bars.is_none() {
            eprintln!("{runtime}: delivering {all} webhooks to {} receivers", plan.routes.len());
        }
        Ok(Self { runtime, all, settled: 0, retries: 0, bars })
    }

    fn settle(&mut self) {
        let tenth = |settled: usize| settled * 10 / self.all;
        let is_new_tenth = tenth(self.settled + 1) > tenth(self.settled);
        self.settled += 1;
        if is_new_tenth && self.bars.is_none() {
            self.say(&format!("{} of {} settled, {} retries", self.settled, self.all, self.retries));
        }
    }

    fn say(&self, text: &str) {
        let line = format!("{}: {text}", self.runtime);
        match &self.bars {
            // Fails when the terminal is gone, and then nobody misses it.
            Some(bars) => bars.screen.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

impl Watcher for Progress {
    fn event(&mut self, event: &Event) {
        if let Some(bars) = &mut self.bars {
            bars.event(event);
        }
        match event {
            Event::Succeeded(_) | Event::Died { .. } => self.settle(),
            Event::Retried { .. } => self.retries += 1,
            _ => {}
        }
    }

    fn stopping(&mut self, ending: Ending) {
        match ending {
            Ending::Settled => {}
            Ending::Interrupted => self.say("interrupted, shutting down; once more to abort"),
            Ending::OutOfPatience => self.say("this takes too long, shutting down"),
        }
    }
}

impl Bars {
    fn new(runtime: RuntimeName, plan: &Plan) -> anyhow::Result<Self> {
        let screen = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>16} {bar:32.green} {pos:>3}/{len} {msg}")?;
        let by_queue = plan.routes.iter().enumerate().map(|(index, route)| {
            let length = u64::try_from(plan.share(index)).unwrap_or(u64::MAX);
            let gauge = screen.add(ProgressBar::new(length).with_style(style.clone()));
            gauge.set_prefix(format!("{runtime} {}", route.name));
            (Name::from(route.name), Bar { gauge, retries: 0, dead: 0 })
        });
        let by_queue = by_queue.collect();
        Ok(Self { screen, by_queue })
    }

    fn event(&mut self, event: &Event) {
        let (Event::Succeeded(job) | Event::Retried { job, .. } | Event::Died { job, .. }) = event else {
            return;
        };
        let Some(bar) = self.by_queue.get_mut(&job.queue) else { return };
        match event {
            Event::Retried { .. } => bar.retries += 1,
            Event::Died { .. } => {
                bar.dead += 1;
                bar.gauge.inc(1);
            }
            _ => bar.gauge.inc(1),
        }
        bar.gauge.set_message(match (bar.retries, bar.dead) {
            (0, 0) => String::new(),
            (retries, 0) => format!("{retries} retries"),
            (0, dead) => format!("{dead} dead"),
            (retries, dead) => format!("{retries} retries, {dead} dead"),
        });
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // Fails when the terminal is gone, and then there is nothing to clear.
        let _ = self.screen.clear();
    }
}
