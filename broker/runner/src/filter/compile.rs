//! Reading patterns.

use serde_json::{Map, Value};

use super::MAX_PATTERN_CHARS;
use super::json::Unambiguous;
use super::operators;
use super::tree::{All, Condition, Leaf, MAX_MARKS, Marks, Node, Object, Walk};
use super::value::Test;

/// A pattern that can't be used, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", Self::place(.path))]
pub struct PatternError {
    /// The place in the pattern, a JSON pointer (RFC 6901); empty for the pattern itself.
    pub path: String,
    /// What is wrong there, and what is expected.
    pub problem: String,
}

impl PatternError {
    fn place(path: &str) -> String {
        if path.is_empty() { String::new() } else { format!("at {path}: ") }
    }
}

/// The place that is being read.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    within: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    const ROOT: Place<'static> = Place { within: None, step: Step::Index(0) };

    pub(super) fn key(&'a self, key: &'a str) -> Place<'a> {
        Place { within: Some(self), step: Step::Key(key) }
    }

    pub(super) fn index(&'a self, index: usize) -> Place<'a> {
        Place { within: Some(self), step: Step::Index(index) }
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> PatternError {
        PatternError { path: self.pointer(), problem: problem.into() }
    }

    fn pointer(&self) -> String {
        let Some(within) = self.within else { return String::new() };
        let step = match self.step {
            Step::Key(key) => key.replace('~', "~0").replace('/', "~1"),
            Step::Index(index) => index.to_string(),
        };
        format!("{}/{step}", within.pointer())
    }
}

/// What a value is, in an error.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Looks at a field of a pattern's outermost object.
pub(super) type CheckField = fn(&str, &Value) -> Result<(), String>;

/// The patterns of one source, read into one tree.
#[derive(Default)]
pub(super) struct Compiler {
    root: Node,
    marks: usize,
    patterns: Vec<All>,
}

/// One tree, and for each pattern what holds once a record was walked along it.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) root: Node,
    pub(super) patterns: Vec<All>,
}

impl Compiler {
    /// Adds a pattern. `check` may refuse fields of its outermost object.
    pub(super) fn add(&mut self, text: &str, check: CheckField) -> Result<(), PatternError> {
        let place = Place::ROOT;
        let chars = text.chars().count();
        if chars > MAX_PATTERN_CHARS {
            return Err(place.error(format!(
                "a filter may have {MAX_PATTERN_CHARS} characters and this one has {chars}: split it into several"
            )));
        }
        let read = serde_json::from_str(text);
        let Unambiguous(value) = read.map_err(|error| place.error(format!("it is not JSON: {error}")))?;
        let Value::Object(fields) = value else {
            let found = kind(&value);
            return Err(place.error(format!("an object of fields and their values is expected, not {found}")));
        };
        let mut root = std::mem::take(&mut self.root);
        let pattern = self.object(&mut root, &fields, &place, check).map(|all| self.inner(&mut root, all));
        self.root = root;
        let mut all = All::default();
        all.require_one_of(pattern?);
        if self.marks > MAX_MARKS {
            return Err(place.error("the filters have too many conditions together: remove some"));
        }
        self.patterns.push(all);
        Ok(())
    }

    /// Numbers the marks in the order of the tree.
    pub(super) fn finish(mut self) -> Compiled {
        let mut order = vec![0; self.marks];
        let mut next = 0;
        number(&mut self.root, &mut next, &mut order);
        renumber_node(&mut self.root, &order);
        self.patterns.iter_mut().for_each(|all| renumber(all, &order));
        Compiled { root: self.root, patterns: self.patterns }
    }

    fn mark(&mut self) -> usize {
        self.marks += 1;
        self.marks - 1
    }

    /// The conditions on an object's fields. `check` may refuse one.
    fn object(
        &mut self,
        node: &mut Node,
        fields: &Map<String, Value>,
        place: &Place<'_>,
        check: CheckField,
    ) -> Result<All, PatternError> {
        if fields.is_empty() {
            return Err(place.error("an object without fields would match nothing: name a field"));
        }
        let mut all = All::default();
        for (key, value) in fields {
            let here = place.key(key);
            if key == "$or" {
                all.any.push(self.any(node, value, &here, check)?);
                continue;
            }
            check(key, value).map_err(|problem| here.error(problem))?;
            let field = node.field_mut(key);
            match value {
                Value::Array(values) => self.leaf(field, values, &here, &mut all)?,
                Value::Object(fields) => {
                    let inner = self.object(field, fields, &here, accept)?;
                    let condition = self.inner(field, inner);
                    all.require_one_of(condition);
                }
                other => {
                    return Err(here.error(format!(
                        "a list of values or an object of fields is expected, not {}: write [{other}]",
                        kind(other)
                    )));
                }
            }
        }
        Ok(all)
    }

