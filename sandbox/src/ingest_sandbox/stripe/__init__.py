"""A Stripe-shaped API at version 2026-10-28.endive: objects, books, changes and routes."""
