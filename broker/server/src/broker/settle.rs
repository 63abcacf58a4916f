//! How an owner learns where its shard stands, and how it appends: conditionally, and with every doubt settled
//! before anything else happens. DESIGN §4 has the rules, docs/protocol.md the argument.

use bytes::Bytes;
use millrace_core::pack::{Pack, PackKind, open_pack};
use millrace_log::{AppendError, LogError, Message};
use tokio::time::Instant;

use super::owned::Stop;
use super::owner::{Held, Owner};
use super::reshards;
use super::settings::Patience;
use super::tail::TailPack;
use crate::metrics::Settled;
use crate::sabotage::{self, Bug};

/// What the first message after the one that an append was conditional on says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is the append: it landed.
    Ours,
    /// The shard has ended. The append never landed and never can.
    Ended,
    /// Another broker's, or an earlier append of this same run that was given up in doubt, or one of a later time
    /// in which this run owned the shard. The append never landed and never can. To go on from a pack of one's own
    /// would be wrong: retention may have emptied the shard in between, and taken a CLOSE.
    Theirs,
}

impl Owner {
    /// Makes sure that this owner may append records: it knows the shard's last message, there is one (an OPEN
    /// if need be), and the map, read after that, names the shard open.
    pub(super) async fn ready(&mut self) -> Result<Held, Stop> {
        loop {
            let held = match self.held {
                Some(held) => held,
                None => self.acquire().await?,
            };
            if held.open {
                return Ok(held);
            }
            if held.last == 0 {
                // Nothing is stored: the shard is new, or retention has emptied it. Only an OPEN may go in on
                // the condition that nothing is there, since retention may as well have taken a CLOSE.
                let now_ms = self.context.clock.now_ms();
                let pack_id = self.context.next_pack_id();
                let pack = open_pack(self.context.me, pack_id, now_ms);
                self.store(pack_id, pack, held.last_arrival_ms, false).await?;
            }
            let address = self.shard.address.clone();
            let map = match sabotage::is(Bug::SkipMapReadAfterOpen) {
                true => Ok(self.context.catalog.map(&address.data)),
                false => self.context.catalog.fresh_map(&address.data).await,
            };
            let map = map.map_err(|error| self.lost(Stop::Unavailable(error.to_string())))?;
            let Some(map) = map.map(|known| known.map).filter(|map| map.get(address.shard).is_some()) else {
                self.ended = true;
                return Err(self.lost(Stop::Ended));
            };
            if let Some(reshard) = map.reshard_of(address.shard) {
                // A parent whose end the map has noted takes nothing more, even if retention has taken its CLOSE
                // before the reshard's other parent was closed: readers leave it at that end.
                let noted = reshard.parents.iter().any(|p| p.id == address.shard && p.end.is_some());
                if noted && !sabotage::is(Bug::ForgetNotedEnd) {
                    self.ended = true;
                    return Err(self.lost(Stop::Ended));
                }
                // An owner that comes to a shard which is to end begins with that. Retention may have taken a
                // CLOSE that no map has noted, and whoever wrote it may be about to note it still: a record that
                // went in now would lie behind that end.
                if !sabotage::is(Bug::PutOffClose) {
                    self.append_close(reshard.epoch).await?;
                    return Err(Stop::Ended);
                }
            }
            if let Some(held) = &mut self.held {
                held.open = true;
            }
        }
    }

    fn lost(&mut self, stop: Stop) -> Stop {
        self.forget();
        stop
    }

    /// Learns the shard's last message from the log's leader.
    pub(super) async fn acquire(&mut self) -> Result<Held, Stop> {
        let mut patience = self.patience();
        let last = loop {
            match self.context.log.last(&self.shard.address).await {
                Ok(last) => break last,
                Err(LogError::NoLane) => {
                    return Err(self.lost(Stop::Unavailable(format!(
                        "the lane {} is missing in JetStream",
                        self.shard.address.lane.stream_name(&self.shard.address.data)
                    ))));
                }
                Err(error) => self.pause(&mut patience, &error.to_string()).await?,
            }
        };
        let held = match last {
            None => {
                self.begin(0, 0, false);
                Held { last: 0, last_arrival_ms: 0, open: false }
            }
            Some(message) => {
                let pack = self.decode(&message)?;
                if let PackKind::Close { .. } = pack.header.kind {
                    return Err(self.end(message.sequence, pack.first_arrival_ms, None).await);
                }
                let last_arrival_ms = pack.last_arrival_ms();
                self.begin(message.sequence, last_arrival_ms, false);
                Held { last: message.sequence, last_arrival_ms, open: false }
            }
        };
        self.held = Some(held);
        Ok(held)
    }

