#!/usr/bin/env python3
"""Runs the given `cargo test` command, passes on what it prints, and ends with the table of the conformance cases, port by
adapter, and one line that sums all test binaries.

The exit status is the command's own. A test binary that began and never reported counts as one failure.
"""

import re
import subprocess
import sys

import conformance_table

RESULT = re.compile(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
BEGIN = re.compile(r"\s+(Running (unittests |tests|benches|\S+\.rs)|Doc-tests )")


def main() -> int:
    passed = failed = skipped = begun = reported = 0
    lines = []
    command = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
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
    # A command that a signal ended has a negative status; shells say 128 and the signal.
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
