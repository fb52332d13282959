"""Payloads for fuzzing a hive's command topics."""

from __future__ import annotations

import json
import os

from hypothesis import strategies as st

# Payloads to try in one test.
EXAMPLES = 5000 if os.environ.get("CI") == "true" else 500
LEAVES = [
    *(f"command/{name}" for name in ("pause", "resume", "snapshot", "threshold", "test_alert", "unknown")),
    *("detection/set", "threshold/set"),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
almost_commands = st.dictionaries(
    st.sampled_from(["id", "duration_s", "value", "reset", "Id"]),
    st.floats(allow_nan=True) | st.booleans() | st.text(max_size=70) | st.integers(),
    max_size=4,
)
payloads = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    json_values.map(lambda value: json.dumps(value).encode()),
    almost_commands.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"ON", b"OFF", b"reset", b"0.5", b"", b"{}", b"1e309", b"-0.0"]),
    st.integers(4000, 20_000).map(lambda size: b"[" * size),
)
