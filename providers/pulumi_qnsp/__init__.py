"""Pulumi resources, plugin and components of qnsp-policy."""
