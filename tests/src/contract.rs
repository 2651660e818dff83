//! The contract: the OpenAPI document, its snapshot under `tests/contract`, what breaks clients between two of them, and
//! whether an answer is what the document says.

mod compare;
mod conform;
mod fields;

use std::{process::Command, sync::LazyLock};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

pub use compare::breaking;
pub use conform::{Exchange, Validators, misfits, undocumented};
pub use fields::response_fields;

/// The snapshot, as it was when this was compiled.
pub const SNAPSHOT: &str = include_str!("../contract/openapi.json");
/// The response fields of each route, as they were when this was compiled.
pub const RESPONSE_FIELDS: &str = include_str!("../contract/response-fields.txt");

/// The document of the binary.
pub fn document() -> anyhow::Result<Value> {
    let printed = Command::new(crate::binary()?).arg("openapi").env_clear().output()?;
    ensure!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    serde_json::from_slice(&printed.stdout).context("the document is not JSON")
}

/// Holds an answer against the document of the binary.
pub fn check(exchange: &Exchange<'_>) -> anyhow::Result<()> {
    static VALIDATORS: LazyLock<Result<Validators, String>> =
        LazyLock::new(|| document().map(Validators::new).map_err(|error| error.to_string()));
    let validators = VALIDATORS.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    match undocumented(validators, exchange) {
        Some(fault) => bail!("not as documented: {fault}"),
        None => Ok(()),
    }
}

/// What a `$ref` leads to; anything else is itself.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let mut value = value;
    while let Some(pointer) = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        value = document.pointer(pointer).unwrap_or(&Value::Null);
    }
    value
}

/// Every operation with its method and path.
fn operations(document: &Value) -> impl Iterator<Item = (String, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
    })
}

#[cfg(test)]
mod tests;
