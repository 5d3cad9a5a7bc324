"""`python -m qnsp_policy.services.supervisor`."""

import sys

from qnsp_policy.services.supervisor.app import main

sys.exit(main(sys.argv[1:]))
