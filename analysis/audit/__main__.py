import sys

from analysis.audit.command import main

sys.exit(main(sys.argv[1:]))
