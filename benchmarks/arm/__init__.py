"""Counts the ARM instructions of one inference under emulation; see docs/arm.md."""
