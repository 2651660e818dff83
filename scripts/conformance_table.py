#!/usr/bin/env python3
"""Runs the given `cargo test` command over the adapters' conformance suites and prints a table of port by adapter.

Test names are `adapter::port::promise`. With `--json` only JSON comes out, and the failed promises are listed in it. The exit
status is the command's own, or 1 when no case ran at all.
"""

import argparse
import collections
import json
import re
import subprocess
import sys

CASE = re.compile(r"^test (\S+)( - should panic)? \.\.\. (ok|FAILED|ignored)")
PORTS = ("health_data", "object_store", "job_queue", "event_bus", "identity", "secret_store", "mailer", "shared_state")
ADAPTERS = ("memory", "embedded", "postgres", "redis", "aws", "cognito", "log", "smtp_plain", "smtp_starttls")
OUTCOMES = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}


def place(name):
    """The adapter and the port of a test, or None for a test that is no conformance case but the adapter's own."""
    *modules, _promise = name.split("::")
    ports = [module for module in modules if module in PORTS]
    adapters = [module for module in modules if module in ADAPTERS]
    # What a user pool cannot show stands apart from the suite, by reason.
    if "not_shown" in modules:
        ports = ["identity"]
    if not ports or not adapters or "own" in modules:
        return None
    # The same cases once more, on a way to the service that breaks.
    at_faults = ", 5 % faults" if "at_faults" in modules else ""
    return adapters[0] + at_faults, ports[0]


def count(lines):
    """What became of each case that these lines tell of, by adapter and port, and the names of those that failed."""
    counts = collections.defaultdict(collections.Counter)
    broken = []
    for line in lines:
        case = CASE.match(line)
        where = place(case[1]) if case else None
        if where is None:
            continue
        outcome = OUTCOMES[case[3]]
        counts[where][outcome] += 1
        if outcome == "failed":
            broken.append(case[1])
    return counts, broken


def rows(counts):
    def order(key):
        (adapter, port) = key
        return PORTS.index(port), adapter

    for adapter, port in sorted(counts, key=order):
        count = counts[adapter, port]
        yield {"port": port, "adapter": adapter, **{name: count[name] for name in OUTCOMES.values()}}


def table(rows):
    header = ["port", "adapter", "passed", "failed", "skipped"]
    lines = [header] + [[str(row[name]) for name in header] for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        words = [word.ljust(width) if column < 2 else word.rjust(width)
                 for column, (word, width) in enumerate(zip(line, widths))]
        print("  ".join(words))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    finished = subprocess.run(arguments.command, stdout=subprocess.PIPE, text=True, check=False)
    counts, broken = count(finished.stdout.splitlines())
    found = list(rows(counts))
    totals = {name: sum(row[name] for row in found) for name in OUTCOMES.values()}
    if arguments.json:
        print(json.dumps({"rows": found, "totals": totals, "broken": broken}, indent=2))
    else:
        if broken:
            print(finished.stdout)
        table(found + [{"port": "all", "adapter": "", **totals}])
    if not found:
        print("no conformance case ran", file=sys.stderr)
    return finished.returncode or (0 if found else 1)


if __name__ == "__main__":
    sys.exit(main())
