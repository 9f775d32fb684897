/**
 * `POST /test_environment` of `ostiary dev`: creates a throw-away environment and returns its API key. It is outside of
 * `/api` and needs no key, as in the official development server.
 */
import { Elysia } from "elysia";
import { z } from "zod";
import { exchangeOf } from "../../http/middleware/exchange.ts";
import { validatingSchema } from "../../http/request/schema-error.ts";

/** Returns the API key of a new environment: empty, or a copy of the default one. */
export type CreateTestEnvironment = (isCopy: boolean) => Promise<string>;

export function testEnvironmentRoutes(create: CreateTestEnvironment) {
  return new Elysia().post(
    "/test_environment",
    async ({ query, request, route }) => {
      exchangeOf(request).route = route;
      return { token: await create(query.copy === "true") };
    },
    { parse: "none", query: testEnvironmentQuery },
  );
}

export const testEnvironmentQuery = validatingSchema("query", z.object({ copy: z.enum(["true", "false"]).optional() }));
