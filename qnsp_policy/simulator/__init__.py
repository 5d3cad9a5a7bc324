"""Simulated TEE hardware under a throw-away vendor PKI. Insecure by name: whoever holds the PKI's folder can forge any report.

A process of its own (`python -m qnsp_policy.simulator --config FILE`) that offers the attester's own surface: a folder shaped like
configfs-tsm and a unix socket. The guest gets a path and imports nothing of this package. What it signs verifies only under an anchor
that a workspace declares, with the assurance class simulated.
"""

from qnsp_policy.simulator.measure import host_data, measure
from qnsp_policy.simulator.snp import SnpChip, SnpPki, make_pki

__all__ = ["SnpChip", "SnpPki", "host_data", "make_pki", "measure"]
