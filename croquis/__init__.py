"""Fashion image retrieval, from a catalogue to a served champion. Rooms import downwards only
(tests/project/test_arrows.py); nothing here imports lightning_modules or stages."""
