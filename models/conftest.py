"""Small matrices only: threads of BLAS would wait for each other."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"
