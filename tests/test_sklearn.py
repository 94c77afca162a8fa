"""Sessions as feature rows: the same numbers as the session table, and an estimator like scikit-learn's own."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rupturekit import AnnotatedTranscript, Annotator, Marker, Transcript, Turn, to_frame
from rupturekit.annotation import FAMILIES, Score
from rupturekit.episodes import episodes

sklearn = pytest.importorskip("sklearn", reason='needs scikit-learn: pip install "rupturekit[sklearn]"')
from sklearn.base import clone  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402

from rupturekit.sklearn import FEATURES, RuptureFeatures  # noqa: E402

VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
PLAIN, STRAINED = "We went to the lake, and it was good.", "This isn't helping."


def talk(i: int, *said: str) -> Transcript:
    texts = [text for answer in said for text in ("How has it been?", answer)]
    turns = (Turn(n, "TC"[n % 2], ("therapist", "client")[n % 2], text) for n, text in enumerate(texts))
    return Transcript(f"s{i}", tuple(turns), meta={"client_id": f"c{i // 2}"})


SESSIONS = [talk(i, PLAIN, STRAINED if i % 2 else PLAIN, PLAIN) for i in range(12)]
OUTCOME = [i % 2 for i in range(12)]
RULES = Annotator(model=None)


def test_a_row_has_the_numbers_of_the_session_table() -> None:
    annotated = [RULES(session) for session in SESSIONS[:2]]
    columns = to_frame(annotated, "session").drop(columns=["session_id", "path", "client_id", "role_source", "flags"])
    found = RuptureFeatures(RULES, features=list(columns)).fit_transform(SESSIONS[:2])
    expected = columns.astype(float).to_numpy()
    np.testing.assert_array_equal(found, expected)
    assert found[1, list(columns).index("n_complaint_progress")] == 1
    assert found.dtype == np.float64


def test_the_usual_features_are_rates_peaks_means_and_episodes() -> None:
    find = RuptureFeatures(RULES)
    assert list(find.get_feature_names_out()) == list(FEATURES)
    assert set(FEATURES) == {f"{what}_{f}" for what in ("per100", "peak", "mean") for f in FAMILIES} | {"n_episodes"}
    row = dict(zip(FEATURES, find.transform(SESSIONS)[1]))
    assert row["per100_confrontation"] == pytest.approx(100 / 3)
    assert row["n_episodes"] == 1
    assert 0 < row["mean_confrontation"] < row["peak_confrontation"] <= 1


def test_annotated_sessions_are_taken_as_they_are_mixed_with_others() -> None:
    done = AnnotatedTranscript(SESSIONS[0], (Marker(1, 0, 2, "withdrawal", "denial"),))
    find = RuptureFeatures(RULES, features=["n_withdrawal", "n_confrontation"])
    assert find.transform([SESSIONS[1], done, SESSIONS[3]]).tolist() == [[0, 1], [1, 0], [0, 1]]


def test_annotated_sessions_need_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def annotator() -> None:
        raise AssertionError("made an annotator")

    monkeypatch.setattr("rupturekit.sklearn.Annotator", annotator)
    assert RuptureFeatures().transform([RULES(SESSIONS[1])]).shape == (1, len(FEATURES))
    with pytest.raises(AssertionError, match="made an annotator"):
        RuptureFeatures().transform([SESSIONS[1]])


def test_what_is_not_known_is_nan() -> None:
    alone = AnnotatedTranscript(Transcript("s", (Turn(0, "C", "client", PLAIN),)))
    names = ["per100_withdrawal", "per100_resolution", "peak_withdrawal", "role_confidence"]
    found = RuptureFeatures(RULES, features=names).transform([alone])
    assert found[0, 0] == 0
    assert np.isnan(found[0, 1:]).all()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("a session", "type str; give a list"),
        (b"a session", "type bytes; give a list"),
        (3, "type int; give a list"),
        (SESSIONS[0], "type Transcript; give a list"),
        (RULES(SESSIONS[0]), "type AnnotatedTranscript; give a list"),
        ([SESSIONS[0], PLAIN], r"X\[1\] is of type str, not a session"),
        (np.ones((2, 2)), r"X\[0\] is of type ndarray"),
        ([SESSIONS[0], None], r"X\[1\] is of type NoneType"),
    ],
)
def test_what_is_no_list_of_sessions_is_refused_without_its_words(given: Any, told: str) -> None:
    for method in ("fit", "transform", "fit_transform"):
        with pytest.raises(TypeError, match=told) as caught:
            getattr(RuptureFeatures(RULES), method)(given)
        assert "lake" not in str(caught.value)


@pytest.mark.parametrize("method", ["fit", "transform"])
def test_bad_settings_and_no_sessions_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match="0 sessions"):
        getattr(RuptureFeatures(RULES), method)([])
    with pytest.raises(ValueError, match=r"no feature 'anger', 'path'; there are n_turns, .*n_denial"):
        getattr(RuptureFeatures(RULES, features=["n_denial", "anger", "path"]), method)(SESSIONS)
    with pytest.raises(ValueError, match="features is empty"):
        getattr(RuptureFeatures(RULES, features=[]), method)(SESSIONS)
    with pytest.raises(TypeError, match="single string"):
        getattr(RuptureFeatures(RULES, features="n_denial"), method)(SESSIONS)


def test_the_features_follow_the_annotators_codebook(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'name = "own"\nversion = "1"\n[[marker]]\nid = "sighs"\ncode = "S"\nparent = "withdrawal"\nlabel = "Sighs"\n',
        "utf-8",
    )
    ours = Annotator(model=None, codebook=str(own))
    found = AnnotatedTranscript(SESSIONS[0], (Marker(1, 0, 2, "withdrawal", "sighs"),))
    assert RuptureFeatures(ours, features=["n_sighs"]).transform([found]).tolist() == [[1]]
    with pytest.raises(ValueError, match="no feature 'n_denial'"):
        RuptureFeatures(ours, features=["n_denial"]).fit(SESSIONS)


def test_pandas_output_has_the_features_names() -> None:
    find = RuptureFeatures(RULES).set_output(transform="pandas")
    frame = find.fit_transform(SESSIONS)
    assert list(frame.columns) == list(FEATURES)
    assert len(frame) == len(SESSIONS)
    np.testing.assert_array_equal(frame.to_numpy(), RuptureFeatures(RULES).transform(SESSIONS))


def test_a_pipeline_with_it_is_cross_validated_by_client_cloned_and_searched() -> None:
    model = make_pipeline(RuptureFeatures(RULES), LogisticRegression())
    clients = [session.meta["client_id"] for session in SESSIONS]
    scores = cross_val_score(model, SESSIONS, OUTCOME, groups=clients, cv=GroupKFold(3))
    assert scores.tolist() == [1, 1, 1]
    again = clone(model).fit(SESSIONS, OUTCOME)
    assert again.predict(SESSIONS).tolist() == OUTCOME
    assert list(again[:-1].get_feature_names_out()) == list(FEATURES)
    grid = {"rupturefeatures__features": [["per100_withdrawal"], ["per100_confrontation"]]}
    search = GridSearchCV(model, grid, cv=3).fit(SESSIONS, OUTCOME)
    assert search.best_params_ == {"rupturefeatures__features": ["per100_confrontation"]}


def test_it_is_the_same_after_pickling() -> None:
    find = RuptureFeatures(RULES, features=["mean_confrontation", "n_turns"]).fit(SESSIONS)
    again = pickle.loads(pickle.dumps(find))
    np.testing.assert_array_equal(again.transform(SESSIONS), find.transform(SESSIONS))


def test_a_rows_numbers_depend_on_no_other_row() -> None:
    find = RuptureFeatures(RULES)
    together = find.fit(SESSIONS[:3]).transform(SESSIONS)
    one_by_one = np.vstack([find.transform([session]) for session in SESSIONS])
    np.testing.assert_array_equal(together, one_by_one)
    np.testing.assert_array_equal(find.transform(SESSIONS[::-1])[::-1], together)


def test_our_module_does_not_stand_in_the_way_of_scikit_learn() -> None:
    code = (
        "import rupturekit.sklearn, sklearn, sklearn.linear_model\n"
        "assert sklearn is not rupturekit.sklearn and hasattr(sklearn, '__version__')\n"
        "assert rupturekit.sklearn.BaseEstimator.__module__ == 'sklearn.base'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_scikit_learn_the_error_says_what_to_install() -> None:
    code = "import sys\nsys.modules['sklearn'] = None\nimport rupturekit.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "rupturekit[sklearn]"' in done.stderr.splitlines()[-1]


# scikit-learn's own checks

ARRAYS = "it gives an array of numbers, which is refused: a session is not a row of numbers"
GIVEN_ARRAYS = (
    "check_complex_data",
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_tag",
    "check_estimators_dtypes",
    "check_estimators_empty_data_messages",
    "check_estimators_fit_returns_self",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit1d",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_transformer_data_not_an_array",
    "check_transformer_general",
    "check_transformer_preserve_dtypes",
    "check_transformers_unfitted_stateless",
)
"""The checks that cannot apply to sessions; `OfNumbers` takes them all the same."""


class OfNumbers(RuptureFeatures):
    """Takes each row of numbers for a session's scores, so that the checks that give arrays can be run too.

    The rest (fit, transform, parameters, output, tags) is what users have.
    """

    def fit(self, X: Any, y: Any = None) -> OfNumbers:
        from sklearn.utils.validation import validate_data

        super().fit(list(_from_numbers(validate_data(self, X))))
        return self

    def transform(self, X: Any) -> Any:
        from sklearn.utils.validation import validate_data

        return super().transform(list(_from_numbers(validate_data(self, X, reset=False))))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, True
        return tags


def _from_numbers(X: np.ndarray) -> Iterator[AnnotatedTranscript]:
    for row in X:
        roles = [role for _ in row for role in ("client", "therapist")]
        transcript = Transcript("s", tuple(Turn(n, role[0], role, "Yes.") for n, role in enumerate(roles)))
        values = [1 / (1 + math.exp(-float(x))) for x in row]
        scores = [Score("turn", 2 * i, family, p) for i, p in enumerate(values) for family in FAMILIES[:2]]
        scores += [Score("turn", 2 * i + 1, family, 1 - p) for i, p in enumerate(values) for family in FAMILIES[2:]]
        markers = tuple(Marker(2 * i, 0, 3, "withdrawal", "denial") for i, p in enumerate(values) if p > 0.6)
        yield AnnotatedTranscript(transcript, markers, tuple(scores), episodes(transcript, markers))


class ToldToTakeArrays(RuptureFeatures):
    """Says that it takes arrays, as scikit-learn runs none of its checks on what does not."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, True
        return tags


