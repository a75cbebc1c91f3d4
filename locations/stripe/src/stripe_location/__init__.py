"""Stripe, mirrored into the warehouse."""
