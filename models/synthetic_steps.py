"""A cohort of made-up people and the normalisation fitted to it: mean and standard deviation of steps per minute for each
minute of the week.

Only integers are drawn and only integers are summed, so every machine gets the same answer to the last bit.
"""

import numpy as np

MINUTES = 7 * 1440
PEOPLE = 2000
COHORT_SEED = 20260105
# Where hardly anybody walks, the deviation is close to 0 and one step in the night would become a score of hundreds.
FLOOR = 2.0


def person(random):
    """One week from Monday 00:00: sleep from bedtime to waking, two commutes on working days, short walks in between."""
    steps = np.zeros(MINUTES, dtype=np.int64)
    wake, bed = random.integers(330, 510), random.integers(1290, 1440)
    cadence, walks = random.integers(70, 116), random.integers(15, 60)

    def walk(start, length):
        # A walk late on Sunday goes on in the first minutes of the week.
        steps[np.arange(start, start + length) % MINUTES] = random.integers(cadence - 40, cadence + 15, length)

    for day in range(7):
        weekend = day >= 5
        first = int(wake + random.integers(-30, 31) + (random.integers(0, 120) if weekend else 0))
        last = int(bed + random.integers(-60, 31))
        start = day * 1440
        for _ in range(walks):
            walk(start + int(random.integers(first, last)), int(random.integers(1, 7)))
        if not weekend:
            walk(start + first + int(random.integers(45, 90)), int(random.integers(5, 25)))
            walk(start + int(random.integers(960, 1110)), int(random.integers(5, 25)))
        elif random.integers(0, 2) == 1:
            walk(start + int(random.integers(600, 1020)), int(random.integers(20, 90)))
        if random.integers(0, 2) == 1:  # A short walk in the night.
            walk(start + int(random.integers(60, 300)), int(random.integers(1, 3)))
    return steps


def cohort_normalisation():
    """Mean, standard deviation (population, not below FLOOR) and how they were made."""
    random = np.random.Generator(np.random.PCG64(COHORT_SEED))
    total, squares = np.zeros(MINUTES, dtype=np.int64), np.zeros(MINUTES, dtype=np.int64)
    for _ in range(PEOPLE):
        steps = person(random)
        total += steps
        squares += steps * steps
    mean = total / PEOPLE
    standard_deviation = np.maximum(np.sqrt((squares * PEOPLE - total * total) / (PEOPLE * PEOPLE)), FLOOR)
    method = (
        f"synthetic: steps per minute of {PEOPLE} made-up people (models/synthetic_steps.py, seed {COHORT_SEED}), for each "
        f"minute of the week from Monday 00:00 local time; population standard deviation, not below {FLOOR} steps/min"
    )
    return mean, standard_deviation, method
