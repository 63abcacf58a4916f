//! What patterns mean, by the examples of the documentation of EventBridge and Lambda and their corner cases.

use crate::filter::Filter;

/// Holds a pattern against values of the field `v`.
#[track_caller]
fn field(pattern: &str, matching: &[&str], others: &[&str]) {
    let filter = Filter::parse(&format!(r#"{{"v": [{pattern}]}}"#)).unwrap();
    let matches = |value: &str| filter.matches(format!(r#"{{"u": [1, {{}}], "v": {value}}}"#).as_bytes());
    for value in matching {
        assert!(matches(value), "{pattern} should match {value}");
    }
    for value in others {
        assert!(!matches(value), "{pattern} should not match {value}");
    }
}

#[track_caller]
fn event(pattern: &str, matching: &[&str], others: &[&str]) {
    let filter = Filter::parse(pattern).unwrap();
    for json in matching {
        assert!(filter.matches(json.as_bytes()), "{pattern} should match {json}");
    }
    for json in others {
        assert!(!filter.matches(json.as_bytes()), "{pattern} should not match {json}");
    }
}

#[test]
fn a_value_matches_itself_and_nothing_of_another_kind() {
    field(r#""a""#, &[r#""a""#, r#""\u0061""#], &[r#""A""#, r#""ab""#, "null", "1"]);
    field(r#""""#, &[r#""""#], &["null", r#"" ""#]);
    field("null", &["null"], &[r#""null""#, r#""""#, "0", "false", "[]", "{}"]);
    field("true", &["true"], &["false", r#""true""#, "1"]);
    field("false", &["false"], &["true", "null", "0"]);
    field("300", &["300", "300.0", "3e2"], &["301", r#""300""#, "300.5"]);
    field("9007199254740993", &["9007199254740993"], &["9007199254740992"]);
    field("18446744073709551615", &["18446744073709551615"], &["18446744073709551614", "-1"]);
    field(r#""a", 5, null"#, &[r#""a""#, "5", "null"], &[r#""b""#, "6", "true"]);
}

#[test]
fn prefixes_and_suffixes_are_of_strings() {
    field(r#"{"prefix": "us-"}"#, &[r#""us-""#, r#""us-east-1""#], &[r#""US-east""#, r#""u""#, "1", "null"]);
    field(r#"{"suffix": ".png"}"#, &[r#""a.png""#, r#"".png""#], &[r#""a.PNG""#, r#""png""#, "null"]);
    field(r#"{"prefix": ""}"#, &[r#""""#, r#""a""#], &["1"]);
    field(
        r#"{"prefix": {"equals-ignore-case": "EventB"}}"#,
        &[r#""eventBridge""#, r#""EVENTB""#],
        &[r#""event""#],
    );
    field(r#"{"suffix": {"equals-ignore-case": "tBridge"}}"#, &[r#""EvenTBRIDGE""#], &[r#""bridge""#, "5"]);
}

#[test]
fn case_is_ignored_beyond_ascii_too() {
    field(
        r#"{"equals-ignore-case": "Alice"}"#,
        &[r#""alice""#, r#""ALICE""#],
        &[r#""alic""#, r#""alicee""#, "1"],
    );
    field(r#"{"equals-ignore-case": "STRAẞE"}"#, &[r#""straße""#], &[r#""strasse""#]);
    field(r#"{"suffix": {"equals-ignore-case": "ÄÖ"}}"#, &[r#""xäö""#], &[r#""xao""#]);
}

#[test]
fn numbers_lie_in_ranges_with_open_and_closed_ends() {
    field(r#"{"numeric": ["=", 100]}"#, &["100", "100.0", "1e2"], &["99.9", r#""100""#, "null"]);
    field(r#"{"numeric": [">", 10, "<=", 20]}"#, &["10.5", "20"], &["10", "20.1", "true"]);
    field(r#"{"numeric": [">=", 0, "<", 5]}"#, &["0", "4.99", "-0.0"], &["5", "-1"]);
    field(r#"{"numeric": ["<", 0]}"#, &["-1", "-1e300"], &["0", "1"]);
    field(r#"{"numeric": ["<=", 5]}"#, &["5"], &["6"]);
    field(r#"{"numeric": [">", -5.5]}"#, &["-5"], &["-6"]);
    field(r#"{"numeric": [">=", 9007199254740993]}"#, &["9007199254740993"], &["9007199254740992"]);
}

#[test]
fn anything_but_takes_every_value_that_is_not_named() {
    field(r#"{"anything-but": "a"}"#, &[r#""b""#, "1", "null", "true"], &[r#""a""#]);
    field(r#"{"anything-but": ["a", "b"]}"#, &[r#""c""#], &[r#""a""#, r#""b""#]);
    field(r#"{"anything-but": 1}"#, &["2", r#""1""#], &["1", "1.0"]);
    field(r#"{"anything-but": [1, 2]}"#, &["3"], &["1", "2"]);
    field(r#"{"anything-but": {"prefix": "us-"}}"#, &[r#""eu-1""#, "7"], &[r#""us-1""#]);
    field(r#"{"anything-but": {"prefix": ["us-", "eu-"]}}"#, &[r#""ap-1""#], &[r#""us-1""#, r#""eu-1""#]);
    field(r#"{"anything-but": {"suffix": ".png"}}"#, &[r#""a.gif""#], &[r#""a.png""#]);
    field(
        r#"{"anything-but": {"equals-ignore-case": ["init", "run"]}}"#,
        &[r#""stop""#],
        &[r#""INIT""#, r#""Run""#],
    );
    // What has no value has none that is another one.
    event(
        r#"{"v": [{"anything-but": "a"}]}"#,
        &[],
        &["{}", r#"{"v": {}}"#, r#"{"v": []}"#, r#"{"v": {"a": "b"}}"#],
    );
}

#[test]
fn exists_is_of_values_and_not_of_objects() {
    event(
        r#"{"d": {"c": [{"exists": true}]}}"#,
        &[r#"{"d": {"c": 1}}"#, r#"{"d": {"c": null}}"#, r#"{"d": {"c": [1]}}"#, r#"{"d": [{}, {"c": 1}]}"#],
        &["{}", r#"{"d": {}}"#, r#"{"d": {"c": {"e": 1}}}"#, r#"{"d": {"c": []}}"#, r#"{"d": 5}"#],
    );
    event(
        r#"{"d": {"c": [{"exists": false}]}}"#,
        &[
            "{}",
            r#"{"d": {}}"#,
            r#"{"d": {"c": {"e": 1}}}"#,
            r#"{"d": 5}"#,
            r#"{"d": []}"#,
            r#"{"d": [{}, {}]}"#,
        ],
        &[r#"{"d": {"c": null}}"#, r#"{"d": [{}, {"c": 1}]}"#, r#"{"d": [[{"c": [1]}], {}]}"#],
    );
    event(
        r#"{"c": ["x", {"exists": false}]}"#,
        &["{}", r#"{"c": "x"}"#, r#"{"c": ["y", "x"]}"#],
        &[r#"{"c": "y"}"#, r#"{"c": null}"#],
    );
}

#[test]
fn fields_missing_in_an_element_are_missing_beside_those_that_it_has() {
    event(
        r#"{"a": {"b": [1], "c": [{"exists": false}]}}"#,
        &[r#"{"a": {"b": 1}}"#, r#"{"a": [{"b": 1}, {"c": 2}]}"#],
        &["{}", r#"{"a": [{"b": 1, "c": 2}]}"#, r#"{"a": [{"b": 2}, {"b": 1, "c": 0}]}"#],
    );
    event(
        r#"{"a": {"$or": [{"b": [1]}, {"c": [{"exists": false}]}]}}"#,
        &["{}", r#"{"a": {"b": 1, "c": 1}}"#, r#"{"a": {"b": 2}}"#, r#"{"a": []}"#],
        &[r#"{"a": {"b": 2, "c": 1}}"#],
    );
}

#[test]
fn all_fields_have_to_match_and_one_of_their_values() {
    event(
        r#"{"Location": ["New York"], "Day": ["Monday", "Tuesday"]}"#,
        &[r#"{"Location": "New York", "Day": "Monday", "x": {"y": [1, 2]}}"#],
        &[r#"{"Location": "New York"}"#, r#"{"Location": "New York", "Day": "Friday"}"#],
    );
}

#[test]
fn or_is_of_the_fields_of_its_own_object() {
    // Effect: source && (metricName || (metricType && namespace && (metricId || spaceId)) || scope).
    event(
        r#"{"source": ["s"], "$or": [
            {"metricName": ["m", "n"]},
            {"metricType": ["t"], "namespace": ["e"], "$or": [{"metricId": [1234]}, {"spaceId": [1000]}]},
            {"scope": ["Service"]}]}"#,
        &[
            r#"{"source": "s", "metricName": "n"}"#,
            r#"{"source": "s", "metricType": "t", "namespace": "e", "spaceId": 1000}"#,
            r#"{"source": "s", "scope": "Service"}"#,
        ],
        &[
            r#"{"metricName": "n"}"#,
            r#"{"source": "s"}"#,
            r#"{"source": "s", "metricType": "t", "namespace": "e"}"#,
            r#"{"source": "s", "namespace": "e", "spaceId": 1000}"#,
        ],
    );
    event(
        r#"{"d": {"x": [{"numeric": [">", 0]}], "$or": [{"y": [1]}, {"y": [2], "z": [3]}]}}"#,
        &[r#"{"d": {"x": 1, "y": 1}}"#, r#"{"d": {"x": 1, "y": 2, "z": 3}}"#],
        &[r#"{"d": {"x": 1, "y": 2}}"#, r#"{"d": {"x": 0, "y": 1}}"#],
    );
}

#[test]
fn an_array_matches_by_any_element() {
    field(r#""b""#, &[r#"["a", "b"]"#, r#"[["b"]]"#], &[r#"["a"]"#, "[]", r#"[{"b": "b"}]"#]);
    field(r#"{"anything-but": "a"}"#, &[r#"["a", "b"]"#], &[r#"["a", "a"]"#]);
}

#[test]
fn fields_of_two_elements_never_match_together() {
    let staff = r#"{"employees": [[{"first": "John", "last": "Doe"}, {"first": "Anna", "last": "Smith"}],
        [{"first": "Peter", "last": "Jones"}]]}"#;
    event(r#"{"employees": {"first": ["Anna"]}}"#, &[staff], &[]);
    event(r#"{"employees": {"first": ["Anna"], "last": ["Smith"]}}"#, &[staff], &[]);
    event(r#"{"employees": {"first": ["Anna"], "last": ["Jones"]}}"#, &[], &[staff]);
    event(r#"{"$or": [{"employees": {"first": ["X"]}}, {"employees": {"last": ["Doe"]}}]}"#, &[staff], &[]);
}

#[test]
fn what_is_not_json_matches_nothing() {
    let filter = Filter::parse(r#"{"a": [{"exists": false}]}"#).unwrap();
    for bad in ["", "a", "{", r#"{"b": 1"#, "{} {}", r#"{"b": nul}"#, "{\"b\": \"\u{1}\"}"] {
        assert!(!filter.matches(bad.as_bytes()), "{bad}");
    }
    assert!(!filter.matches(&[b'"', 0xff, b'"']));
}