    /// The alternatives of a `$or`: conditions on the object in which it stands.
    fn any(
        &mut self,
        node: &mut Node,
        value: &Value,
        here: &Place<'_>,
        check: CheckField,
    ) -> Result<Vec<All>, PatternError> {
        let expected = "a list of at least two objects is expected";
        let Value::Array(values) = value else {
            return Err(here.error(format!("{expected}, not {}", kind(value))));
        };
        if values.len() < 2 {
            return Err(here.error(format!("{expected}, and it has {}", values.len())));
        }
        let mut any = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let here = here.index(index);
            let Value::Object(fields) = value else {
                return Err(here.error(format!("an object of fields is expected, not {}", kind(value))));
            };
            if let Some(name) = fields.keys().find(|name| operators::is_name(name)) {
                return Err(here.key(name).error("a field is expected, and this is an operator's name"));
            }
            any.push(self.object(node, fields, &here, check)?);
        }
        Ok(any)
    }

    /// The values that a field may have.
    fn leaf(
        &mut self,
        field: &mut Node,
        values: &[Value],
        here: &Place<'_>,
        all: &mut All,
    ) -> Result<(), PatternError> {
        if values.is_empty() {
            return Err(here.error("an empty list would match nothing: name a value"));
        }
        let mut tests = Vec::with_capacity(values.len());
        let mut absent = false;
        for (index, value) in values.iter().enumerate() {
            match operators::read(value, &here.index(index))? {
                Some(test) => tests.push(test),
                None => absent = true,
            }
        }
        let mut conditions = Vec::new();
        if !tests.is_empty() {
            conditions.push(Condition { mark: self.mark_leaf(field, tests), unset: false });
        }
        if absent {
            conditions.push(Condition { mark: self.mark_leaf(field, vec![Test::Exists]), unset: true });
        }
        all.require_one_of(conditions);
        Ok(())
    }

    fn mark_leaf(&mut self, field: &mut Node, tests: Vec<Test>) -> usize {
        let mark = self.mark();
        field.leaves.push(Leaf { mark, tests });
        mark
    }

    /// Conditions on a field's own fields; one of the returned conditions has to hold.
    fn inner(&mut self, field: &mut Node, inner: All) -> Vec<Condition> {
        let negative = inner.is_negative();
        let or_missing = !negative && inner.holds(&Marks::new());
        let mark = self.mark();
        field.objects.push(Object { mark, negative, all: inner });
        let mut conditions = vec![Condition { mark, unset: negative }];
        if or_missing {
            // An object that asks for nothing: set wherever there is one.
            let mark = self.mark();
            field.objects.push(Object { mark, negative: false, all: All::default() });
            conditions.push(Condition { mark, unset: true });
        }
        conditions
    }
}

impl All {
    fn require_one_of(&mut self, conditions: Vec<Condition>) {
        match conditions[..] {
            [condition] => self.conditions.push(condition),
            _ => {
                let alternative = |condition| All { conditions: vec![condition], any: Vec::new() };
                self.any.push(conditions.into_iter().map(alternative).collect());
            }
        }
    }

    /// Whether it asks for nothing but that fields are missing.
    fn is_negative(&self) -> bool {
        self.conditions.iter().all(|condition| condition.unset)
            && self.any.iter().flatten().all(All::is_negative)
    }
}

fn accept(_: &str, _: &Value) -> Result<(), String> {
    Ok(())
}

fn number(node: &mut Node, next: &mut usize, order: &mut [usize]) {
    let mut give = |mark: &mut usize| {
        order[*mark] = *next;
        *mark = *next;
        *next += 1;
    };
    node.leaves.iter_mut().for_each(|leaf| give(&mut leaf.mark));
    node.objects.iter_mut().for_each(|object| give(&mut object.mark));
    let start = *next;
    node.fields.iter_mut().for_each(|(_, field)| number(field, next, order));
    node.within = start..*next;
}

fn renumber_node(node: &mut Node, order: &[usize]) {
    node.objects.iter_mut().for_each(|object| renumber(&mut object.all, order));
    node.fields.iter_mut().for_each(|(_, field)| renumber_node(field, order));
}

fn renumber(all: &mut All, order: &[usize]) {
    all.conditions.iter_mut().for_each(|condition| condition.mark = order[condition.mark]);
    all.any.iter_mut().flatten().for_each(|all| renumber(all, order));
}

/// One pattern, for any JSON object.
#[derive(Clone, Debug)]
pub struct Filter(Compiled);

impl Filter {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is none, with the place in it and what is expected there.
    pub fn parse(text: &str) -> Result<Filter, PatternError> {
        let mut compiler = Compiler::default();
        compiler.add(text, accept)?;
        Ok(Filter(compiler.finish()))
    }

    /// Whether a text is JSON and matches.
    pub fn matches(&self, json: &[u8]) -> bool {
        let Compiled { root, patterns } = &self.0;
        let mut marks = Marks::new();
        root.walk(json, &mut marks).is_ok() && patterns.iter().any(|all| all.holds(&marks))
    }
}

impl Node {
    /// Walks a JSON text.
    pub(super) fn walk(&self, json: &[u8], marks: &mut Marks) -> Result<(), serde_json::Error> {
        use serde::de::DeserializeSeed;
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        Walk { node: self, marks }.deserialize(&mut deserializer)?;
        deserializer.end()
    }
}
