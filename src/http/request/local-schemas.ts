/** The schemas of the requests of local authorization: a question, and the data bindings of the application. */
import { z } from "zod";
import type { Limits } from "../../config/limits.ts";
import type {
  ActionsQuestion,
  AuthorizeQuestion,
  BindingsReference,
  ExplainQuestion,
  ListQuestion,
  LocalActionsQuestion,
  LocalAuthorizeQuestion,
  LocalListQuestion,
  LocalQueryQuestion,
  Query,
} from "../../engine/request/questions.ts";
import { recordOf } from "../../util/bounded-schema.ts";
import { validator } from "./schema-error.ts";

/** The schemas of the questions, which are those of the same questions without bindings. */
export interface QuestionSchemas {
  readonly authorize: z.ZodType<AuthorizeQuestion>;
  readonly list: z.ZodType<ListQuestion>;
  readonly actions: z.ZodType<ActionsQuestion>;
  readonly query: z.ZodType<Query>;
}

const source = {
  data_bindings: z.string().optional().meta({ description: "YAML" }),
  data_bindings_name: z.string().optional().meta({ description: "The name of data bindings that are stored" }),
};
const local = {
  ...source,
  parameters: z.boolean().default(false).meta({ description: "Whether the SQL has parameters instead of values" }),
};
const eitherSource = { oneOf: [{ required: ["data_bindings"] }, { required: ["data_bindings_name"] }] };

type SourceBody = z.output<z.ZodObject<typeof source>>;

export function localParsers(
  schemas: QuestionSchemas,
  limits: Pick<Limits, "queryVariablesMax" | "identifierBytesMax">,
) {
  const column = z.string().min(1);
  const { queryVariablesMax: max, identifierBytesMax: keyBytesMax } = limits;
  const mode = z.discriminatedUnion("mode", [
    z.object({
      mode: z.literal("select"),
      query_vars_to_output_column_names: recordOf(column, { max, keyBytesMax }),
    }),
    z.object({ mode: z.literal("filter"), query_var: z.string().min(1), output_column_name: column }),
  ]);
  return {
    authorizeLocal: validator(
      "body",
      z
        .object({ query: schemas.authorize, ...local })
        .meta(eitherSource)
        .transform((body, context): LocalAuthorizeQuestion => ({ ...body.query, ...bindingsIn(body, context) })),
    ),
    listLocal: validator(
      "body",
      z
        .object({ query: schemas.list, column, ...local })
        .meta(eitherSource)
        .transform((body, context): LocalListQuestion => ({
          ...body.query,
          column: body.column,
          ...bindingsIn(body, context),
        })),
    ),
    actionsLocal: validator(
      "body",
      z
        .object({ query: schemas.actions, ...local })
        .meta(eitherSource)
        .transform((body, context): LocalActionsQuestion => ({ ...body.query, ...bindingsIn(body, context) })),
    ),
    queryLocal: validator(
      "body",
      z
        .object({ query: schemas.query, mode, ...local })
        .meta(eitherSource)
        .transform((body, context): LocalQueryQuestion => ({
          ...body.query,
          output: outputOf(body.mode),
          ...bindingsIn(body, context),
        })),
    ),
    bindings: validator("body", z.strictObject({ data_bindings: z.string() })),
  };
}

/** The schema of a question to explain, which has bindings only if the application wants to know what rows add. */
export function explainParser<Shape extends z.ZodRawShape>(
  body: z.ZodObject<Shape>,
  questionOf: (body: z.output<z.ZodObject<Shape>>) => AuthorizeQuestion,
) {
  return validator(
    "body",
    body.extend(source).transform((given, context): ExplainQuestion => {
      const question = questionOf(given as z.output<z.ZodObject<Shape>>);
      const { data_bindings: text, data_bindings_name: name } = given as SourceBody;
      const hasNone = text === undefined && name === undefined;
      return {
        question,
        bindings: hasNone ? undefined : referenceIn({ data_bindings: text, data_bindings_name: name }, context),
      };
    }),
  );
}

function outputOf(
  mode:
    | { readonly mode: "select"; readonly query_vars_to_output_column_names: Readonly<Record<string, string>> }
    | { readonly mode: "filter"; readonly query_var: string; readonly output_column_name: string },
): LocalQueryQuestion["output"] {
  if (mode.mode === "filter") return { mode: "filter", variable: mode.query_var, column: mode.output_column_name };
  return { mode: "select", columns: Object.entries(mode.query_vars_to_output_column_names) };
}

function bindingsIn(
  body: SourceBody & { readonly parameters: boolean },
  context: z.RefinementCtx,
): { readonly bindings: BindingsReference; readonly withParameters: boolean } {
  return { bindings: referenceIn(body, context), withParameters: body.parameters };
}

function referenceIn(body: SourceBody, context: z.RefinementCtx): BindingsReference {
  const { data_bindings: text, data_bindings_name: name } = body;
  if ((text === undefined) === (name === undefined)) {
    const message = "must have either `data_bindings`, the YAML text, or `data_bindings_name`, the name of stored ones";
    context.addIssue({ code: "custom", message });
  }
  return name === undefined ? { text: text ?? "" } : { name };
}
