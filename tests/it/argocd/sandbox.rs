//! Argo CD's Lua, near enough: it embeds gopher-lua, a Lua 5.1; this is the C implementation of Lua 5.1.
//!
//! Where the two differ, this one is made the stricter: what gopher-lua lacks is taken away, and an object whose
//! numbers they print differently is refused. What cannot be imitated, such as the random order of `pairs`, the
//! tests forbid in the scripts.

use std::time::{Duration, Instant};

use mlua::{HookTriggers, Lua, LuaOptions, LuaSerdeExt as _, StdLib, Table, VmState};
use serde::Deserialize;
use serde_json::Value;

/// Argo CD stops a script after this long.
const TIME_LIMIT: Duration = Duration::from_secs(1);
const STATUSES: [&str; 6] = ["Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"];
/// From here on, a number may be printed with an exponent.
const MAX_NUMBER: i64 = 100_000_000_000_000;

/// What a script finds beside the base functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libraries {
    /// What Argo CD gives to a script in `argocd-cm`: `table`, and `require("os")` with `time` and `date`.
    Sandbox,
    /// What it gives to its own scripts, and to all with `useOpenLibs`.
    Open,
}

/// What a script says of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    pub status: String,
    #[serde(default)]
    pub message: String,
}

/// Runs a health script on an object.
pub fn judge(script: &str, object: &Value, libraries: Libraries) -> Result<Health, String> {
    run(script, object, libraries).map_err(|error| error.to_string())
}

fn run(script: &str, object: &Value, libraries: Libraries) -> mlua::Result<Health> {
    let lua = match libraries {
        Libraries::Sandbox => sandboxed()?,
        Libraries::Open => Lua::new(),
    };
    let options = mlua::serde::ser::Options::new().set_array_metatable(false);
    lua.globals().set("obj", lua.to_value_with(&as_decoded(object)?, options)?)?;
    let deadline = Instant::now() + TIME_LIMIT;
    lua.set_hook(HookTriggers::new().every_nth_instruction(10_000), move |_, _| {
        match Instant::now() < deadline {
            true => Ok(VmState::Continue),
            false => Err(mlua::Error::runtime("the script takes too long")),
        }
    })?;
    let answer: mlua::Value = lua.load(script).set_name("health.lua").eval()?;
    let mlua::Value::Table(_) = &answer else {
        return Err(mlua::Error::runtime(format!("expected a table, got {}", answer.type_name())));
    };
    // Argo CD goes through JSON here, which does not turn a number into a string either.
    let health: Health =
        serde_json::from_value(serde_json::to_value(&answer).map_err(mlua::Error::external)?)
            .map_err(mlua::Error::external)?;
    if !STATUSES.contains(&health.status.as_str()) {
        return Err(mlua::Error::runtime(format!("expected a status, got `{}`", health.status)));
    }
    Ok(health)
}

fn sandboxed() -> mlua::Result<Lua> {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::OS, LuaOptions::default())?;
    let globals = lua.globals();
    let full: Table = globals.get("os")?;
    let os = lua.create_table()?;
    for name in ["time", "date"] {
        os.set(name, full.get::<mlua::Function>(name)?)?;
    }
    let require = lua.create_function(move |_, name: String| match name.as_str() {
        "os" => Ok(os.clone()),
        _ => Err(mlua::Error::runtime(format!("module {name} not found"))),
    })?;
    globals.set("require", require)?;
    for name in ["os", "coroutine", "gcinfo"] {
        globals.set(name, mlua::Nil)?;
    }
    let table: Table = globals.get("table")?;
    for name in ["foreach", "foreachi", "setn"] {
        table.set(name, mlua::Nil)?;
    }
    Ok(lua)
}

/// The object as Argo CD hands it over: a null is nothing, also in a list, where what follows moves up.
fn as_decoded(value: &Value) -> mlua::Result<Value> {
    Ok(match value {
        Value::Array(items) => {
            items.iter().filter(|item| !item.is_null()).map(as_decoded).collect::<mlua::Result<_>>()?
        }
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(_, field)| !field.is_null())
                .map(|(name, field)| Ok((name.clone(), as_decoded(field)?)))
                .collect::<mlua::Result<_>>()?,
        ),
        Value::Number(number) if number.as_i64().is_none_or(|number| number.abs() >= MAX_NUMBER) => {
            return Err(mlua::Error::runtime(format!("{number} is printed differently by Argo CD")));
        }
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn say(script: &str, object: &Value, libraries: Libraries) -> Result<String, String> {
        judge(&format!("return {{ status = 'Healthy', message = {script} }}"), object, libraries)
            .map(|health| health.message)
    }

    #[test]
    fn the_sandbox_has_table_and_a_little_of_os_and_nothing_else() {
        for missing in
            ["string", "math", "io", "os", "coroutine", "debug", "gcinfo", "table.foreach", "table.setn"]
        {
            let script = format!("tostring({missing})");
            assert_eq!(say(&script, &json!({}), Libraries::Sandbox), Ok("nil".into()), "{missing}");
        }
        let present = "table.concat({ type(require('os').time()), type(require('os').date), tostring(require('os').exit) }, ' ')";
        assert_eq!(say(present, &json!({}), Libraries::Sandbox), Ok("number function nil".into()));
        assert!(say("('x'):upper()", &json!({}), Libraries::Sandbox).is_err());
        assert!(say("require('string')", &json!({}), Libraries::Sandbox).is_err());
        assert_eq!(say("('x'):upper()", &json!({}), Libraries::Open), Ok("X".into()));
    }

    #[test]
    fn nulls_vanish_and_odd_numbers_are_refused() {
        let object = json!({ "list": [null, "a", null, "b"], "field": null });
        let script = "table.concat(obj.list) .. #obj.list .. tostring(obj.field)";
        assert_eq!(say(script, &object, Libraries::Sandbox), Ok("ab2nil".into()));
        for number in [json!(0.5), json!(1e20), json!(u64::MAX)] {
            let refused = say("''", &json!({ "n": number }), Libraries::Sandbox).unwrap_err();
            assert!(refused.contains("printed differently"), "{refused}");
        }
    }

    #[test]
    fn what_argocd_would_not_accept_is_an_error() {
        for (script, reason) in [
            ("return nil", "expected a table, got nil"),
            ("return 'Healthy'", "expected a table, got string"),
            ("return {}", "missing field `status`"),
            ("return { status = 'Fine' }", "expected a status, got `Fine`"),
            ("return { status = 'Healthy', message = 1 }", "expected a string"),
            ("return { status = 'Healthy', mesage = '' }", "unknown field `mesage`"),
            ("error('oh')", "oh"),
            ("return }", "health.lua"),
            ("while true do end", "takes too long"),
        ] {
            let error = judge(script, &json!({}), Libraries::Sandbox).unwrap_err();
            assert!(error.contains(reason), "{script}: expected {reason}, got {error}");
        }
    }
}
