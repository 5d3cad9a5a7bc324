"""`python -m qnsp_policy.services.broker --config FILE`."""

import sys

from qnsp_policy.services.broker.process_edge import main

sys.exit(main())
