# Copyright (c) the gpulab team
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google Cloud inventory: documentation, options, cache and the bridge to Ansible's own expression handling."""

from __future__ import annotations

DOCUMENTATION = r"""
name: gcp
short_description: Hosts from Google Compute Engine, with GPU facts
version_added: "0.1.0"
author:
  - The gpulab team (@gpulab)
description:
  - Reads all virtual machines of one or many Google Cloud projects and makes them hosts, with flat C(gcp_*) variables,
    GPU facts and groups.
  - Everything is fetched before the first host is added. When a project cannot be read, there is no inventory and one
    message with the reason, unless O(on_error) leaves that project out.
  - Takes every option of P(google.cloud.gcp_compute#inventory). A file of that plugin works after its C(plugin) line is
    changed, with O(hostvars=compute) where plays use the API's own variable names.
  - The file's name must end in C(gcp.yml), C(gcp.yaml), C(gcp_compute.yml) or C(gcp_compute.yaml).
requirements:
  - google-auth >= 2.40
  - requests >= 2.32
notes:
  - Least privilege. Listing needs C(compute.instances.list), which V(roles/compute.viewer) holds;
    O(retrieve_image_info) needs C(compute.disks.list) and O(os_login_user) C(compute.projects.get), both in that role.
    O(folders), O(organization), O(project_labels) and patterns in O(projects) need C(resourcemanager.projects.list),
    C(resourcemanager.projects.get) and C(resourcemanager.folders.list), which V(roles/browser) holds.
    O(impersonate_service_account) needs V(roles/iam.serviceAccountTokenCreator) on that account.
  - Host variables hold data of the cloud. They are never evaluated as templates.
  - Groups made from a label with many different values make Ansible slow, whatever the inventory plugin.
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: Marks the file as one of this plugin.
    type: str
    required: true
    choices: [gpulab.core.gcp]

  # --- identity ---
  auth_kind:
    description:
      - How to sign in.
      - V(application) uses Application Default Credentials, which includes workload identity federation;
        V(serviceaccount) a key; V(machineaccount) the service account of this machine; V(accesstoken) a ready token.
      - Not set, it follows from the option that is set (a key, a token, an e-mail address), and is V(application) else.
    type: str
    choices: [application, serviceaccount, machineaccount, accesstoken]
    env:
      - name: GCP_AUTH_KIND
  scopes:
    description:
      - OAuth scopes to request.
      - Not set, V(https://www.googleapis.com/auth/compute.readonly), and
        V(https://www.googleapis.com/auth/cloud-platform.read-only) when projects have to be listed.
    type: list
    elements: str
    env:
      - name: GCP_SCOPES
  service_account_file:
    description: Path of a service account's key file.
    type: path
    env:
      - name: GCP_SERVICE_ACCOUNT_FILE
      - name: GCE_CREDENTIALS_FILE_PATH
  service_account_contents:
    description: The text of a service account's key file, as one string.
    type: str
    env:
      - name: GCP_SERVICE_ACCOUNT_CONTENTS
  service_account_email:
    description: Which of the machine's service accounts to use with O(auth_kind=machineaccount).
    type: str
    env:
      - name: GCP_SERVICE_ACCOUNT_EMAIL
  access_token:
    description: An OAuth 2 access token.
    type: str
    env:
      - name: GCP_ACCESS_TOKEN
  impersonate_service_account:
    description: E-mail address of a service account to act as.
    type: str
    env:
      - name: GCP_IMPERSONATE_SERVICE_ACCOUNT
  impersonate_delegates:
    description: Service accounts between the caller and O(impersonate_service_account), in order.
    type: list
    elements: str
  quota_project:
    description: Project whose quota the requests count against.
    type: str
    env:
      - name: GOOGLE_CLOUD_QUOTA_PROJECT

  # --- place ---
  projects:
    description:
      - Ids (or numbers) of projects. An entry with V(*), V(?) or V([...]) is a pattern over the ids of all projects
        that the credentials can list.
      - Not set, and no other option that lists projects set, the project of the credentials.
    type: list
    elements: str
  exclude_projects:
    description: Ids or patterns of projects to leave out, however they were listed.
    type: list
    elements: str
  project_labels:
    description: Take projects that have all these labels; values may be patterns. Named O(projects) are always taken.
    type: dict
  folders:
    description: Numbers of folders. All projects below them are taken, at any depth.
    type: list
    elements: str
  organization:
    description: Number of an organisation. All projects below it are taken, at any depth.
    type: str
  zones:
    description: Zones to take instances of. Not set, all.
    type: list
    elements: str
  regions:
    description: Regions to take instances of. Not set, all.
    type: list
    elements: str
  api_endpoint:
    description:
      - Base URL of Compute Engine, up to and including the version. For private endpoints.
      - Not set, C(https://compute.UNIVERSE/compute/v1).
    type: str
    env:
      - name: GCP_COMPUTE_ENDPOINT
  resource_manager_endpoint:
    description:
      - Base URL of Resource Manager, up to and including the version.
      - Not set, C(https://cloudresourcemanager.UNIVERSE/v3).
    type: str
  iam_credentials_endpoint:
    description: Base URL of the IAM Credentials API with its version, for O(impersonate_service_account).
    type: str
  universe_domain:
    description: Domain of the cloud, for sovereign clouds.
    type: str
    default: googleapis.com
    env:
      - name: GOOGLE_CLOUD_UNIVERSE_DOMAIN

  # --- selection ---
  filters:
    description:
      - Filter expressions of the Compute Engine API, joined by AND and evaluated by the service.
      - The service rejects filters on tags, metadata and other repeated fields, compares C(zone) and C(machineType)
        with whole URLs, and gets slower with a filter on a very large project. The options below have no such limits.
    type: list
    elements: str
  statuses:
    description: Statuses to take, V(RUNNING) for example. Not set, all, as P(google.cloud.gcp_compute#inventory) does.
    type: list
    elements: str
  labels:
    description: Take instances that have all these labels; values may be patterns, V(*) is any value.
    type: dict
  tags:
    description: Take instances that have all these network tags.
    type: list
    elements: str
  gpu_only:
    description: Take only instances with GPUs, attached or part of the machine type.
    type: bool
    default: false
  include:
    description: Jinja conditions over the host's facts that all must be true. They have the same input as O(compose).
    type: list
    elements: str
  exclude:
    description: Jinja conditions over the host's facts of which none may be true.
    type: list
    elements: str

  # --- names, variables and groups of a host ---
  hostnames:
    description:
      - Sources of the host's name; the first entry with a value counts.
      - V(name), V(hostname) (the custom one), V(public_ip) or V(external_ip), V(private_ip) or V(internal_ip),
        V(external_ipv6), V(internal_ipv6), V(dns) (the internal DNS name), V(id), C(labels.KEY), or a Jinja expression
        or template over the host's facts.
    type: list
    elements: str
    default: [public_ip, private_ip, name]
  name_suffix:
    description: Appended to names that come from V(name), and to those that V(hostname) takes from the name.
    type: str
    default: ""
  on_duplicate:
    description:
      - What to do when several instances would get the same name.
      - V(qualify) calls every one of them C(NAME_ZONE_PROJECT) and warns, V(first) keeps the first and warns, V(fail)
        fails.
    type: str
    choices: [qualify, first, fail]
    default: qualify
  connect_with:
    description:
      - Sets C(ansible_host) to this address; O(compose) can still overrule it. Not set, nothing is set.
      - V(auto) is the first existing address of external and internal IPv4, external and internal IPv6.
      - V(dns) is the internal DNS name. V(iap) goes through Identity-Aware Proxy with the C(gcloud) command.
    type: str
    choices: [auto, external_ip, internal_ip, external_ipv6, internal_ipv6, dns, iap]
  os_login_user:
    description:
      - Sets C(ansible_user) to this user on hosts with OS Login, as their own or their project's metadata say.
      - Reads the instances' metadata, and each project's once.
    type: str
  hostvars:
    description:
      - V(flat) gives few, flat variables named C(gcp_*). V(compute) gives the variables of
        P(google.cloud.gcp_compute#inventory), some of which have names that Ansible reserves and warns about.
      - Expressions can use both sets of names in either case.
    type: str
    choices: [flat, compute]
    default: flat
  vars_prefix:
    description: Prefix of host variables. Not set, V(gcp_) with O(hostvars=flat), else nothing.
    type: str
    default: ""
  raw:
    description: Adds the instance as the API returned it as C(gcp_raw).
    type: bool
    default: false
  metadata:
    description: Adds the instance's metadata as C(gcp_metadata). It is large and holds startup scripts, even secrets.
    type: bool
    default: false
  retrieve_image_info:
    description:
      - Adds the name of the boot disk's image as C(gcp_image), or C(image) with O(hostvars=compute).
      - Costs one more list per project.
    type: bool
    default: false
  group_by:
    description:
      - Groups to make. V(gpu) makes C(gpu) and C(gpu_MODEL); V(spot) makes C(spot); all others C(NAME_VALUE),
        C(zone_us_central1_a) for example.
      - V(instance_group) (the managed one) reads the instances' metadata, which is large.
      - Not set, V(gpu) and V(spot) with O(hostvars=flat), none with O(hostvars=compute).
    type: list
    elements: str
    choices: [project, region, zone, status, machine_type, machine_family, gpu, spot, instance_group]
  use_contrib_script_compatible_sanitization:
    description: Leaves the names of groups as they are. Needs Ansible's C(TRANSFORM_INVALID_GROUP_CHARS) off too.
    type: bool
    default: false

  # --- errors and retries ---
  on_error:
    description:
      - What to do about a project that cannot be read. V(fail) gives no inventory, V(warn) leaves the project out
        with a warning, V(skip) leaves it out with a message in C(-vv) only.
      - One of these words for all classes, or a dictionary with any of the classes C(forbidden), C(api_disabled),
        C(perimeter) (VPC Service Controls) and C(not_found).
      - Not set, V(fail); but a project that was listed (not named) and has no Compute Engine API is skipped.
      - Zones that do not answer always warn, and the rest is kept.
    type: raw
  timeout:
    description: Seconds to wait for an answer.
    type: float
    default: 30
  retries:
    description:
      - How often a request is repeated after a rate limit, a server error, a broken connection, a timeout or a damaged
        answer. Waits grow, are jittered, and follow C(Retry-After).
    type: int
    default: 8
  retry_budget:
    description: Seconds after which a request is not repeated any more.
    type: float
    default: 120
  workers:
    description: How many projects or folders are read in parallel.
    type: int
    default: 16
"""

