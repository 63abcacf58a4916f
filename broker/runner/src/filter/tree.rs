//! The compiled form of patterns: a tree of the fields that they name, and the walk over a record's JSON.
//!
//! Every condition has a mark, numbered so that the marks of all that lies within a field are one range. A walk sets
//! the marks of conditions that hold. What lies in one object is held together there: entering an object takes
//! the marks within it back, and leaving it sets those of the objects' conditions that held. So conditions on two
//! fields of one object are met by one element of an array, never by two of them, as EventBridge has it.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::value::{Number, Scalar, Test};

/// How many conditions all patterns of a source may have: more than fit into ten patterns of 4,096 characters.
pub(super) const MAX_MARKS: usize = 8_192;

/// A field that patterns name, and the conditions on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// Conditions on its value.
    pub(super) leaves: Vec<Leaf>,
    /// Conditions on its fields together.
    pub(super) objects: Vec<Object>,
    /// The fields that those name, in the order of their names.
    pub(super) fields: Vec<(Box<str>, Node)>,
    /// The marks within its fields.
    pub(super) within: Range<usize>,
}

/// The list of values that a field may have.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Set where the field has one of them.
    pub(super) mark: usize,
    pub(super) tests: Vec<Test>,
}

/// The conditions of one pattern on an object's fields.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// Set where the object meets them; of a `negative` one, where it does not.
    pub(super) mark: usize,
    /// Whether it asks for nothing but that fields are missing. Then no element of an array may have them.
    pub(super) negative: bool,
    pub(super) all: All,
}

/// Conditions that all have to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct All {
    pub(super) conditions: Vec<Condition>,
    /// Of each of these, one at least.
    pub(super) any: Vec<Vec<All>>,
}

/// A condition on one field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Condition {
    pub(super) mark: usize,
    /// Whether it holds where the mark is not set.
    pub(super) unset: bool,
}

/// Which conditions hold.
pub(super) struct Marks([u64; MAX_MARKS / 64]);

impl Marks {
    pub(super) fn new() -> Marks {
        Marks([0; MAX_MARKS / 64])
    }

    fn set(&mut self, mark: usize) {
        self.0[mark / 64] |= 1 << (mark % 64);
    }

    fn get(&self, mark: usize) -> bool {
        self.0[mark / 64] & (1 << (mark % 64)) != 0
    }

    fn clear(&mut self, marks: &Range<usize>) {
        for mark in marks.clone() {
            self.0[mark / 64] &= !(1 << (mark % 64));
        }
    }
}

impl All {
    /// Whether the object that was walked last meets them.
    pub(super) fn holds(&self, marks: &Marks) -> bool {
        self.conditions.iter().all(|condition| marks.get(condition.mark) != condition.unset)
            && self.any.iter().all(|any| any.iter().any(|all| all.holds(marks)))
    }
}

impl Node {
    pub(super) fn field(&self, name: &str) -> Option<&Node> {
        let index = self.fields.binary_search_by(|(field, _)| (**field).cmp(name)).ok()?;
        Some(&self.fields[index].1)
    }

    /// The field of this name, made if there is none yet.
    pub(super) fn field_mut(&mut self, name: &str) -> &mut Node {
        let found = self.fields.binary_search_by(|(field, _)| (**field).cmp(name));
        let index = found.unwrap_or_else(|index| {
            self.fields.insert(index, (name.into(), Node::default()));
            index
        });
        &mut self.fields[index].1
    }

    /// Looks at a value that is neither an object nor an array.
    pub(super) fn scalar(&self, value: Scalar<'_>, marks: &mut Marks) {
        for leaf in &self.leaves {
            if leaf.tests.iter().any(|test| test.passes(value)) {
                marks.set(leaf.mark);
            }
        }
        // It has no fields, as an object without any.
        self.begin(marks);
        self.end(marks);
    }

    /// Before an object's fields.
    pub(super) fn begin(&self, marks: &mut Marks) {
        if !self.within.is_empty() {
            marks.clear(&self.within);
        }
    }

    /// After an object's fields.
    pub(super) fn end(&self, marks: &mut Marks) {
        for object in &self.objects {
            if object.all.holds(marks) != object.negative {
                marks.set(object.mark);
            }
        }
    }
}

/// Walks a value along a node.
pub(super) struct Walk<'n, 'm> {
    pub(super) node: &'n Node,
    pub(super) marks: &'m mut Marks,
}

impl Walk<'_, '_> {
    fn scalar<E>(self, value: Scalar<'_>) -> Result<(), E> {
        self.node.scalar(value, self.marks);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Number(Number::Integer(value.into())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(Scalar::Number(Number::Integer(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Number(Number::Float(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(value))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        // Any element will do, and an array in an array is as if its elements stood in the outer one.
        while elements.next_element_seed(Walk { node: self.node, marks: self.marks })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        self.node.begin(self.marks);
        while let Some(field) = fields.next_key_seed(Name(self.node))? {
            match field {
                Some(node) => fields.next_value_seed(Walk { node, marks: self.marks })?,
                None => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.node.end(self.marks);
        Ok(())
    }
}

/// Finds the field that a key names.
struct Name<'n>(&'n Node);

impl<'de, 'n> DeserializeSeed<'de> for Name<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Name<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }
}
