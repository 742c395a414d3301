"""Settings of the command line: fields of objects, and files below them."""

import pytest
import yaml
from support.command_line import colddiff


def test_fields_of_a_degradation_are_options(parsed):
    config = parsed(
        "digits", "--degradation", "gaussian_blur", "--degradation.sigma_max", "3", "--out", "x", "--lr", "1e-4"
    )
    assert config.degradation.sigma_max == 3.0 and config.lr == 1e-4
    config = parsed("digits", "--degradation", '{"type": "gaussian_blur", "sigma_max": 5}', "--out=x")
    assert config.degradation.sigma_max == 5.0


NESTED = ["digits", "--degradation", "iterated_blur", "--out", "x"]


@pytest.mark.parametrize(
    "options",
    [["--degradation.sigmas", "constant", "--degradation.sigmas.sigma", "5"], ["--degradation.sigmas.sigma", "5"],
     ["--degradation.sigmas.sigma", "5", "--degradation.sigmas", "constant"], ["--degradation.sigmas.sigma=5"]],
)  # fmt: skip
def test_fields_of_fields_are_options_too(options, parsed):
    sigmas = parsed(*NESTED, *options).degradation.sigmas
    assert sigmas.to_config() == {"type": "constant", "sigma": 5.0}


def test_numbers_are_numbers_however_they_are_written(parsed):
    for text in ("1e-3", "0.001", ".001", "1.e-3", "+0.001"):
        assert parsed(*NESTED, "--degradation.sigmas.sigma", text).degradation.sigmas.sigma == 0.001
    config = parsed(*NESTED, "--degradation.schedule", "power", "--flip", "--no-quantize-inputs")
    assert config.degradation.schedule.registered_name == "power" and config.flip and not config.quantize_inputs


def test_a_yaml_file_gives_settings_that_the_command_line_overrides(parsed, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "data: digits\nout: there\nlr: 1e-3\nsteps: 7\nrestorer: {type: unet, width: 16}\n"
        "degradation: {type: iterated_blur, num_steps: 9, sigmas: {sigma: 4}}\n"
    )
    config = parsed("--config", file, "--steps", 8, "--degradation.sigmas.sigma", 5, "--restorer.blocks", 1)
    assert (config.data, config.out, config.lr, config.steps) == ("digits", "there", 1e-3, 8)
    assert config.degradation.num_steps == 9 and config.degradation.sigmas.sigma == 5.0
    assert (config.restorer.width, config.restorer.blocks) == (16, 1)
    assert parsed("--config", file).degradation.sigmas.sigma == 4.0


def test_what_is_on_the_line_overrides_the_file_wherever_the_file_stands(parsed, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("lr: 0.5\nout: null\ndegradation: {type: gaussian_blur, sigma_max: 3}\n")
    options = ["--degradation", "jpeg", "--out", "here"]
    for given in (["--config", file], [f"--config={file}"]):
        for place in (0, 2, 4):
            config = parsed("digits", *options[:place], *given, *options[place:])
            assert (config.out, config.lr, config.degradation.registered_name) == ("here", 0.5, "jpeg")


@pytest.mark.parametrize("options", [[], ["--degradation.num_steps", "9", "--degradation.sigmas.sigma", "4"]])
def test_the_printed_config_can_be_given_back(options, parsed, tmp_path, capsys):
    assert colddiff("train", *NESTED, *options, "--seed", "3", "--print_config") == 0
    printed = capsys.readouterr().out
    (tmp_path / "run.yaml").write_text(printed)
    assert "data" in yaml.safe_load(printed)
    again = parsed("--config", tmp_path / "run.yaml")
    assert again == parsed(*NESTED, *options, "--seed", "3")
