//! Whoever hears what a run has to tell: outputs, the progress line, the log. They live on a thread
//! of their own, so that a slow disk, a full pipe or a resolver that takes its time holds up no probe.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use engine::Event;
use engine::keep::Recording;
use engine::verify::Verifier;
use frames::Tap;
use model::{Summary, Text};
use sockets::ReverseNames;

use crate::exit::Failure;
use crate::outputs::Outputs;
use crate::progress::ProgressLine;

/// Events that wait for their hearer; whoever tells more waits too, so that memory stays bounded.
const WAITING_MAX: usize = 4096;

/// Everybody who hears the events of a run, in their order.
pub(crate) struct Teller<'a> {
    /// The log, if the run is kept: it hears everything first.
    pub(crate) recording: Option<Recording>,
    /// Whoever knows names of addresses, if they are wanted.
    pub(crate) names: Option<ReverseNames>,
    pub(crate) outputs: Outputs,
    pub(crate) line: ProgressLine,
    /// The frames behind findings, if an output wants them.
    pub(crate) tap: Option<Tap>,
    /// Who has to know what became of an earlier run's findings.
    pub(crate) verifier: Option<&'a mut Verifier>,
    /// Set once nobody reads any more.
    pub(crate) stopped: &'a AtomicBool,
    /// Whether it had been interrupted when the last output was gone.
    pub(crate) gone: Option<bool>,
    /// The last word, once it was told.
    pub(crate) summary: Option<Box<Summary>>,
}

impl Teller<'_> {
    /// Runs something that tells events, and hears them meanwhile; returns when the last one is
    /// heard.
    pub(crate) fn while_telling<T>(
        &mut self,
        work: impl FnOnce(&mut dyn FnMut(Event)) -> T,
    ) -> Result<T, Failure> {
        let (sender, receiver): (SyncSender<Event>, Receiver<Event>) = sync_channel(WAITING_MAX);
        thread::scope(|scope| {
            let hearing = thread::Builder::new()
                .name("telling".to_owned())
                .spawn_scoped(scope, || {
                    for event in receiver {
                        self.hear(event);
                    }
                    self.line.clear();
                })
                .map_err(|error| {
                    Failure::Broken(anyhow::anyhow!("failed to start a thread: {error}"))
                })?;
            let result = work(&mut |event| {
                // It hears until we are gone, unless it broke down; joining says so.
                let _ = sender.send(event);
            });
            drop(sender);
            match hearing.join() {
                Ok(()) => Ok(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn hear(&mut self, mut event: Event) {
        if let Event::Progress {
            progress, verdicts, ..
        } = &event
        {
            self.line.show(progress, verdicts);
            return;
        }
        self.line.clear();
        if let (Event::Record(record), Some(names)) = (&mut event, &mut self.names)
            && let Some(ip) = record.endpoint.address.ip()
        {
            record.enrichment.reverse_name = names.of(ip);
        }
        if let (Event::Summary(summary), Some(names)) = (&mut event, &self.names)
            && names.has_given_up()
        {
            summary.notes.push(Text::new(
                "the system's resolver did not answer, so names of addresses are missing",
                "システムのリゾルバーが応答しないため、アドレスの名前は調べられませんでした",
            ));
        }
        match (&event, self.verifier.as_deref_mut()) {
            (Event::Record(record), Some(verifier)) => verifier.take(record),
            (Event::Summary(summary), Some(verifier)) => {
                let answers = verifier.answers();
                if let Some(recording) = &mut self.recording {
                    recording.tell_verified(summary, &answers);
                }
                self.outputs.tell_verified(summary, &answers);
            }
            _ => {}
        }
        if let Some(recording) = &mut self.recording {
            recording.tell(&event);
        }
        if let (Event::Record(record), Some(tap)) = (&event, &self.tap) {
            self.outputs.capture(record, &tap.take(&record.endpoint));
        }
        if !self.outputs.tell(&event) && self.gone.is_none() {
            // Nobody reads any more: stop asking.
            self.gone = Some(self.stopped.swap(true, Ordering::Relaxed));
        }
        if let Event::Summary(summary) = event {
            self.summary = Some(summary);
        }
    }
}
