//! One world in which a resource's fields are changed one after the other, beside new ones to compare it with.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use millrace_fake_kube::FakeKube;
use serde_json::{Value, json};

use super::ends::comparable;
use super::schema::Field;
use super::values::sample;
use super::world::{End, NAMESPACE, Step, World, apply, object};

/// Where a spec ends that was never another one, or the sentence that refuses it.
type Made = Result<(Verdict, End), String>;

/// What is said of a resource at rest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    ready: bool,
    reason: String,
    message: String,
}

/// A resource on its way from spec to spec.
pub(crate) struct Walk {
    kind: &'static str,
    base: Value,
    world: World,
    made: BTreeMap<String, Made>,
    served: BTreeSet<String>,
    is_resharding: bool,
    refused: usize,
    ends: usize,
}

/// A world with the resource of this spec and what it needs beside it, or why there is none.
async fn make(kind: &str, spec: &Value) -> Result<World, String> {
    let mut world = World::new();
    let log = json!({"servers": 1, "replicas": 1, "storage": {"size": "10Gi"}});
    let others = match kind {
        "Stream" => object("Broker", "default", json!({"log": log, "replicas": 1})),
        _ => object("Stream", "orders", json!({"capacity": {"mode": "Provisioned", "shards": 1}})),
    };
    world.act(&Step::Apply(others)).await.expect("it is in order");
    let made = world.act(&Step::Apply(resource(kind, spec))).await;
    made.map_err(|refusal| refusal.message.clone())?;
    world.settle().await;
    Ok(world)
}

fn resource(kind: &str, spec: &Value) -> Value {
    object(kind, if kind == "Broker" { "default" } else { "orders" }, spec.clone())
}

/// What is said of the resource; of all resources it is looked at whether their newest spec was seen.
pub(crate) async fn verdict(world: &World, kind: &str, case: &str) -> Verdict {
    let mut found = None;
    for each in ["Broker", "Stream"] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("millrace.dev", "v1alpha1", each));
        let api: Api<DynamicObject> =
            Api::namespaced_with(world.kube.client(NAMESPACE), NAMESPACE, &resource);
        for object in api.list(&ListParams::default()).await.expect("a list") {
            let (seen, now) = (&object.data["status"]["observedGeneration"], object.metadata.generation);
            assert_eq!(seen.as_i64(), now, "{case}: the generation of the {each}");
            let conditions = object.data["status"]["conditions"].as_array().expect("conditions");
            for condition in conditions {
                assert_eq!(condition["observedGeneration"].as_i64(), now, "{case}: {condition}");
            }
            let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
            let ready = ready.unwrap_or_else(|| panic!("{case}: {each} says nothing of being ready"));
            let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
            let verdict =
                Verdict { ready: text("status") == "True", reason: text("reason"), message: text("message") };
            let says_something = !verdict.reason.is_empty() && verdict.message.contains(' ');
            assert!(says_something, "{case}: {verdict:?}");
            if each == kind {
                found = Some(verdict);
            }
        }
    }
    found.unwrap_or_else(|| panic!("{case}: there is no {kind}"))
}

impl Walk {
    pub(crate) async fn new(kind: &'static str, base: Value) -> Walk {
        let world = make(kind, &base).await.expect("a spec to begin with");
        Walk {
            kind,
            base,
            world,
            made: BTreeMap::new(),
            served: BTreeSet::new(),
            is_resharding: false,
            refused: 0,
            ends: 0,
        }
    }

    /// Makes the field what it can't be, then each of what it may be, takes it away, and goes back to where it began.
    pub(crate) async fn visit(&mut self, field: &Field) {
        for wrong in field.wrong_values() {
            let case = format!("{} as {wrong}", field.text());
            let spec = field.put(self.kind, &self.base, wrong);
            self.is_refused(&case, &spec, &field.text()).await;
        }
        let values = field.values();
        for value in &values {
            let case = format!("{} as {value}", field.text());
            let spec = field.put(self.kind, &self.base, value.clone());
            self.go(&case, &spec, field).await;
        }
        let full = field.put(self.kind, &self.base, values[0].clone());
        let without = field.remove(&full);
        let case = format!("{} removed", field.text());
        match field.required {
            true => self.is_refused(&case, &without, &field.text()).await,
            false => self.go(&case, &without, field).await,
        }
        if field.schema["properties"].is_object() {
            self.knows_no_namespace(field).await;
        }
        self.back(field).await;
    }

    /// Asks for a spec that the API server refuses with the field's name, and sees that nothing changes.
    async fn is_refused(&mut self, case: &str, spec: &Value, field: &str) {
        let before = self.world.kube.writes_effective();
        let outcome = self.world.act(&Step::Apply(resource(self.kind, spec))).await;
        let refusal = outcome.expect_err(&format!("{case} is admitted"));
        assert!(matches!(refusal.code, 400 | 422), "{case}: {refusal:?}");
        assert!(refusal.message.contains(field), "{case}: {field} is not named: {}", refusal.message);
        assert_eq!(self.world.kube.writes_effective(), before, "{case} has changed something");
        self.refused += 1;
    }

    /// A namespace that is written into an object is dropped, and not kept for anybody to follow.
    async fn knows_no_namespace(&mut self, field: &Field) {
        let mut inner = sample(field.name(), field.schema);
        inner["namespace"] = json!("elsewhere");
        let stored = FakeKube::new();
        let resource = resource(self.kind, &field.put(self.kind, &self.base, inner));
        apply(&stored.client(NAMESPACE), &resource).await.expect("what is not known is dropped");
        let objects: Vec<Value> =
            stored.snapshot().into_values().map(|object| object["spec"].clone()).collect();
        assert!(!json!(objects).to_string().contains("elsewhere"), "{}: {objects:?}", field.text());
    }

