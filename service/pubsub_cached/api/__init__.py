"""The interfaces of the contract, one thin module each: arguments in, records out, nothing else."""
