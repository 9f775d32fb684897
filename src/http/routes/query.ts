/** The query builder's endpoint: a conjunction of calls over typed variables. A `null` in an answer means every value of the variable's type. */
import { Elysia } from "elysia";
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type { Answers } from "../../engine/node-answers.ts";
import type { Query } from "../../engine/questions.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { readAccess } from "../access.ts";
import { exchangeOf, holderOf } from "../exchange.ts";
import { taking } from "../schema-error.ts";
import { wire } from "../wire.ts";

export function queryRoutes(node: Node, limits: Limits, answers: Answers) {
  const take = taking("body", queryBody(limits));
  return new Elysia()
    .use(readAccess(node, { role: "read", bodyBytesMax: limits.readBodyBytesMax }))
    .post("/api/evaluate_query", async ({ body, request }) => ({
      results: await answers.ask("query", queryOf(take(body)), holderOf(exchangeOf(request))),
    }));
}

/** Unlike elsewhere all keys are required, as documented: a question that lost its calls on the way would get more answers, not fewer. */
function queryBody(limits: Limits) {
  const { name, fact } = wire(limits);
  const { queryCallsMax, queryVariablesMax } = limits;
  const call = z.tuple([name, z.array(z.string().min(1)).max(queryVariablesMax)]);
  const constraint = z.object({ type: name, ids: z.array(z.string()).nullable() });
  return z.object({
    predicate: call,
    // With the predicate, which is one of them.
    calls: z.array(call).max(queryCallsMax - 1),
    constraints: z
      .record(z.string(), constraint)
      .refine((constraints) => Object.keys(constraints).length <= queryVariablesMax, {
        error: `must have at most ${queryVariablesMax} entries`,
      }),
    context_facts: z.array(fact).max(limits.contextFactsMax),
  });
}

function queryOf(body: z.output<ReturnType<typeof queryBody>>): Query {
  const variables = new Map(Object.entries(body.constraints));
  const calls = [body.predicate, ...body.calls].map(([predicate, names]) => ({ predicate, variables: names }));
  for (const call of calls) {
    const unknown = call.variables.find((name) => !variables.has(name));
    if (unknown !== undefined) {
      throw new AppError("invalid_request", `\`constraints\` in the body must say of which type \`${unknown}\` is`);
    }
  }
  return { calls, variables, contextFacts: body.context_facts };
}