newer = pytest.mark.skipif(VERSION < (1, 6), reason="check_estimator(expected_failed_checks=…) is of scikit-learn 1.6")


def causes(error: BaseException | None) -> list[str]:
    return [] if error is None else [str(error), *causes(error.__cause__ or error.__context__)]


@newer
def test_scikit_learns_checks_pass_but_for_those_that_give_arrays() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    found = check_estimator(
        ToldToTakeArrays(), expected_failed_checks=dict.fromkeys(GIVEN_ARRAYS, ARRAYS), on_fail=None, on_skip=None
    )
    assert [check["check_name"] for check in found if check["status"] == "failed"] == []
    assert len({check["check_name"] for check in found if check["status"] == "passed"}) >= 10
    for check in found:
        if check["status"] == "xfail":
            assert any("is of type" in cause for cause in causes(check["exception"])), check["check_name"]


@newer
def test_with_numbers_made_into_sessions_all_of_scikit_learns_checks_pass() -> None:
    from sklearn.utils.estimator_checks import check_estimator

    found = check_estimator(OfNumbers(), on_skip=None)  # the first that fails raises
    passed = {check["check_name"] for check in found if check["status"] == "passed"}
    assert {check["check_name"] for check in found} - passed <= {"check_array_api_input"}
    assert len(passed & set(GIVEN_ARRAYS)) >= 25


@newer
def test_scikit_learn_is_told_that_a_session_is_no_row_of_an_array() -> None:
    from sklearn.utils import get_tags

    tags = get_tags(RuptureFeatures())
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.one_d_array
    assert not tags.requires_fit
