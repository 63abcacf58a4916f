//! The answer for people. Pure.

use jiff::Timestamp;
use millrace_crds::stream::DecisionStatus;

use super::answer::Answer;
use crate::status::table::{age, fields, one_line, span, table};

/// Draws it: how it stands first, what to do last.
pub(super) fn draw(answer: &Answer, now: Timestamp) -> String {
    let mut drawn = standing(answer, now);
    drawn += &fields(&facts(answer, now));
    if !answer.acts.is_empty() {
        let rows = answer.acts.iter().map(|act| vec![act.action.clone(), act.when.clone()]).collect();
        drawn += &format!("\nWhat would make it act\n{}", table(&["ACTION", "WHEN"], rows));
    }
    drawn += &decisions(&answer.decisions, now);
    if !answer.next.is_empty() {
        let steps: String = answer.next.iter().map(|step| format!("  {}\n", one_line(step))).collect();
        drawn += &format!("\nWhat to do\n{steps}");
    }
    drawn
}

fn standing(answer: &Answer, now: Timestamp) -> String {
    match (&answer.standing, &answer.message) {
        (Some(standing), Some(message)) => {
            let since = answer.since.map(|since| format!(" for {}", age(since, now))).unwrap_or_default();
            format!("{}{since}: {}\n", one_line(standing), one_line(message))
        }
        _ => "Unknown: nobody has said anything of this stream's autoscaler yet.\n".to_owned(),
    }
}

fn facts(answer: &Answer, now: Timestamp) -> Vec<(&'static str, String)> {
    let open = answer.open_shards.map_or_else(|| "not known yet".to_owned(), |open| format!("{open} open"));
    let reshards = match answer.reshards {
        None | Some(0) => String::new(),
        Some(1) => ", 1 reshard under way".to_owned(),
        Some(n) => format!(", {n} reshards under way"),
    };
    let mut facts = vec![
        ("Stream", format!("{} in namespace {}", answer.stream, answer.namespace)),
        ("Shards", open + &reshards),
    ];
    if let Some(percent) = answer.busiest_percent {
        facts.push(("Busiest", format!("{percent} % of its target")));
    }
    if let Some(merge_at) = answer.merge_at {
        let left = merge_at.as_second() - now.as_second();
        let when = if left > 0 { format!("in {}", span(left)) } else { "now".to_owned() };
        facts.push(("Merge", format!("{when}, if load stays as it is ({merge_at})")));
    }
    if let Some(seen) = answer.observed_at {
        facts.push(("Seen", format!("{} ago, and little has changed since", age(seen, now))));
    }
    facts
}

fn decisions(decisions: &[DecisionStatus], now: Timestamp) -> String {
    if decisions.is_empty() {
        return "\nLast decisions: none lately\n".to_owned();
    }
    let row = |each: &DecisionStatus| {
        let done = if each.applied { "yes" } else { "no" };
        vec![age(each.time.0, now), each.reason.clone(), done.to_owned(), each.message.clone()]
    };
    let rows = decisions.iter().map(row).collect();
    format!("\nLast decisions, the newest first\n{}", table(&["AGE", "DECISION", "DONE", "WHY"], rows))
}
