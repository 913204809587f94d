"""The deterministic simulation of `ringward.events`: the real state machine, driver, runner and stores, driven by one seed.

| file | what is there |
|---|---|
| `plan.py` | what a seed decides beforehand: sizes, options, how much trouble |
| `scheduler.py` | actors that take turns, and a clock that moves when all of them wait |
| `handle.py` | one process's way to the store: where it meets others, errors and its death |
| `host.py` | a process: its ticker, its workers, its handlers |
| `people.py` | everybody else: who publishes, operates, and pulls plugs |
| `ledger.py`, `book.py` | what must always hold, checked after every write and delivery |
| `run.py`, `seeds.py` | all of these together: `run` a seed, or many over all cores |
| `disk.py` | files for `SqliteStore` that fail, tear and lose what was not synced |
| `mutants.py` | deliberate bugs, to see that the ledger notices |
"""
