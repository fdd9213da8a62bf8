"""Numbers from recordings: metrics, protocols, scoring and the report."""
