#!/usr/bin/env python3
"""Fits the normalisation of PAT to a cohort: mean and standard deviation of each minute of the week, over people's weeks.

The cohort is a CSV file in one of two forms:
  wide   one line a week, its last 10,080 columns are the minutes from Monday 00:00 local time; columns before them are ignored
  long   the header names person, timestamp and value; one line a minute, the timestamp in local time (2026-01-05T00:00)
An empty cell is a minute that was not observed: it is left out, not counted as 0.

Writes mean.f32, standard_deviation.f32 and normalisation.json, for convert_pat.py --normalisation.
"""

import argparse
import csv
import datetime
import json
import math
import pathlib
import sys

import numpy as np

from pat import MINUTES


class Moments:
    """Running mean and sum of squared deviations of each minute (Welford), so that no cohort need fit into memory."""

    def __init__(self):
        self.count = np.zeros(MINUTES, dtype=np.int64)
        self.mean, self.squares = np.zeros(MINUTES), np.zeros(MINUTES)

    def add(self, minutes, values):
        self.count[minutes] += 1
        change = values - self.mean[minutes]
        self.mean[minutes] += change / self.count[minutes]
        self.squares[minutes] += change * (values - self.mean[minutes])


def number(text, line):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        sys.exit(f"fit_normalisation.py: line {line}: {text!r} is not a count of 0 or more")
    return value


def wide(rows, moments):
    weeks = 0
    for row in rows:
        if len(row) < MINUTES:
            sys.exit(f"fit_normalisation.py: line {rows.line_num}: {len(row)} columns, but a week has {MINUTES}")
        cells = [math.nan if not cell.strip() else number(cell, rows.line_num) for cell in row[-MINUTES:]]
        values = np.array(cells)
        observed = np.flatnonzero(np.isfinite(values))
        moments.add(observed, values[observed])
        weeks += 1
    return f"{weeks} weeks"


def long(rows, header, moments):
    person, timestamp, value = (header.index(name) for name in ("person", "timestamp", "value"))
    people, seen = set(), set()
    for row in rows:
        if len(row) != len(header):
            sys.exit(f"fit_normalisation.py: line {rows.line_num}: {len(row)} columns, but the header has {len(header)}")
        if not row[value].strip():
            continue
        try:
            at = datetime.datetime.fromisoformat(row[timestamp])
        except ValueError:
            sys.exit(f"fit_normalisation.py: line {rows.line_num}: {row[timestamp]!r} is not a time such as 2026-01-05T00:00")
        at = at.replace(tzinfo=None, second=0, microsecond=0)
        if (row[person], at) in seen:
            sys.exit(f"fit_normalisation.py: line {rows.line_num}: this person has this minute twice")
        seen.add((row[person], at))
        people.add(row[person])
        minute = np.array([at.weekday() * 1440 + at.hour * 60 + at.minute])
        moments.add(minute, np.array([number(row[value], rows.line_num)]))
    return f"{len(seen)} minutes of {len(people)} people"


def fit(path, weeks_min, floor):
    moments = Moments()
    with path.open(newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if {"person", "timestamp", "value"} <= set(header):
            size = long(rows, header, moments)
        elif len(header) >= MINUTES:
            size = wide(rows, moments)
        else:
            sys.exit(
                f"fit_normalisation.py: {path}: the first line must be a header with person, timestamp and value, "
                f"or with {MINUTES} columns of minutes"
            )
    thin = np.flatnonzero(moments.count < weeks_min)
    if thin.size:
        sys.exit(
            f"fit_normalisation.py: {thin.size} minutes of the week have fewer than {weeks_min} values, the first is minute "
            f"{thin[0]} with {moments.count[thin[0]]}: a larger cohort is needed (or a smaller --weeks-min)"
        )
    deviation = np.sqrt(moments.squares / moments.count)
    flat = np.flatnonzero(np.maximum(deviation, floor) <= 0)
    if flat.size:
        sys.exit(
            f"fit_normalisation.py: {flat.size} minutes of the week never vary, the first is minute {flat[0]}: "
            "give a --floor above 0, in the unit of the values"
        )
    return moments.mean, np.maximum(deviation, floor), size


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path, metavar="COHORT.csv")
    parser.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="DIR")
    parser.add_argument("--unit", required=True, help="of the values, such as steps/min")
    parser.add_argument("--floor", type=float, default=0.0, help="no deviation is below it (default: 0, which leaves them as they are)")
    parser.add_argument("--weeks-min", type=int, default=30, help="values that each minute must have (default: 30)")
    parser.add_argument("--json", action="store_true", help="print normalisation.json")
    arguments = parser.parse_args(arguments)
    if not arguments.file.is_file():
        parser.error(f"{arguments.file} is not a file")
    mean, deviation, size = fit(arguments.file, arguments.weeks_min, arguments.floor)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "mean.f32").write_bytes(mean.astype("<f4").tobytes())
    (arguments.output / "standard_deviation.f32").write_bytes(deviation.astype("<f4").tobytes())
    method = (
        f"fitted to {size} (fit_normalisation.py), for each minute of the week from Monday 00:00 local time; population standard "
        f"deviation, not below {arguments.floor:g} {arguments.unit}"
    )
    described = {"unit": arguments.unit, "method": method}
    text = json.dumps(described, indent=2) + "\n"
    (arguments.output / "normalisation.json").write_text(text)
    print(text.rstrip() if arguments.json else f"{arguments.output}: {size}")


if __name__ == "__main__":
    main()
