"""Where a function's binary is: where `sam build` puts it, or cargo-lambda, or cargo."""

from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
BUILT_BY_SAM = ROOT / "target/deployed/build"


def name_of(properties):
    """The folder of a function's code, which is its name."""
    return properties["CodeUri"].strip("/").split("/")[-1]


def functions():
    """Every function of template.yaml: logical id, and its folder's name with its properties."""
    resources = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]
    return {
        logical: (name_of(resource["Properties"]), resource["Properties"])
        for logical, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def binary_of(folder, logical, name):
    """`folder` is a `--build-dir` of `sam build`, cargo-lambda's `target/lambda`, or cargo's `target/debug`."""
    for binary in (folder / logical / "bootstrap", folder / name / "bootstrap", folder / name):
        if binary.is_file():
            return binary
    raise SystemExit(f"no binary of {name} in {folder}: build it first")
