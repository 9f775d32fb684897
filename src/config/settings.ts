/**
 * All settings as a flat list, derived from the schema. Loading, printing, the flags, `--help` and the reference
 * configuration use it.
 */
import { z } from "zod";
import { must } from "../util/assert.ts";
import { settingGroups, type Config } from "./config.ts";
import { fixedSchemas } from "./limit-schemas.ts";
import { settingInfo, type SettingInfo } from "./setting-types.ts";

/** A heading in `--help` and in the reference configuration. `advanced` is also a section of the file. */
type Group = keyof typeof settingGroups;

export interface SettingNames {
  /** Its place in the file: `["log", "level"]`. */
  readonly path: readonly string[];
  /** `log.level` */
  readonly name: string;
  /** `OSTIARY_LOG_LEVEL` */
  readonly variable: string;
  /** `--log-level` */
  readonly flag: string;
}

export interface Setting extends SettingInfo, SettingNames {
  readonly group: Group;
  readonly description: string;
  /** Its place in a `Config`, where all limits are in `limits`, and where there is no section `advanced`. */
  readonly configPath: readonly string[];
  readonly schema: z.ZodType;
  /** As it is written in the file; undefined if there is none. */
  readonly default: unknown;
}

export const groupHeadings: Readonly<Record<Group, string>> = {
  node: "The node",
  api: "The API",
  cluster: "The cluster",
  broker: "Brokers",
  failover: "Automatic failover",
  fallback: "Fallbacks",
  people: "People (OpenID Connect)",
  retention: "Retention of the log and of the audit log",
  logs: "Logs and traces",
  decisions: "The decision log",
  advanced: "Advanced",
};

/** The name of the setting with the path of a file in which a secret is. */
export const fileSettingOf = (name: string): string => `${name}File`;

/** The places in the file of the limits that are not in the section `advanced`. */
const limitPaths: Readonly<Record<string, readonly string[]>> = {
  retentionEvents: ["retention", "events"],
  retentionBytes: ["retention", "bytes"],
  retentionAgeMs: ["retention", "age"],
  auditRetentionAgeMs: ["retention", "auditAge"],
};

/** In the order of `--help` and of the reference configuration. */
export const settings: readonly Setting[] = Object.entries(settingGroups).flatMap(([group, members]) =>
  flatten(group as Group, members, []),
);

/** Limits that are no settings any more (`fixed-limits.ts`), under the names by which they are still accepted. */
export const formerSettings: readonly Setting[] = flatten("advanced", { limits: z.strictObject(fixedSchemas) }, []);

/** Keys of the file that hold further keys, such as `log`. */
export const sections: ReadonlySet<string> = new Set(
  settings.filter(({ path }) => path.length > 1).map(({ path }) => must(path[0])),
);

/** The effective configuration in the form of a file, secrets masked. `former` are former settings that somebody has set. */
export function describeConfig(config: Config, former: readonly Setting[] = []): Record<string, unknown> {
  const described: Record<string, unknown> = {};
  for (const setting of [...settings, ...former]) {
    const value = valueAt(config, setting.configPath);
    // A file and the secret in it cannot both be set.
    if (value === undefined || valueAt(config, [fileSettingOf(setting.name)]) !== undefined) continue;
    putAt(described, setting.path, setting.secret ? "********" : z.encode(setting.schema, value));
  }
  return described;
}

/** Undefined if there is no value, or if a part of the path is no section. */
export function valueAt(tree: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (isSection(inner) && Object.hasOwn(inner, key) ? inner[key] : undefined),
    tree,
  );
}

export function putAt(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path;
  const name = must(key);
  if (rest.length === 0) tree[name] = value;
  else putAt((tree[name] ??= {}) as Record<string, unknown>, rest, value);
}

export function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function flatten(group: Group, members: z.ZodRawShape, parents: readonly string[]): Setting[] {
  return Object.entries(members).flatMap(([key, member]): Setting[] => {
    const configPath = [...parents, key];
    if (member instanceof z.ZodObject) return flatten(group, member.shape, configPath);
    const schema = member as z.ZodType;
    const description = must(schema.description, `setting \`${configPath.join(".")}\` has no description`);
    const path = group === "advanced" ? ["advanced", advancedName(key, parents[0])] : (limitPaths[key] ?? configPath);
    const info = must(settingInfo.get(schema));
    return [{ ...info, ...namesOf(path), group, description, configPath, schema, default: defaultOf(schema) }];
  });
}

/** Names of details begin with that of the section to which they belong. */
function advancedName(key: string, section: string | undefined): string {
  if (section === undefined || section === "limits") return key;
  return section + key.charAt(0).toUpperCase() + key.slice(1);
}

/** Flags and variables do not contain the section `advanced`: they stay the same if a setting moves into it. */
export function namesOf(path: readonly string[]): SettingNames {
  const words = path
    .filter((key) => key !== "advanced")
    .map((key) => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`))
    .join("-");
  const variable = `OSTIARY_${words.replaceAll("-", "_").toUpperCase()}`;
  return { path, name: path.join("."), variable, flag: `--${words}` };
}

function defaultOf(schema: z.ZodType): unknown {
  if (!(schema instanceof z.ZodDefault)) return undefined;
  return z.encode(schema, schema.parse(undefined));
}
