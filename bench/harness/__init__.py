"""What all benchmarks share: how they are declared, run, recorded and told."""
