"""``evaluate`` and ``train``: how good the markers are, and a model of one's own."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .options import add_parser, add_reading
from .screen import complain, plain, print_json, print_table


def add_evaluate(commands: Any) -> None:
    """Add ``evaluate``."""
    parser = add_parser(
        commands,
        "evaluate",
        help="measure annotations against coded sessions",
        description="Compares what `rupturekit annotate` wrote with sessions that people coded, and prints Markdown "
        "tables: ranking, decisions and calibration for each family, agreement of the raters with each other, counts, "
        "false alarms, markers and spans, with 95 % intervals by group. Needs the evaluate extra.",
    )
    parser.add_argument(
        "tables",
        nargs="+",
        type=Path,
        metavar="CODED",
        help="codings.jsonl that import wrote, or X.csv with its label layer X.labels.jsonl beside it",
    )
    parser.add_argument("--against", required=True, type=Path, metavar="DIR", help="folder that annotate wrote")
    parser.add_argument("--draws", type=int, default=500, metavar="N", help="resamples for each interval")
    add_reading(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from ..coding import merged, read_coded, read_codings
    from ..tables import load

    try:
        import sklearn  # noqa: F401

        from ..evaluation import LEAST_GROUPS, evaluate, join, markdown
    except ImportError as error:
        return complain(f'evaluating needs {error.name}: pip install "rupturekit[evaluate]"', 2)
    try:
        reading = {"roles": args.roles, "columns": args.columns, "format": args.input_format, "encoding": args.encoding}
        coded = merged(
            session
            for table in args.tables
            for session in (
                read_codings(table) if table.is_dir() or table.suffix == ".jsonl" else read_coded(table, **reading)
            )
        )
        found = load(args.against)
        figures = evaluate(coded, found, args.draws)
    except (ValueError, OSError) as error:
        return complain(str(error), 2)
    if args.json:
        print_json(figures)
    for title, rows in figures.items():
        if rows and not args.json:
            print(f"## {title.capitalize()}\n\n{markdown(rows)}\n")
    group = {s.coded.transcript.id: s.group for s in join(coded, found)}
    if len(groups := set(group.values())) < LEAST_GROUPS and not args.json:
        few = f"no intervals are given for fewer than {LEAST_GROUPS}, and the figures are exploratory"
        print(f"{len(groups)} clients or groups: {few}.")
    if len(groups) > 1 and (unnamed := sum(id == name for id, name in group.items())) and not args.json:
        whose = "if clients have several, intervals are too narrow; annotate with --clients"
        print(f"{unnamed} of {len(group)} sessions name no client (client_id) and count as one each: {whose}.")
    missing = {s.transcript.id for s in coded if s.coded} - set(group)
    if missing:
        return complain(f"{len(missing)} coded sessions were not annotated and are not in these figures", 1)
    return 0


def add_train(commands: Any) -> None:
    """Add ``train``."""
    parser = add_parser(
        commands,
        "train",
        help="fit the classifier on coded sessions and write a model folder with its card",
        description="Cross-validates by group, calibrates out of fold, trains on all sessions, and writes "
        "model.onnx, tokenizer.json, config.json and README.md (the card). Needs the train extra.",
    )
    parser.add_argument(
        "tables", nargs="*", type=Path, metavar="TABLE", help="X.csv with its label layer X.labels.jsonl beside it"
    )
    parser.add_argument(
        "--base",
        metavar="NAME",
        help="encoder to start from: a folder, or the hub name of one in this machine's cache; nothing is fetched",
    )
    own = parser.add_argument_group("instead of TABLE and --base: go on from a model with a team's own codes")
    own.add_argument(
        "--codes", type=Path, metavar="DIR", help="codings: JSONL that `rupturekit import` wrote, or tables"
    )
    own.add_argument(
        "--init", type=Path, metavar="MODEL", help="model folder to start from, such as models/withdrawal-en"
    )
    own.add_argument("--whole", action="store_true", help="fit the whole encoder, not its heads alone; slower")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="model folder to write")
    parser.add_argument(
        "--synthetic",
        nargs="*",
        type=Path,
        default=[],
        metavar="FILE",
        help="invented sessions to learn from first, never measured against",
    )
    parser.add_argument(
        "--readings",
        type=Path,
        metavar="DIR",
        help="further label layers of the tables, X.labels.jsonl, for training only, such as data/readings",
    )
    parser.add_argument(
        "--rule-groups",
        type=Path,
        metavar="FILE",
        help="groups that the rules were written from: they do not calibrate",
    )
    parser.add_argument(
        "--layers", type=int, metavar="N", help="take the base's lowest N layers alone: smaller and faster"
    )
    parser.add_argument("--version", default="1", metavar="V", help="of the model, for its card")
    parser.add_argument("--folds", type=int, default=3, metavar="K", help="of the cross-validation")
    parser.add_argument("--seed", type=int, default=13, metavar="N", help="a number; the same one draws the same")
    parser.add_argument(
        "--ablations", action="store_true", help="then measure what each part of the recipe is worth; takes long"
    )
    parser.add_argument(
        "--held-out",
        type=Path,
        metavar="FILE",
        help="JSONL for the annotations that the figures are of, each by a model that never saw the session's group",
    )
    parser.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    try:
        from ..training import Settings, train
    except ImportError as error:
        return complain(f'training needs {error.name}: pip install "rupturekit[train]"', 2)
    given = [bool(part) for part in (args.tables, args.base, args.codes, args.init)]
    if given not in ([True, True, False, False], [False, False, True, True]):
        return complain("give tables and --base, or --codes and --init", 2)
    apart = ("synthetic", "readings", "rule_groups", "layers", "ablations", "held_out")
    if args.codes and (alien := [name for name in apart if getattr(args, name)]):
        return complain(f"--{alien[0].replace('_', '-')} does not go with --codes", 2)
    if args.layers is not None and args.layers < 1:
        return complain(f"--layers {args.layers}: give 1 at least", 2)
    command = shlex.join(["rupturekit", *sys.argv[1:]])
    try:
        if args.codes:
            from ..adaptation import adapt
            from ..coding import read_codings

            codings = read_codings(args.codes)
            facts = adapt(
                codings, args.init, args.out, whole=args.whole, version=args.version, seed=args.seed, command=command
            )
            if args.json:
                print_json(facts)
                return 0
            _print_figures(facts["init"], "As it was")
            _print_figures(facts["turns"], "Fitted on, every client held out once")
            caution = facts["caution"].replace("**", "")
            print(f"{caution} The model and its card are in {plain(str(args.out))}".strip())
            return 0
        facts = train(
            args.tables,
            args.base,
            args.out,
            synthetic=args.synthetic,
            readings=args.readings,
            rule_groups=args.rule_groups,
            n_folds=args.folds,
            settings=Settings(seed=args.seed, layers=args.layers),
            version=args.version,
            ablations=args.ablations,
            held_out=args.held_out,
            command=command,
        )
    except (ValueError, OSError) as error:
        return complain(str(error), 2)
    if args.json:
        print_json(facts)
        return 0
    _print_figures(facts["turns"])
    print(f"The model and its card are in {plain(str(args.out))}")
    return 0


def _print_figures(rows: Sequence[dict[str, Any]], title: str = "") -> None:
    headline = [row for row in rows if row["turns"] == rows[0]["turns"]]
    shown = [[row["score"], *(f"{row[name][0]:.2f}" for name in ("AP", "F1"))] for row in headline]
    print_table(["score", "AP", "F1"], shown, title)
