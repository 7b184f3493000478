"""A modelled estimate of a phone's latency: fitted on published tables, never a measurement."""