EXAMPLES = r"""
---
# The project of your own login ("gcloud auth application-default login"), hosts by name, connected by the best address.
plugin: gpulab.core.gcp
hostnames: [name]
connect_with: auto
---
# GPU hosts that run, into the group that gpulab's playbooks use.
plugin: gpulab.core.gcp
projects: [my-lab]
gpu_only: true
statuses: [RUNNING]
hostnames: [name]
groups:
  gpu_hosts: gcp_gpu_count | int > 0
---
# A file of google.cloud.gcp_compute: the plugin line is new, and hostvars.
plugin: gpulab.core.gcp
hostvars: compute
projects: [my-project]
auth_kind: serviceaccount
service_account_file: ~/keys/inventory.json
filters:
  - status = RUNNING
keyed_groups:
  - key: labels
    prefix: label
compose:
  ansible_host: networkInterfaces[0].accessConfigs[0].natIP
---
# All projects of two folders and of everything called research-*, except the sandboxes.
plugin: gpulab.core.gcp
folders: ["123456789012", "210987654321"]
projects: ["research-*"]
exclude_projects: ["*-sandbox"]
on_error:
  forbidden: warn
  perimeter: warn
---
# The projects of an organisation that carry a label.
plugin: gpulab.core.gcp
organization: "123456789012"
project_labels:
  team: vision
  stage: "prod*"
---
# Names from labels, else name and zone; the same name twice is an error.
plugin: gpulab.core.gcp
hostnames:
  - labels.vm-name
  - gcp_name ~ '.' ~ gcp_zone
on_duplicate: fail
---
# Include and exclude on one snapshot.
plugin: gpulab.core.gcp
labels: {env: prod}
tags: [ssh]
regions: [europe-west4]
include:
  - gcp_gpu_memory_gb | default(0, true) | int >= 40
exclude:
  - gcp_spot
  - gcp_name.startswith('gke-')
---
# Through Identity-Aware Proxy, with the OS Login user.
plugin: gpulab.core.gcp
hostnames: [name]
connect_with: iap
os_login_user: sa_112233445566778899
---
# Act as another service account and bill another project's quota.
plugin: gpulab.core.gcp
projects: [my-lab]
impersonate_service_account: inventory@my-lab.iam.gserviceaccount.com
quota_project: my-quota
---
# A private endpoint, and longer time limits for a slow network.
plugin: gpulab.core.gcp
projects: [my-lab]
api_endpoint: https://compute-psc.p.googleapis.com/compute/v1
timeout: 60
retries: 12
retry_budget: 300
---
# A cache: a warm run sends no request. "ansible-inventory --flush-cache" fetches again.
plugin: gpulab.core.gcp
projects: [my-lab]
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/gpulab
cache_timeout: 600
---
# Groups of your own choice, every field, metadata and image.
plugin: gpulab.core.gcp
projects: [my-lab]
group_by: [project, region, machine_family, gpu, instance_group]
raw: true
metadata: true
retrieve_image_info: true
keyed_groups:
  - key: gcp_labels.owner
    prefix: owner
    default_value: nobody
"""

