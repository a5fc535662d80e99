"""One thread a process, those that tests start included: several such processes share the cores.

It must be read before the libraries, which look once, when they are imported. Where a test asks for
two threads, one that waits for the other sleeps.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
