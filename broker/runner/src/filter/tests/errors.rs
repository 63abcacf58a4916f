//! What is refused, and how it is said.

use crate::filter::{Criteria, CriteriaError, FILTERS, Filter, MAX_PATTERN_CHARS, MOST_FILTERS};

#[track_caller]
fn refused(pattern: &str, message: &str) {
    assert_eq!(Filter::parse(pattern).unwrap_err().to_string(), message);
}

#[test]
fn an_error_names_the_place_and_what_is_expected_there() {
    refused(r#"["a"]"#, "an object of fields and their values is expected, not a list");
    refused("{}", "an object without fields would match nothing: name a field");
    refused(r#"{"a": {"b": {}}}"#, "at /a/b: an object without fields would match nothing: name a field");
    refused(r#"{"a": []}"#, "at /a: an empty list would match nothing: name a value");
    refused(
        r#"{"a": "x"}"#,
        "at /a: a list of values or an object of fields is expected, not a string: write [\"x\"]",
    );
    refused(
        r#"{"a/b": {"~": 5}}"#,
        "at /a~1b/~0: a list of values or an object of fields is expected, not a number: write [5]",
    );
    refused(r#"{"a": [["x"]]}"#, "at /a/0: a value or an operator is expected, not a list");
    refused(
        r#"{"a": ["x", {"like": "y"}]}"#,
        "at /a/1/like: there is no such operator: there are anything-but, exists, equals-ignore-case, numeric, prefix, suffix",
    );
    refused(
        r#"{"a": [{"prefix": "x", "suffix": "y"}]}"#,
        "at /a/0: one operator in an object is expected: put others into objects of their own",
    );
    refused(r#"{"a": [{"prefix": 5}]}"#, "at /a/0/prefix: a string is expected, not a number");
    refused(
        r#"{"a": [{"suffix": {"prefix": "x"}}]}"#,
        "at /a/0/suffix/prefix: a string or equals-ignore-case is expected here",
    );
    refused(r#"{"a": [{"exists": "yes"}]}"#, "at /a/0/exists: true or false is expected, not a string");
    refused(
        r#"{"a": [{"equals-ignore-case": null}]}"#,
        "at /a/0/equals-ignore-case: a string is expected, not null",
    );
}

#[test]
fn ranges_that_hold_no_number_are_refused_as_well_as_malformed_ones() {
    let comparison = r#"a comparison such as [">", 0, "<=", 5] is expected"#;
    refused(r#"{"a": [{"numeric": 5}]}"#, &format!("at /a/0/numeric: {comparison}, not a number"));
    refused(r#"{"a": [{"numeric": [">", 0, "<"]}]}"#, &format!("at /a/0/numeric: {comparison}"));
    refused(r#"{"a": [{"numeric": [">", "0"]}]}"#, "at /a/0/numeric/1: a number is expected, not a string");
    refused(
        r#"{"a": [{"numeric": ["!=", 0]}]}"#,
        r#"at /a/0/numeric/0: one of "=", "<", "<=", ">" and ">=" is expected"#,
    );
    refused(
        r#"{"a": [{"numeric": ["<", 0, ">", 5]}]}"#,
        r#"at /a/0/numeric/0: a range begins with ">" or ">=""#,
    );
    refused(
        r#"{"a": [{"numeric": [">", 0, ">", 5]}]}"#,
        r#"at /a/0/numeric/2: a range ends with "<" or "<=""#,
    );
    refused(r#"{"a": [{"numeric": [">", 5, "<=", 5]}]}"#, "at /a/0/numeric: no number lies in this range");
}

#[test]
fn anything_but_takes_one_kind_of_values() {
    refused(
        r#"{"a": [{"anything-but": ["x", 5]}]}"#,
        "at /a/0/anything-but: strings alone or numbers alone are expected in one list",
    );
    refused(
        r#"{"a": [{"anything-but": []}]}"#,
        "at /a/0/anything-but: an empty list would match everything: use exists",
    );
    refused(
        r#"{"a": [{"anything-but": [null]}]}"#,
        "at /a/0/anything-but/0: a string or a number is expected, not null",
    );
    refused(
        r#"{"a": [{"anything-but": {"prefix": ["x", ""]}}]}"#,
        "at /a/0/anything-but/prefix/1: a string that is not empty is expected",
    );
    refused(
        r#"{"a": [{"anything-but": {"numeric": ["=", 5]}}]}"#,
        "at /a/0/anything-but/numeric/0: prefix, suffix or equals-ignore-case is expected here",
    );
}

#[test]
fn or_has_alternatives_and_they_are_fields() {
    refused(r#"{"$or": {"a": [1]}}"#, "at /$or: a list of at least two objects is expected, not an object");
    refused(r#"{"$or": [{"a": [1]}]}"#, "at /$or: a list of at least two objects is expected, and it has 1");
    refused(
        r#"{"d": {"$or": [{"a": [1]}, 5]}}"#,
        "at /d/$or/1: an object of fields is expected, not a number",
    );
    refused(
        r#"{"$or": [{"prefix": ["a"]}, {"a": [1]}]}"#,
        "at /$or/0/prefix: a field is expected, and this is an operator's name",
    );
    refused(
        r#"{"$or": [{"a": [1]}, {"b": [{"exists": 1}]}]}"#,
        "at /$or/1/b/0/exists: true or false is expected, not a number",
    );
}

#[test]
fn what_json_would_pass_over_is_refused() {
    let twice = Filter::parse(r#"{"a": [1], "a": [2]}"#).unwrap_err().to_string();
    assert!(twice.starts_with(r#"it is not JSON: the key "a" stands twice in one object"#), "{twice}");
    let broken = Filter::parse(r#"{"a": [1,]}"#).unwrap_err().to_string();
    assert!(broken.starts_with("it is not JSON: ") && broken.contains("line 1 column"), "{broken}");
}

#[test]
fn a_pattern_has_a_longest_length_in_characters() {
    let pattern = |chars: usize| format!(r#"{{"a": ["{}"]}}"#, "ä".repeat(chars - 11));
    assert!(Filter::parse(&pattern(MAX_PATTERN_CHARS)).is_ok());
    refused(
        &pattern(MAX_PATTERN_CHARS + 1),
        "a filter may have 4096 characters and this one has 4097: split it into several",
    );
}

#[test]
fn the_most_conditions_that_fit_into_the_most_filters_are_taken() {
    let mut pattern = String::from(r#"{"data":{"":[1]"#);
    // The shortest condition: an object with one field, with what it takes to be negative or missing.
    for index in 0_u32.. {
        let key = char::from_u32(0x4e00 + index).unwrap();
        if pattern.chars().count() + 18 > MAX_PATTERN_CHARS {
            break;
        }
        pattern += &format!(r#","{key}":{{"":[1]}}"#);
    }
    pattern += "}}";
    assert!(Criteria::parse(&vec![pattern; MOST_FILTERS], MOST_FILTERS).is_ok());
}

#[test]
fn a_source_has_a_quota_of_filters() {
    let pattern = r#"{"data": {"a": [1]}}"#;
    assert!(Criteria::parse(&[pattern; FILTERS], FILTERS).is_ok());
    let error = Criteria::parse(&[pattern; FILTERS + 1], FILTERS).unwrap_err();
    assert_eq!(error, CriteriaError::TooMany { found: 6 });
    assert!(Criteria::parse(&[pattern; MOST_FILTERS], MOST_FILTERS).is_ok());
    assert!(Criteria::parse(&[pattern; MOST_FILTERS + 1], 100).is_err());
}

#[test]
fn criteria_say_which_filter_is_wrong() {
    let error = Criteria::parse(&[r#"{"data": {"a": [1]}}"#, r#"{"data": {"a": 1}}"#], FILTERS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "filter 2: at /data/a: a list of values or an object of fields is expected, not a number: write [1]"
    );
}

#[test]
fn fields_that_no_record_has_are_refused() {
    let refused = |pattern: &str| Criteria::parse(&[pattern], FILTERS).unwrap_err().to_string();
    assert_eq!(
        refused(r#"{"body": {"a": [1]}}"#),
        "filter 1: at /body: a record has no such field: it has data, approximateArrivalTimestamp, \
         kinesisSchemaVersion, partitionKey, sequenceNumber"
    );
    assert_eq!(
        refused(r#"{"kinesis": {"data": {"a": [1]}}}"#),
        "filter 1: at /kinesis: a record has no such field: `data` stands right in the pattern"
    );
    assert_eq!(
        refused(r#"{"data": ["text"]}"#),
        "filter 1: at /data: an object of fields is expected: the data of a stream is matched as JSON"
    );
    assert!(refused(r#"{"$or": [{"partitionKey": ["a"]}, {"key": ["a"]}]}"#).contains("at /$or/1/key: "));
}
