"""spaCy pipes that find turns, markers, scores and episodes, in any pipeline, blank or trained.

>>> import spacy
>>> nlp = spacy.blank("en")
>>> for pipe in ("rupture_turns", "rupture_rules", "rupture_scores"):
...     _ = nlp.add_pipe(pipe)
>>> doc = nlp("T: How has the work been going for you?\\nC: Honestly, this isn't helping.")
>>> [(turn.label_, turn.text) for turn in doc.spans["turns"]]
[('therapist', 'How has the work been going for you?'), ('client', "Honestly, this isn't helping.")]
>>> [(marker.label_, marker.text) for marker in doc.spans["markers"]]
[('complaint_progress', "this isn't helping")]
>>> doc.spans["markers"].attrs["scores"]["turn"][1]["confrontation"] >= 0.9
True

The pipes mark what `rupturekit.Annotator` marks, with the same scores:

==============================================  ===================================
pipes after ``rupture_turns``                   the same as
==============================================  ===================================
``rupture_rules``                               ``Annotator(model=None)``
``rupture_classifier``                          ``Annotator(rules=False)``
``rupture_rules`` and ``rupture_classifier``    ``Annotator()``
==============================================  ===================================

``rupture_scores`` adds what follows from the markers: rates for segments and session, and episodes.

What is found stands in span groups, as in the DocBin that `rupturekit.export` writes, and outlives ``Doc.to_bytes``
and a `DocBin` without user data:

* ``doc.spans["turns"]``: the label is the role, ``id_`` the speaker.
* ``doc.spans["markers"]``: the label is the marker. A span consists of whole tokens; the exact words, score, source and
  rule of a marker are in the group's ``attrs["markers"]`` under the span's ``id_``. ``attrs["scores"]`` has the
  probabilities of each turn under ``"turn"``, and rates per 100 turns under ``"segment"`` and ``"session"``;
  ``attrs["provenance"]`` says which rules and model decided.
* ``doc.spans["episodes"]``: from a first rupture to the return of collaboration; ``attrs["episodes"]`` has the
  fields of each (`rupturekit.Episode`).
* ``doc.spans["coder:AB"]``: what AB coded, in Docs that `to_doc` or `rupturekit.export` made of codings.

Nothing is in ``span._``, whose values two markers on the same words would share. `to_doc` makes a Doc of a transcript,
and `from_doc` reads an annotated transcript back, for tables, export and agreement.

A marker is a hint for a human coder, never a diagnosis; a Doc without markers may hold ruptures that were missed.
"""

# Annotations are not postponed here: spaCy checks a component's settings by those of its factory, and older versions
# cannot read them as text. Every spacy.blank() in the environment imports this module: what else is needed is imported
# where it is used.

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup

if TYPE_CHECKING:
    from spacy.training import Example

    from .annotation import AnnotatedTranscript, Episode, Marker, Score
    from .pipeline import Annotator
    from .transcript import Transcript

__all__ = ["RuptureClassifier", "RuptureRules", "RuptureScores", "RuptureTurns", "from_doc", "to_doc"]

MARKERS = "markers"
"""The span group that the pipes mark in, unless told another."""
_LINE = re.compile(r"\S[^\n]*")


# --- a session in a Doc -------------------------------------------------------------------------------