import gc
from collections.abc import Mapping
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.module_utils.basic import missing_required_lib
from ansible.module_utils.common.text.converters import to_native
from ansible.parsing.vault import EncryptedString
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.vars import combine_vars

from ansible_collections.gpulab.core.plugins.plugin_utils.gcp import build, options, populate
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.cache import cache_key, from_cache, to_cache
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.errors import GcpError
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.evaluate import Evaluator
from ansible_collections.gpulab.core.plugins.plugin_utils.gcp.rows import Needs, Snapshot

_ENDINGS = tuple(f"{stem}.{ending}" for stem in ("gcp", "gcp_compute") for ending in ("yml", "yaml"))


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):  # type: ignore[misc]
    """Fetch everything, build hosts, and only then write to the inventory."""

    NAME = "gpulab.core.gcp"
    # Ansible's inventory, or temporarily the recorder that replaces it.
    inventory: Any

    def verify_file(self, path: str) -> bool:
        """Accept the file names of gcp_compute."""
        return bool(super().verify_file(path)) and path.endswith(_ENDINGS)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory from one file, or raise one error and leave the inventory as it was."""
        super().parse(inventory, loader, path)
        collecting = gc.isenabled()
        # Many objects are made and none is garbage: a collection would cost a tenth of the run.
        gc.disable()
        try:
            self._fill(self._settings(path), path, cache)
        except GcpError as error:
            raise AnsibleParserError(f"{path}: {error}") from None
        finally:
            if collecting:
                gc.enable()

    def _settings(self, path: str) -> options.Settings:
        try:
            config = self._read_config_data(path)
        except AnsibleError as error:
            message = to_native(error.message)
            if vaulted := self._vaulted(path, message):
                message = (
                    f"{vaulted}: {message.rstrip('.')}: give the vault's password with --ask-vault-pass or "
                    "--vault-password-file"
                )
            raise GcpError(message) from None
        except AttributeError:
            raise GcpError("the file is not a dictionary of options") from None
        values = self.get_options()
        options.reject_unknown(config, {*values, "plugin"})
        return options.settings_from({name: _plain(value) for name, value in values.items()}, config)

    def _vaulted(self, path: str, message: str) -> str:
        """Name the vaulted options where Ansible reports that it cannot decrypt, but not what."""
        if "decrypt" not in message.lower():
            return ""
        config = self.loader.load_from_file(path, cache="none")
        names = [name for name, value in config.items() if isinstance(value, EncryptedString)]
        return ", ".join(f"option '{name}'" for name in names)

    def _fill(self, settings: options.Settings, path: str, cache: bool) -> None:
        entries = populate.entries(*(self.get_option(name) for name in ("compose", "groups", "keyed_groups")))
        snapshot = self._snapshot(settings, build.needs(settings, populate.sources(entries)), path, cache)
        shortcuts = self._shortcuts_are_safe()
        evaluator = Evaluator(self._evaluate, strict=bool(self.get_option("strict")), shortcuts=shortcuts)
        hosts, warnings = build.hosts(snapshot, settings, evaluator)
        if self.get_option("use_contrib_script_compatible_sanitization"):
            self._sanitize_group_name = _unchanged
        populator = populate.Populator(self.inventory, self, entries, shortcuts=shortcuts)
        try:
            for host in hosts:
                populator.add(host)
        except AnsibleError as error:
            populator.undo()
            raise GcpError(to_native(error.message)) from None
        for warning in (*warnings, *evaluator.warnings(), *populator.warnings):
            self.display.warning(f"{path}: {warning}")
        for note in snapshot.notes:
            self.display.vv(f"{path}: {note}")

    def _snapshot(self, settings: options.Settings, needs: Needs, path: str, cache: bool) -> Snapshot:
        """Return the API's answers: from the cache when it is on and not to be flushed, else fetched and cached."""
        caching = self.get_option("cache")
        key = cache_key(self.get_cache_key(path), settings, needs) if caching else ""
        if caching and cache:
            try:
                known = from_cache(self._cache.get(key))
            except AnsibleError as error:
                self.display.warning(f"{path}: the cache entry is not readable and is made again: {to_native(error)}")
                known = None
            if known is not None:
                return known
        try:
            from ..plugin_utils.gcp.client import require
            from ..plugin_utils.gcp.fetch import fetch

            require()
        except ImportError as error:
            raise GcpError(missing_required_lib(error.name or "google-auth")) from None
        snapshot = fetch(settings, needs)
        if caching and snapshot.complete:
            self._cache[key] = to_cache(snapshot)
        elif caching:
            snapshot.warnings.append("this inventory is not complete and is therefore not cached")
        return snapshot

    # --- the bridge to Ansible's expressions -------------------------------------------------------------------------
    def _shortcuts_are_safe(self) -> bool:
        """Return whether an expression depends only on the host's facts and variables."""
        return constants.DEFAULT_HASH_BEHAVIOUR == "replace" and not (self.get_option("use_extra_vars") and self._vars)

    def _evaluate(self, source: str, facts: Mapping[str, Any]) -> Any:
        if "{{" in source or "{%" in source:
            self.templar.available_variables = facts
            return self.templar.template(source)
        return self._compose(source, facts)

    def apply(self, kind: str, entry: Any, variables: Mapping[str, Any], host: str) -> None:
        """Let Ansible evaluate one entry of compose, groups or keyed_groups for one host."""
        strict = bool(self.get_option("strict"))
        if kind == "compose":
            self._set_composite_vars(entry, variables, host, strict=strict)
        elif kind == "groups":
            self._add_host_to_composed_groups(entry, variables, host, strict=strict, fetch_hostvars=False)
        else:
            self._add_host_to_keyed_groups(entry, variables, host, strict=strict, fetch_hostvars=False)

    def record(self, kind: str, entry: Any, variables: Mapping[str, Any], host: str) -> list[populate.Step]:
        """Let Ansible evaluate one entry and return what it would have written to the inventory."""
        real, recorder = self.inventory, populate.Recorder(self.inventory, host)
        self.inventory = recorder
        try:
            self.apply(kind, entry, variables, host)
        finally:
            self.inventory = real
        return recorder.steps

    def group_name(self, name: str) -> str:
        """Return the name in the form that Ansible requires of group names."""
        return str(self._sanitize_group_name(name))

    def seen_by_groups(self, variables: Mapping[str, Any], host: str) -> Mapping[str, Any]:
        """Return the host's variables over its facts, as Ansible combines them for groups and keyed_groups."""
        combined: Mapping[str, Any] = combine_vars(variables, self.inventory.get_host(host).get_vars())
        return combined


def _unchanged(name: str) -> str:
    return name


def _plain(value: Any) -> Any:
    """Decrypt a vaulted value of the file."""
    return str(value) if isinstance(value, EncryptedString) else value
