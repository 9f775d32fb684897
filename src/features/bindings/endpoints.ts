/** Stored data bindings. Applications run the queries in them, so only an administrator may change them. */
import { z } from "zod";
import { endpoints, json, messageSchema } from "../../http/endpoint.ts";

const read = { method: "GET", tag: "local", kind: "read", role: "read" } as const;
const write = { tag: "local", kind: "write", role: "admin" } as const;

export const bindingsEndpoints = endpoints({
  getBindings: {
    ...read,
    path: "/api/bindings",
    summary: "The stored data bindings, without their text",
    responses: () => ({
      200: json("By name", z.strictObject({ bindings: z.array(bindingsSchema) }).meta({ id: "StoredBindingsList" })),
    }),
  },
  getNamedBindings: {
    ...read,
    path: "/api/bindings/:name",
    summary: "Stored data bindings",
    responses: () => ({
      200: json("The bindings", bindingsSchema.extend({ data_bindings: z.string() }).meta({ id: "NamedBindings" })),
    }),
    errors: ["not_found"],
  },
  putBindings: {
    ...write,
    method: "PUT",
    audit: "bindings.put",
    path: "/api/bindings/:name",
    summary: "Store data bindings under a name",
    description: "They replace earlier ones of this name. The status is 202 if these are stored already.",
    body: "bindings",
    responses: () => ({
      200: json("They are stored", messageSchema),
      202: json("They were stored already", messageSchema),
    }),
  },
  deleteBindings: {
    ...write,
    method: "DELETE",
    audit: "bindings.delete",
    path: "/api/bindings/:name",
    summary: "Remove stored data bindings",
    responses: () => ({ 200: json("They are removed", messageSchema) }),
    errors: ["not_found"],
  },
});

const bindingsSchema = z
  .strictObject({ name: z.string(), bytes: z.int(), stored: z.iso.datetime() })
  .meta({ id: "StoredBindings" });
