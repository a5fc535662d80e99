"""What is captured is what the model computes, each token once, whole after every interruption."""

import threading

import pytest
import torch
from filelock import FileLock

import promptpriors as pp
from promptpriors.activations import Plan, Store, capture, content_of, load_space, moments_of
from promptpriors.activations import recording as module
from promptpriors.errors import Note
from promptpriors.geometry import moments

SITES = ("embed", "block.1", "final", "normed")
EXAMPLES = [
    pp.Example("0", ("A shared context.\n", "Question: who?\nAnswer:"), ("me",)),
    pp.Example("1", ("A shared context.\n", "Question: when?\nAnswer:"), ("in 2016", "2016")),
    pp.Example("2", ("Another.\n", "Question: what is it?\nAnswer:"), ("this",)),
    pp.Example("3", ("Question: 2 + 2?\nAnswer:",), ("4",)),
    pp.Example("4", (), ("a text that goes on",), continuation="a text that goes on", ends=False),
]
TEXTS = [
    "A shared context.\nQuestion: who?\nAnswer: me",
    "A shared context.\nQuestion: when?\nAnswer: in 2016",
    "Another.\nQuestion: what is it?\nAnswer: this",
    "Question: 2 + 2?\nAnswer: 4",
    "a text that goes on",
]


def plan(backbone, examples=EXAMPLES, **changes):
    base = {
        "model": backbone.name,
        "revision": backbone.revision,
        "precision": "float32",
        "task": {"name": "toy"},
        "split": "train",
        "content": content_of(examples, 100),
        "sites": SITES,
        "tokens": 64,
        "documents": 100,
        "dtype": "float32",
        "what": "tokens",
    }
    return Plan(**{**base, **changes})


def expected(backbone, text, tokens=64):
    """What plain Hugging Face computes for one text: by site a row a token."""
    ids = torch.tensor([backbone.encode(text)[:tokens]])
    inner = backbone.model.model
    with torch.no_grad():
        out = inner(input_ids=ids, output_hidden_states=True)
        before_norm = []
        handle = inner.norm.register_forward_pre_hook(lambda _, args: before_norm.append(args[0]))
        inner(input_ids=ids)
        handle.remove()
    hidden = out.hidden_states
    return {
        "embed": hidden[0][0],
        "block.1": hidden[1][0],
        "final": before_norm[0][0],
        "normed": out.last_hidden_state[0],
    }


def captured(tiny, folder, **changes):
    examples = changes.pop("examples", EXAMPLES)
    prompt = changes.pop("prompt", None)
    return capture(tiny, examples, plan(tiny, examples, **changes), folder, prompt=prompt)


def rows_of(store, number):
    """The rows of the text of that number, first to last."""
    (part,) = store.parts("before", "last")
    rows, row = [], int(part["last"][number])
    while row >= 0:
        rows.append(row)
        row = int(part["before"][row])
    return rows[::-1]


def test_every_text_has_the_activations_that_the_plain_model_gives_it(tiny, tmp_path):
    captured(tiny, tmp_path / "store")
    store = Store(tmp_path / "store")
    (part,) = store.parts(*(f"site/{site}" for site in SITES), "token", "position")
    for number, text in enumerate(TEXTS):
        rows = rows_of(store, number)
        assert part["token"][rows].tolist() == tiny.encode(text)
        assert part["position"][rows].tolist() == list(range(len(rows)))
        for site, value in expected(tiny, text).items():
            torch.testing.assert_close(part[f"site/{site}"][rows], value, rtol=1e-4, atol=1e-5)


def test_what_a_document_shares_stands_once_and_documents_share_nothing(tiny, tmp_path):
    done = captured(tiny, tmp_path / "store")
    shared = len(tiny.encode("A shared context.\nQuestion: wh"))
    assert done.documents == 4
    assert done.examples == 5
    assert done.tokens == sum(len(tiny.encode(text)) for text in TEXTS) - shared


