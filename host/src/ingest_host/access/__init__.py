"""Who a request to the UI comes from, what they may do, and the record of what they did.

`access.yaml` at the top of the repository says it all; docs/security.md describes it.
"""
