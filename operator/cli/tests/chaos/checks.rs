//! What has to hold of the records that are read at the end, given what was sent and what was acknowledged.
//! Pure: the defects that it finds are planted in its own tests.

use std::collections::{BTreeMap, HashSet};

use millrace_core::HashKey;

use crate::kinesis::Shard;

/// How many violations are told.
const TOLD: usize = 20;

/// One time that one record was sent. Its payload says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    /// The key's number.
    pub(crate) key: u32,
    /// The record's number among its key's, from 0.
    pub(crate) number: u32,
    /// How often it had been sent before.
    pub(crate) attempt: u32,
}

impl Attempt {
    /// The record's data: unique, and of lengths that vary.
    pub(crate) fn payload(&self) -> String {
        let Attempt { key, number, attempt } = *self;
        let filler = (key as usize * 7 + number as usize * 13 + attempt as usize) % 64;
        format!("{key}.{number}.{attempt}.{:x<filler$}", "")
    }

    /// The attempt that a payload says, if it is whole.
    pub(crate) fn parse(payload: &str) -> Option<Attempt> {
        let mut parts = payload.splitn(4, '.');
        let mut next = || parts.next()?.parse().ok();
        let attempt = Attempt { key: next()?, number: next()?, attempt: next()? };
        (attempt.payload() == payload).then_some(attempt)
    }
}

/// A key's partition key.
pub(crate) fn partition_key(key: u32) -> String {
    format!("key-{key}")
}

/// The hash key that a key's records name, where they name one: each eighth does.
pub(crate) fn explicit_hash_key(key: u32) -> Option<HashKey> {
    key.is_multiple_of(8)
        .then(|| HashKey(u128::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)))
}

/// Where a key's records belong.
fn place(key: u32) -> HashKey {
    explicit_hash_key(key).unwrap_or_else(|| HashKey::of_partition_key(&partition_key(key)))
}

/// An acknowledgement, of a key's record with the number that it has in the key's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// Which attempt: the last one, after which the record was not sent again.
    pub(crate) attempt: u32,
    /// Where it is said to lie.
    pub(crate) shard: u64,
    pub(crate) sequence: u128,
}

/// A record as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) sequence: u128,
    pub(crate) sent: Attempt,
}

/// What was seen, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    pub(crate) read: u64,
    /// Records that were read more than once, since their clients had sent them more than once.
    pub(crate) duplicates: u64,
}

/// Checks everything. `keys`: each key's acknowledgements in the order of their numbers. `shards`: in the order
/// of their ids. `resharded`: parents of reshards that were begun.
///
/// # Errors
/// The first violations, in words.
pub(crate) fn check(
    keys: &[Vec<Acknowledged>],
    shards: &[(Shard, Vec<Read>)],
    resharded: &[u64],
) -> Result<Counts, String> {
    let mut violations = Vec::new();
    check_shards(shards, resharded, &mut violations);
    check_sequences(shards, &mut violations);
    let counts = check_records(keys, shards, &mut violations);
    if violations.is_empty() {
        return Ok(counts);
    }
    let count = violations.len();
    violations.truncate(TOLD);
    Err(format!("{count} violations, {counts:?}:\n{}", violations.join("\n")))
}

/// Open shards partition the hash space, each shard's children cover it, and what was begun is finished.
fn check_shards(shards: &[(Shard, Vec<Read>)], resharded: &[u64], violations: &mut Vec<String>) {
    let full = (0, u128::MAX);
    let open = shards.iter().map(|(shard, _)| shard).filter(|shard| shard.ends.is_none());
    if !partitions(full, open.clone().map(|shard| shard.range).collect()) {
        violations
            .push(format!("the open shards do not partition the hash space: {:?}", open.collect::<Vec<_>>()));
    }
    let known: BTreeMap<u64, &Shard> = shards.iter().map(|(shard, _)| (shard.id, shard)).collect();
    for (shard, _) in shards {
        let children =
            shards.iter().map(|(child, _)| child).filter(|child| child.parents.contains(&shard.id));
        // A child of a merge reaches beyond each of its parents.
        let clip = |child: &Shard| (child.range.0.max(shard.range.0), child.range.1.min(shard.range.1));
        let ranges: Vec<_> = children.map(clip).collect();
        if shard.ends.is_some() != partitions(shard.range, ranges) {
            violations.push(format!("shard {} and its children do not fit: {shard:?}", shard.id));
        }
        for parent in &shard.parents {
            match known.get(parent) {
                Some(known) if known.ends.is_some() && known.id < shard.id => {}
                found => violations.push(format!("shard {} has the parent {parent}: {found:?}", shard.id)),
            }
        }
    }
    for parent in resharded {
        if known.get(parent).is_none_or(|shard| shard.ends.is_none()) {
            violations.push(format!("the reshard of shard {parent} was begun and is not finished"));
        }
    }
}

