"""The process manager of a local platform: keeps declared processes running and survives the command that started it.

A process of its own (`python -m qnsp_policy.services.supervisor --config FILE [--daemon]`) in a session of its own.
In: requests over a unix socket (kernel/wire/supervisor.py). Out: running processes, their logs, reports.
It holds no policy: what runs is decided by units, what may be released by the broker.
"""
