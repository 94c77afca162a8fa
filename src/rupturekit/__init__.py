"""Finds markers of alliance rupture in psychotherapy session transcripts.

>>> import rupturekit as rk
>>> rk.Turn(0, "C", "client", "I guess.").role
'client'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agree import Agreement, agreement
    from .annotation import (
        AnnotatedTranscript,
        Coded,
        Episode,
        Marker,
        Provenance,
        Score,
    )
    from .batch import annotate_folder
    from .classifier import Classifier
    from .codebook import Codebook, Crosswalk, load_codebook, load_crosswalk
    from .exchange import export, import_codes
    from .pipeline import Annotator, read, read_all
    from .readers import ReadError
    from .rules import RuleDetector, load_rules
    from .segment import RoleError
    from .shifts import Shift, shifts_of
    from .spacy_pipes import from_doc, to_doc
    from .tables import load, to_frame
    from .talk import talk_features
    from .transcript import Transcript, Turn
    from .treatment import Signal, course_rows, signals, treatments

__version__ = "0.1.0"

# Each public name and the module that it comes from: imported when first asked for, so that
# `import rupturekit` costs nothing.
_HOME = {
    "Agreement": "agree",
    "AnnotatedTranscript": "annotation",
    "Annotator": "pipeline",
    "Classifier": "classifier",
    "Codebook": "codebook",
    "Coded": "annotation",
    "Crosswalk": "codebook",
    "Episode": "annotation",
    "Marker": "annotation",
    "Provenance": "annotation",
    "ReadError": "readers",
    "RoleError": "segment",
    "RuleDetector": "rules",
    "Score": "annotation",
    "Shift": "shifts",
    "Signal": "treatment",
    "Transcript": "transcript",
    "Turn": "transcript",
    "agreement": "agree",
    "annotate_folder": "batch",
    "course_rows": "treatment",
    "export": "exchange",
    "from_doc": "spacy_pipes",
    "import_codes": "exchange",
    "load": "tables",
    "load_codebook": "codebook",
    "load_crosswalk": "codebook",
    "load_rules": "rules",
    "read": "pipeline",
    "read_all": "pipeline",
    "shifts_of": "shifts",
    "signals": "treatment",
    "talk_features": "talk",
    "to_doc": "spacy_pipes",
    "to_frame": "tables",
    "treatments": "treatment",
}

__all__ = [
    "Agreement",
    "AnnotatedTranscript",
    "Annotator",
    "Classifier",
    "Codebook",
    "Coded",
    "Crosswalk",
    "Episode",
    "Marker",
    "Provenance",
    "ReadError",
    "RoleError",
    "RuleDetector",
    "Score",
    "Shift",
    "Signal",
    "Transcript",
    "Turn",
    "agreement",
    "annotate_folder",
    "course_rows",
    "export",
    "from_doc",
    "import_codes",
    "load",
    "load_codebook",
    "load_crosswalk",
    "load_rules",
    "read",
    "read_all",
    "shifts_of",
    "signals",
    "talk_features",
    "to_doc",
    "to_frame",
    "treatments",
]


# Modules that are asked for by name: `rupturekit.plot.session(...)`.
_MODULES = ("plot", "report", "sklearn")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
