"""A Stripe-shaped API at version 2025-03-31.basil: objects, books, changes and routes."""