class _Session:
    """A Doc read as a transcript, and where in the Doc the words of its turns stand.

    A turn's text has single spaces, as everywhere in rupturekit, whatever white space the Doc has there.
    """

    def __init__(self, doc: Doc) -> None:
        from pathlib import Path

        from .codebook import load_codebook
        from .exchange.returned import Returned
        from .transcript import ROLES, Transcript, Turn

        if "turns" not in doc.spans:
            raise ValueError(
                "this Doc has no turns. Put rupture_turns into the pipeline before what needs them, or make the Doc "
                "with rupturekit.spacy_pipes.to_doc"
            )
        self.doc = doc
        self.codebook = load_codebook()
        self.file = Returned(Path("Doc"), {}, self.codebook)
        self.turns = list(doc.spans["turns"])
        for number, (turn, last) in enumerate(zip(self.turns, [None, *self.turns])):
            if not turn.text.strip():
                raise ValueError(f"turn {number} has no words. Leave it out")
            if turn.label_ not in ROLES:
                raise ValueError(f"turn {number}: the label of its span is no role. Give one of {', '.join(ROLES)}")
            if last is not None and turn.start < last.end:
                raise ValueError(f"turn {number} begins before turn {number - 1} ends. Give the turns in order")
        told = doc.spans["turns"].attrs

        def each(name: str, unknown: Any) -> list[Any]:
            values = told.get(name) or [unknown] * len(self.turns)
            if len(values) != len(self.turns):
                raise ValueError(
                    f"there are {len(self.turns)} turns, and attrs[{name!r}] of their group tells of {len(values)}. "
                    "Change both, or leave it out"
                )
            return values

        self.transcript = Transcript(
            str(told.get("session", doc.user_data.get("session", "doc"))),
            tuple(
                Turn(i, turn.id_, turn.label_, " ".join(turn.text.split()), start_s, end_s, line, tuple(ids))
                for i, (turn, (start_s, end_s), line, ids) in enumerate(
                    zip(self.turns, each("times", (None, None)), each("lines", None), each("source_ids", ()))
                )
            ),
            told.get("language", doc.lang_ or "en"),
            told.get("meta", {}),
        )

    def _characters(self, turn: int) -> list[int]:
        """Return where in the Doc each character of a turn's text stands."""
        span = self.turns[turn]
        words = re.finditer(r"\S+", span.text)
        return [span.start_char + i for word in words for i in range(word.start(), word.end() + 1)][:-1]

    def span(self, turn: int, start: int, end: int, label: str = "", id: str = "") -> Span:
        """Return the tokens that words of a turn are in."""
        from .exchange.docbin import span_of

        at = self._characters(turn)
        return span_of(self.doc, at[start], at[end - 1] + 1, label, id)

    def place(self, span: Span, told: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return turn, start and end of a span: to the character where it stands as it was written, else its tokens."""
        if told:
            written = self.span(told["turn"], told["start"], told["end"])
            if (written.start, written.end) == (span.start, span.end):
                return told["turn"], told["start"], told["end"]
        turn = bisect_right([other.start_char for other in self.turns], span.start_char) - 1
        at = self._characters(turn)
        return turn, bisect_left(at, span.start_char), bisect_left(at, span.end_char)

    def markers(self, key: str) -> "list[Marker]":
        """Return the markers of a span group, in its order."""
        group = self.doc.spans[key]
        told = group.attrs.get("markers", {})
        found = []
        with self.file.part(f"session {self.transcript.id}, spans {key}"):
            for span in group:
                record = told.get(span.id_, {})
                turn, start, end = self.place(span, record)
                source = key if key.startswith("coder:") else self.file.source(self.transcript, turn, record)
                found.append(self.file.marker(self.transcript, turn, start, end, span.label_, source, record))
        return found

    def mark(self, key: str, annotated: "AnnotatedTranscript") -> None:
        """Put what an annotator marked into a span group, with the scores and the settings that decided."""
        from .exchange.docbin import record_of

        spans, told = [], {}
        for number, m in enumerate(annotated.markers):
            id = f"m{number}"
            spans.append(self.span(m.turn, m.start, m.end, m.marker, id))
            told[id] = record_of(m, self.codebook)
        self.doc.spans[key] = SpanGroup(self.doc, name=key, attrs={"markers": told}, spans=spans)
        self.tell(key, annotated)

    def tell(self, key: str, annotated: "AnnotatedTranscript") -> None:
        """Write the turns' scores and the provenance of an annotation beside its markers."""
        from dataclasses import asdict

        by_turn = annotated.turn_scores()
        attrs = self.doc.spans[key].attrs
        attrs["scores"] = {"turn": [by_turn.get(i, {}) for i in range(len(self.turns))]}
        attrs["provenance"] = asdict(annotated.provenance) if annotated.provenance else None

    def sum_up(self, key: str, rates: "Iterable[Score]", episodes: "Iterable[Episode]") -> None:
        """Write rates beside the markers, and the episodes as spans."""
        from dataclasses import asdict

        scores = self.doc.spans[key].attrs.setdefault("scores", {"turn": [{} for _ in self.turns]})
        scores["segment"], scores["session"] = {}, {}
        for rate in rates:
            # numbers as text: a file that spaCy writes has no other keys
            row = scores["session"] if rate.level == "session" else scores["segment"].setdefault(str(rate.index), {})
            row[rate.family] = rate.value
        spans, told = [], {}
        for number, episode in enumerate(episodes):
            id = f"e{number}"
            first, last = self.turns[episode.first], self.turns[episode.last]
            spans.append(Span(self.doc, first.start, last.end, label="episode", span_id=id))
            told[id] = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(episode).items()}
        self.doc.spans["episodes"] = SpanGroup(self.doc, name="episodes", attrs={"episodes": told}, spans=spans)


