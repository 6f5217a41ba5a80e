"""What a schema cannot say of a good request: which parameters exclude each other, and which values exist.

Schemathesis makes requests that keep to the description and expects them to be taken. Here those, and only those, are led to what there
is: listings, sorts, keys, generations and cursors. What breaks the description goes out as it was made.
"""

import json
import os
import time
import zlib
from urllib.parse import quote, unquote

import requests
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import UseAfterFree

SERVICE = os.environ["LISTCACHE_URL"]
# What there is to read, with its sorts. The others are written to and forgotten.
READ = {"category:BREAD": ["price", "number", "in_stock"], "plain:BREAD": ["price"], "promo:a": ["default"], "promo:b": ["default"]}
# The filters a page can count.
FILTERS = {"category:BREAD": "brand"}
WRITTEN = ["promo:w", "promo:ä/b c", "category:BREAD"]
PAGES = "/v1/listings/{name}"
# Bytes are counted, and a schema counts characters: the longest takes four bytes.
LONGEST = 64


def page_of(name, sort, order):
    """A page of a listing, if there is one. What has an origin may just be being filled again; what was pushed may be deleted."""
    for _ in range(100):
        answer = requests.get(f"{SERVICE}/v1/listings/{quote(name, safe='')}", params={"sort": sort, "order": order, "limit": 5}, timeout=20)
        if answer.ok:
            return answer.json()
        if name.startswith("promo:"):
            break
        time.sleep(0.1)
    return None


def one_place(query):
    """One way to say where the page is, of those that exclude each other."""
    if "cursor" in query:
        for other in ["page", "size", "offset", "limit", "generation", "order"]:
            query.pop(other, None)
    elif "page" in query or "size" in query:
        query.pop("offset", None)
        query.pop("limit", None)


def what_there_is(query, name):
    """A generation that is kept, and a cursor of this listing."""
    for parameter in {"cursor", "generation"} & query.keys():
        page = page_of(name, query["sort"], "asc" if parameter == "cursor" else query.get("order", "asc"))
        own = page and page["links"]["self"]
        value = page and (page["generation"] if parameter == "generation" else own.partition("cursor=")[2])
        if value:
            query[parameter] = value
        else:
            del query[parameter]


def choose(options, by):
    return options[zlib.crc32(repr(by).encode()) % len(options)]


def lead(case):
    query, path = case.query, case.operation.path
    method = case.method.upper()
    if "name" in (case.path_parameters or {}):
        given = case.path_parameters["name"]
        if isinstance(given, str):
            reads = method in ("GET", "HEAD")
            # Some stay as they were made, and there is no such listing.
            name = choose([None, *(READ if reads else WRITTEN)], given) or unquote(given)[:LONGEST]
            case.path_parameters["name"] = quote(name, safe="")
            if "sort" in query and name in READ:
                query["sort"] = choose(READ[name], query["sort"])
                if query["sort"] == "number" and query.get("order") == "desc":
                    query["order"] = "asc"
            if "facets" in query and isinstance(query["facets"], str):
                query["facets"] = FILTERS.get(name, "")
                if not query["facets"]:
                    del query["facets"]
            if reads and path == PAGES:
                one_place(query)
                if name in READ:
                    query.setdefault("sort", READ[name][0])
                    what_there_is(query, name)
    if "after" in query:
        query["after"] = "promo:a/default"
    if "id_field" in query:
        query["id_field"] = "id"
    if isinstance(case.body, list):
        for item in case.body:
            if isinstance(item, dict) and isinstance(item.get("id"), str):
                item["id"] = item["id"][:LONGEST]
            # To a schema 1.0 is an integer; here an integer is written as one.
            elif isinstance(item, dict) and isinstance(item.get("id"), float):
                item["id"] = int(item["id"])


# Names of which one sort was deleted, and others may be there.
deleted_in_part = set()


@schemathesis.hook
def map_case(context, case):
    if case.meta and case.meta.generation.mode.is_positive:
        lead(case)
    if case.method.upper() == "DELETE" and "sort" in (case.query or {}):
        deleted_in_part.add(unquote(str((case.path_parameters or {}).get("name"))))
    return case


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A listing with an origin is filled again after it was forgotten; what is explained, or followed, need not be there;
    other sorts of a name than the one that was deleted are.
    The member `id` of an item is its id only where `id_field` names no other."""
    if isinstance(failure, AcceptedNegativeData) and "/items/properties/id" in failure.message:
        return case.query.get("id_field", "id") == "id"
    if isinstance(failure, UseAfterFree):
        answer = case.operation.path.rsplit("/", 1)[-1]
        is_explained = answer == "explain" and response.json()["state"] in ("deleted", "absent")
        is_filled_again = "category%3ABREAD" in response.request.url or "category:BREAD" in response.request.url
        path = response.request.url.split("/v1/listings/", 1)[-1]
        is_another_sort = unquote(path.split("?")[0].split("/")[0]) in deleted_in_part
        return not (is_explained or is_filled_again or is_another_sort or answer == "events")
    return True


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """An item a line: of what a line is, the description of the array tells."""
    content = raw_schema["paths"][PAGES]["put"]["requestBody"]["content"]
    content["application/x-ndjson"]["schema"] = content["application/json"]["schema"]


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    # What is no list is no document of items: it goes out as one line that is no item.
    lines = value if isinstance(value, list) else [[value]]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
