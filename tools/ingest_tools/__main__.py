import sys

from ingest_tools.cli import main

sys.exit(main())
