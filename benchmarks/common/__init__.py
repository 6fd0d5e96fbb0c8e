"""What benchmarks share: the command, the runner, recorded results, tables, real sets."""
