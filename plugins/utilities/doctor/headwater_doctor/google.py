"""Google: the settings, the credentials, and what they may do in the project and the bucket."""

import re
from pathlib import Path
from typing import Any

from headwater_doctor.finding import Finding, required
from headwater_doctor.source import selected

TIMEOUT_SECONDS = 10
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
PROJECT = [("GCP_PROJECT_ID", "the Google Cloud project's id")]
PRODUCTION = [
    ("HEADWATER_ENGINEER_GROUP", "the e-mail of the data engineers' Google group"),
    ("HEADWATER_ANALYST_GROUP", "the e-mail of the analysts' Google group"),
    ("HEADWATER_REPORTING_GROUP", "the e-mail of the reporting Google group"),
]
# What the least roles are for; who creates a dataset owns it.
PERMISSIONS = {
    "bigquery.jobs.create": "roles/bigquery.user",
    "bigquery.datasets.create": "roles/bigquery.user",
}
OBJECTS = ["storage.objects.create", "storage.objects.get", "storage.objects.delete"]
OBJECTS += ["storage.objects.list"]


def check(root: Path, env: dict[str, str]) -> list[Finding]:
    """Settings and credentials; then, if there are both, what Google answers."""
    if env.get("DBT_TARGET") == "emulator":
        return [Finding("the emulator stands in for BigQuery; make run starts it")]
    findings = required(env, PROJECT)
    if env.get("MELTANO_ENVIRONMENT") == "prod":
        findings += [*required(env, PRODUCTION), _state(env)]
    credentials = _credentials(env)
    findings.append(credentials)
    if credentials.ok and env.get("GCP_PROJECT_ID"):
        findings += _ask_google(root, env)
    return findings


def _state(env: dict[str, str]) -> Finding:
    # Meltano passes on its default, a folder of this machine.
    if "://" in (uri := env.get("MELTANO_STATE_BACKEND_URI", "")) and not uri.startswith("file:"):
        return Finding("MELTANO_STATE_BACKEND_URI is set")
    return Finding(
        "MELTANO_STATE_BACKEND_URI names no bucket",
        "set it to gs://bucket/state, so that what was loaded is remembered off this machine",
    )


def _credentials(env: dict[str, str]) -> Finding:
    """Where Application Default Credentials come from; asks no server."""
    login = "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
    if key := env.get("GOOGLE_APPLICATION_CREDENTIALS"):
        if Path(key).is_file():
            return Finding(f"Google credentials: {key}")
        return Finding(f"GOOGLE_APPLICATION_CREDENTIALS names no file: {key}", login)
    folder = Path(env.get("CLOUDSDK_CONFIG") or Path.home() / ".config/gcloud")
    if (folder / "application_default_credentials.json").is_file():
        return Finding(f"Google credentials: {folder}")
    product = Path("/sys/class/dmi/id/product_name")
    if product.is_file() and product.read_text().startswith("Google"):
        return Finding("Google credentials: this machine's service account")
    return Finding("no Google credentials", login)