def to_doc(session: "Transcript | AnnotatedTranscript", nlp: Language) -> Doc:
    """Make a Doc of a transcript, for a pipeline; or of an annotated one, as pipes or coders would have left it.

    The text is the turns, joined by line breaks. ``nlp(to_doc(transcript, nlp))`` then marks what
    ``rupturekit.Annotator()(transcript)`` does.

    Parameters
    ----------
    session : Transcript or AnnotatedTranscript
    nlp : Language
        Whose tokens the Doc has; its pipes are not run.

    Examples
    --------
    >>> import rupturekit as rk, spacy
    >>> turns = (rk.Turn(0, "T", "therapist", "How was the week?"), rk.Turn(1, "C", "client", "Fine, I guess."))
    >>> doc = to_doc(rk.Transcript("s1", turns), spacy.blank("en"))
    >>> [(turn.id_, turn.label_, turn.text) for turn in doc.spans["turns"]]
    [('T', 'therapist', 'How was the week?'), ('C', 'client', 'Fine, I guess.')]
    >>> from_doc(doc).transcript == rk.Transcript("s1", turns)
    True
    """
    from .annotation import AnnotatedTranscript
    from .codebook import load_codebook
    from .exchange.docbin import doc_of

    annotated = session if isinstance(session, AnnotatedTranscript) else AnnotatedTranscript(session)
    transcript = annotated.transcript
    doc = doc_of(annotated, load_codebook(), nlp.tokenizer)
    doc.spans["turns"].attrs.update(
        language=transcript.language,
        meta=dict(transcript.meta),
        lines=[turn.line for turn in transcript],
        source_ids=[list(turn.source_ids) for turn in transcript],
    )
    if annotated.provenance is None and not doc.spans[MARKERS]:
        # an empty group would say that nothing was found
        del doc.spans[MARKERS]
        return doc
    written = _Session(doc)
    written.tell(MARKERS, annotated)
    written.sum_up(MARKERS, (s for s in annotated.scores if s.level != "turn"), annotated.episodes)
    return doc


