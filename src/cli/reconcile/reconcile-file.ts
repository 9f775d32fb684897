/** The file of `ostiary reconcile`: which facts come from which query of which database. */
import { dirname } from "node:path";
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { parseYaml, YamlError } from "../../runtime/yaml.ts";
import { AppError } from "../../util/app-error.ts";
import { fileProblem, reasonOf } from "../../util/reason.ts";
import { unknownMembers } from "../../util/unknown-members.ts";
import { problemOfFixed } from "../../local/column-values.ts";
import { columnsOf, parseSignature, type Signature } from "../../local/signature.ts";

export interface ReconcileFile {
  readonly facts: readonly FactSource[];
  readonly databases: readonly Database[];
}

/** Where the facts of a signature come from: a query, or a file with comma-separated values. */
export type FactSource = { readonly signature: Signature; readonly database: string } & (
  { readonly query: string } | { readonly file: string; readonly columns: readonly string[] | undefined }
);

export interface Database {
  readonly name: string;
  readonly kind: "postgres" | "mysql" | "csv";
  /** A URL with a password, or the folder of CSV files. */
  readonly connection: string;
  readonly ssl: { readonly ca?: string; readonly mode: "require" | "prefer"; readonly isVerified: boolean } | undefined;
}

const ssl = z.strictObject({
  ca_file: z.string().optional(),
  use_system_certs: z.boolean().optional(),
  ssl_mode: z.enum(["require", "prefer"]).default("require"),
});
const schema = z.strictObject({
  version: z.literal(1, { error: "must be 1" }),
  source: z.enum(["postgres", "mysql", "csv"], { error: "must be postgres, mysql or csv" }).default("postgres"),
  facts: z.record(
    z.string(),
    z.strictObject({
      db: z.string().optional(),
      query: z.string().min(1).optional(),
      file: z.string().min(1).optional(),
      columns: z.array(z.string()).min(1).optional(),
    }),
  ),
  dbs: z.record(z.string(), z.strictObject({ connection_string: z.string().min(1), ssl: ssl.optional() })).optional(),
});

/** Throws `invalid_request` with the place in the file. */
export async function readReconcileFile(path: string): Promise<ReconcileFile> {
  const refuse = (message: string): never => {
    throw new AppError("invalid_request", `\`${path}\`: ${message}`);
  };
  let content: unknown;
  try {
    content = parseYaml(await readFile(path, "utf8"));
  } catch (error) {
    if (error instanceof YamlError) refuse(`line ${error.line}: ${error.message}`);
    refuse(`cannot be read: ${fileProblem(error)}`);
  }
  const parsed = schema.safeParse(content);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const place = issue?.path.map(String).join(".");
    if (issue?.code === "unrecognized_keys")
      return refuse(`${place ? `\`${place}\`` : "it"} must not have ${unknownMembers(issue, schema)}`);
    return refuse(place ? `\`${place}\`: ${issue?.message}` : "it must have `version: 1` and `facts`");
  }
  const { source, facts, dbs = {} } = parsed.data;
  const databases = await Promise.all(
    Object.entries(dbs).map(async ([name, { connection_string: written, ssl: tls }]): Promise<Database> => ({
      name,
      kind: source,
      connection: connectionOf(name, written, refuse),
      ssl: tls && {
        mode: tls.ssl_mode,
        isVerified: tls.ca_file !== undefined || tls.use_system_certs === true,
        ...(tls.ca_file === undefined ? {} : { ca: await certificates(tls.ca_file, refuse) }),
      },
    })),
  );
  if (source === "csv" && databases.length === 0)
    databases.push({ name: "files", kind: "csv", connection: dirname(path), ssl: undefined });
  const sources = Object.entries(facts).map(([text, entry]): FactSource => {
    const signature = parseSignature(text);
    if (signature === undefined)
      return refuse(`\`facts.${text}\` is not a signature, such as \`has_role(User:_, String:_, Team:_)\``);
    if (columnsOf(signature) === 0) return refuse(`\`facts.${text}\` has no \`_\`, which takes a column`);
    if (signature.args.length > 5) return refuse(`\`facts.${text}\` has more than five arguments`);
    for (const [index, { type, id }] of signature.args.entries()) {
      const problem = id === null ? undefined : problemOfFixed(type, id);
      if (problem !== undefined) return refuse(`\`facts.${text}\`: argument ${index + 1} ${problem}`);
    }
    const database = entry.db ?? (databases.length === 1 ? databases[0]?.name : undefined);
    if (database === undefined) return refuse(`\`facts.${text}.db\` is missing: several \`dbs\` are declared, or none`);
    if (!databases.some(({ name }) => name === database)) return refuse(`\`dbs.${database}\` is missing`);
    if (source === "csv") {
      if (entry.file === undefined) return refuse(`\`facts.${text}.file\` is missing, the name of a CSV file`);
      return { signature, database, file: entry.file, columns: entry.columns };
    }
    if (entry.query === undefined) return refuse(`\`facts.${text}.query\` is missing, an SQL query`);
    return { signature, database, query: entry.query };
  });
  if (sources.length === 0) refuse("`facts` is empty");
  return { facts: sources, databases };
}

/** `$NAME` stands for a variable of the environment, so that passwords need not be in the file. */
function connectionOf(name: string, written: string, refuse: (message: string) => never): string {
  if (!written.startsWith("$")) return written;
  const variable = written.slice(1).replace(/^\{(.*)\}$/, "$1");
  return process.env[variable] || refuse(`\`dbs.${name}.connection_string\` names ${variable}, which is not set`);
}

async function certificates(path: string, refuse: (message: string) => never): Promise<string> {
  return readFile(path, "utf8").catch((error: unknown) => refuse(`\`${path}\` cannot be read: ${reasonOf(error)}`));
}