    /// Asks for a spec, and compares where that ends with where it ends for a resource that was never another.
    async fn go(&mut self, case: &str, spec: &Value, field: &Field) {
        let made = self.made(spec).await;
        if made.as_ref().is_ok_and(|(verdict, _)| verdict.ready) {
            self.served.insert(field.text());
        }
        let before = self.world.kube.writes_effective();
        if let Err(refusal) = self.world.act(&Step::Apply(resource(self.kind, spec))).await {
            says_what_to_do(case, &refusal.message);
            assert_eq!(self.world.kube.writes_effective(), before, "{case} has changed something");
            self.refused += 1;
            return;
        }
        let (verdict, end) = self.rest(case).await;
        let (wanted, wanted_end) =
            made.unwrap_or_else(|why| panic!("{case}: admitted, and when made anew {why}"));
        if self.waits_for_brokers(case, &verdict, &wanted) {
            return;
        }
        assert_eq!(verdict, wanted, "{case}");
        if verdict.reason == "ObjectRefused" {
            // What was there before stays as it was.
            assert!(verdict.message.contains("is refused: "), "{case}: {}", verdict.message);
        } else {
            same(case, &end, &wanted_end);
        }
        self.ends += 1;
    }

    /// To the spec that all began with; to a new world where there is no way back.
    async fn back(&mut self, field: &Field) {
        let case = format!("back from {}", field.text());
        let outcome = self.world.act(&Step::Apply(resource(self.kind, &self.base))).await;
        if let Err(refusal) = &outcome {
            says_what_to_do(&case, &refusal.message);
        }
        if outcome.is_err() || std::mem::take(&mut self.is_resharding) {
            self.world = make(self.kind, &self.base).await.expect("a spec to begin with");
            return;
        }
        let (verdict, end) = self.rest(&case).await;
        let (wanted, wanted_end) = self.made(&self.base.clone()).await.expect("a spec to begin with");
        if self.waits_for_brokers(&case, &verdict, &wanted) {
            self.is_resharding = false;
            self.world = make(self.kind, &self.base).await.expect("a spec to begin with");
            return;
        }
        assert_eq!(verdict, wanted, "{case}");
        same(&case, &end, &wanted_end);
    }

    /// Splits and merges are the brokers' work, and there are none here: that more or fewer shards are asked of them is
    /// as far as it goes.
    fn waits_for_brokers(&mut self, case: &str, verdict: &Verdict, wanted: &Verdict) -> bool {
        if verdict.reason != "Resharding" {
            return false;
        }
        let shards = wanted.message.split(' ').next().unwrap_or_default();
        assert!(verdict.message.ends_with(&format!("there will be {shards}.")), "{case}: {verdict:?}");
        self.is_resharding = true;
        true
    }

    async fn rest(&mut self, case: &str) -> (Verdict, End) {
        self.world.settle().await;
        at_rest(&mut self.world, self.kind, case).await
    }

    async fn made(&mut self, spec: &Value) -> Made {
        let key = spec.to_string();
        if let Some(made) = self.made.get(&key) {
            return made.clone();
        }
        let made = match make(self.kind, spec).await {
            Ok(mut world) => {
                let case = format!("made as {key}");
                stays_in_its_namespace(&world, &case);
                Ok(at_rest(&mut world, self.kind, &case).await)
            }
            Err(why) => Err(why),
        };
        self.made.insert(key, made.clone());
        made
    }

    pub(crate) fn figures(&self) -> String {
        format!("{} refused, {} ends compared, {} specs made anew", self.refused, self.ends, self.made.len())
    }

    /// Each field was once something that is served: otherwise a walk would tell of refusals alone.
    pub(crate) fn has_seen_each_served(&self, fields: &[Field]) {
        let never: Vec<String> =
            fields.iter().map(Field::text).filter(|field| !self.served.contains(field)).collect();
        assert!(never.is_empty(), "never served: {never:#?}");
    }
}

/// What is said at rest, where nothing is written any more, and what there is.
async fn at_rest(world: &mut World, kind: &str, case: &str) -> (Verdict, End) {
    let mut verdict = verdict(world, kind, case).await;
    if verdict.ready {
        world.rests(1).await;
    }
    let (objects, logs) = comparable(world.end());
    if kind == "Stream" && objects.values().any(|object| object["spec"]["capacity"]["mode"] == "OnDemand") {
        // It counts the shards, which are the load's business.
        verdict.message.clear();
    }
    (verdict, (objects, logs))
}

/// Whatever a spec says, no request is about another namespace.
fn stays_in_its_namespace(world: &World, case: &str) {
    for request in world.kube.requests() {
        let elsewhere = request.uri.contains("/namespaces/") && !request.uri.contains("/namespaces/shop/");
        assert!(!elsewhere, "{case}: {request:?}");
    }
}

fn same(case: &str, (objects, logs): &End, (wanted, wanted_logs): &End) {
    for (key, object) in wanted {
        assert_eq!(objects.get(key), Some(object), "{case}: {key}");
    }
    let more: Vec<_> = objects.keys().filter(|key| !wanted.contains_key(*key)).collect();
    assert!(more.is_empty(), "{case}: {more:?} are left over");
    assert_eq!(logs, wanted_logs, "{case}: the logs");
}

/// Every rule's sentence has a word for what its reader can do.
fn says_what_to_do(case: &str, message: &str) {
    let verbs = ["write ", "make ", "set ", "raise ", "lower ", "leave ", "delete "];
    assert!(verbs.iter().any(|verb| message.contains(verb)), "{case}: what is to be done? {message}");
}
