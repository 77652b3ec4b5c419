"""Tables of predictions beside what is right."""

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from lit_mlm.inference.examples import tabulate_fillings, tabulate_tags


def test_fillings_are_those_of_the_net(tiny_bert: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    net = AutoModelForMaskedLM.from_pretrained(tiny_bert).train()
    inputs = tokenizer(["a film", "the the the"], padding=True, return_tensors="pt")
    batch = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    batch["labels"] = torch.full_like(batch["input_ids"], -100)
    batch["labels"][1, 2] = batch["input_ids"][1, 2].item()
    batch["input_ids"][1, 2] = tokenizer.mask_token_id
    state = torch.random.get_rng_state()
    header, _, row = tabulate_fillings(net, tokenizer, batch)
    assert net.training
    assert torch.equal(state, torch.random.get_rng_state())
    with torch.no_grad():
        probs = (
            net.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[1, 2].softmax(-1)
        )
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert header == "| text | right | first | second | third |"
    assert r"**\[MASK\]**" in cells[0]
    assert cells[1] == "the"
    assert cells[2].strip("*").endswith(f"({float(probs.max()):.2f})")


def test_sentences_with_errors_come_first() -> None:
    words = [["Ada", "ran"], ["in", "New", "York"]]
    gold = [["B-PER", "O"], ["O", "B-LOC", "I-LOC"]]
    predicted = [["B-PER", "O"], ["O", "B-LOC", "O"]]
    assert tabulate_tags(words, gold, predicted, "IOB2")[2:] == [
        r"| 2 | in **New York \[LOC\]** | in **New \[LOC\]** York |",
        r"| 0 | Ada \[PER\] ran | Ada \[PER\] ran |",
    ]
    plain = tabulate_tags([["a", "b"]], [["X", "Y"]], [["X", "X"]], None)
    assert plain[2:] == [r"| 1 | a \[X\] **b \[Y\]** | a \[X\] **b \[X\]** |"]
