"""The command `ingest`, and what its subcommands do."""
