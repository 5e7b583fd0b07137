"""The shop: its settings, what the app may read, and the API version it is answered in."""

from pathlib import Path
from typing import Any

from headwater_doctor.finding import Finding, required

TIMEOUT_SECONDS = 10
SANDBOX = "rainbow-sandbox"
API_VERSION = "2025-07"  # tap-shopify's
NEWEST_VERSION = "2026-01"  # in which all that it asks is valid
SHOP = [("SHOPIFY_SHOP", "what stands before .myshopify.com in the store's address")]
# What the selected streams need.
SCOPES = {
    "read_all_orders": "without it Shopify answers with the orders of the last 60 days only",
    "read_customers": "for the customers, and who placed an order",
    "read_orders": "for orders, transactions and refunds",
    "read_products": "for products, their variants, and what was ordered",
}
ADMIN = "the app's configuration in the Shopify admin"


def check(root: Path, env: dict[str, str]) -> list[Finding]:
    """Settings; then, if a store is named, what it answers. Nothing if no job reads a shop."""
    if "tap-shopify" not in (root / "meltano.yml").read_text():
        return []
    shop = env.get("SHOPIFY_SHOP", "")
    if env.get("MELTANO_ENVIRONMENT") == "prod" and shop in ("", SANDBOX):
        return required(env | {"SHOPIFY_SHOP": ""}, SHOP)
    if shop in ("", SANDBOX):
        return [Finding("the sandbox stands in for Shopify; make run starts it")]
    if not (env.get("SHOPIFY_ACCESS_TOKEN") or env.get("SHOPIFY_CLIENT_ID")):
        remedy = "set SHOPIFY_ACCESS_TOKEN, or SHOPIFY_CLIENT_ID and SHOPIFY_CLIENT_SECRET"
        return [Finding(f"no login for {shop}.myshopify.com", remedy)]
    # The library takes a while to import.
    import requests

    try:
        with requests.Session() as session:
            return ask(session, shop, env)
    except (requests.RequestException, ValueError) as error:
        remedy = f"{str(error).splitlines()[0]}; check the network, and SHOPIFY_SHOP"
        return [Finding(f"{shop}.myshopify.com does not answer", remedy)]


def ask(session: Any, shop: str, env: dict[str, str]) -> list[Finding]:
    """What the store says. `session`: sends requests, as `requests.Session` does."""
    admin = f"https://{shop}.myshopify.com/admin"
    token = env.get("SHOPIFY_ACCESS_TOKEN")
    if not token:
        app = {"client_id": env["SHOPIFY_CLIENT_ID"], "grant_type": "client_credentials"}
        app["client_secret"] = env.get("SHOPIFY_CLIENT_SECRET", "")
        answer = session.post(f"{admin}/oauth/access_token", json=app, timeout=TIMEOUT_SECONDS)
        if answer.status_code != 200:
            remedy = "correct SHOPIFY_SHOP, SHOPIFY_CLIENT_ID or SHOPIFY_CLIENT_SECRET"
            return [Finding(f"{shop} gives the app no token ({answer.status_code})", remedy)]
        token = answer.json()["access_token"]
    answer = session.post(
        f"{admin}/api/{API_VERSION}/graphql.json",
        json={"query": "{ currentAppInstallation { accessScopes { handle } } }"},
        headers={"X-Shopify-Access-Token": token},
        timeout=TIMEOUT_SECONDS,
    )
    if answer.status_code != 200:
        remedy = "correct SHOPIFY_SHOP or the login"
        return [Finding(f"{shop} does not let the app in ({answer.status_code})", remedy)]
    scopes = answer.json()["data"]["currentAppInstallation"]["accessScopes"]
    granted = {scope["handle"] for scope in scopes}
    findings = [
        Finding(f"{shop} grants {scope}")
        if scope in granted
        else Finding(f"{shop} does not grant {scope}, {why}", f"add it in {ADMIN}")
        for scope, why in SCOPES.items()
    ]
    served = answer.headers.get("X-Shopify-API-Version", API_VERSION)
    if served <= NEWEST_VERSION:
        return [*findings, Finding(f"{shop} serves the API version {served}")]
    remedy = "read docs/shopify.md, API versions, before relying on orders"
    return [*findings, Finding(f"{shop} answers {API_VERSION} with {served}", remedy)]
