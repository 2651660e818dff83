#!/usr/bin/env python3
"""Checks that the product builds with each set of features alone, and prints how many crates each links: `feature-builds.py CARGO`.

A build without records or secrets of its own cannot serve, but must compile. With `--release` it builds rather than checks, and
prints the sizes of the binaries; that takes long, as each set compiles what it needs anew. `--write FILE` renews the table
between the marks in FILE.
"""

import argparse
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- feature-builds -->\n", "<!-- /feature-builds -->\n"

# Records need a store: each service of AWS that is none goes with the smallest one that is.
SETS = (
    ("local",),
    ("local", "gemini"),
    ("aws",),
    ("aws-dynamodb",),
    ("aws-s3", "local"),
    ("aws-sqs", "local"),
    ("aws-sns", "local"),
    ("aws-secrets-manager", "local"),
    ("aws-ssm", "local"),
    ("aws-cognito", "local"),
    ("postgres",),
    ("postgres", "redis"),
    ("local", "aws", "postgres", "redis", "gemini"),
)


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def crates(cargo, features):
    """How many crates the binary links, its own included."""
    tree = run(cargo, "tree", "--quiet", "-p", "api", "--no-default-features", "--features", features,
               "--edges", "normal", "--prefix", "none", "--format", "{p}")
    return len({line.removesuffix(" (*)") for line in tree.splitlines() if line.strip()})


def row(cargo, features, release):
    names = ",".join(features)
    count = crates(cargo, names)
    begun = time.monotonic()
    build = ["build", "--release", "--bin", "clarity"] if release else ["check", "--bin", "clarity"]
    run(cargo, *build, "--quiet", "-p", "api", "--no-default-features", "--features", names)
    size = "-"
    if release:
        target = pathlib.Path(run(cargo, "metadata", "--format-version", "1", "--no-deps").split('"target_directory":"')[1].split('"')[0])
        size = f"{(target / 'release/clarity').stat().st_size / 2**20:.1f}"
    print(f"{' + '.join(features):<45} {count:>4} crates  {size:>6} MiB  {time.monotonic() - begun:>4.0f} s", flush=True)
    return f"| `{'`, `'.join(features)}` | {count} | {size} |\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", action="store_true")
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("cargo")
    arguments = parser.parse_args()
    rows, broken = [], []
    for features in SETS:
        try:
            rows.append(row(arguments.cargo, features, arguments.release))
        except subprocess.CalledProcessError:
            broken.append(" + ".join(features))
    if broken:
        sys.exit(f"these do not build: {'; '.join(broken)}")
    if arguments.write:
        text = arguments.write.read_text()
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        head = "| features | crates linked | MiB of the binary |\n|---|---:|---:|\n"
        arguments.write.write_text(before + BEGIN + head + "".join(rows) + END + after)


if __name__ == "__main__":
    main()