def from_doc(doc: Doc, spans_key: str = MARKERS) -> "AnnotatedTranscript":
    """Read a Doc back as an annotated transcript: what the pipes found, and what coders coded in it.

    Parameters
    ----------
    doc : Doc
        With ``doc.spans["turns"]``. ``doc.user_data["session"]`` names a session that `to_doc` did not.
    spans_key : str
        Where the pipes marked.

    Raises
    ------
    ValueError
        If the Doc has no turns, or its spans are not markers of the codebook on turns of the right role.

    Examples
    --------
    >>> import rupturekit as rk, spacy
    >>> nlp = spacy.blank("en")
    >>> for pipe in ("rupture_turns", "rupture_rules", "rupture_scores"):
    ...     _ = nlp.add_pipe(pipe)
    >>> turns = (rk.Turn(0, "T", "therapist", "How is it going?"), rk.Turn(1, "C", "client", "This isn't helping."))
    >>> session = rk.Transcript("s1", turns)
    >>> from_doc(nlp(to_doc(session, nlp))) == rk.Annotator(model=None)(session)
    True
    """
    from .annotation import AnnotatedTranscript, Coded, Episode, Provenance, Score, whole

    session = _Session(doc)
    transcript = session.transcript
    coders = sorted(name for name in doc.spans if name.startswith("coder:") and name != spans_key)
    keys = [name for name in (spans_key, *coders) if name in doc.spans]
    markers = [marker for key in keys for marker in session.markers(key)]
    attrs = doc.spans[spans_key].attrs if spans_key in doc.spans else {}
    provenance = Provenance(**attrs["provenance"]) if attrs.get("provenance") else None
    scores = attrs.get("scores", {})
    scored: list[tuple[Any, int, dict[str, float]]] = [
        *(("turn", i, row) for i, row in enumerate(scores.get("turn", ()))),
        *(("segment", int(number), row) for number, row in scores.get("segment", {}).items()),
        ("session", 0, scores.get("session", {})),
    ]
    coded: list[Coded] = []
    if provenance is not None:
        sources = ["rule"] * (provenance.rules_sha256 is not None) + ["model"] * (provenance.model is not None)
        coded += [row for source in sources for row in whole(transcript, source)]
    for key in keys:
        if key.startswith("coder:"):
            told = doc.spans[key].attrs.get("coded")
            rows = [(key, *row) for row in told or ()]
            coded += whole(transcript, key) if told is None else session.file.coded(transcript, rows)
    episodes = doc.spans["episodes"].attrs.get("episodes", {}) if "episodes" in doc.spans else {}
    return AnnotatedTranscript(
        transcript,
        # in their group's order where they stand on the same words
        tuple(sorted(markers, key=lambda m: (m.turn, m.start, m.end))),
        tuple(Score(level, index, family, value) for level, index, row in scored for family, value in row.items()),
        tuple(map(Episode.from_dict, episodes.values())),
        tuple(coded),
        provenance,
    )


# --- the pipes ----------------------------------------------------------------------------------------


@Language.factory("rupture_turns", default_config={"roles": {}}, assigns=["doc.spans"])
class RuptureTurns:
    """Finds the turns of a session and whose they are: ``doc.spans["turns"]``.

    It takes, in this order:

    * a Doc that has ``doc.spans["turns"]``, from `to_doc`, `rupturekit.export` or your own code: spans in order, with
      the role as label and the speaker as ``id_``;
    * a Doc with the speakers of its lines in ``doc.user_data["speakers"]``, one for each line that is not empty;
    * a text in which a line begins with the speaker's label and a colon. Lines without one go on with the turn above;
      what stands above the first label is no talk. The label is not part of the turn.

    Each label begins a turn, as where the input numbers its own turns: the Doc stays as it is, so nothing is merged.
    For merging, back-channels, silences, times, and any other format, read the file with `rupturekit.read` and use
    `to_doc`. ``doc.user_data["session"]`` names the session.

    Parameters
    ----------
    roles : dict
        Speaker label → ``client``, ``therapist`` or ``other``; else told from the labels or inferred from the talk.
        What stands here is a label; other words before a colon must be a word for a party, or a name that comes back.
        Labels that do not occur in a Doc do no harm.

    Raises
    ------
    ValueError
        If a role is none of these, a Doc has no speakers, or its turns are out of order.
    RoleError
        If it stays unclear who is the client.

    Examples
    --------
    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> _ = nlp.add_pipe("rupture_turns", config={"roles": {"Lee": "therapist", "Ana": "client"}})
    >>> doc = nlp("Lee: Well?\\nAna: I walked\\nout.")
    >>> [(turn.label_, turn.id_, turn.text) for turn in doc.spans["turns"]]
    [('therapist', 'Lee', 'Well?'), ('client', 'Ana', 'I walked\\nout.')]
    >>> doc = nlp.make_doc("Well?\\nI walked out.")
    >>> doc.user_data["speakers"] = ["T", "C"]
    >>> [(turn.label_, turn.text) for turn in nlp(doc).spans["turns"]]
    [('therapist', 'Well?'), ('client', 'I walked out.')]
    """

    def __init__(self, nlp: Language, name: str, roles: dict[str, str]) -> None:
        from .transcript import ROLES

        for number, role in enumerate(roles.values(), 1):
            if role not in ROLES:
                raise ValueError(f"{name}: role {number} of roles is none of {', '.join(ROLES)}")
        self.name = name
        self.roles = roles

    def __call__(self, doc: Doc) -> Doc:
        """Mark the turns."""
        if "turns" not in doc.spans:
            self._find(doc)
        session = _Session(doc)
        doc.spans["turns"].attrs.setdefault("session", session.transcript.id)
        return doc

    def _find(self, doc: Doc) -> None:
        from .exchange.docbin import span_of
        from .roles import assign_roles, speaker_key
        from .segment import session_flags

        speakers = doc.user_data.get("speakers")
        if speakers is None:
            found = _labelled(doc.text, {speaker_key(label) for label in self.roles})
        else:
            found = _spoken(doc.text, speakers, self.name)
        if not found:
            raise ValueError(
                f"{self.name}: no line of this Doc begins with a speaker's label. Begin each turn on a line of its "
                "own, with the label and a colon, or name the speakers of the lines in doc.user_data['speakers']"
            )
        here = {speaker_key(speaker) for speaker, _, _ in found}
        given = {label: role for label, role in self.roles.items() if speaker_key(label) in here}
        decided = assign_roles([(speaker, doc.text[start:end]) for speaker, start, end in found], given or None)
        spans = [span_of(doc, start, end, decided.of[speaker_key(who)], who) for who, start, end in found]
        facts = {"role_source": decided.source, "role_confidence": decided.confidence, "numbered": True}
        doc.spans["turns"] = SpanGroup(doc, name="turns", attrs={"meta": facts}, spans=spans)
        doc.spans["turns"].attrs["meta"]["flags"] = list(session_flags(_Session(doc).transcript))


