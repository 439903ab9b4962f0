"""Made-up measurements of a function, as `make bench` writes them, for the tests of `make cost`."""

FAST = {
    "memory_mb": {"1": 20, "10000": 40},
    "cpu_us": {"1": 100, "1001": 10_100, "10000": 100_090},
    "wall_us": {"1": 300, "1001": 10_300, "10000": 100_290},
    "init_ms": 20,
    "first_ms": 10,
}
SLOW = {
    "memory_mb": {"1": 90, "10000": 300},
    "cpu_us": {"1": 2_000, "10000": 20_000_000},
    "wall_us": {"1": 2_500, "10000": 20_100_000},
    "init_ms": 400,
    "first_ms": 100,
}
# One that handles one request at a time.
SINGLE = {"memory_mb": {"1": 20}, "cpu_us": {"1": 500}, "wall_us": {"1": 700}, "init_ms": 20, "first_ms": 10}
