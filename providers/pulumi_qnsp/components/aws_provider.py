"""The providers of one unit on AWS, as values: the engine's role, and the key administrator's where keys are made.

Both refuse another account than the document's, so that wrong credentials never change anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pulumi_qnsp.components.children import Json

ENGINE, KEEPER = "aws", "aws-key-admin"
"""Names of the two."""

VERSION = "7.51.1"
"""Of the SDK of AWS that every argument is held against by tests, and so of the plugin that is asked for."""


def provider(platform: Mapping[str, Any], role: str | None) -> Json:
    """Arguments of one provider of the SDK; those that do not apply are None."""
    return {
        "region": platform["region"],
        "allowed_account_ids": [platform["account"]],
        "assume_roles": [{"role_arn": role, "session_name": "qnsp-policy"}] if role else None,
        # A server at an address has no name for each bucket.
        "s3_use_path_style": True if any(key.startswith("AWS_ENDPOINT_URL") for key in os.environ) else None,
    }


__all__ = ["ENGINE", "KEEPER", "VERSION", "provider"]
