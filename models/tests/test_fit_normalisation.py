"""fit_normalisation.py against NumPy's own mean and standard deviation of the same cohort."""

import csv
import datetime

import numpy as np
import pytest

import fit_normalisation

WEEK = 10_080


def cohort():
    return np.random.default_rng(7).poisson(8, size=(40, WEEK)).astype(float)


def write_wide(path, weeks):
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["person", *range(WEEK)])
        for person, week in enumerate(weeks):
            rows.writerow([person, *("" if np.isnan(value) else value for value in week)])
    return path


def fitted(path, folder, *more):
    fit_normalisation.main([str(path), "-o", str(folder), "--unit", "steps/min", *more])
    return (np.fromfile(folder / f"{name}.f32", dtype="<f4") for name in ("mean", "standard_deviation"))


def test_a_wide_cohort_with_gaps_gives_the_mean_and_deviation_of_what_was_observed(tmp_path):
    weeks = cohort()
    weeks[3, 100:4000] = np.nan
    mean, deviation = fitted(write_wide(tmp_path / "cohort.csv", weeks), tmp_path / "out")
    np.testing.assert_allclose(mean, np.nanmean(weeks, axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, np.nanstd(weeks, axis=0), rtol=1e-6)
    assert "40 weeks" in (tmp_path / "out/normalisation.json").read_text()


def test_a_long_cohort_is_laid_on_the_week_from_monday(tmp_path):
    weeks = cohort()[:2]
    with (tmp_path / "long.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["timestamp", "person", "value"])
        for person, week in enumerate(weeks):
            # The recording begins on Wednesday at noon; 2026-01-05 is a Monday.
            start = datetime.datetime(2026, 1, 7, 12)
            for minute in range(WEEK):
                at = start + datetime.timedelta(minutes=minute)
                rows.writerow([at.isoformat(), person, week[(minute + 2 * 1440 + 720) % WEEK]])
    mean, _ = fitted(tmp_path / "long.csv", tmp_path / "out", "--weeks-min", "2", "--floor", "2")
    np.testing.assert_allclose(mean, weeks.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weeks: weeks[:5], "fewer than 30 values"),
        (lambda weeks: np.where(np.arange(WEEK) == 9, 0.0, weeks), "the first is minute 9"),
        (lambda weeks: -weeks - 1, "is not a count of 0 or more"),
        (lambda weeks: weeks[:, :-1], "must be a header"),
    ],
)
def test_a_cohort_that_does_not_do_is_refused_with_the_reason(tmp_path, change, message):
    weeks = change(cohort())
    path = tmp_path / "cohort.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([range(weeks.shape[1]), *weeks])
    with pytest.raises(SystemExit) as refused:
        fitted(path, tmp_path / "out")
    assert message in str(refused.value)
    assert not (tmp_path / "out").exists()
