"""Plan/apply for trust: declare, check, plan, approve, apply and assess who may obtain which key under what evidence."""

__version__ = "0.1.0"
