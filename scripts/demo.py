"""Personalises the bundled SAM to the demo person and compares both on photos never seen: `make demo`."""

import _bootstrap  # noqa: F401

import time
from collections.abc import Sequence

from evaluation.demo import compare, personalize
from models.judges import load_judges
from options.demo_options import DemoOptions
from options.parser import parse_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the run, ``table.md``, ``figures.json`` and ``life_span.png`` to ``exp_dir``."""
    options = parse_options(DemoOptions, arguments, __doc__ or "")
    start = time.monotonic()
    judges = load_judges()
    result = compare(options, personalize(options), judges)
    print("\nIdentity similarity to the true picture, and years of age error, by judges that no loss used:\n")
    print(f"- {judges.age_card.sentence()}\n- {judges.identity_card.sentence()}\n")
    print(result.table)
    print(
        f"\nOver global SAM: identity {result.gain['similarity']:+.3f}, "
        f"age error {result.gain['age_error']:+.1f} years. {time.monotonic() - start:.0f} seconds."
    )
    print(f"The picture (true photos, global SAM, personalised): {result.picture}")


if __name__ == "__main__":
    run_command(main)
