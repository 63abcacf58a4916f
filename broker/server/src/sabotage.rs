//! Mistakes in the protocol, made on purpose: the simulation proves its worth by finding each of them.
//!
//! Compiled in only with the feature `sabotage`, and then asleep until a thread makes one of them.

/// A mistake that somebody could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// After an OPEN the map is not read again.
    SkipMapReadAfterOpen,
    /// A parent whose end the map has noted takes records again once retention has emptied it.
    ForgetNotedEnd,
    /// An owner that comes to a shard which is to end appends records to it first.
    PutOffClose,
    /// An append in doubt is sent again after whatever is the last message now.
    RetryBlindly,
    /// An append in doubt is settled by the shard's last message instead of the first one after E.
    LookAtTheTail,
    /// Records whose append is in doubt are brought elsewhere at once.
    RouteInDoubt,
    /// An append in doubt is settled by the first message after E that is there, though retention may have taken
    /// others before it.
    ForgetRetention,
    /// A refused append is taken for one that never landed, though an earlier attempt may have.
    TrustRefusal,
    /// The writer is told before the log has answered.
    AcknowledgeEarly,
    /// An append in doubt is taken for stored.
    TrustSilence,
    /// Any pack of this broker's own is taken for the one in doubt.
    MistakeOwnPack,
    /// An append that is refused is tried again after the last message, whatever that is.
    AppendUnconditionally,
    /// The owner goes on after its CLOSE.
    AppendAfterClose,
    /// A CLOSE in doubt is taken for stored.
    TrustClose,
    /// The children of a merge open when the first parent is closed.
    SwapEarly,
    /// Closed shards leave the map without an entry of their own.
    ForgetClosedShard,
    /// A child gets the number of a shard that was closed.
    ReuseShardId,
    /// Children have the epoch of their parent.
    KeepEpoch,
    /// Arrival times are the owner's own, whatever came before it.
    LetArrivalGoBack,
    /// A request to another broker that may have been carried out is taken for one that was not.
    TrustPeerSilence,
    /// A replica that lags is believed when it says that there is nothing more.
    TrustReplica,
    /// A reader of a closed shard is sent to the children after its first read.
    LeaveParentEarly,
    /// Shards are listed from entries that are older than the map.
    ListEntriesFirst,
    /// A shard that is in neither place is given up, though it may have gone from one to the other meanwhile.
    LookOnce,
    /// A reader within a pack is sent back to its beginning when there is nothing new.
    LosePlaceInPack,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 25] = [
        Bug::SkipMapReadAfterOpen,
        Bug::ForgetNotedEnd,
        Bug::PutOffClose,
        Bug::RetryBlindly,
        Bug::LookAtTheTail,
        Bug::RouteInDoubt,
        Bug::ForgetRetention,
        Bug::TrustRefusal,
        Bug::AcknowledgeEarly,
        Bug::TrustSilence,
        Bug::MistakeOwnPack,
        Bug::AppendUnconditionally,
        Bug::AppendAfterClose,
        Bug::TrustClose,
        Bug::SwapEarly,
        Bug::ForgetClosedShard,
        Bug::ReuseShardId,
        Bug::KeepEpoch,
        Bug::LetArrivalGoBack,
        Bug::TrustPeerSilence,
        Bug::TrustReplica,
        Bug::LeaveParentEarly,
        Bug::ListEntriesFirst,
        Bug::LookOnce,
        Bug::LosePlaceInPack,
    ];
}

#[cfg(feature = "sabotage")]
thread_local! {
    static MADE: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread makes this mistake.
#[cfg(feature = "sabotage")]
pub fn make(bug: Option<Bug>) {
    MADE.set(bug);
}

/// Whether this mistake is to be made here.
#[cfg(feature = "sabotage")]
pub(crate) fn is(bug: Bug) -> bool {
    MADE.get() == Some(bug)
}

/// Whether this mistake is to be made here: never.
#[cfg(not(feature = "sabotage"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}

/// A map in which every parent's end is noted, before it is there.
#[cfg(feature = "sabotage")]
pub(crate) fn note_ends(map: &millrace_core::ShardMap, end: u64) -> millrace_core::ShardMap {
    let mut map = map.clone();
    if is(Bug::SwapEarly) {
        map.reshards.iter_mut().flat_map(|reshard| &mut reshard.parents).for_each(|p| p.end = Some(end));
    }
    map
}

/// Spoils the intents of a map that is about to be written.
#[cfg(feature = "sabotage")]
pub(crate) fn spoil(map: &mut millrace_core::ShardMap) {
    let Some(reshard) = map.reshards.last_mut() else { return };
    let used: Vec<_> = map.open.iter().map(|shard| shard.id).collect();
    if is(Bug::KeepEpoch) {
        let parent = map.open.iter().find(|shard| reshard.parents.iter().any(|p| p.id == shard.id));
        reshard.epoch = parent.map_or(reshard.epoch, |parent| parent.epoch);
    }
    if is(Bug::ReuseShardId)
        && let Some(child) = reshard.children.first_mut()
        && let Some(id) = (0..child.id.0).map(millrace_core::ShardId).find(|id| !used.contains(id))
    {
        child.id = id;
    }
}
