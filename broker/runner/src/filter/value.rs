//! What one field is held against.

use std::cmp::Ordering;

/// A field's value, which is neither an object nor an array.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(&'a str),
}

/// A number as JSON has it. Integers of 64 bits are compared exactly, all others as doubles.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    pub(super) fn of(number: &serde_json::Number) -> Number {
        match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Number::Integer(number.into()),
            (None, Some(number)) => Number::Integer(number.into()),
            (None, None) => Number::Float(number.as_f64().unwrap_or(f64::NAN)),
        }
    }

    fn compare(self, other: Number) -> Option<Ordering> {
        let float = |number: Number| match number {
            Number::Integer(integer) => integer as f64,
            Number::Float(float) => float,
        };
        match (self, other) {
            (Number::Integer(one), Number::Integer(other)) => Some(one.cmp(&other)),
            (one, other) => float(one).partial_cmp(&float(other)),
        }
    }
}

/// One of the values that a field may have.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
    /// `=` is both ends closed at one number; an end that is missing is open to infinity.
    Range {
        low: Option<End>,
        high: Option<End>,
    },
    Like(Like),
    /// Any value but one that is among these.
    NotOne(Vec<Test>),
    /// Any value at all. That there is none is not a test of a value: see [`super::tree::Condition::unset`].
    Exists,
}

/// An end of a range of numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) at: Number,
    pub(super) included: bool,
}

impl End {
    /// Whether any number lies between this end and a higher one.
    pub(super) fn meets(self, high: End) -> bool {
        match self.at.compare(high.at) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => self.included && high.included,
            _ => false,
        }
    }
}

/// A comparison of texts. What ignores case is kept in lower case.
#[derive(Clone, Debug)]
pub(super) enum Like {
    Prefix(Box<str>),
    Suffix(Box<str>),
    SameIgnoringCase(Box<str>),
    PrefixIgnoringCase(Box<str>),
    SuffixIgnoringCase(Box<str>),
}

impl Test {
    pub(super) fn passes(&self, value: Scalar<'_>) -> bool {
        match (self, value) {
            (Test::Exists, _) => true,
            (Test::NotOne(tests), value) => !tests.iter().any(|test| test.passes(value)),
            (Test::Null, Scalar::Null) => true,
            (Test::Bool(expected), Scalar::Bool(value)) => *expected == value,
            (Test::Number(expected), Scalar::Number(value)) => {
                expected.compare(value) == Some(Ordering::Equal)
            }
            (Test::Range { low, high }, Scalar::Number(value)) => {
                let within = |end: &End, beyond: Ordering| {
                    let order = value.compare(end.at);
                    order == Some(beyond) || (end.included && order == Some(Ordering::Equal))
                };
                low.is_none_or(|low| within(&low, Ordering::Greater))
                    && high.is_none_or(|high| within(&high, Ordering::Less))
            }
            (Test::Text(expected), Scalar::Text(value)) => **expected == *value,
            (Test::Like(like), Scalar::Text(value)) => like.passes(value),
            _ => false,
        }
    }
}

impl Like {
    fn passes(&self, value: &str) -> bool {
        match self {
            Like::Prefix(prefix) => value.starts_with(&**prefix),
            Like::Suffix(suffix) => value.ends_with(&**suffix),
            Like::SameIgnoringCase(text) => lower(value).eq(text.chars()),
            Like::PrefixIgnoringCase(prefix) => starts_with(lower(value), prefix.chars()),
            Like::SuffixIgnoringCase(suffix) => starts_with(lower(value).rev(), suffix.chars().rev()),
        }
    }
}

/// A text in lower case, character by character: what surrounds a character makes no difference.
pub(super) fn lower(text: &str) -> impl DoubleEndedIterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn starts_with(mut text: impl Iterator<Item = char>, mut prefix: impl Iterator<Item = char>) -> bool {
    prefix.all(|character| text.next() == Some(character))
}
