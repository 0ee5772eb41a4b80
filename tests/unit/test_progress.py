"""Progress in a job's output, and text that only resembles it."""

import pytest

from spawn.core.reports.progress import Progress, all_in, from_file, from_output, with_base


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("Epoch 25/100", "Epoch 25/100 (25%)"),
        ("Epoch: 25/100", "Epoch 25/100 (25%)"),
        ("Epoch [3/10], Step [100/600], Loss: 0.3", "Epoch 3/10 (30%)"),
        ("step 3 of 9", "step 3/9 (33%)"),
        # tqdm
        ("  0%|          | 0/1000 [00:00<?, ?it/s]", "0/1000 (0%)"),
        ("train:  76%|███████▌  | 7568/10000 [00:33<00:10, 229.00it/s]", "train 7568/10000 (75%)"),
        (" 45%|####5     | 45/100 [00:10<00:12,  4.20it/s]", "45/100 (45%)"),
        (" 45%|████▌     | 450M/1.00G [00:10<00:12, 45.0MB/s]", "45%"),
        # Lightning
        (
            "Epoch 3:  45%|████▌     | 45/100 [00:10<00:12,  4.2it/s, v_num=0, loss=0.3]",
            "Epoch 3 45/100 (45%)",
        ),
        (
            "Epoch 1/9  ━━━━━━╸━━━━━━━━━ 45/100 0:00:10 • 0:00:12 4.20it/s v_num: 0.000",
            "Epoch 1/9 (11%)",
        ),
        # Keras 2 and 3
        ("200/469 [===========>..................] - ETA: 1s - loss: 0.29", "200/469 (42%)"),
        ("469/469 [==============================] - 3s 5ms/step - loss: 0.2", "469/469 (100%)"),
        ("200/469 ━━━━━━━━━━━━━━━━━━━━ 3s 5ms/step - accuracy: 0.9012", "200/469 (42%)"),
        # rsync
        ("         32,768  45%    1.23MB/s    0:00:01", "45%"),
        ("  1,238,099,968  37%  146.38MB/s    0:00:08 (xfr#5, to-chk=169/396)", "37%"),
        ("         32.77K  45%    1.23kB/s    0:00:01", "45%"),
        # wget
        ("    50K .......... .......... .......... .......... .......... 37% 1.21M 3s", "37%"),
        ("data.zip            37%[======>             ]   1.21G  35.2MB/s    eta 60s", "37%"),
        ("data.zip             0%[                    ]       0  --.-KB/s", "0%"),
        # others
        (
            "Receiving objects:  42% (123/290), 1.20 MiB | 2.00 MiB/s",
            "Receiving objects 123/290 (42%)",
        ),
        ("[ 42%] Building CXX object src/a.o", "42%"),
        ("tests/test_a.py ....F..                                  [ 42%]", "42%"),
        ("Progress: [ 42%]", "42%"),
        ("Progress: 42.5%", "42%"),
        ("Downloading... 42%", "42%"),
        ("42% done", "42%"),
        ("  [############------------------]   42%  00:00:10", "42%"),
        (" 42%", "42%"),
        ("########                 42.0%", "42%"),
    ],
)
def test_progress_of_common_tools_is_parsed(line: str, text: str) -> None:
    found = from_output([line])
    assert found is not None
    assert found.text == text


@pytest.mark.parametrize(
    "line",
    [
        "GPU 0: 97%",
        "GPU util [97%]",
        "mAP: 45.2%",
        "Accuracy: 89.3%",
        "acc 93% val 91%",
        "/dev/nvme0n1p1   20G   15G  4.1G  79% /",
        "tmpfs            16G     0   16G   0% /dev/shm",
        "| 30%   45C    P2    70W / 250W |   1024MiB / 11178MiB |     97%      Default |",
        "|  0%   45C    P0    26W / 70W  |      0MiB / 15360MiB |      0%      Default |",
        "%Cpu(s): 12.5 us,  1.2 sy",
        "CPU: 97%",
        "Mem 45% used",
        "Remaining: 42%",
        "Dropout 50%",
        "Test set: Accuracy: 9312/10000 (93%)",
        "Train Epoch: 3 [6400/60000 (11%)]\tLoss: 0.3",
        "file 1/27/2026",
        "ratio 3/4",
        "top-1 45% top-5 70%",
        "battery 42%",
        "precision 0.9 | recall 45% |",
        "step 101/100",
        "150%",
        "",
    ],
)
def test_text_that_resembles_progress_is_ignored(line: str) -> None:
    assert from_output([line]) is None


def test_the_newest_progress_counts_and_epochs_take_precedence_over_bars() -> None:
    bar = "200/469 [======>.....] - ETA: 1s"
    for lines, text in (
        (["Epoch 3/10", bar], "Epoch 3/10 (30%)"),
        (["Epoch 10/10", bar], "200/469 (42%)"),
        (["step 1/9", "step 2/9", "GPU 0: 97%"], "step 2/9 (22%)"),
        (["step 1/9", bar], "200/469 (42%)"),
        (["Epoch 3/10", "Epoch 4/10", "loss 0.3"], "Epoch 4/10 (40%)"),
    ):
        found = from_output(lines)
        assert found is not None
        assert found.text == text


@pytest.mark.parametrize(
    ("lines", "base"),
    [
        (["Epoch 91/100", "Epoch 92/100", "Epoch 95/100"], 0.90),
        (["Epoch 1/100", "Epoch 2/100", "Epoch 25/100"], 0.0),
        (["Epoch 0/100", "Epoch 1/100"], 0.0),
        (["Epoch 1/100"], 0.0),
        (["Epoch 91/100"], 0.91),
        (["step 100/1000", "step 200/1000", "step 500/1000"], 0.0),
        (["step 5100/10000", "step 5200/10000", "step 6000/10000"], 0.5),
        (["Epoch 91/100", "batch 1/9", "batch 2/9", "Epoch 92/100"], 0.90),
        (["50%", "60%", "70%"], 0.4),
    ],
)
def test_progress_is_measured_from_the_attempts_start(lines: list[str], base: float) -> None:
    newest = from_output(lines)
    assert newest is not None
    assert with_base(newest, all_in(lines)).base == pytest.approx(base)


def test_a_progress_file_with_history_gives_the_attempts_start() -> None:
    assert from_file("91/100 Epoch\n92/100 Epoch\n95/100 Epoch\n") == Progress(
        fraction=0.95, current=95, total=100, label="Epoch", base=pytest.approx(0.90)
    )
    assert from_file("95/100 Epoch") == Progress(
        fraction=0.95, current=95, total=100, label="Epoch"
    )
    assert from_file("") is None
