"""`python -m qnsp_policy.services.gateway --config-fd N`."""

import sys

from qnsp_policy.services.gateway.process_edge import main

sys.exit(main())