def _labelled(text: str, known: set[str]) -> list[tuple[str, int, int]]:
    """Return speaker, start and end of the turns in a text whose lines begin with labels."""
    from .readers.labels import choose
    from .readers.text import split_label
    from .roles import speaker_key

    lines = [(line.start(), line[0].rstrip()) for line in _LINE.finditer(text)]
    split = [split_label(line, remark=False) for _, line in lines]
    speakers = choose((parts[0] if parts else None for parts in split), lone=False)
    turns: list[tuple[str, int, int]] = []
    for (start, line), parts in zip(lines, split):
        end = start + len(line)
        if parts and (parts[0] in speakers or speaker_key(parts[0]) in known):
            turns.append((parts[0], end - len(parts[1]), end))
        elif turns:
            speaker, begin, _ = turns[-1]
            # the label may stand alone, with the words on the lines below
            turns[-1] = (speaker, begin if text[begin:start].strip() else start, end)
    return [turn for turn in turns if turn[1] < turn[2]]


def _spoken(text: str, speakers: list[str], name: str) -> list[tuple[str, int, int]]:
    """Return speaker, start and end of the turns in a text of which each line is one."""
    lines = [(line.start(), line.start() + len(line[0].rstrip())) for line in _LINE.finditer(text)]
    if len(lines) != len(speakers):
        raise ValueError(
            f"{name}: doc.user_data['speakers'] names {len(speakers)} speakers, and the Doc has {len(lines)} lines "
            "that are not empty. Give one for each"
        )
    return [(speaker, start, end) for speaker, (start, end) in zip(speakers, lines)]


