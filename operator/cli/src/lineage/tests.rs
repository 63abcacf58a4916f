use super::*;

fn shard(id: u64, parents: &[u64], percent: (u128, u128), open: bool) -> Shard {
    let hundredth = u128::MAX / 100;
    let end = if percent.1 == 100 { u128::MAX } else { percent.1 * hundredth - 1 };
    Shard {
        id: ShardId(id),
        parents: parents.iter().copied().map(ShardId).collect(),
        range: HashRange { start: HashKey(percent.0 * hundredth), end: HashKey(end) },
        open,
    }
}

#[test]
fn a_stream_of_one_shard_is_one_line() {
    assert_eq!(draw(&[shard(0, &[], (0, 100), true)]), "shardId-000000000000    0.0 – 100.0 % open\n");
}

#[test]
fn children_stand_below_their_parent_in_the_order_of_their_ranges() {
    let drawn = draw(&[
        shard(0, &[], (0, 50), false),
        shard(1, &[], (50, 100), true),
        shard(2, &[0], (0, 10), false),
        shard(3, &[0], (10, 50), true),
        shard(4, &[2], (0, 5), true),
        shard(5, &[2], (5, 10), true),
    ]);
    let expected = "\
shardId-000000000000          0.0 –  50.0 % closed
├─ shardId-000000000002       0.0 –  10.0 % closed
│  ├─ shardId-000000000004    0.0 –   5.0 % open
│  └─ shardId-000000000005    5.0 –  10.0 % open
└─ shardId-000000000003      10.0 –  50.0 % open
shardId-000000000001         50.0 – 100.0 % open
";
    assert_eq!(drawn, expected, "\n{drawn}");
}

#[test]
fn a_merges_child_stands_once_and_its_other_parent_points_to_it() {
    let drawn = draw(&[
        shard(0, &[], (0, 50), false),
        shard(1, &[], (50, 100), false),
        shard(2, &[0, 1], (0, 100), false),
        shard(3, &[2], (0, 20), true),
        shard(4, &[2], (20, 100), true),
    ]);
    let expected = "\
shardId-000000000000          0.0 –  50.0 % closed
└─ → shardId-000000000002   see there
shardId-000000000001         50.0 – 100.0 % closed
└─ shardId-000000000002       0.0 – 100.0 % closed, merged from 0 and 1
   ├─ shardId-000000000003    0.0 –  20.0 % open
   └─ shardId-000000000004   20.0 – 100.0 % open
";
    assert_eq!(drawn, expected, "\n{drawn}");
}

#[test]
fn a_shard_whose_parents_retention_took_is_a_root() {
    let drawn = draw(&[shard(7, &[3], (0, 60), true), shard(8, &[3, 4], (60, 100), true)]);
    assert_eq!(drawn.lines().count(), 2);
    assert!(!drawn.contains("merged"), "{drawn}");
}

#[test]
fn narrow_shards_get_more_digits() {
    let mut narrow = shard(0, &[], (0, 100), true);
    narrow.range.end = HashKey(u128::MAX / 2_000);
    assert!(draw(&[narrow]).contains("0.000 –   0.050 %"));
}

#[test]
fn shards_are_named_as_the_api_names_them_or_by_their_number() {
    for text in ["shardId-000000000007", "shardId-7", "7"] {
        assert_eq!(read_id(text).unwrap(), ShardId(7));
    }
    for text in ["", "shardId-", "seven", "-7", "7 "] {
        assert!(read_id(text).unwrap_err().to_string().contains("is no shard"), "{text:?}");
    }
}
