// Filters, values and facets that the configuration does not declare: the compiler must refuse each line marked so, and no other.
import createTypedClient from "openapi-fetch";

import type { paths } from "./described";
import { getPage } from "./hey-api";

const path = { name: "category:BREAD" };
const client = createTypedClient<paths>({ baseUrl: "http://localhost" });

void client.GET("/v1/listings/{name}", { params: { path, query: { "f.brand": ["Other"] } } });
void client.GET("/v1/listings/{name}", { params: { path, query: { "f.colour": ["red"] } } }); // refused
void client.GET("/v1/listings/{name}", { params: { path, query: { currency: "SEK" } } }); // refused
void client.GET("/v1/listings/{name}", { params: { path, query: { facets: ["colour"] } } }); // refused

void getPage({ path, query: { "f.brand": ["Other"] } });
void getPage({ path, query: { "f.colour": ["red"] } }); // refused
void getPage({ path, query: { currency: "SEK" } }); // refused
void getPage({ path, query: { facets: ["colour"] } }); // refused
