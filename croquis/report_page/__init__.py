"""The page of results: charts, galleries and an error browser of all methods that ran, in one file without a network.
Reads the outputs of the stages `evaluate`, `index` and `train_*`; writes nothing that a stage depends on."""
