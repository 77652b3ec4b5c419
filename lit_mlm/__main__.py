"""`python -m lit_mlm`."""

from lit_mlm.cli.main import main

if __name__ == "__main__":
    main()
