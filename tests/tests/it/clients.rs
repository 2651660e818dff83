//! The generated client, from the contract to a running server. `make test` builds it first.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::support::Server;

fn typescript() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("clients/typescript")
}

fn node(script: &str, arguments: &[&str]) -> Output {
    let folder = typescript();
    assert!(
        folder.join(script).is_file(),
        "{script} is not there: `make clients/typescript/dist` builds the client"
    );
    let mut command = Command::new("node");
    command.current_dir(folder).arg(script).args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn typescript_client() {
    let server = Server::start(&[]);
    let output = node("dist/test/walk.js", &[&server.url("")]);
    assert!(succeeded(&output).contains("the walk ends well"));
}

#[test]
fn the_types_of_the_typescript_client_are_those_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = folder.path().join("schema.ts");
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/openapi.json");
    let arguments =
        [contract.to_str().unwrap(), "--default-non-nullable", "false", "--output", fresh.to_str().unwrap()];
    succeeded(&node("node_modules/openapi-typescript/bin/cli.js", &arguments));
    let committed = fs::read_to_string(typescript().join("src/schema.ts")).unwrap();
    assert!(
        fs::read_to_string(fresh).unwrap() == committed,
        "the contract has changed: `make clients` renews the client"
    );
}
