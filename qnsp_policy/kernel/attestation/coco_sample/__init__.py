"""The CoCo sample attester: parsed only, never verified; every entry point is named insecure."""
