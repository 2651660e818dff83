#!/usr/bin/env python3
"""Runs the given `cargo test` command, passes on what it prints, and ends with the table of the conformance cases, port by
adapter, and one line that sums all test binaries.

The exit status is the command's own. A test binary that began and never reported counts as one failure.
"""

import re
import shlex
import subprocess
import sys

import conformance_table

RESULT = re.compile(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
BEGIN = re.compile(r"\s+(Running (unittests |tests|benches|\S+\.rs)|Doc-tests )")


# The last line of pytest, such as `1 failed, 38 passed, 2 skipped, 1 error in 3.21s`.
PYTEST = re.compile(r"(\d+) (passed|failed|skipped|error)s?\b")


def run_pytest(command):
    """Runs a pytest command; answers its status and how many passed, failed, were skipped."""
    last = ""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for raw in process.stdout:
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
        last = raw.decode("utf-8", "replace").strip() or last
    status = process.wait()
    counts = {kind: int(count) for count, kind in PYTEST.findall(last)}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    # One that ended otherwise, as by a signal, is a failure.
    return status, counts.get("passed", 0), max(failed, int(status != 0)), counts.get("skipped", 0)


def main() -> int:
    arguments = sys.argv[1:]
    also, passed, failed, skipped = 0, 0, 0, 0
    if arguments[0] == "--pytest":
        also, passed, failed, skipped = run_pytest(shlex.split(arguments[1]))
        arguments = arguments[2:]
    begun = reported = 0
    lines = []
    command = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for raw in command.stdout:
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
        line = raw.decode("utf-8", "replace")
        lines.append(line)
        begun += bool(BEGIN.match(line))
        if result := RESULT.match(line):
            reported += 1
            passed += int(result[1])
            failed += int(result[2])
            skipped += int(result[3])
    status = command.wait()
    if status != 0:
        if not begun:
            print("The tests did not run: see the error above.")
        failed += max(0, begun - reported)
    conformance_table.table(conformance_table.rows(conformance_table.count(lines)[0]))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    status = status or also
    # A command that a signal ended has a negative status; shells say 128 and the signal.
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
