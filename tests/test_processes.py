"""Several processes train as one."""

# --- several processes -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "colddiff"]
    command += ["train", "digits", "--degradation", "gaussian_blur", "--degradation.sigma_max", "3", "--device", "cpu"]
    command += ["--steps", "4", "--precision", "fp32", "--warmup-steps", "2", "--log-every", "1"]
    for field, value in tiny.NET.to_config().items():
        command += [f"--restorer.{field}" if field != "type" else "--restorer", str(value)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--batch-size", "4", "--out", str(tmp_path / "two")],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| start | method") == 1
    train(tiny.config(tmp_path / "one", steps=4), progress=False)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


@pytest.mark.slow
def test_two_processes_stop_at_the_same_step_and_save(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "colddiff"]
    command += ["train", "digits", "--degradation", "gaussian_blur", "--device", "cpu", "--steps", "100000"]
    command += ["--batch-size", "4", "--log-every", "1", "--out", str(out)]
    for field, value in tiny.NET.to_config().items():
        command += [f"--restorer.{field}" if field != "type" else "--restorer", str(value)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 90
        while not (out / "log.jsonl").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode != 0
    steps = {
        line.partition("stopped after step ")[2].partition(";")[0]
        for line in told.splitlines()
        if "stopped after" in line
    }
    assert len(steps) == 1, told
    assert checkpoint.load(out, device="cpu").config["step"] == int(steps.pop())
