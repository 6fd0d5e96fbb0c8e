"""`python -m benchmarks STUDY`."""

from benchmarks.common.study_command import main

if __name__ == "__main__":
    main()