class _Marking:
    """What the two pipes that mark have in common."""

    def __init__(self, name: str, spans_key: str, annotator: "Annotator") -> None:
        self.name = name
        self.spans_key = spans_key
        self._annotator = annotator

    @property
    def labels(self) -> tuple[str, ...]:
        """The markers of the codebook."""
        return tuple(marker.id for marker in self._annotator.codebook.markers)

    def __call__(self, doc: Doc) -> Doc:
        """Mark a session."""
        session = _Session(doc)
        session.mark(self.spans_key, self._annotator(session.transcript))
        return doc

    def score(self, examples: "Iterable[Example]", *, coder: str | None = None, **settings: Any) -> dict[str, Any]:
        """Compare the markers with people's: precision, recall and F of spans and labels, as spaCy's spancat does.

        The reference is the coder's group (``coder:AB``) in the reference Doc, or, in one without coders, the group in
        which the pipes mark. Where a coder went through a part, or coded some families only, the rest does not count.
        A Doc without reference is left out; where that is so of all, the scores are None.

        Parameters
        ----------
        examples : iterable of Example
        coder : str, optional
            Whose codes are the reference: ``nlp.evaluate(examples, scorer_cfg={"coder": "AB"})``. Must be said where
            several people coded.

        Returns
        -------
        dict
            ``spans_markers_p``, ``_r`` and ``_f``, and ``spans_markers_per_type`` with the same for each marker.
        """
        from spacy.scorer import Scorer

        examples = list(examples)
        spans: dict[int, list[Span]] = {}
        for example in examples:
            key = self._reference(example.reference, coder)
            if key is None:
                continue
            spans[id(example.reference)] = list(example.reference.spans[key])
            if self.spans_key in example.predicted.spans:
                rows = example.reference.spans[key].attrs.get("coded")
                spans[id(example.predicted)] = list(self._within(example.predicted, rows))
        return Scorer.score_spans(
            examples,
            f"spans_{self.spans_key}",
            getter=lambda doc, _: spans[id(doc)],
            has_annotation=lambda doc: id(doc) in spans,
            allow_overlap=True,
        )

    def _reference(self, doc: Doc, coder: str | None) -> str | None:
        coders = sorted(key for key in doc.spans if key.startswith("coder:"))
        if coder is not None:
            return f"coder:{coder}" if f"coder:{coder}" in coders else None
        if len(coders) > 1:
            names = ", ".join(key.removeprefix("coder:") for key in coders)
            raise ValueError(
                f"{self.name}: a reference has codes of {names}. Say whose count: "
                f'nlp.evaluate(examples, scorer_cfg={{"coder": "{coders[0].removeprefix("coder:")}"}})'
            )
        return coders[0] if coders else self.spans_key if self.spans_key in doc.spans else None

    def _within(self, doc: Doc, rows: list[Any] | None) -> Iterator[Span]:
        """Yield the markers of a Doc that lie in what somebody coded."""
        starts = [turn.start for turn in doc.spans["turns"]]
        book = self._annotator.codebook
        for span in doc.spans[self.spans_key]:
            turn = bisect_right(starts, span.start) - 1
            family = book[span.label_].parent
            if rows is None or any(f == family and first <= turn <= last for f, first, last in rows):
                yield span


_SCORE_WEIGHTS = {
    f"spans_{MARKERS}_f": 1.0,
    f"spans_{MARKERS}_p": 0.0,
    f"spans_{MARKERS}_r": 0.0,
    f"spans_{MARKERS}_per_type": None,
}


@Language.factory(
    "rupture_rules",
    default_config={"spans_key": MARKERS},
    assigns=["doc.spans"],
    default_score_weights=_SCORE_WEIGHTS,
)
class RuptureRules(_Marking):
    """Marks what the rules find, as ``rupturekit.Annotator(model=None)`` does.

    Parameters
    ----------
    spans_key : str
        The span group to mark in. What is in it is replaced.

    Raises
    ------
    ValueError
        If a Doc has no turns.

    Examples
    --------
    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> _ = nlp.add_pipe("rupture_turns"), nlp.add_pipe("rupture_rules")
    >>> doc = nlp("T: What did you make of it?\\nC: This isn't helping.")
    >>> (marker,) = doc.spans["markers"]
    >>> told = doc.spans["markers"].attrs["markers"][marker.id_]
    >>> marker.label_, told["turn"], told["source"], told["rule_id"][:2]
    ('complaint_progress', 1, 'rule', 'C5')
    """

    def __init__(self, nlp: Language, name: str, spans_key: str) -> None:
        from .pipeline import Annotator

        super().__init__(name, spans_key, Annotator(model=None))


