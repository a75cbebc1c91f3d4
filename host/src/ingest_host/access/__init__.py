"""Who sends a request to the UI, what they may do, and the record of what they did.

All of it is configured in `access.yaml` at the top of the repository; docs/security.md describes it.
"""
