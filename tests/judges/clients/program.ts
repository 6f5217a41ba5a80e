// A shop front in small: asks for the same page by both generated clients, and reads members of its items.
import createTypedClient from "openapi-fetch";

import type { paths } from "./described";
import { getPage } from "./hey-api";
import { createClient } from "./hey-api/client";

declare const process: { argv: string[] };
const [, , baseUrl = "", name = ""] = process.argv;

// An item is an object with any members: a program looks at what it gets.
function price(item: Record<string, unknown> | undefined): number {
    const found = item?.["price_cents"];
    if (typeof found !== "number") throw new Error(`no price: ${JSON.stringify(item)}`);
    return found;
}

async function byTypes() {
    const client = createTypedClient<paths>({ baseUrl });
    const { data, error } = await client.GET("/v1/listings/{name}", {
        params: {
            path: { name },
            query: {
                sort: "price",
                order: "asc",
                currency: "EUR",
                "f.brand": ["ACME & Co", "Other"],
                "f.price_cents": ["..<760"],
                facets: ["brand"],
            },
        },
    });
    if (!data) throw new Error(error.code);
    const counted = data.facets?.["brand"];
    const values = counted && "values" in counted ? counted.values.map((value) => value.count) : [];
    return { total: data.total, generation: data.generation, first: price(data.items[0]), values };
}

async function bySdk() {
    const client = createClient({ baseUrl });
    const { data, error } = await getPage({
        client,
        path: { name },
        query: {
            sort: "price",
            order: "asc",
            currency: "EUR",
            "f.brand": ["ACME & Co", "Other"],
            "f.price_cents": ["..<760"],
            facets: ["brand", "sold_out"],
        },
    });
    if (!data) throw new Error(error.code);
    const counted = data.facets?.["brand"];
    const values = counted && "values" in counted ? counted.values.map((value) => value.count) : [];
    return { total: data.total, generation: data.generation, first: price(data.items[0]), values };
}

// A variant that is not the default.
async function inDollars() {
    const client = createClient({ baseUrl });
    const { data } = await getPage({ client, path: { name }, query: { currency: "USD" } });
    return { total: data?.total, first: price(data?.items[0]) };
}

async function main() {
    console.log(JSON.stringify({ types: await byTypes(), sdk: await bySdk(), dollars: await inDollars() }));
}

void main();
