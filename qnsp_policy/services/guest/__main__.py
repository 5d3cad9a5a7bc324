"""`python -m qnsp_policy.services.guest --config FILE [fetch RESOURCE]`."""

import sys

from qnsp_policy.services.guest.app import main

sys.exit(main())
