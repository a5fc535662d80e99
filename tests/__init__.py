"""One thread a process, those that tests start included: several such processes share the cores.

It must be read before the libraries, which look once, when they are imported.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
