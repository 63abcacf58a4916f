//! One stream's task: it does what the stream's state asks for, and decides on its shards each second.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

use millrace_autoscaler::{
    Decision, Finding, Input, LoadHistory, Outlook, Policy, Standing, decide, is_rescaled, outlook,
};
use millrace_core::{Autoscaling, CapacityMode, DataId, ShardId, ShardMap, StreamEntry, StreamState};
use millrace_log::KvError;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::intents::{IntentError, apply_actions, read_map};
use super::step::StepError;
use super::{Failure, Shared, TendedStream, Told, create, delete, retain};

/// A finding about which nothing is done, and advice, is told again after this time, in milliseconds.
const TELL_AGAIN_MS: i64 = 300_000;

/// What is remembered of a stream between two rounds.
struct Memory {
    /// Whose data it speaks of: a stream that was removed and made again under its name has other data.
    data: DataId,
    history: LoadHistory,
    /// How the lanes were last put into the log, and when they were last looked at.
    lanes: Option<(retain::KeptLanes, Instant)>,
    swept: Option<Instant>,
    /// When findings about which nothing is done were last told.
    told: HashMap<(Discriminant<Finding>, Option<ShardId>), i64>,
    /// The last failure, so that it is not logged each second.
    failed: Option<String>,
}

/// Tends a stream until its entry is gone.
pub(super) async fn tend(shared: Arc<Shared>, stream: Arc<TendedStream>) {
    let Some((entry, _)) = stream.entry() else { return };
    let mut memory = Memory::of(entry.data);
    let mut ticks = interval(shared.settings.decide_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let second = tokio::select! {
            biased;
            () = stream.changed.notified() => false,
            _ = ticks.tick() => true,
        };
        let Some((entry, revision)) = stream.entry() else { return };
        if memory.data != entry.data {
            memory = Memory::of(entry.data.clone());
        }
        let result = match entry.state {
            StreamState::Creating => create::create(&shared, &stream, &entry, revision).await,
            StreamState::Deleting => delete::delete(&shared, &stream, &entry, revision).await,
            StreamState::Active => memory.active(&shared, &stream, &entry, second).await,
            StreamState::Retained => memory.retained(&shared, &entry).await,
        };
        if entry.state != StreamState::Active {
            stream.see(None);
        } else if let Err(error) = &result {
            let untended = Standing::Untended { why: error.to_string() };
            stream.see(Some(Outlook::of(untended, shared.clock.now_ms())));
        }
        memory.tell_failure(&shared, &stream, result);
    }
}

impl Memory {
    fn of(data: DataId) -> Memory {
        let history = LoadHistory::new();
        Memory { data, history, lanes: None, swept: None, told: HashMap::new(), failed: None }
    }

    async fn active(
        &mut self,
        shared: &Shared,
        stream: &TendedStream,
        entry: &StreamEntry,
        second: bool,
    ) -> Result<(), StepError> {
        let map = map(shared, entry).await?.ok_or(StepError::MapLost)?;
        self.keep(shared, entry, &map).await?;
        if second {
            self.decide(shared, stream, entry, &map).await?;
        }
        self.sweep(shared, entry).await
    }

    /// A stream whose data is kept: retention goes on as it is configured, and nothing is decided. One that was
    /// deleted before it had a map has no data.
    async fn retained(&mut self, shared: &Shared, entry: &StreamEntry) -> Result<(), StepError> {
        let Some(map) = map(shared, entry).await? else { return Ok(()) };
        self.keep(shared, entry, &map).await?;
        self.sweep(shared, entry).await
    }

    /// Keeps the lanes as they are configured. Before anything is decided: while a lane is missing, nothing is.
    async fn keep(&mut self, shared: &Shared, entry: &StreamEntry, map: &ShardMap) -> Result<(), StepError> {
        let due = |at: Instant| at.elapsed() >= shared.settings.sweep_every;
        let kept = self.lanes.as_ref();
        if kept.is_none_or(|(kept, at)| !kept.are_of(&entry.config, map.lanes) || due(*at)) {
            let kept = self.lanes.take().map(|(kept, _)| kept);
            let kept = retain::keep_lanes(shared, entry, map, kept.as_ref()).await?;
            self.lanes = Some((kept, Instant::now()));
        }
        Ok(())
    }

    /// Forgets closed shards that retention has taken, now and then.
    async fn sweep(&mut self, shared: &Shared, entry: &StreamEntry) -> Result<(), StepError> {
        if self.swept.is_none_or(|at| at.elapsed() >= shared.settings.sweep_every) {
            retain::forget_closed(shared, entry).await?;
            self.swept = Some(Instant::now());
        }
        Ok(())
    }