/// Whether the ranges, sorted, cover `whole` without gap or overlap.
fn partitions(whole: (u128, u128), mut ranges: Vec<(u128, u128)>) -> bool {
    ranges.sort_unstable();
    let mut next = Some(whole.0);
    for (start, end) in ranges {
        if next != Some(start) || end < start {
            return false;
        }
        next = end.checked_add(1);
    }
    next == whole.1.checked_add(1)
}

/// Sequence numbers increase in each shard, lie between its ends, and above those of its parents.
fn check_sequences(shards: &[(Shard, Vec<Read>)], violations: &mut Vec<String>) {
    let mut last_of: BTreeMap<u64, u128> = BTreeMap::new();
    for (shard, records) in shards {
        let parents = shard.parents.iter().filter_map(|parent| last_of.get(parent)).max();
        let mut last = shard.starts.max(parents.copied().unwrap_or(0));
        for record in records {
            let beyond = shard.ends.is_some_and(|ends| record.sequence >= ends);
            if record.sequence <= last || beyond {
                violations.push(format!(
                    "in shard {} {record:?} comes after sequence number {last}; it ends at {:?}",
                    shard.id, shard.ends
                ));
            }
            last = record.sequence;
        }
        last_of.insert(shard.id, last);
    }
}

/// Every acknowledged record lies where it was acknowledged; nothing lies twice that was sent once; each key's
/// records first occur in their order.
fn check_records(
    keys: &[Vec<Acknowledged>],
    shards: &[(Shard, Vec<Read>)],
    violations: &mut Vec<String>,
) -> Counts {
    let mut counts = Counts::default();
    let mut seen: HashSet<Attempt> = HashSet::new();
    let mut next: Vec<u32> = vec![0; keys.len()];
    let mut found: Vec<Vec<bool>> = keys.iter().map(|key| vec![false; key.len()]).collect();
    let places: Vec<u128> = (0..keys.len() as u32).map(|key| place(key).0).collect();
    // A key's shards follow each other in the order of their ids: a child's is above its parents'.
    for (shard, records) in shards {
        for record in records {
            counts.read += 1;
            let sent = record.sent;
            let (key, number) = (sent.key as usize, sent.number as usize);
            let Some(acknowledged) = keys.get(key).and_then(|key| key.get(number)) else {
                violations.push(format!("{sent:?} in shard {} was never sent", shard.id));
                continue;
            };
            if sent.attempt > acknowledged.attempt {
                violations.push(format!("{sent:?} in shard {} was never sent", shard.id));
            }
            if !seen.insert(sent) {
                violations.push(format!("{sent:?} was sent once and is stored again, in shard {}", shard.id));
            }
            if places[key] < shard.range.0 || places[key] > shard.range.1 {
                violations.push(format!("{sent:?} does not belong into shard {}", shard.id));
            }
            match sent.number.cmp(&next[key]) {
                std::cmp::Ordering::Equal => next[key] += 1,
                std::cmp::Ordering::Less => counts.duplicates += 1,
                std::cmp::Ordering::Greater => violations.push(format!(
                    "{sent:?} in shard {} comes before its key's number {}",
                    shard.id, next[key]
                )),
            }
            if sent.attempt == acknowledged.attempt {
                found[key][number] = true;
                if (shard.id, record.sequence) != (acknowledged.shard, acknowledged.sequence) {
                    violations.push(format!(
                        "{record:?} in shard {} was acknowledged elsewhere: {acknowledged:?}",
                        shard.id
                    ));
                }
            }
        }
    }
    for (key, acknowledged) in keys.iter().enumerate() {
        counts.acknowledged += acknowledged.len() as u64;
        for (number, acknowledged) in acknowledged.iter().enumerate().filter(|(n, _)| !found[key][*n]) {
            violations.push(format!("key {key}'s number {number} is missing: {acknowledged:?}"));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u128 = 1 << 127;

    type World = (Vec<Vec<Acknowledged>>, Vec<(Shard, Vec<Read>)>);

    fn shard(id: u64, parents: &[u64], range: (u128, u128), starts: u128, ends: Option<u128>) -> Shard {
        Shard { id, parents: parents.to_vec(), range, starts, ends }
    }

    /// Shard 0 was split into 1 and 2. Keys 0 and 8 name their hash keys; 0 lies in the lower half. Of key 0's
    /// number 1 the first attempt came to nothing but a duplicate.
    fn world() -> World {
        let other = (1..64).find(|key| place(*key).0 >= HALF && !key.is_multiple_of(8)).expect("a key");
        let mut keys = vec![Vec::new(); other as usize + 1];
        let mut shards = vec![
            (shard(0, &[], (0, u128::MAX), 0, Some(100)), Vec::new()),
            (shard(1, &[0], (0, HALF - 1), 100, None), Vec::new()),
            (shard(2, &[0], (HALF, u128::MAX), 100, None), Vec::new()),
        ];
        let mut put = |key: u32, number: u32, attempt: u32, shard: u64, sequence: u128| {
            let acknowledged: &mut Vec<Acknowledged> = &mut keys[key as usize];
            acknowledged.truncate(number as usize);
            acknowledged.push(Acknowledged { attempt, shard, sequence });
            shards[shard as usize].1.push(Read { sequence, sent: Attempt { key, number, attempt } });
        };
        put(0, 0, 0, 0, 1);
        put(other, 0, 0, 0, 2);
        put(0, 1, 0, 0, 3);
        put(0, 1, 1, 1, 101);
        put(0, 2, 0, 1, 102);
        put(other, 1, 0, 2, 101);
        (keys, shards)
    }

    fn violation(spoil: impl FnOnce(&mut World)) -> String {
        let mut world = world();
        spoil(&mut world);
        check(&world.0, &world.1, &[0]).expect_err("it was spoiled")
    }

    #[test]
    fn a_duplicate_that_its_client_caused_is_counted_and_allowed() {
        let (keys, shards) = world();
        let counts = check(&keys, &shards, &[0]).expect("nothing is wrong");
        assert_eq!(counts, Counts { acknowledged: 5, read: 6, duplicates: 1 });
    }

    #[test]
    fn a_record_that_is_missing_doubled_moved_or_out_of_order_is_told() {
        assert!(violation(|(_, shards)| shards[2].1.clear()).contains("number 1 is missing"));
        let again = violation(|(_, shards)| {
            let sent = shards[1].1[1].sent;
            shards[1].1.push(Read { sequence: 103, sent });
        });
        assert!(again.contains("was sent once and is stored again"), "{again}");
        assert!(violation(|(_, shards)| shards[1].1.swap(0, 1)).contains("comes after sequence number 102"));
        let order = violation(|(_, shards)| {
            let records = &mut shards[0].1;
            (records[0].sent, records[2].sent) = (records[2].sent, records[0].sent);
        });
        assert!(order.contains("comes before its key's number 0"), "{order}");
        let moved = violation(|(_, shards)| {
            let record = shards[1].1.pop().expect("a record");
            shards[2].1.push(record);
        });
        assert!(moved.contains("does not belong into shard 2"), "{moved}");
        assert!(moved.contains("was acknowledged elsewhere"), "{moved}");
        let strange = violation(|(_, shards)| shards[2].1[0].sent.attempt = 1);
        assert!(strange.contains("was never sent"), "{strange}");
    }

    #[test]
    fn shards_that_do_not_fit_together_are_told() {
        assert!(
            violation(|(_, shards)| shards[2].0.range.0 += 1).contains("do not partition the hash space")
        );
        assert!(violation(|(_, shards)| shards[2].0.parents.clear()).contains("its children do not fit"));
        assert!(violation(|(_, shards)| shards[0].0.ends = None).contains("begun and is not finished"));
        assert!(violation(|(_, shards)| shards[0].0.ends = Some(3)).contains("it ends at Some(3)"));
        assert!(
            violation(|(_, shards)| shards[1].0.starts = 101).contains("comes after sequence number 101")
        );
    }

    #[test]
    fn a_payload_says_which_attempt_it_is_as_long_as_it_is_whole() {
        let attempt = Attempt { key: 3, number: 4, attempt: 5 };
        assert_eq!(Attempt::parse(&attempt.payload()), Some(attempt));
        assert_eq!(Attempt::parse(&attempt.payload()[1..]), None);
        assert_eq!(Attempt::parse(&format!("{}x", attempt.payload())), None);
    }
}