def test_each_token_knows_its_role(tiny, tmp_path):
    captured(tiny, tmp_path / "store")
    found = {
        role: load_space(tmp_path / "store", "embed", roles=[role], first=True)
        for role in ("text", "context", "question", "answer")
    }
    sizes = {role: len(space.points) for role, space in found.items()}
    assert sizes["text"] == len(tiny.encode(TEXTS[4]))
    assert sizes["context"] == len(tiny.encode("A shared context.\n")) + len(
        tiny.encode("Another.\n")
    )
    assert sizes["answer"] == sum(len(tiny.encode(f" {t}")) for t in ("me", "in 2016", "this", "4"))
    with pytest.raises(pp.InputError, match="unknown role 'answers'"):
        load_space(tmp_path / "store", "embed", roles=["answers"])


def test_the_first_token_is_left_out_unless_it_is_asked_for(tiny, tmp_path):
    captured(tiny, tmp_path / "store")
    without = load_space(tmp_path / "store", "block.1")
    with_first = load_space(tmp_path / "store", "block.1", first=True)
    assert len(with_first.points) - len(without.points) == 4  # one a document
    assert int(without.positions.min()) == 1


def test_means_of_examples_are_the_same_from_tokens_and_from_a_store_of_means(tiny, tmp_path):
    captured(tiny, tmp_path / "tokens")
    captured(tiny, tmp_path / "means", what="mean")
    from_tokens = load_space(tmp_path / "tokens", "block.1", pool="mean")
    stored = load_space(tmp_path / "means", "block.1", pool="mean")
    by_hand = torch.stack([expected(tiny, text)["block.1"][1:].mean(0) for text in TEXTS])
    torch.testing.assert_close(from_tokens.points, by_hand, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stored.points, by_hand, rtol=1e-4, atol=1e-5)
    assert from_tokens.groups.tolist() == stored.groups.tolist() == [0, 0, 1, 2, 3]
    with pytest.raises(pp.InputError, match="holds the mean of each example"):
        load_space(tmp_path / "means", "block.1")


def test_texts_are_cut_to_so_many_tokens(tiny, tmp_path):
    captured(tiny, tmp_path / "store", tokens=9)
    store = Store(tmp_path / "store")
    assert [len(rows_of(store, n)) for n in range(5)] == [
        min(9, len(tiny.encode(text))) for text in TEXTS
    ]


def many(n=40):
    return [
        pp.Example(f"{i}", (), (f"document {i} " * 6,), continuation=f"document {i} " * 6)
        for i in range(n)
    ]


