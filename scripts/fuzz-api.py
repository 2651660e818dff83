#!/usr/bin/env python3
"""Fuzzes the HTTP API of a `clarity` binary with Schemathesis: `fuzz-api.py BINARY SCHEMATHESIS CASES_MIN [SEED]`.

Starts the binary on a free port with a data folder of its own, runs every phase and every check, and ends with one line: how
many cases, how many failures, which seed. Fewer cases than asked for are a failure as well.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request
import uuid

HERE = pathlib.Path(__file__).resolve().parent
# Only this reaches the binary: a developer's own CLARITY__ variables would change the outcome.
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "ORT_DYLIB_PATH") if name in os.environ}
ENVIRONMENT["CLARITY_PROFILE"] = "development"
# An operation gets about this many cases of each example that Schemathesis is asked to make.
EXAMPLES = {True: 100, False: 8}


def serve(binary, data):
    log = open(pathlib.Path(data, "server.log"), "wb")
    command = [binary, "serve", "--json", "--data", data + "/data", "--listen", "127.0.0.1:0"]
    # Wrong passwords are most of what is sent; a lock would hide what comes after it.
    command += ["--set", "identity.lockout_failures=1000", "--set", "identity.lockout_address_failures=1000000"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=ENVIRONMENT, cwd=HERE.parent)
    line = server.stdout.readline()
    if not line:
        sys.exit(pathlib.Path(data, "server.log").read_text())
    return server, "http://" + json.loads(line)["listening"]


def somebody(binary, data, base, roles):
    """Signs somebody up with these roles, and answers how to sign in."""
    sign_in = json.dumps({"email": f"{uuid.uuid4().hex}@example.org", "password": uuid.uuid4().hex})
    request = urllib.request.Request(base + "/api/v1/auth/register", sign_in.encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30).close()
    command = [binary, "users", "roles", json.loads(sign_in)["email"], roles, "--data", data + "/data"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT, cwd=HERE.parent)
    return sign_in


def fuzz(schemathesis, base, people, seed, examples):
    environment = dict(os.environ, CLARITY_FUZZ_BASE=base, **people, PYTHONPATH=str(HERE), PYTHONDONTWRITEBYTECODE="1")
    command = [
        schemathesis, "--config-file", str(HERE / "fuzz-api.toml"), "run", base + "/api/v1/openapi.json",
        "--phases", "examples,coverage,fuzzing,stateful",
        "--max-examples", str(examples), "--seed", str(seed), "--workers", "1",
    ]
    output = []
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, cwd=folder, text=True)
        for line in run.stdout:
            print(line, end="", flush=True)
            output.append(line)
        status = run.wait()
    return status, "".join(output)


def main():
    binary, schemathesis, cases_min, seed = [*sys.argv[1:], "20260301"][:4]
    binary, cases_min = str(pathlib.Path(binary).resolve()), int(cases_min)
    with tempfile.TemporaryDirectory() as data:
        server, base = serve(binary, data)
        try:
            people = {
                "CLARITY_FUZZ_CLINICIAN": somebody(binary, data, base, "user,clinician"),
                "CLARITY_FUZZ_OPERATOR": somebody(binary, data, base, "operator"),
            }
            status, output = fuzz(schemathesis, base, people, seed, EXAMPLES[cases_min >= 5000])
        finally:
            server.terminate()
            ended = server.wait(timeout=60)
    found = re.search(r"(\d+) generated(?:, (\d+) found (\d+) unique failures?)?", output)
    cases, failures = (int(found[1]), int(found[3] or 0)) if found else (0, 0)
    problems = [
        (status != 0, f"Schemathesis ended with {status}"),
        (cases < cases_min, f"fewer than {cases_min} cases"),
        (ended != 0, f"the server ended with {ended}"),
    ]
    problems = "; ".join(text for holds, text in problems if holds)
    print(f"fuzz-api: {cases} cases, {failures} failures, seed {seed}{problems and ': ' + problems}", flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
