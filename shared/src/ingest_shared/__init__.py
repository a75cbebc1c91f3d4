"""What every code location shares: the set-up of its resources, and nothing else."""
