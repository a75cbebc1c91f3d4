"""GitHub- and Stripe-shaped HTTP APIs over one seeded, changeable world.

Start it with ``python -m ingest_sandbox``. What the world holds is what a warehouse that
ingests it must hold; ``/_sandbox`` tells the truth and changes it (see `ingest_sandbox.control`).
"""
