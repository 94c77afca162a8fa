"""What services for speech recognition write in JSON of their own shape → stretches of one speaker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rupturekit.readers.raw import Source, seconds

NAMES = "AWS Transcribe, Azure, Deepgram, ElevenLabs, Google, Rev, Speechmatics, whisper.cpp"

# A pause of this many seconds ends a stretch where nothing but a channel tells who speaks.
_PAUSE_S = 1.0

Stretch = dict[str, Any]  # text, speaker, start, end


def stretches(whole: Any, source: Source) -> list[Stretch] | None:
    """Return who said what, or None where the JSON is none of these services'.

    Raises
    ------
    ReadError
        If it is one's, and something is missing in it.
    """
    found = _service(whole)
    if found is None:
        return None
    name, read, results = found
    try:
        said = list(read(results))
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError):
        said = None
    if said is None or not all(
        isinstance(stretch["text"], str) and _is_label(stretch.get("speaker")) for stretch in said
    ):
        raise source.error(f"the results of {name} are not complete", "Export the JSON again")
    starts = {id(stretch): seconds(stretch["start"]) for stretch in said}
    # channels may stand one after the other
    return said if None in starts.values() else sorted(said, key=lambda stretch: starts[id(stretch)] or 0.0)


def _is_label(speaker: object) -> bool:
    return speaker is None or isinstance(speaker, (str, int))


def _service(whole: Any) -> tuple[str, Callable[[Any], Iterable[Stretch]], Any] | None:
    """Return the service that wrote the JSON, what reads it, and the part with the results."""
    if not isinstance(whole, dict):
        return None
    if isinstance(whole.get("response"), dict):  # of one of Google's operations that took long
        whole = whole["response"]
    for key, service in _BY_KEY.items():
        if isinstance(whole.get(key), list):
            return *service, whole[key]
    results, words = whole.get("results"), whole.get("words")
    if isinstance(results, dict):
        deepgram = results.keys() & {"utterances", "channels"}
        return ("Deepgram", _deepgram, results) if deepgram else ("AWS Transcribe", _aws, results)
    first = results[0] if isinstance(results, list) and results else None
    if isinstance(first, dict) and "alternatives" in first:
        return ("Speechmatics", _speechmatics, results) if "type" in first else ("Google", _google, results)
    if isinstance(words, list) and words and isinstance(words[0], dict) and "speaker_id" in words[0]:
        return "ElevenLabs", _elevenlabs, words
    return None


@dataclass(slots=True)
class _Word:
    text: str
    speaker: object
    start: object = None
    end: object = None
    of: object = None
    """What else holds the words of a stretch together, such as the segment they stand in."""
    glued: bool = False
    """Whether it follows the word before without a space."""


def _joined(words: Iterable[_Word], *, pauses: bool = False) -> list[Stretch]:
    """Put the words of each stretch together."""
    out: list[Stretch] = []
    last: tuple[object, object] | None = None
    for word in words:
        if word.glued:
            if out:
                out[-1]["text"] += word.text
            continue
        pause = (seconds(word.start) or 0.0) - (seconds(out[-1]["end"]) or 0.0) if out else 0.0
        if (word.speaker, word.of) != last or (pauses and pause >= _PAUSE_S):
            out.append({"text": word.text, "speaker": word.speaker, "start": word.start})
            last = word.speaker, word.of
        else:
            out[-1]["text"] += f" {word.text}"
        out[-1]["end"] = word.end
    return out


def _aws(results: Mapping[str, Any]) -> Iterable[Stretch]:
    """Read the stretches that new exports have ready; in older ones the speakers stand in a list of their own."""
    if ready := results.get("audio_segments"):
        names = {"text": "transcript", "speaker": "speaker_label", "start": "start_time", "end": "end_time"}
        return [{key: segment.get(name) for key, name in names.items()} for segment in ready]
    if channels := results.get("channel_labels", {}).get("channels"):
        return [
            stretch
            for channel in channels
            for stretch in _joined(_aws_words(channel["items"], {}, channel["channel_label"]), pauses=True)
        ]
    # Which segment an item falls in tells its speaker and where a stretch ends.
    places = {
        item["start_time"]: (n, segment["speaker_label"])
        for n, segment in enumerate(results.get("speaker_labels", {}).get("segments", []))
        for item in segment.get("items", [])
    }
    return _joined(_aws_words(results["items"], places, None), pauses=not places)


def _aws_words(
    items: Sequence[Mapping[str, Any]], places: Mapping[str, tuple[int, str]], channel: str | None
) -> Iterator[_Word]:
    for item in items:
        text = item["alternatives"][0]["content"]
        if item["type"] == "punctuation":
            yield _Word(text, None, glued=True)
        else:
            of, speaker = places.get(item["start_time"], (0, item.get("speaker_label", channel)))
            yield _Word(text, speaker, item["start_time"], item["end_time"], of)


def _azure(phrases: Sequence[Mapping[str, Any]]) -> Iterator[Stretch]:
    for phrase in phrases:
        start, length = (
            phrase[f"{what}Milliseconds"] / 1e3 if f"{what}Milliseconds" in phrase else phrase[f"{what}InTicks"] / 1e7
            for what in ("offset", "duration")
        )
        yield {
            "text": phrase["text"] if "text" in phrase else phrase["nBest"][0]["display"],
            "speaker": phrase.get("speaker", phrase.get("channel")),
            "start": start,
            "end": start + length,
        }


def _deepgram(results: Mapping[str, Any]) -> list[Stretch]:
    channels = results.get("channels", ())
    apart = len(channels) > 1  # then the channel tells who speaks
    if ready := results.get("utterances"):
        names = {"text": "transcript", "speaker": "channel" if apart else "speaker", "start": "start", "end": "end"}
        return [{key: said.get(name) for key, name in names.items()} for said in ready]
    return [
        stretch
        for n, channel in enumerate(channels)
        for stretch in _joined(
            (
                _Word(word.get("punctuated_word", word["word"]), n if apart else word.get("speaker"), *_times(word))
                for word in channel["alternatives"][0]["words"]
            ),
            pauses=apart,
        )
    ]


def _elevenlabs(words: Sequence[Mapping[str, Any]]) -> list[Stretch]:
    heard = (word for word in words if word["type"] != "spacing")
    return _joined(_Word(word["text"], word["speaker_id"], *_times(word)) for word in heard)


def _times(word: Mapping[str, Any]) -> tuple[object, object]:
    return word.get("start"), word.get("end")


def _google(results: Sequence[Mapping[str, Any]]) -> list[Stretch]:
    """Read the words with speakers, which of old all stand again in the last result."""
    best = [found["alternatives"][0] for found in results if found.get("alternatives")]
    words = [word for spoken in best for word in spoken.get("words", ()) if _google_speaker(word)]
    if words:
        return _joined(
            _Word(
                word["word"],
                _google_speaker(word),
                word.get("startOffset", word.get("startTime")),
                word.get("endOffset", word.get("endTime")),
            )
            for word in words
        )
    return [{"text": spoken["transcript"], "start": None} for spoken in best]


def _google_speaker(word: Mapping[str, Any]) -> object:
    return word.get("speakerLabel") or word.get("speakerTag")


def _rev(monologues: Sequence[Mapping[str, Any]]) -> Iterator[Stretch]:
    for monologue in monologues:
        elements = monologue["elements"]
        words = [element for element in elements if element["type"] == "text"]
        first, last = (words[0], words[-1]) if words else ({}, {})
        yield {
            "text": "".join(element["value"] for element in elements),
            "speaker": monologue.get("speaker"),
            "start": first.get("ts", first.get("timestamp")),
            "end": last.get("end_ts", last.get("end_timestamp")),
        }


def _speechmatics(results: Sequence[Mapping[str, Any]]) -> list[Stretch]:
    return _joined(
        _Word(
            (best := result["alternatives"][0])["content"],
            best.get("speaker", result.get("channel")),
            result["start_time"],
            result["end_time"],
            glued=result["type"] == "punctuation",
        )
        for result in results
    )


def _whisper_cpp(segments: Sequence[Mapping[str, Any]]) -> Iterator[Stretch]:
    for segment in segments:
        start, end = (segment["offsets"][side] / 1000 for side in ("from", "to"))
        yield {"text": segment["text"], "speaker": segment.get("speaker"), "start": start, "end": end}


_BY_KEY: Mapping[str, tuple[str, Callable[[Any], Iterable[Stretch]]]] = {
    "recognizedPhrases": ("Azure", _azure),
    "phrases": ("Azure", _azure),
    "monologues": ("Rev", _rev),
    "transcription": ("whisper.cpp", _whisper_cpp),
}
