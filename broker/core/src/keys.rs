//! The keys under which a cluster's state lies in KV. Tenant-chosen names are escaped: see [`escape_name`].

use crate::id::{BrokerId, DataId, ShardId, escape_name, unescape_name};

/// All [`stream`] entries.
pub const STREAMS: &str = "stream.";
/// All [`map`] entries.
pub const MAPS: &str = "map.";
/// All [`attributes`] entries.
pub const ATTRIBUTES: &str = "attributes.";
/// All brokers' heartbeats.
pub const BROKERS: &str = "broker.";
/// The key that tokens are sealed with: 32 random bytes, made once.
pub const TOKEN_KEY: &str = "secret.tokens";

/// A stream's identity and configuration, a [`crate::StreamEntry`].
pub fn stream(namespace: &str, name: &str) -> String {
    format!("{STREAMS}{}.{}", escape_name(namespace), escape_name(name))
}

/// The namespace and name that a [`stream`] key was made of.
pub fn parse_stream(key: &str) -> Option<(String, String)> {
    let (namespace, name) = key.strip_prefix(STREAMS)?.split_once('.')?;
    Some((unescape_name(namespace)?, unescape_name(name)?))
}

/// A stream's [`crate::ShardMap`].
pub fn map(data: &DataId) -> String {
    format!("{MAPS}{data}")
}

/// The data id that a [`map`] key was made of.
pub fn parse_map(key: &str) -> Option<DataId> {
    key.strip_prefix(MAPS)?.parse().ok()
}

/// What users keep of a stream, a [`crate::StreamAttributes`]. Absent where they keep nothing.
pub fn attributes(data: &DataId) -> String {
    format!("{ATTRIBUTES}{data}")
}

/// The data id that an [`attributes`] key was made of.
pub fn parse_attributes(key: &str) -> Option<DataId> {
    key.strip_prefix(ATTRIBUTES)?.parse().ok()
}

/// A namespace's [`crate::AccountSettings`]. Absent where they were never changed.
pub fn account(namespace: &str) -> String {
    format!("account.{}", escape_name(namespace))
}

/// All [`closed`] entries of a stream.
pub fn closed_of(data: &DataId) -> String {
    format!("closed.{data}.")
}

/// A [`crate::ClosedShard`].
pub fn closed(data: &DataId, shard: ShardId) -> String {
    format!("closed.{data}.{}", shard.0)
}

/// A broker's heartbeat.
pub fn broker(id: BrokerId) -> String {
    format!("{BROKERS}{id}")
}

/// The broker that a [`broker`] key was made of.
pub fn parse_broker(key: &str) -> Option<BrokerId> {
    u64::from_str_radix(key.strip_prefix(BROKERS)?, 16).ok().map(BrokerId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_keys_give_their_names_back() {
        let key = stream("team.a", "Orders_v1.raw");
        assert_eq!(key, "stream.team_2ea.Orders_5fv1_2eraw");
        assert_eq!(parse_stream(&key), Some(("team.a".into(), "Orders_v1.raw".into())));
        assert_eq!(parse_stream("stream.a"), None);
    }
}
