//! What the chart says to people.

use millrace_chart_tests::{notes, repository, skipped};

#[test]
fn the_notes_name_the_next_two_commands_and_a_file_that_is_there() {
    if skipped() {
        return;
    }
    for (values, namespace) in [(&[][..], "default"), (&["watchNamespaces={shop,sensors}"][..], "shop")] {
        let notes = notes(values);
        let commands: Vec<Vec<&str>> = notes
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("kubectl "))
            .map(|line| line.split(' ').collect())
            .collect();
        let [apply, watch] = &commands[..] else { panic!("not two commands: {notes}") };
        assert_eq!(apply[..5], ["kubectl", "apply", "--namespace", namespace, "--filename"]);
        assert!(repository().join(apply[5]).is_file(), "{} is not there", apply[5]);
        assert_eq!(watch[..], ["kubectl", "get", "--namespace", namespace, "streams", "--watch"]);
    }
}