    /// One decision. A crash before the map is written leaves nothing but perhaps an empty lane; one after it
    /// leaves the intent, which the owners carry out.
    async fn decide(
        &mut self,
        shared: &Shared,
        stream: &TendedStream,
        entry: &StreamEntry,
        map: &ShardMap,
    ) -> Result<(), StepError> {
        let now_ms = shared.clock.now_ms();
        let policy = Policy::of(&entry.config, now_ms);
        let autoscaling = entry.config.autoscaling;
        let scaled = policy.mode == CapacityMode::OnDemand;
        let disabled = scaled && autoscaling == Autoscaling::Disabled;
        let reports = shared.known.loads(&entry.data, shared.settings.alive_for);
        let Some(reports) = reports.filter(|_| !disabled) else {
            let idle = Input { map, history: &LoadHistory::new(), policy: &policy, now_ms };
            let seen = match disabled || (!scaled && !policy.rescale) {
                true => outlook(&idle, &Decision::default(), autoscaling),
                false => Outlook::of(Standing::Unheard, now_ms),
            };
            stream.see(Some(seen));
            return Ok(());
        };
        let applies = !scaled || autoscaling == Autoscaling::Apply;
        if policy.mode == CapacityMode::Provisioned && policy.rescale && is_rescaled(map, policy.shards) {
            return rescaled(shared, stream, entry).await;
        }
        let loads = reports.iter().flat_map(|reports| reports.iter());
        self.history.observe(now_ms, map, &policy.target, policy.merge_after_s, loads);
        let input = Input { map, history: &self.history, policy: &policy, now_ms };
        let decision = decide(&input);
        stream.see(Some(outlook(&input, &decision, autoscaling)));
        let Decision { actions, findings } = decision;
        if applies && !actions.is_empty() {
            match apply_actions(&*shared.log, &*shared.kv, &*shared.clock, entry, &actions).await {
                Ok(written) => shared.known.learn_map(&entry.data, written.map, written.revision),
                Err(IntentError::Plan(error)) => {
                    // Somebody was faster; the next second decides on the map as it is then.
                    tracing::debug!(stream = stream.name, %error, "the shards have changed meanwhile");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        for finding in findings {
            self.tell(shared, stream, finding, applies, now_ms);
        }
        Ok(())
    }

    fn tell(&mut self, shared: &Shared, stream: &TendedStream, finding: Finding, applies: bool, now_ms: i64) {
        if !(applies && finding.acts()) {
            let about = (discriminant(&finding), finding.shard());
            if self.told.get(&about).is_some_and(|at| now_ms - at < TELL_AGAIN_MS) {
                return;
            }
            self.told.retain(|_, at| now_ms - *at < TELL_AGAIN_MS);
            self.told.insert(about, now_ms);
        }
        tracing::info!(
            target: "millrace::decision",
            namespace = stream.namespace,
            stream = stream.name,
            applies,
            "{finding}"
        );
        let (namespace, name) = (stream.namespace.clone(), stream.name.clone());
        let told = Told { at_ms: now_ms, namespace, name, finding, applies };
        stream.keep(told.clone());
        // Nobody may be listening.
        let _ = shared.decisions.send(told);
    }

    /// Tells of a failure when it begins, when it has become another and when it is over.
    fn tell_failure(&mut self, shared: &Shared, stream: &TendedStream, result: Result<(), StepError>) {
        let (namespace, name) = (&stream.namespace, &stream.name);
        let failed = result.as_ref().err().map(ToString::to_string);
        if failed == self.failed {
            return;
        }
        let lost = matches!(result, Err(StepError::DataLost { .. } | StepError::MapLost));
        match &failed {
            None => tracing::info!(namespace, stream = name, "the stream is tended again"),
            Some(error) if lost => tracing::error!(namespace, stream = name, "{error}"),
            Some(error) => {
                tracing::warn!(namespace, stream = name, "{error}: tried again until it succeeds");
            }
        }
        stream.fail(failed.clone().map(|message| Failure { lost, message }));
        // Nobody may be listening.
        let _ = shared.failures.send((namespace.clone(), name.clone()));
        self.failed = failed;
    }
}

/// A stream's map, as it is known here or else as KV has it.
async fn map(shared: &Shared, entry: &StreamEntry) -> Result<Option<Arc<ShardMap>>, StepError> {
    if let Some(map) = shared.known.map(&entry.data) {
        return Ok(Some(map));
    }
    let Some((map, revision)) = read_map(&*shared.kv, &entry.data).await? else { return Ok(None) };
    shared.known.learn_map(&entry.data, map.clone(), revision);
    Ok(Some(Arc::new(map)))
}

/// Notes that a stream has the shards it was asked to have. After a crash before this it is found again; a new
/// count that came meanwhile stays.
async fn rescaled(shared: &Shared, stream: &TendedStream, entry: &StreamEntry) -> Result<(), StepError> {
    let Some(found) = shared.kv.get(&stream.key).await? else { return Ok(()) };
    let mut now = StreamEntry::decode(&found.value)?;
    if now.data != entry.data || now.config.shards != entry.config.shards || !now.config.rescale {
        return Ok(());
    }
    now.config.rescale = false;
    match shared.kv.update(&stream.key, now.encode().into(), found.revision).await {
        Ok(_) | Err(KvError::Conflict) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
