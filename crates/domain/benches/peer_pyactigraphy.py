"""What the benchmark `measures` computes, by pyActigraphy 1.2.2, on the same year of minutes.

Prints one line a measure: its name, a tab, and the seconds of processor time it took, so that a busy machine does not make it
slower than it is. Needs Python 3.9 and what `peer_requirements.txt` names; `make bench-measures` sees to both and prints the
results side by side. An argument is the number of days, 365 by default.
"""

import sys
import time
import warnings

import numpy as np
import pandas as pd
from pyActigraphy.analysis import Fractal
from pyActigraphy.io import BaseRaw

SCALES = [10, 20, 40, 80, 160, 320, 640]


def year(days):
    """The series of tests/data/actigraphy-reference.json, as the benchmark builds it."""
    state, series = 42, []
    for index in range(days * 1440):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        u, (day, minute) = state >> 40, divmod(index, 1440)
        shift = [0, 15, -20, 40, -10, 25, 60][day % 7]
        on, off = 420 + shift, 1380 + shift
        if on <= minute < off or minute < off - 1440:
            series.append(0 if (u >> 10) % 10 < 2 else u % 400)
        else:
            series.append(u % 120 if u % 25 == 0 else 0)
    index = pd.date_range("2024-01-01", periods=len(series), freq="60s")
    return pd.Series(np.array(series, float), index=index)


def cosinor(data):
    """Ordinary least squares, because pyActigraphy's bounded fit needs a start near the solution."""
    angle = 2 * np.pi * np.arange(len(data)) / 1440
    design = np.column_stack([np.ones(len(data)), np.cos(angle), np.sin(angle)])
    return np.linalg.lstsq(design, data.values, rcond=None)


def main():
    warnings.filterwarnings("ignore")
    data = year(int(sys.argv[1]) if len(sys.argv) > 1 else 365)
    raw = BaseRaw(
        name="year",
        uuid="year",
        format="none",
        axial_mode=None,
        start_time=data.index[0],
        period=data.index[-1] - data.index[0],
        frequency=pd.Timedelta(minutes=1),
        data=data,
        light=None,
    )
    counts = {"binarize": False}
    dfa = lambda: Fractal.dfa(data, np.array(SCALES))
    measures = {
        "is_iv": lambda: (raw.IS(**counts), raw.IV(**counts)),
        "ism": lambda: raw.ISm(**counts),
        "ivm": lambda: raw.IVm(**counts),
        "l5_m10_ra": lambda: (raw.L5(**counts), raw.M10(**counts), raw.RA(**counts)),
        "rap_24h": lambda: raw.RAp(period="24H", **counts),
        "adat": lambda: raw.ADAT(**counts),
        "aont_aofft": lambda: (raw.AonT(**counts), raw.AoffT(**counts)),
        "kra_kar": lambda: (raw.kRA(4), raw.kAR(4)),
        "cosinor": lambda: cosinor(data),
        "dfa": lambda: Fractal.generalized_hurst_exponent(dfa(), np.array(SCALES)),
        "cole_kripke_webster": lambda: raw.CK(settings="mean"),
        "sadeh": lambda: raw.Sadeh(),
        "scripps": lambda: raw.Scripps(),
        "oakley": lambda: raw.Oakley(threshold="automatic"),
        "roenneberg": lambda: raw.Roenneberg(),
        "crespo": lambda: raw.Crespo(),
        "sri": lambda: raw.SleepRegularityIndex(),
        "sleep_midpoint": lambda: raw.SleepMidPoint(),
    }
    # Compiles what numba compiles, so that this is not measured.
    raw.Roenneberg(), dfa()
    total = 0.0
    for name, compute in measures.items():
        start = time.process_time()
        compute()
        seconds = time.process_time() - start
        total += seconds
        print(f"{name}\t{seconds:.6f}", flush=True)
    print(f"all\t{total:.6f}")


if __name__ == "__main__":
    main()
