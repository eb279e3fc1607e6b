"""Share of frames kept in each kind of segment of the sample clip: python samples/tally.py RECORDS.jsonl CLIP.json"""

import json
import sys
from collections import defaultdict
from pathlib import Path


def tally(records: Path, segments: Path) -> dict[str, tuple[int, int]]:
    """Kind of trouble -> (frames kept, frames) over a run's records."""
    described = json.loads(segments.read_text())["segments"]
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for line in records.read_text().splitlines():
        record = json.loads(line)
        kinds = [part["trouble"] for part in described if part["first_frame"] <= record["index"] < part["end_frame"]]
        counts[kinds[0]][0] += record["keep"]
        counts[kinds[0]][1] += 1
    return {kind: (kept, frames) for kind, (kept, frames) in counts.items()}


def main() -> None:
    print(f"{'segments':<14}{'frames':>8}{'kept':>8}{'share':>8}")
    for kind, (kept, frames) in tally(Path(sys.argv[1]), Path(sys.argv[2])).items():
        name = "clean" if kind == "none" else kind
        print(f"{name:<14}{frames:>8}{kept:>8}{kept / frames:>8.0%}")


if __name__ == "__main__":
    main()
