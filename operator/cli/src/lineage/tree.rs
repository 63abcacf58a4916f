//! The lineage as a picture.

use std::collections::BTreeSet;

use millrace_core::{HashRange, ShardId};

use super::Shard;

/// The shards as a tree, a line each: children below their parent, with their part of the hash space in per
/// cent. A merge's child stands below the parent that it names last in the tree, with the other told beside
/// it.
pub fn draw(shards: &[Shard]) -> String {
    let mut order: Vec<&Shard> = shards.iter().collect();
    order.sort_by_key(|shard| (shard.range.start, shard.id));
    let tree = Tree { order, digits: digits(shards) };
    let mut rows = Vec::new();
    let mut drawn = BTreeSet::new();
    for shard in tree.order.iter().filter(|shard| tree.parents(shard).next().is_none()) {
        tree.add(shard, "", "", &mut drawn, &mut rows);
    }
    let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    rows.iter()
        .map(|(label, rest)| format!("{label}{}  {rest}\n", " ".repeat(width - label.chars().count())))
        .collect()
}

struct Tree<'a> {
    order: Vec<&'a Shard>,
    digits: usize,
}

impl<'a> Tree<'a> {
    /// The parents that retention has not taken.
    fn parents(&self, shard: &'a Shard) -> impl Iterator<Item = ShardId> + use<'_, 'a> {
        shard.parents.iter().copied().filter(|id| self.order.iter().any(|other| other.id == *id))
    }

    /// Adds a shard and everything below it. `first` leads its own line, `rest` the lines below.
    fn add(
        &self,
        shard: &'a Shard,
        first: &str,
        rest: &str,
        drawn: &mut BTreeSet<ShardId>,
        rows: &mut Vec<(String, String)>,
    ) {
        drawn.insert(shard.id);
        let others = self.parents(shard).collect::<Vec<_>>();
        let merged = match others[..] {
            [a, b] => format!(", merged from {} and {}", a.0, b.0),
            _ => String::new(),
        };
        let state = if shard.open { "open" } else { "closed" };
        rows.push((format!("{first}{}", shard.id), format!("{} {state}{merged}", self.share(shard.range))));
        let children: Vec<&Shard> =
            self.order.iter().copied().filter(|child| child.parents.contains(&shard.id)).collect();
        for (index, child) in children.iter().enumerate() {
            let last = index + 1 == children.len();
            let branch = format!("{rest}{}", if last { "└─ " } else { "├─ " });
            let below = format!("{rest}{}", if last { "   " } else { "│  " });
            // A merge's child has its place below the parent that is drawn last; the other points to it.
            let waits = self.parents(child).any(|parent| !drawn.contains(&parent));
            if waits || drawn.contains(&child.id) {
                rows.push((format!("{branch}→ {}", child.id), "see there".to_owned()));
            } else {
                self.add(child, &branch, &below, drawn, rows);
            }
        }
    }

    fn share(&self, range: HashRange) -> String {
        let digits = self.digits;
        let width = digits + 4;
        let (from, to) = (per_cent(range.start.0), per_cent(range.end.0));
        format!("{from:>width$.digits$} – {to:>width$.digits$} %")
    }
}

/// A place in the hash space as a share of the whole.
#[allow(clippy::cast_precision_loss)]
fn per_cent(place: u128) -> f64 {
    place as f64 / u128::MAX as f64 * 100.0
}

/// How many digits tell the narrowest shard's ends apart.
fn digits(shards: &[Shard]) -> usize {
    let narrowest = shards.iter().map(|shard| per_cent(shard.range.width())).fold(100.0, f64::min);
    match narrowest {
        width if width >= 1.0 => 1,
        width if width >= 0.1 => 2,
        width if width >= 0.01 => 3,
        _ => 6,
    }
}
