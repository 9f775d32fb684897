/** Local authorization: questions whose answer is SQL for the database of the application. */
import { z } from "zod";
import { endpoints, json, questionErrors } from "../../http/endpoint.ts";

const errors = [...questionErrors, "not_found"] as const;
const question = {
  method: "POST",
  tag: "local",
  kind: "read",
  role: "read",
  errors,
  hasHint: true,
  hasMoment: true,
} as const;
const sql = (description: string) => () => ({ 200: json(description, sqlSchema) });

export const localEndpoints = endpoints({
  authorizeQuery: {
    ...question,
    path: "/api/authorize_query",
    summary: "SQL that decides whether this actor may perform this action on this resource",
    body: "authorizeLocal",
    responses: sql("A query with one row and the boolean column `allowed`"),
  },
  listQuery: {
    ...question,
    path: "/api/list_query",
    summary: "SQL that filters the resources on which the actor may perform the action",
    body: "listLocal",
    responses: sql("A condition for WHERE, on `column`"),
  },
  actionsQuery: {
    ...question,
    path: "/api/actions_query",
    summary: "SQL that lists the actions that the actor may perform on this resource",
    body: "actionsLocal",
    responses: sql("A query with a row for each action, in the column `actions`"),
  },
  evaluateQueryLocal: {
    ...question,
    path: "/api/evaluate_query_local",
    summary: "SQL for the values of the variables for which all calls hold",
    body: "queryLocal",
    responses: sql(
      "With the mode `select`, a query with a row for each combination of values, or without columns with one row and the boolean column `result`. With the mode `filter`, a condition for WHERE",
    ),
  },
});

const sqlSchema = z
  .strictObject({
    sql: z.string(),
    parameters: z.array(z.string()).optional().meta({ description: "Only if the request asks for parameters" }),
  })
  .meta({ id: "LocalSql" });