@Language.factory(
    "rupture_classifier",
    default_config={"model": "withdrawal-en", "thresholds": {}, "spans_key": MARKERS},
    assigns=["doc.spans"],
    default_score_weights=_SCORE_WEIGHTS,
)
class RuptureClassifier(_Marking):
    """Marks what the model finds; after ``rupture_rules``, what model and rules find together.

    With the rules it decides as ``rupturekit.Annotator()`` does: rules enter the probability, also where they speak
    against a marker, which leaves no span. So it asks them itself again, for about 3 % of the model's time.

    Parameters
    ----------
    model : str
        ``withdrawal-en``, the model that comes with the package, or a folder that ``rupturekit train`` wrote. A
        pipeline that is saved holds the name or the path, not the weights.
    thresholds : dict
        Family or marker → probability from which it counts as present; in place of the model's own.
    spans_key : str
        The span group to mark in, the same as for the rules. What is in it is replaced.

    Raises
    ------
    ValueError
        If the folder is no model, a threshold is not a probability, or a Doc has no turns.

    Examples
    --------
    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> for pipe in ("rupture_turns", "rupture_rules", "rupture_classifier"):  # doctest: +SKIP
    ...     _ = nlp.add_pipe(pipe)
    >>> doc = nlp("T: Shall we do the worksheet?\\nC: Whatever you think.")  # doctest: +SKIP
    >>> doc.spans["markers"].attrs["scores"]["turn"][1]["withdrawal"] > 0.5  # doctest: +SKIP
    True
    """

    def __init__(self, nlp: Language, name: str, model: str, thresholds: dict[str, float], spans_key: str) -> None:
        from .classifier import Classifier
        from .pipeline import SHIPPED, Annotator, Model

        try:
            classifier = cast(Model, Classifier.load(None if model == SHIPPED else model))
        except ValueError as error:
            raise ValueError(
                f"{name}: {error}. A saved pipeline is told where its model is now with "
                f'spacy.load(…, config={{"components.{name}.model": FOLDER}})'
            ) from None
        super().__init__(name, spans_key, Annotator(classifier, rules=False, thresholds=thresholds))
        self._with_rules = Annotator(classifier, thresholds=thresholds)

    def __call__(self, doc: Doc) -> Doc:
        """Mark a session."""
        session = _Session(doc)
        decided = (doc.spans[self.spans_key].attrs.get("provenance") or {}) if self.spans_key in doc.spans else {}
        ruled = decided.get("rules_sha256") and not decided.get("model")
        session.mark(self.spans_key, (self._with_rules if ruled else self._annotator)(session.transcript))
        return doc


@Language.factory(
    "rupture_scores", default_config={"spans_key": MARKERS}, assigns=["doc.spans"], requires=["doc.spans"]
)
class RuptureScores:
    """Adds what follows from the markers: rates for segments and session, and rupture episodes.

    Parameters
    ----------
    spans_key : str
        Whose markers: those of the pipes, or a coder's, ``coder:AB``. They count as they stand: spans that were added
        or taken away before this pipe are heeded.

    Raises
    ------
    ValueError
        If a Doc has no turns or nobody marked in it, or a span is not a marker of the codebook.

    Examples
    --------
    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> for pipe in ("rupture_turns", "rupture_rules", "rupture_scores"):
    ...     _ = nlp.add_pipe(pipe)
    >>> doc = nlp("T: Well?\\nC: This isn't helping.\\nT: Have I missed something?\\nC: I went to the sea on Sunday.")
    >>> doc.spans["markers"].attrs["scores"]["session"]["confrontation"]
    50.0
    >>> doc.spans["episodes"].attrs["episodes"]["e0"]["repair"]
    [2]
    """

    def __init__(self, nlp: Language, name: str, spans_key: str) -> None:
        self.name = name
        self.spans_key = spans_key

    def __call__(self, doc: Doc) -> Doc:
        """Sum up a session."""
        from . import score
        from .episodes import episodes

        session = _Session(doc)
        if self.spans_key not in doc.spans:
            raise ValueError(
                f"{self.name}: this Doc has no spans {self.spans_key!r}. Put rupture_rules or rupture_classifier "
                "before this pipe"
            )
        markers = session.markers(self.spans_key)
        rates = score.rates(session.transcript, markers)
        session.sum_up(self.spans_key, rates, episodes(session.transcript, markers))
        return doc
