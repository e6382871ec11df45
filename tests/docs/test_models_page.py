"""The page of models states what a card says: patches, groups, labels, graphs, origin."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from docs.models_page import page
from models.bundle import Bundle, add_graph, write
from models.card import Agreement, Card, Cosine, Data, Graph, Patches, Tensor
from tests.bundles import AUDIO, LABELS, in_space, write_bundle, write_head, write_task

PATCHES = AUDIO.model_copy(update={"patches": Patches(seconds=0.25, starts_s=(0.0, 0.5))})
SONGS = Data(name="Songs of a band, 12 of them", use="audio", licence="none")


def rewritten(bundle: Bundle, **changes: Any) -> Bundle:
    """The bundle with another card around the same graph; the page does not run graphs."""
    card = Card.model_validate(dict(bundle.card) | changes)
    files = {graph.file: bundle.graph_bytes(graph) for graph in card.graphs}
    if card.head:
        files[card.head.file] = bundle.graph_bytes(card.head)
    return write(bundle.folder, card, files)


def with_provenance(bundle: Bundle, **changes: Any) -> Bundle:
    return rewritten(bundle, provenance=bundle.card.provenance.model_copy(update=changes))


def row_of(text: str, name: str) -> list[str]:
    """Cells of the row of a table whose first cell is `name`."""
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in row.strip("|").split(" | ")]


def overview(text: str, name: str) -> list[str]:
    return row_of(text, f"[{name}](#{name})")


def section(text: str, name: str) -> str:
    return text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_patches_are_stated_with_their_places_in_the_window(tmp_path: Path) -> None:
    shape = Tensor(name="waveform", shape=(PATCHES.input_samples,), meaning="mono audio")
    rewritten(write_bundle(tmp_path, "levels"), audio=PATCHES, input=shape)
    text = page(tmp_path)
    assert overview(text, "levels")[4] == "8 kHz, 2 patches of 0.25 s in a window of 1 s"
    assert "2 patches of 0.25 s in a window of 1 s, from second 0, 0.5 of it" in text


def test_without_patches_the_window_is_stated(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    text = page(tmp_path)
    assert overview(text, "levels")[4] == "8 kHz, window of 1 s"
    assert "patches" not in section(text, "levels")


def test_a_model_on_request_is_distinguished_from_one_at_the_start(tmp_path: Path) -> None:
    write_bundle(tmp_path, "levels")
    rewritten(write_bundle(tmp_path, "another"), default=False)
    text = page(tmp_path)
    assert overview(text, "levels")[6] == "at the start"
    assert overview(text, "another")[6] == "on request"
    assert text.index("\n## levels\n") < text.index("\n## another\n")


def test_groups_are_sums_of_labels(tmp_path: Path) -> None:
    rewritten(write_task(tmp_path, "mood"), groups={"arousal": LABELS[1:]})
    text = page(tmp_path)
    assert overview(text, "mood")[2] == "calm, loud, odd; arousal"
    assert row_of(text, "group `arousal`")[1] == "loud + odd"
    assert row_of(text, "probabilities")[1] == "sum to 1 over the labels"


def test_multilabel_probabilities_are_independent(tmp_path: Path) -> None:
    rewritten(write_task(tmp_path, "tags"), multilabel=True)
    text = page(tmp_path)
    assert overview(text, "tags")[2] == "calm, loud, odd, independent"
    assert row_of(text, "probabilities")[1].startswith("one per label, independent")


def test_many_labels_are_counted_in_the_overview_and_named_in_one_line(tmp_path: Path) -> None:
    names = tuple(f"tag {n}" for n in range(50))
    bundle = write_task(tmp_path, "tags")
    answer = Tensor(name="probabilities", shape=(50,), meaning="of each tag")
    outputs = [answer if out.name == answer.name else out for out in bundle.card.outputs]
    rewritten(bundle, labels=names, outputs=tuple(outputs))
    text = page(tmp_path)
    assert overview(text, "tags")[2] == "50 labels"
    assert row_of(section(text, "tags"), "labels")[1] == ", ".join(names)


def test_labels_of_an_encoder_claim_no_probabilities(tmp_path: Path) -> None:
    rewritten(write_bundle(tmp_path, "levels"), labels=LABELS)
    text = section(page(tmp_path), "levels")
    assert row_of(text, "labels")[1] == "calm, loud, odd"
    assert "| probabilities |" not in text


def test_a_head_names_its_encoder_and_the_outputs_that_it_takes(tmp_path: Path) -> None:
    encoder = with_provenance(write_bundle(tmp_path, "levels"), data=(SONGS,))
    head = write_head(tmp_path, "mood", encoder.digest)
    own = Data(name="Moods (a survey)", use="labels", licence="none")
    assert head.card.head
    two = head.card.head.model_copy(update={"input": ("features", "embedding")})
    with_provenance(rewritten(head, head=two), data=(own, SONGS), teacher=encoder.digest)
    text = page(tmp_path)
    assert overview(text, "mood")[3] == "[levels](#levels)"
    assert overview(text, "mood")[7] == "Moods; that of [levels](#levels)"
    expected = "head on `features`, `embedding` of [levels](#levels)"
    assert row_of(section(text, "mood"), "encoder")[1] == expected
    assert overview(text, "levels")[3:8:4] == ["its own", "Songs of a band"]
    assert SONGS.name in section(text, "mood")


def test_a_space_is_stated_where_the_card_has_one(tmp_path: Path) -> None:
    in_space(write_bundle(tmp_path, "levels"), "0123456789abcdef" * 4)
    write_bundle(tmp_path, "tagger")
    text = page(tmp_path)
    assert row_of(section(text, "levels"), "CF space")[1] == "`0123456789ab…`"
    assert "CF space" not in section(text, "tagger")


def test_a_teacher_that_is_not_shipped_is_named_by_its_digest(tmp_path: Path) -> None:
    with_provenance(write_bundle(tmp_path, "levels"), data=(SONGS,), teacher="0123456789abcdef" * 4)
    text = page(tmp_path)
    assert row_of(text, "teacher")[1] == "`0123456789ab…`"
    assert overview(text, "levels")[7] == "Songs of a band"


def test_metrics_with_the_same_columns_share_a_table(tmp_path: Path) -> None:
    metrics = {
        "clips": 285,
        "accuracy: mean": 0.54123,
        "accuracy: deviation": 0.1,
        "f1: mean": 0.25,
        "f1: deviation": 0.00004,
        "temperature": 2.0,
    }
    with_provenance(write_bundle(tmp_path, "levels"), metrics=metrics)
    text = page(tmp_path)
    assert "| metric | value |\n|---|---|\n| clips | 285 |\n| temperature | 2 |\n\n" in text
    drawn = "| metric | mean | deviation |\n|---|---|---|\n| accuracy | 0.5412 | 0.1 |\n"
    assert f"{drawn}| f1 | 0.25 | 0 |\n\n" in text


@pytest.mark.parametrize(
    ("mean", "minimum", "shown"),
    [
        (1.0, 0.999998, "embedding 1.00000 (0.99999), features 1.00000 (0.99999)"),
        (0.99997, 0.99975, "embedding 0.99997 (0.99975), features 0.99997 (0.99975)"),
    ],
)
def test_agreement_is_never_stated_above_the_measured_one(
    tmp_path: Path, mean: float, minimum: float, shown: str
) -> None:
    bundle = write_bundle(tmp_path, "levels")
    content = b"a graph in int8"
    cosine = Cosine(mean=mean, least=minimum)
    agreement = Agreement(
        reference=bundle.card.graph().sha256,
        windows=17,
        outputs={"embedding": cosine, "features": cosine},
        data=(SONGS,),
    )
    digest = sha256(content).hexdigest()
    graph = Graph(
        file="model.int8.onnx", precision="int8", sha256=digest, opset=18, agreement=agreement
    )
    add_graph(bundle, graph, content)
    assert row_of(page(tmp_path), "`model.int8.onnx`")[2:] == [
        "int8",
        shown,
        "17",
        "Songs of a band",
    ]


def test_text_of_a_card_cannot_break_its_table(tmp_path: Path) -> None:
    with_provenance(write_bundle(tmp_path, "levels"), method="a | b,\n\nthen c")
    assert "| method | a \\| b, then c |" in page(tmp_path).splitlines()
