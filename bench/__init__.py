"""What a request costs through Sixfold, beside the servers people would use instead.

`python -m bench` measures, `python -m bench.install` installs the opponents, README.md tells the method.
"""
