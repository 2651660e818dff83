//! Requests that nobody thought of: Schemathesis makes them from the document. `make test` installs it first; `make fuzz-api`
//! makes more of them.

use std::{
    path::Path,
    process::{Command, Stdio},
};

#[test]
fn a_thousand_fuzzed_requests_find_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let schemathesis = root.join(".tools/fuzz-venv/bin/schemathesis");
    assert!(schemathesis.is_file(), "`make .tools/fuzz-venv/bin/schemathesis` installs Schemathesis");
    let mut command = Command::new("python3");
    command.arg(root.join("scripts/fuzz-api.py")).arg(e2e::binary().unwrap()).arg(schemathesis).arg("1000");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.trim_end().lines().last().unwrap().contains(" 0 failures"), "{text}");
}