    /// Appends a pack after the last message that this owner knows, and settles every doubt. Returns the pack's
    /// sequence. After an error other than `Full` nothing is known of the shard any more.
    pub(super) async fn store(
        &mut self,
        pack_id: u64,
        pack: Bytes,
        arrival_ms: i64,
        closes: bool,
    ) -> Result<u64, Stop> {
        let mut doubted = false;
        let result = self.settle(pack_id, pack, arrival_ms, closes, &mut doubted).await;
        if doubted {
            self.context.metrics.settled(match &result {
                Ok(_) => Settled::Stored,
                Err(Stop::Ended | Stop::NotOwner | Stop::Full) => Settled::NotStored,
                Err(Stop::Unavailable(_)) => Settled::Unknown,
            });
        }
        result
    }

    /// `doubted`: set once an attempt is not simply acknowledged, or refused for want of space.
    async fn settle(
        &mut self,
        pack_id: u64,
        pack: Bytes,
        arrival_ms: i64,
        closes: bool,
        doubted: &mut bool,
    ) -> Result<u64, Stop> {
        #[cfg_attr(not(feature = "sabotage"), expect(unused_mut))]
        let Some(mut held) = self.held else { return Err(Stop::NotOwner) };
        let address = self.shard.address.clone();
        let mut patience = self.patience();
        // Whether an attempt on the present condition may land later.
        let mut afloat = false;
        loop {
            let answer = self.context.log.append(&address, held.last, pack.clone()).await;
            #[cfg(feature = "sabotage")]
            if let Some(stop) = self.settle_wrongly(&answer, &mut held, &mut afloat, closes).await {
                return match stop {
                    Some(stop) => Err(stop),
                    None => Ok(self.stored(held.last + 1, held, pack, arrival_ms, closes).await),
                };
            }
            let refused = match answer {
                Ok(sequence) => return Ok(self.stored(sequence, held, pack, arrival_ms, closes).await),
                Err(AppendError::Full(_)) if !afloat => return Err(Stop::Full),
                Err(AppendError::Full(why)) => return Err(self.lost(Stop::Unavailable(why))),
                Err(AppendError::WrongSequence) => true,
                Err(AppendError::Unknown(_)) => false,
            };
            *doubted = true;
            // Never append elsewhere, and never with another condition, before this is known: what stands
            // first after the message that the append was conditional on? The leader says.
            let next = loop {
                let next = match sabotage::is(Bug::LookAtTheTail) {
                    true => self.context.log.last(&address).await,
                    false => self.context.log.first_after(&address, held.last).await,
                };
                match next {
                    Ok(next) => break next,
                    Err(error) => self.pause(&mut patience, &error.to_string()).await?,
                }
            };
            let Some(message) = next else {
                if refused && held.last != 0 && self.is_emptied(held.last).await {
                    return Err(self.begin_anew(patience.deadline).await);
                }
                // Not landed (yet), even if it was refused: a leader that was deposed and does not know it refuses by
                // what it has, and finds nothing here either, while the true one stores this very attempt. The same
                // condition keeps a second landing out.
                if refused {
                    tracing::debug!(shard = %address.shard, expected = held.last, "refused, and nothing is in its way");
                }
                afloat = true;
                self.pause(&mut patience, "an append stays in doubt").await?;
                continue;
            };
            let found = self.decode(&message)?;
            match verdict(&found, self.context.me.0, pack_id) {
                Verdict::Ours => {
                    return Ok(self.stored(message.sequence, held, pack, arrival_ms, closes).await);
                }
                other => {
                    // After a refusal too: it may be a deposed leader's, while the true one stored this very attempt.
                    let forgotten = self.is_forgotten(held.last).await;
                    let stop = match other {
                        Verdict::Ended => self.end(message.sequence, found.first_arrival_ms, None).await,
                        _ => self.lost(Stop::NotOwner),
                    };
                    return Err(match forgotten {
                        true => {
                            Stop::Unavailable("an append was in doubt for longer than retention".to_owned())
                        }
                        false => stop,
                    });
                }
            }
        }
    }

    /// Whether retention has taken the message that an append is conditional on, and all before it. What one leader
    /// has removed stays removed, so that even a deposed one tells the truth.
    async fn is_emptied(&self, last: u64) -> bool {
        let state = self.context.log.lane_state(&self.shard.address.lane()).await;
        state.is_ok_and(|state| state.first > last)
    }

    /// The message that an append was conditional on is gone, so that no attempt will be accepted any more. Only
    /// the true leader knows whether one was: if it takes an OPEN on the condition that nothing is stored, none
    /// was, and the caller begins anew after that.
    async fn begin_anew(&mut self, deadline: Instant) -> Stop {
        let pack = open_pack(self.context.me, self.context.next_pack_id(), self.context.clock.now_ms());
        let opened = self.context.log.append(&self.shard.address, 0, pack).await;
        self.lost(match opened {
            // Past the deadline retention may have taken the pack itself.
            Ok(_) if Instant::now() <= deadline => Stop::NotOwner,
            _ => Stop::Unavailable("an append was in doubt while retention emptied the shard".to_owned()),
        })
    }

