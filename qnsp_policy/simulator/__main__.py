"""`python -m qnsp_policy.simulator --config FILE`."""

import sys

from qnsp_policy.simulator.app import main

sys.exit(main())
