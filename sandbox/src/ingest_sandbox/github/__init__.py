"""A GitHub-shaped REST API: records, their JSON, the seeded world, changes and routes."""
