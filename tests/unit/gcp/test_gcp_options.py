# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as one typed value: defaults, derived values, and no visible secret."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.errors import OptionError
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.fetch import joined_filters
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.options import (
    is_expression,
    reject_unknown,
    settings_from,
)


def test_nothing_given_means_default_credentials_and_googles_addresses() -> None:
    settings = settings_from({})
    assert settings.auth.kind == "application"
    assert settings.service.compute == "https://compute.googleapis.com/compute/v1"
    assert settings.service.resource_manager == "https://cloudresourcemanager.googleapis.com/v3"
    assert settings.shape.hostnames == ("public_ip", "private_ip", "name")
    assert settings.scope.statuses == frozenset()
    assert not settings.scope.discovers


KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "key file": ({"service_account_file": "k"}, "serviceaccount"),
    "key": ({"service_account_contents": "{}"}, "serviceaccount"),
    "token": ({"access_token": "t"}, "accesstoken"),
    "e-mail": ({"service_account_email": "a@b.example"}, "machineaccount"),
    "said": ({"auth_kind": "machineaccount"}, "machineaccount"),
}


@pytest.mark.parametrize("case", KINDS)
def test_kind_follows_from_what_is_set(case: str) -> None:
    values, kind = KINDS[case]
    assert settings_from(values).auth.kind == kind


def test_secrets_are_not_in_the_repr() -> None:
    assert "hush" not in repr(settings_from({"access_token": "hush"}))
    assert "hush" not in repr(settings_from({"service_account_contents": "hush"}))


def test_universe_and_endpoints() -> None:
    settings = settings_from({"universe_domain": "cloud.example", "api_endpoint": "https://psc.example/compute/v1/"})
    assert settings.service.compute == "https://psc.example/compute/v1"
    assert settings.service.resource_manager == "https://cloudresourcemanager.cloud.example/v3"


def test_patterns_are_distinguished_from_ids() -> None:
    scope = settings_from({"projects": ["a-b", "example.com:proj", "x-*", "y-[12]"]}).scope
    assert scope.projects == ("a-b", "example.com:proj")
    assert scope.project_globs == ("x-*", "y-[12]")
    assert scope.discovers


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("name", False),
        ("labels.vm-name", False),
        ("labels.role | upper", True),
        ("gcp_name", True),
        ("a ~ b", True),
        ("{{ gcp_id }}", True),
    ],
)
def test_names_are_distinguished_from_expressions(source: str, expected: bool) -> None:
    assert is_expression(source) is expected


def test_groups_depend_on_the_kind_of_host_variables() -> None:
    assert settings_from({}).shape.group_by == ("gpu", "spot")
    assert settings_from({"hostvars": "compute"}).shape.group_by == ()
    assert settings_from({"hostvars": "compute", "group_by": ["zone"]}).shape.group_by == ("zone",)
    assert settings_from({"group_by": []}).shape.group_by == ()


def test_on_error_is_one_word_or_one_per_class() -> None:
    assert set(settings_from({"on_error": "warn"}).service.on_error.values()) == {"warn"}
    assert settings_from({"on_error": {"forbidden": "skip"}}).service.on_error == {"forbidden": "skip"}


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'hostnames'"):
        reject_unknown(["hostname"], ["hostnames", "projects"])


@pytest.mark.parametrize(
    ("filters", "expected"),
    [(["a = b"], "a = b"), (["a = b", "c = d"], "(a = b) (c = d)"), (["(a = b)", "c = d"], "(a = b) (c = d)")],
)
def test_filters_are_joined_by_and(filters: list[str], expected: str) -> None:
    assert joined_filters(filters) == expected


@pytest.mark.parametrize("label", ["env", "größe", "ключ", "タグ", "a_1-b", "é" * 63])
def test_label_of_any_script_is_taken(label: str) -> None:
    assert settings_from({"labels": {label: "l"}, "hostnames": [f"labels.{label}", "name"]}).scope.labels == {
        label: "l"
    }


@pytest.mark.parametrize("label", ["Größe", "GRÖSSE", "1a", "-a", "_a", "a b", "a" * 64, "", "a.b", 1])
def test_label_that_google_does_not_allow_is_rejected(label: object) -> None:
    with pytest.raises(OptionError, match="is not a label name"):
        settings_from({"labels": {label: "l"}})