def _ask_google(root: Path, env: dict[str, str]) -> list[Finding]:
    # Google's libraries take a second to import.
    import google.auth
    import requests
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, _ = google.auth.default(scopes=SCOPES)
        with AuthorizedSession(credentials) as session:
            account = getattr(credentials, "service_account_email", None)
            member = f"serviceAccount:{account}" if account else "user:$(gcloud config get account)"
            findings = project_access(session, env, member)
            findings += dataset_access(session, env, member, datasets(root))
            if env.get("MELTANO_STATE_BACKEND_URI", "").startswith("gs://"):
                findings.append(bucket_access(session, env, member))
            return findings
    except (GoogleAuthError, requests.RequestException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        return [Finding("Google does not answer", f"{reason}; check the network, or log in again")]


def datasets(root: Path) -> list[str]:
    """The datasets that the loader and dbt write to, without a prefix."""
    raw = {f"raw_{schema}" for schema, _ in selected(root)}
    extractors = (root / "extract/extractors.meltano.yml").read_text()
    raw |= set(re.findall(r"load_schema: (\w+)", extractors))
    declared = (root / "transform/dbt_project.yml").read_text()
    return sorted({"_headwater", *raw, *re.findall(r"\+schema: (\w+)", declared)})


def project_access(session: Any, env: dict[str, str], member: str) -> list[Finding]:
    """What the credentials, which are `member`'s, may do in the project.

    `session`: sends authorized requests, as `requests.Session` does.
    """
    project = env["GCP_PROJECT_ID"]
    url = "https://cloudresourcemanager.googleapis.com/v1/projects"
    answer = session.post(
        f"{url}/{project}:testIamPermissions",
        json={"permissions": list(PERMISSIONS)},
        timeout=TIMEOUT_SECONDS,
    )
    if answer.status_code != 200:
        enable = f"gcloud services enable cloudresourcemanager.googleapis.com --project={project}"
        return [
            Finding(
                f"the project {project} does not say what is allowed in it ({answer.status_code})",
                f"correct GCP_PROJECT_ID, or {enable}",
            )
        ]
    held = answer.json().get("permissions", [])
    return [
        Finding(f"{permission} on {project}")
        if permission in held
        else Finding(
            f"no {permission} on {project}",
            f"gcloud projects add-iam-policy-binding {project} --member={member} --role={role}",
        )
        for permission, role in PERMISSIONS.items()
    ]


def dataset_access(
    session: Any, env: dict[str, str], member: str, names: list[str]
) -> list[Finding]:
    """Whether each dataset that is there already is in the right place, and open."""
    project, location = env["GCP_PROJECT_ID"], env.get("BIGQUERY_LOCATION", "US")
    prefix = re.sub(r"[^0-9A-Za-z_]", "_", env.get("DBT_SCHEMA_PREFIX", ""))
    findings = []
    for name in (prefix + name for name in names):
        url = f"https://bigquery.googleapis.com/bigquery/v2/projects/{project}/datasets/{name}"
        answer = session.get(url, timeout=TIMEOUT_SECONDS)
        if answer.status_code == 404:
            finding = Finding(f"the dataset {name} will be made by the first run")
        elif answer.status_code != 200:
            remedy = f'grant `roles/bigquery.dataOwner` on schema `{project}`.{name} to "{member}"'
            finding = Finding(f"no access to the dataset {name} ({answer.status_code})", remedy)
        elif (found := answer.json()["location"]).upper() != location.upper():
            remedy = f"set BIGQUERY_LOCATION={found}, or take another project"
            finding = Finding(f"the dataset {name} is in {found}, not {location}", remedy)
        else:
            finding = Finding(f"the dataset {name} in {found}")
        findings.append(finding)
    return findings


def bucket_access(session: Any, env: dict[str, str], member: str) -> Finding:
    """Whether the bucket of the state is there and can be written."""
    bucket = env["MELTANO_STATE_BACKEND_URI"].removeprefix("gs://").partition("/")[0]
    answer = session.get(
        f"https://storage.googleapis.com/storage/v1/b/{bucket}/iam/testPermissions",
        params={"permissions": OBJECTS},
        timeout=TIMEOUT_SECONDS,
    )
    if answer.status_code == 404:
        return Finding(f"no bucket gs://{bucket}", f"gcloud storage buckets create gs://{bucket}")
    held = answer.json().get("permissions", []) if answer.status_code == 200 else []
    if missing := [permission for permission in OBJECTS if permission not in held]:
        bind = f"gcloud storage buckets add-iam-policy-binding gs://{bucket} --member={member}"
        remedy = f"{bind} --role=roles/storage.objectUser"
        return Finding(f"no {', '.join(missing)} on gs://{bucket}", remedy)
    return Finding(f"the state's bucket gs://{bucket}")
