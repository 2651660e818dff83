"""Benchmarks the measures over a year of minutes beside pyActigraphy, and the merge of a year of three devices.

    bench-measures.py [--json] [--record] TOOLS TARGET CARGO...

Runs the benchmarks `measures` and `merge` of the crate `domain`, and `peer_pyactigraphy.py` in an environment of its own below
TOOLS. pyActigraphy 1.2.2 needs Python 3.9: PEER_PYTHON, or else `python3.9`. Without one, its recorded seconds are taken and
labelled so. `--record` writes what was measured to that record.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

BENCHES = pathlib.Path(__file__).resolve().parent.parent / "crates/domain/benches"
REQUIREMENTS = BENCHES / "peer_requirements.txt"
RECORD = BENCHES / "peer_pyactigraphy.tsv"
GOAL = 100


def ours(target, group, name):
    """The median of a benchmark, in seconds."""
    estimates = json.loads(pathlib.Path(target, "criterion", group, name, "new/estimates.json").read_text())
    return estimates["median"]["point_estimate"] / 1e9


def table(text):
    lines = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(seconds) for name, seconds in lines}


def peer_python(tools):
    """Python 3.9 with pyActigraphy; None where there is no Python 3.9."""
    base = os.environ.get("PEER_PYTHON", "python3.9")
    check = [base, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 9))"]
    try:
        if subprocess.run(check, stderr=subprocess.DEVNULL).returncode:
            return None
    except OSError:
        return None
    venv = pathlib.Path(tools, "measures-peer/venv")
    python, mark = venv / "bin/python", venv / "requirements.txt"
    if not mark.exists() or mark.read_text() != REQUIREMENTS.read_text():
        subprocess.run([base, "-m", "venv", "--clear", str(venv)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
        subprocess.run(pip, check=True)
        mark.write_text(REQUIREMENTS.read_text())
    return str(python)


def peer(tools):
    """The seconds of each measure, and whether they were measured just now."""
    python = peer_python(tools)
    if python is None:
        print("There is no Python 3.9 here, so pyActigraphy's recorded seconds are taken.", file=sys.stderr)
        return table(RECORD.read_text()), False
    print("Running pyActigraphy, which takes minutes.", file=sys.stderr)
    run = subprocess.Popen([python, str(BENCHES / "peer_pyactigraphy.py")], stdout=subprocess.PIPE, text=True)
    lines = []
    for line in run.stdout:
        print(f"  {line}", end="", file=sys.stderr, flush=True)
        lines.append(line)
    if run.wait():
        sys.exit("bench-measures: pyActigraphy failed; see above")
    return table("".join(lines)), True


def milliseconds(seconds):
    return f"{seconds * 1e3:,.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("tools")
    parser.add_argument("target")
    parser.add_argument("cargo", nargs="+")
    arguments = parser.parse_args()
    bench = [*arguments.cargo, "bench", "-p", "domain", "--bench", "measures", "--bench", "merge"]
    subprocess.run(bench, check=True, stdout=sys.stderr)
    theirs, is_measured = peer(arguments.tools)
    if arguments.record and is_measured:
        head = "# Seconds of processor time of pyActigraphy 1.2.2 (Python 3.9) over a year of minutes, by scripts/bench-measures.py.\n"
        RECORD.write_text(head + "".join(f"{name}\t{seconds:.6f}\n" for name, seconds in theirs.items()))
    rows = [(name, ours(arguments.target, "year_of_minutes", name), seconds) for name, seconds in theirs.items()]
    merge = {name: ours(arguments.target, "merge_year_of_three_sources", name) for name in ("by_interval", "floor_sum_of_all")}
    label = "measured" if is_measured else "recorded"
    if arguments.json:
        measures = [{"measure": n, "clarity_s": a, "pyactigraphy_s": b, "ratio": b / a} for n, a, b in rows]
        print(json.dumps({"pyactigraphy": label, "goal": GOAL, "measures": measures, "merge_s": merge}))
        return
    print(f"A year of minutes; pyActigraphy 1.2.2 {label}. Milliseconds.\n")
    print(f"| {'measure':<20} | {'Clarity':>10} | {'pyActigraphy':>13} | {'ratio':>10} |")
    print(f"| {'-' * 20} | {'-' * 9}: | {'-' * 12}: | {'-' * 9}: |")
    for name, a, b in rows:
        note = "" if b / a >= GOAL else f"  below {GOAL}x"
        print(f"| {name:<20} | {milliseconds(a):>10} | {milliseconds(b):>13} | {b / a:>9,.0f}x |{note}")
    print(f"\nA year of steps of three devices, merged by interval: {milliseconds(merge['by_interval'])} ms;", end=" ")
    print(f"adding all of them up, which is wrong: {milliseconds(merge['floor_sum_of_all'])} ms.")


if __name__ == "__main__":
    main()
