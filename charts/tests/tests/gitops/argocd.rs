//! Argo CD's health, by a Lua of the version that Argo CD has (5.1).

use millrace_chart_tests::documents;
use mlua::{Lua, LuaOptions, StdLib, Value as LuaValue};
use serde_json::Value;

use crate::{read, recorded};

/// Status and message that the script gives an object. It gets the libraries that Argo CD gives it.
fn verdict(script: &str, object: &Value) -> (String, String) {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING, LuaOptions::default()).expect("a Lua");
    lua.globals().set("obj", value(&lua, object)).expect("a global");
    let said: mlua::Table = lua.load(script).eval().expect("the script ends with a table");
    (said.get("status").expect("a status"), said.get("message").expect("a message"))
}

fn value(lua: &Lua, json: &Value) -> LuaValue {
    match json {
        // Argo CD leaves nulls out of tables.
        Value::Null => LuaValue::Nil,
        Value::Bool(value) => LuaValue::Boolean(*value),
        Value::Number(number) => LuaValue::Number(number.as_f64().expect("a number")),
        Value::String(text) => LuaValue::String(lua.create_string(text).expect("a string")),
        Value::Array(list) => {
            let list = list.iter().map(|item| value(lua, item));
            LuaValue::Table(lua.create_sequence_from(list).expect("a table"))
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| (name.as_str(), value(lua, field)));
            LuaValue::Table(lua.create_table_from(fields).expect("a table"))
        }
    }
}

#[test]
fn health_is_what_kstatus_says() {
    let script = read("argocd/health.lua");
    for one in recorded() {
        let expected = match one.kstatus.as_str() {
            "Current" => "Healthy",
            "Failed" => "Degraded",
            "InProgress" | "Terminating" => "Progressing",
            other => panic!("{}: no such verdict as {other}", one.name),
        };
        let (status, message) = verdict(&script, &one.object);
        assert_eq!(status, expected, "{}", one.name);
        assert!(message.ends_with('.'), "{}: {message}", one.name);
    }
}

#[test]
fn an_object_without_status_is_not_healthy() {
    let script = read("argocd/health.lua");
    let object = serde_json::json!({"metadata": {"name": "orders", "generation": 1}});
    assert_eq!(verdict(&script, &object).0, "Progressing");
}

#[test]
fn what_is_abnormal_says_why_in_the_operators_words() {
    let script = read("argocd/health.lua");
    let stalled = recorded().into_iter().find(|one| one.kstatus == "Failed").expect("one that failed");
    assert_eq!(verdict(&script, &stalled.object).1, "Lane 0 is not in the log any more.");
}

#[test]
fn the_config_map_holds_the_script_for_both_kinds() {
    let config = documents(&read("argocd/argocd-cm.yaml")).remove(0).0;
    let data = config["data"].as_object().expect("data");
    assert_eq!(data.len(), 2);
    for kind in ["Broker", "Stream"] {
        let key = format!("resource.customizations.health.millrace.dev_{kind}");
        assert_eq!(data[&key].as_str(), Some(read("argocd/health.lua").as_str()), "{key}");
    }
}
