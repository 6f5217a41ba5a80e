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
# The filters of each listing.
FILTERS = {"category:BREAD": ["brand", "price_cents", "sold_out"]}
# The only listing with this variant: others take it for an unknown parameter, which is ignored.
VARIANT = ("currency", "category:BREAD")
# A page takes so many values of filters at once, and a URL has room for that many of so many characters.
FILTER_VALUES, FILTER_VALUE_LONGEST = 50, 8
OFFSET_MAX, SIZE_MAX = 2**53 - 1, 250
WRITTEN = ["promo:w", "promo:ä/b c", "category:BREAD"]
PAGES = "/v1/listings/{name}"
# Bytes are counted, and a schema counts characters: the longest takes four bytes.
LONGEST = 64


def page_of(name, sort, order, query):
    """A page of a listing, in the query's variant and with its filters, if there is one. What has an origin may just be being filled again; what was pushed may be deleted."""
    params = {parameter: value for parameter, value in query.items() if parameter.startswith("f.") or parameter == VARIANT[0]}
    params |= {"sort": sort, "order": order, "limit": 5}
    for _ in range(100):
        answer = requests.get(f"{SERVICE}/v1/listings/{quote(name, safe='')}", params=params, timeout=20)
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
        # Page times size has the bound of an offset.
        if isinstance(query.get("page"), int):
            query["page"] = min(query["page"], OFFSET_MAX // SIZE_MAX)


def what_there_is(query, name):
    """A generation that is kept, and a cursor of this listing."""
    for parameter in {"cursor", "generation"} & query.keys():
        page = page_of(name, query["sort"], "asc" if parameter == "cursor" else query.get("order", "asc"), query)
        own = page and page["links"]["self"]
        value = page and (page["generation"] if parameter == "generation" else own.partition("cursor=")[2])
        if value:
            query[parameter] = value
        else:
            del query[parameter]


def range_of(text):
    """A range whose lower end is not above the other."""
    least, most = text.split("..")
    mark = "<" if most.startswith("<") else ""
    most = most.removeprefix("<")
    if least and most and float(least) > float(most):
        least, most = most, least
    return f"{least}..{mark}{most}"


def its_own_filters(query, filters):
    """The filters that this listing has, and not too many values. The others are of another listing."""
    room = FILTER_VALUES
    for parameter in [parameter for parameter in query if parameter.startswith("f.")]:
        values = query[parameter]
        if parameter.removeprefix("f.") not in filters or not room:
            del query[parameter]
        elif isinstance(values, list):
            values = values[:room]
            room -= len(values)
            is_range = parameter == "f.price_cents"
            query[parameter] = [range_of(value) if is_range else value[:FILTER_VALUE_LONGEST] for value in values]
    if "facets" in query and not filters:
        del query["facets"]


def choose(options, by):
    return options[zlib.crc32(repr(by).encode()) % len(options)]


def lead(case):
    query, path = case.query, case.operation.path
    method = case.method.upper()
    if "name" in (case.path_parameters or {}):
        given = case.path_parameters["name"]
        if isinstance(given, str):
            reads = method in ("GET", "HEAD")
            # Some stay as they were made, and there is no such listing. The name of an example stays.
            chosen = unquote(given) if unquote(given) in READ else choose([None, *(READ if reads else WRITTEN)], given)
            name = chosen or unquote(given)[:LONGEST]
            case.path_parameters["name"] = quote(name, safe="")
            if "sort" in query and name in READ:
                query["sort"] = choose(READ[name], query["sort"])
                if query["sort"] == "number" and query.get("order") == "desc":
                    query["order"] = "asc"
            its_own_filters(query, FILTERS.get(name, []))
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
            if isinstance(item, dict) and isinstance(item.get("gone_for"), float):
                item["gone_for"] = int(item["gone_for"])


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
def before_add_examples(context, examples):
    """The description's own examples are not made up, so `map_case` does not get them."""
    for case in examples:
        lead(case)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A listing with an origin is filled again after it was forgotten; what is explained, or followed, need not be there;
    other sorts of a name than the one that was deleted are. A listing without a variant takes any value of it.
    The member `id` of an item is its id only where `id_field` names no other."""
    # A long URL is refused before anything else of it is read.
    if isinstance(failure, AcceptedNegativeData) and response.status_code == 414:
        return False
    parameter, its_listing = VARIANT
    if isinstance(failure, AcceptedNegativeData) and f"parameter `{parameter}`" in failure.message:
        return unquote(str(case.path_parameters["name"])) == its_listing
    if isinstance(failure, AcceptedNegativeData) and "/items/properties/id" in failure.message:
        return case.query.get("id_field", "id") == "id"
    if isinstance(failure, UseAfterFree):
        answer = case.operation.path.rsplit("/", 1)[-1]
        # The answer to HEAD does not say the state.
        is_explained = answer == "explain" and (not response.text or response.json()["state"] in ("deleted", "absent"))
        is_filled_again = "category%3ABREAD" in response.request.url or "category:BREAD" in response.request.url
        path = response.request.url.split("/v1/listings/", 1)[-1]
        is_another_sort = unquote(path.split("?")[0].split("/")[0]) in deleted_in_part
        return not (is_explained or is_filled_again or is_another_sort or answer == "events")
    return True


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """An item, or a change, a line: of what a line is, the description of the array tells."""
    for operation in [raw_schema["paths"][PAGES]["put"], raw_schema["paths"]["/v1/changes"]["post"]]:
        content = operation["requestBody"]["content"]
        content["application/x-ndjson"]["schema"] = content["application/json"]["schema"]


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    # What is no list is no document of items: it goes out as one line that is no item.
    lines = value if isinstance(value, list) else [[value]]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
