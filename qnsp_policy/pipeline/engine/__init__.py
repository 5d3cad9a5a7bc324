"""Stage 7, engine: a plan becomes an applied plan, by the real Pulumi engine through its Automation API.

In: a verified plan, the backend, the runtime of the workspace. Out: an apply record; units recorded as they are done.
Every setting reaches Pulumi as an argument of ours; this process's own environment is never changed.
"""
