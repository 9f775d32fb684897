/**
 * All settings as a flat list, derived from the schema. Loading, printing, the flags, `--help` and the reference
 * configuration use it.
 */
import { z } from "zod";
import { must } from "../util/assert.ts";
import { configSchema, type Config } from "./config.ts";
import { type Group, settingInfo, type SettingInfo } from "./setting-types.ts";

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

export interface Setting extends Omit<SettingInfo, "path">, SettingNames {
  /** Its place in a `Config`, where all limits are in `limits`, and where there is no section `advanced`. */
  readonly configPath: readonly string[];
  readonly schema: z.ZodType;
  /** As it is written in the file; undefined if there is none. */
  readonly default: unknown;
}

/** The headings of the groups, in the order of `--help` and of the reference configuration. */
export const groupHeadings: Readonly<Record<Group, string>> = {
  node: "The node",
  api: "The API",
  cluster: "The cluster",
  broker: "Brokers",
  failover: "Automatic failover",
  fallback: "Fallbacks",
  retention: "Retention of the log",
  logs: "Logs and traces",
  advanced: "Advanced",
};
const groupOrder = Object.keys(groupHeadings);

export const settings: readonly Setting[] = flatten(configSchema, []).toSorted(
  (one, other) => groupOrder.indexOf(one.group) - groupOrder.indexOf(other.group),
);

/** Keys of the file that hold further keys, such as `log`. */
export const sections: ReadonlySet<string> = new Set(
  settings.filter(({ path }) => path.length > 1).map(({ path }) => must(path[0])),
);

/** The effective configuration in the form of a file, secrets masked. */
export function describeConfig(config: Config): Record<string, unknown> {
  const described: Record<string, unknown> = {};
  for (const setting of settings) {
    const value = valueAt(config, setting.configPath);
    if (value === undefined) continue;
    putAt(described, setting.path, setting.secret ? "********" : z.encode(setting.schema, value));
  }
  return described;
}

export function valueAt(tree: object, path: readonly string[]): unknown {
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

function flatten(schema: z.ZodObject, parents: readonly string[]): Setting[] {
  return Object.entries(schema.shape).flatMap(([key, value]): Setting[] => {
    const configPath = [...parents, key];
    const inner = value instanceof z.ZodPrefault ? value.unwrap() : value;
    if (inner instanceof z.ZodObject) return flatten(inner, configPath);
    const member = value as z.ZodType;
    const info = must(settingInfo.get(member), `setting \`${configPath.join(".")}\` has no description`);
    const path = info.group === "advanced" ? ["advanced", key] : (info.path?.split(".") ?? configPath);
    return [{ ...info, ...namesOf(path), configPath, schema: member, default: defaultOf(member) }];
  });
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