    /// Whether retention may have taken messages that came right after this one, so that the first one that is
    /// there need not be the first one that was. To be asked after that one was read.
    async fn is_forgotten(&self, after: u64) -> bool {
        if sabotage::is(Bug::ForgetRetention) {
            return false;
        }
        let state = self.context.log.lane_state(&self.shard.address.lane()).await;
        state.map_or(true, |state| state.first > after + 1)
    }

    /// Settles a doubt as one must not: `Some(None)` says that the pack is stored, `Some(Some(_))` that it is not.
    #[cfg(feature = "sabotage")]
    async fn settle_wrongly(
        &mut self,
        answer: &Result<u64, AppendError>,
        held: &mut Held,
        afloat: &mut bool,
        closes: bool,
    ) -> Option<Option<Stop>> {
        let in_doubt = matches!(answer, Err(AppendError::Unknown(_)));
        let refused = matches!(answer, Err(AppendError::WrongSequence));
        let is = sabotage::is;
        if (in_doubt && is(Bug::RouteInDoubt)) || (refused && is(Bug::TrustRefusal)) {
            return Some(Some(self.lost(Stop::NotOwner)));
        }
        let trusts = in_doubt && is(if closes { Bug::TrustClose } else { Bug::TrustSilence });
        if trusts || (answer.is_err() && !closes && is(Bug::AcknowledgeEarly)) {
            return Some(None);
        }
        if ((in_doubt && is(Bug::RetryBlindly)) || (refused && is(Bug::AppendUnconditionally)))
            && let Ok(Some(last)) = self.context.log.last(&self.shard.address).await
        {
            held.last = last.sequence;
            *afloat = true;
        }
        None
    }

    async fn stored(&mut self, sequence: u64, held: Held, pack: Bytes, arrival_ms: i64, closes: bool) -> u64 {
        if closes {
            self.end(sequence, arrival_ms, Some(pack)).await;
        } else {
            let last_arrival_ms = held.last_arrival_ms.max(arrival_ms);
            self.held = Some(Held { last: sequence, last_arrival_ms, open: held.open });
            self.note(TailPack { sequence, pack }, last_arrival_ms, false);
        }
        sequence
    }

    /// The shard's CLOSE is stored at `sequence`: nothing can follow it. Helps to finish the reshard; if that
    /// fails, the reshards' watch goes on with it.
    async fn end(&mut self, sequence: u64, arrival_ms: i64, ours: Option<Bytes>) -> Stop {
        match ours {
            Some(pack) => self.note(TailPack { sequence, pack }, arrival_ms, true),
            None => self.begin(sequence, arrival_ms, true),
        }
        self.ended = true;
        self.end = Some(sequence);
        self.held = None;
        if sabotage::is(Bug::AppendAfterClose) {
            self.ended = false;
            self.held = Some(Held { last: sequence, last_arrival_ms: arrival_ms, open: true });
        }
        self.finish_reshard(sequence).await;
        Stop::Ended
    }

    /// Helps to finish the reshard that has ended this shard.
    pub(super) async fn finish_reshard(&self, end: u64) {
        let address = &self.shard.address;
        if let Err(error) = reshards::finish(&self.context, &address.data, address.shard, end).await {
            tracing::debug!(shard = %address.shard, data = %address.data, %error, "its reshard is not finished yet");
        }
    }

    fn decode(&mut self, message: &Message) -> Result<Pack, Stop> {
        Pack::decode(message.payload.clone()).map_err(|error| {
            let address = &self.shard.address;
            tracing::error!(
                shard = %address.shard, data = %address.data, lane = address.lane.0,
                sequence = message.sequence, %error, "a stored pack can't be read"
            );
            self.lost(Stop::Unavailable(error.to_string()))
        })
    }

    fn patience(&self) -> Patience {
        let settings = &self.context.settings;
        settings.patience(settings.settle_for)
    }

    /// Waits before another try; gives up when there is no time for one.
    async fn pause(&mut self, patience: &mut Patience, why: &str) -> Result<(), Stop> {
        let Some(pause) = patience.pause() else {
            return Err(self.lost(Stop::Unavailable(why.to_owned())));
        };
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

fn verdict(found: &Pack, me: u64, pack_id: u64) -> Verdict {
    let mine = found.header.owner.0 == me;
    match found.header.kind {
        _ if mine && found.header.pack_id == pack_id => Verdict::Ours,
        _ if mine && sabotage::is(Bug::MistakeOwnPack) => Verdict::Ours,
        PackKind::Close { .. } => Verdict::Ended,
        _ => Verdict::Theirs,
    }
}
