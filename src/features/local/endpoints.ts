/** The operations of `routes/local.ts` and `routes/bindings.ts`. */
import { z } from "zod";
import type { RequestParsers } from "../../http/request/request-schemas.ts";
import { json, messageSchema, type Operation, questionErrors } from "../../http/endpoint.ts";

export function localOperations(bodies: RequestParsers): Operation[] {
  const errors = [...questionErrors, "not_found"] as const;
  const question = { method: "post", tag: "local", kind: "read", role: "read", errors, hasHint: true } as const;
  const read = { method: "get", tag: "local", kind: "read", role: "read" } as const;
  const write = { tag: "local", kind: "write", role: "admin" } as const;
  const sql = (description: string) => ({ 200: json(description, sqlSchema) });
  return [
    {
      ...question,
      path: "/api/authorize_query",
      id: "authorizeQuery",
      summary: "SQL that decides whether this actor may perform this action on this resource",
      body: bodies.authorizeLocal.schema,
      responses: sql("A query with one row and the boolean column `allowed`"),
    },
    {
      ...question,
      path: "/api/list_query",
      id: "listQuery",
      summary: "SQL that filters the resources on which the actor may perform the action",
      body: bodies.listLocal.schema,
      responses: sql("A condition for WHERE, on `column`"),
    },
    {
      ...question,
      path: "/api/actions_query",
      id: "actionsQuery",
      summary: "SQL that lists the actions that the actor may perform on this resource",
      body: bodies.actionsLocal.schema,
      responses: sql("A query with a row for each action, in the column `actions`"),
    },
    {
      ...question,
      path: "/api/evaluate_query_local",
      id: "evaluateQueryLocal",
      summary: "SQL for the values of the variables for which all calls hold",
      body: bodies.queryLocal.schema,
      responses: sql(
        "With the mode `select`, a query with a row for each combination of values, or without columns with one row and the boolean column `result`. With the mode `filter`, a condition for WHERE",
      ),
    },
    {
      ...read,
      path: "/api/bindings",
      id: "getBindings",
      summary: "The stored data bindings, without their text",
      responses: {
        200: json("By name", z.strictObject({ bindings: z.array(bindingsSchema) }).meta({ id: "StoredBindingsList" })),
      },
    },
    {
      ...read,
      path: "/api/bindings/:name",
      id: "getNamedBindings",
      summary: "Stored data bindings",
      responses: {
        200: json("The bindings", bindingsSchema.extend({ data_bindings: z.string() }).meta({ id: "NamedBindings" })),
      },
      errors: ["not_found"],
    },
    {
      ...write,
      method: "put",
      path: "/api/bindings/:name",
      id: "putBindings",
      summary: "Store data bindings under a name",
      description: "They replace earlier ones of this name. The status is 202 if these are stored already.",
      body: bodies.bindings.schema,
      responses: { 200: json("They are stored", messageSchema), 202: json("They were stored already", messageSchema) },
    },
    {
      ...write,
      method: "delete",
      path: "/api/bindings/:name",
      id: "deleteBindings",
      summary: "Remove stored data bindings",
      responses: { 200: json("They are removed", messageSchema) },
      errors: ["not_found"],
    },
  ];
}

const sqlSchema = z
  .strictObject({
    sql: z.string(),
    parameters: z.array(z.string()).optional().meta({ description: "Only if the request asks for parameters" }),
  })
  .meta({ id: "LocalSql" });

const bindingsSchema = z
  .strictObject({ name: z.string(), bytes: z.int(), stored: z.iso.datetime() })
  .meta({ id: "StoredBindings" });
