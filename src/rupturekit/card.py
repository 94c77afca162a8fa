"""The model card, written by the training run from its own facts."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .annotation import FAMILIES
from .evaluation import markdown

SHARED = {"annomi_train", "hlqc_train", "hlqc_pool"}
SHARED_NOTE = """The codes are
**model-assisted**: the raters are independent readings by language models under the guidelines, not clinicians, so
every figure here is consistency with such raters and not accuracy against expert coders. AnnoMI (Wu et al. 2022,
doi 10.1109/ICASSP43922.2022.9746035) is demonstrations of motivational interviewing with role-played clients; HLQC
(Pérez-Rosas et al. 2019) is automatic captions of counselling videos, good and bad, hardly punctuated. Both are
published for research without a licence file; their text is not part of this repository."""
"""What is to be said of the sessions that the shipped model learns from."""


def write_card(out: Path, config: Mapping[str, Any], facts: dict[str, Any]) -> None:
    """Write the card from what the training run knows."""
    facts["hashes"] = {
        file: hashlib.sha256((out / file).read_bytes()).hexdigest()
        for file in ("model.onnx", "tokenizer.json", "config.json")
    }
    n_synthetic, turns_synthetic = facts["synthetic"]
    machine = f"{platform.machine()}, torch {facts['torch']}"
    made_up = "No synthetic data was used."
    if n_synthetic:
        made_up = (
            f"{n_synthetic} synthetic sessions and exchanges ({turns_synthetic} turns, written for this project) were "
            "trained on first, and never tested on."
        )
    if turns := facts.get("readings"):
        made_up += (
            f" Of the real sessions, {turns} turns were read again by further\ncoders; what these gave was trained on "
            "beside the raters' codes, and no figure is against it."
        )
    source = "Every figure here is agreement with the raters of these tables, no more."
    if {row["corpus"] for row in facts["data"]} <= SHARED:
        source = SHARED_NOTE
    thin = ", ".join(name.replace("_", " ") for name, n in facts["marker_counts"].items() if n < 10) or "none"
    ablations = ""
    if "ablations" in facts:
        ablations = f"""
## What each part is worth
The same folds, with one part of the recipe left out.

{markdown(facts["ablations"])}
"""
    how = "calibrated and cut on the other folds.\n95 % intervals resample groups."
    elsewhere = "synthetic talk, if from anything"
    written_from = ""
    if any("not written from" in row["turns"] for row in facts["turns"]):
        written_from = """
The rules were written from some of these groups: their weights are calibrated on the
others alone, thresholds are cut on all, and the last rows give the figures of the others alone."""
    caution, origin = "", ""
    if "init" in facts:
        init = config["init"]
        elsewhere = f"{init['name']} {init['version']}"
        made_up = f"What {elsewhere} had learned from before is told by its own card."
        caution, how = facts["caution"] + "\n\n" if facts["caution"] else "", facts["how"]
        origin = f"""
## Fitted on from {elsewhere}
{init["fitted"].capitalize()} fitted on a team's own codes, from that model's weights. What it was before on the same
sessions (these figures and those above are fair only if it had not seen them):

{markdown(facts["init"])}
"""
    kept = ""
    if "fidelity" in facts:
        same = facts["fidelity"]
        kept = (
            "Weights are stored as int8, a scale for each row, and computed in float32. Of the (turn, family) pairs of "
            f"these\nsessions that the stored or the trained weights mark ({same['pairs']}), both mark "
            f"{same['both']:.1%}; their probabilities differ by {same['p99']:.3f}\nat the 99th percentile, by "
            f"{same['largest']:.3f} at most.\n\n"
        )
    text = f"""# {config["name"]} {config["version"]}

Written by the training run from its own facts.

A sentence encoder ({config["base"]}) fine-tuned to mark alliance ruptures (withdrawal and confrontation,
with their markers), resolution strategies and therapist defensiveness in English session transcripts, turn by turn.
It reads a session in windows of {config["recipe"]["window"]} tokens: {config["recipe"]["before"]} of what came before,
{config["recipe"]["after"]} of what follows. Codebook: {config["codebook"]} {config["codebook_version"]}.

## Intended use
A hint for a human coder who reads the turn. Never a diagnosis, never a judgement of a client or a therapist, never
the only reader. "No marker found" is not "no rupture": see recall below.

## Data
{markdown(facts["data"])}

The last four columns count turns to which at least half of the raters gave the family. {source}
{made_up}

## Figures
{caution}Grouped cross-validation, {facts["folds"]} folds over {facts["groups"]} groups: every session was annotated
by the whole pipeline, rules and model, fitted on other groups, {how}{written_from}

{markdown(facts["turns"])}

The rules alone, where they were not written from, and simple recipes fitted and cut on the same turns and folds:

{markdown(facts["baselines"])}

Two raters against each other, on the turns that both read (consistency, no human ceiling; the figures above are
against what at least half of the raters gave, so the two are not on one scale):

{markdown(facts["raters"])}

{markdown([*facts["sessions"], *facts["markers"]])}

### Calibration
Client turns by stated probability (ten equal bins): how many, the mean probability, and the share that is gold.

{markdown(facts["reliability"])}

### False alarms by look-alike
Client turns that no rater coded as a rupture, and how many of them are marked as one. The kinds are told by the surface
of the words and overlap.

{markdown(facts["look-alikes"])}
{ablations}{origin}
## Thresholds
| family | threshold | calibration: slope on the logit, weight of the rule, bias |
|---|---|---|
{chr(10).join(f"| {f} | {config['thresholds'][f]} | {config['calibration'][f]} |" for f in FAMILIES)}

## Limits
* Not measurable here, with fewer than ten real turns each: {thin}.
  What the model knows of them comes from {elsewhere}.
* Other sessions, settings and languages than the table's differ; real therapies are longer.
* Short answers of second-language speakers and of people who speak little can look like minimal responses; no corpus
  here says who speaks a second language or a dialect, so the false alarms on them in real talk are not known.
* Captions with swapped or merged speakers mislead it; the flags of a transcript say when to distrust it.

## Reproduce
`{facts["command"]}` (seed {facts["seed"]}; {facts["minutes"]:.0f} minutes on {machine}).

{kept}| file | SHA-256 |
|---|---|
{chr(10).join(f"| {name} | `{digest}` |" for name, digest in facts["hashes"].items())}
"""
    (out / "README.md").write_text(text, "utf-8")