def everything(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.safetensors"))}


@pytest.mark.slow
def test_an_interrupted_capture_goes_on_without_loss_or_duplicates(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 64 * 1024)
    whole = captured(tiny, tmp_path / "whole", examples=many())
    assert len(everything(tmp_path / "whole")) > 3
    real, calls = module.write_tensors, []

    def cut(path, *args):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(path, *args)

    monkeypatch.setattr(module, "write_tensors", cut)
    with pytest.raises(KeyboardInterrupt):
        captured(tiny, tmp_path / "cut", examples=many())
    with pytest.warns(Note, match="not complete"):
        assert len(Store(tmp_path / "cut").shards) == 2
    monkeypatch.setattr(module, "write_tensors", real)
    resumed = captured(tiny, tmp_path / "cut", examples=many())
    assert 0 < resumed.computed < whole.computed == 40
    assert everything(tmp_path / "cut") == everything(tmp_path / "whole")
    assert captured(tiny, tmp_path / "cut", examples=many()).computed == 0


def test_a_truncated_shard_is_named_left_out_and_computed_anew(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 64 * 1024)
    captured(tiny, tmp_path / "store", examples=many())
    before = everything(tmp_path / "store")
    whole = load_space(tmp_path / "store", "final")
    broken = tmp_path / "store" / "shard-00001.safetensors"
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.warns(Note, match="shard-00001.safetensors can't be read and is left out"):
        rest = load_space(tmp_path / "store", "final")
    assert 0 < len(rest.points) < len(whole.points)
    assert captured(tiny, tmp_path / "store", examples=many()).computed > 0
    assert everything(tmp_path / "store") == before


def test_a_full_disk_ends_with_a_word_and_leaves_what_was_written(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 64 * 1024)
    real, calls = module.write_tensors, []

    def full(path, *args):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(path, *args)

    monkeypatch.setattr(module, "write_tensors", full)
    with pytest.raises(pp.WorkError, match=r"No space left on device.*stays valid"):
        captured(tiny, tmp_path / "store", examples=many())
    with pytest.warns(Note, match="not complete"):
        assert len(load_space(tmp_path / "store", "final").points) > 0


def test_streamed_moments_are_those_of_all_points(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 64 * 1024)
    captured(tiny, tmp_path / "store", examples=many())
    streamed = moments_of(tmp_path / "store", "final")
    at_once = moments(load_space(tmp_path / "store", "final").points)
    torch.testing.assert_close(streamed.mean, at_once.mean)
    torch.testing.assert_close(streamed.covariance, at_once.covariance)
    assert streamed.count == at_once.count


def test_activations_that_are_not_finite_are_refused_with_their_site_and_example(tiny, tmp_path):
    weight = tiny.model.model.layers[0].mlp.down_proj.weight
    kept = weight.detach().clone()
    try:
        weight.data.mul_(1e30)
        with pytest.raises(pp.InputError, match=r"at block.1 are too large for float16 \(example"):
            captured(tiny, tmp_path / "large", dtype="float16", sites=("block.1",))
        weight.data.fill_(torch.nan)
        with pytest.raises(
            pp.InputError, match=r"at block.1 are not finite \(example '0', token 0"
        ):
            captured(tiny, tmp_path / "nan", sites=("block.1",))
    finally:
        weight.data.copy_(kept)


def test_a_store_that_another_process_writes_is_refused_or_waited_for(tiny, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    holds, enough = threading.Event(), threading.Event()

    def other():
        with FileLock(folder / ".lock"):
            holds.set()
            enough.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    assert holds.wait(60)
    with pytest.raises(pp.InputError, match="being written by another process"):
        captured(tiny, folder)
    threading.Timer(0.3, enough.set).start()
    found = capture(tiny, EXAMPLES, plan(tiny), folder, wait=True)
    assert enough.is_set()
    thread.join()
    assert found.examples == len(EXAMPLES)


def test_a_folder_of_something_else_is_left_alone(tiny, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(pp.InputError, match=r"holds 'letter.txt' and is no store"):
        captured(tiny, tmp_path)
    captured(tiny, tmp_path / "store")
    with pytest.raises(pp.InputError, match="holds another capture"):
        captured(tiny, tmp_path / "store", tokens=8)
    with pytest.raises(pp.InputError, match=r"has no site .block\.0.; it has embed"):
        load_space(tmp_path / "store", "block.0")
    with pytest.raises(pp.InputError, match="is no store of activations"):
        load_space(tmp_path, "embed")
    with pytest.raises(pp.InputError, match=r"site .block\.9' does not exist"):
        captured(tiny, tmp_path / "other", sites=("block.9",))


@pytest.mark.parametrize("mode", ["soft", "deep", "deep-cut", "kv"])
def test_under_a_prompt_the_texts_activations_are_those_behind_it(tiny, tmp_path, mode):
    prior = pp.fit_prior("gaussian", pp.vocabulary(tiny))
    prompt = pp.draw_prompt(prior, length=3, mode=mode, backbone=tiny)
    captured(tiny, tmp_path / "plain")
    captured(tiny, tmp_path / "under", prompt=prompt)
    plain, under = (load_space(tmp_path / name, "final") for name in ("plain", "under"))
    assert plain.points.shape == under.points.shape
    assert not torch.allclose(plain.points, under.points, atol=1e-3)
    rows = Store(tmp_path / "under").prompt_rows()
    for site in set(prompt.values) & set(SITES):
        if mode != "kv":
            assert torch.equal(rows[site], prompt.values[site].detach())
    if mode == "soft":
        with torch.no_grad():
            alone = tiny.model.model(inputs_embeds=prompt.values["embed"][None])
        torch.testing.assert_close(rows["normed"], alone.last_hidden_state[0])
        ids = torch.tensor(tiny.encode(TEXTS[0]))
        with torch.no_grad():
            whole = torch.cat([prompt.values["embed"], tiny.embed(ids)])[None]
            behind = tiny.model.model(inputs_embeds=whole).last_hidden_state[0, 3:]
        (part,) = Store(tmp_path / "under").parts("site/normed")
        found = part["site/normed"][rows_of(Store(tmp_path / "under"), 0)]
        torch.testing.assert_close(found, behind, rtol=1e-4, atol=1e-5)
    if mode in {"deep-cut", "kv"}:
        assert not set(rows) - set(prompt.values)
