//! The README's walk through the API, line by line as somebody pastes it.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::Server;

const HEADING: &str = "## A walk through the API";

/// The lines of the shell blocks below the heading.
fn lines() -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, section) =
        readme.split_once(&format!("\n{HEADING}\n")).expect("the README has a walk through the API");
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("\n```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    blocks.flat_map(str::lines).filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

#[test]
fn every_line_of_the_readmes_walk_succeeds_against_a_running_server() {
    let server = Server::start(&[]);
    let lines = lines();
    assert!(lines.len() > 20, "{} lines", lines.len());
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("walk.sh");
    let mut text = "set -o pipefail\nBASE=$1\n".to_owned();
    for (at, line) in lines.iter().enumerate() {
        let number = at + 1;
        writeln!(text, "{line}\nif [ $? -ne 0 ]; then echo \"line {number} failed\" >&2; exit 1; fi")
            .unwrap();
    }
    fs::write(&script, text).unwrap();
    let mut command = Command::new("bash");
    command.current_dir(folder.path()).arg(&script).arg(server.url("")).stdin(Stdio::null());
    let output = command.output().unwrap();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let failed = shown(&output.stderr);
    assert!(output.status.success(), "{}\n{failed}\n{}", shown(&output.stdout), lines.join("\n"));
}
