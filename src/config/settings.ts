/** The schema as a flat list: what loading, printing and `--help` go through. */
import { z } from "zod";
import { must } from "../util/assert.ts";
import { configSchema, type Config } from "./config.ts";
import { settingInfo, type SettingInfo } from "./setting-types.ts";

export interface Setting extends SettingInfo {
  /** As in the file: `["log", "level"]`. */
  readonly path: readonly string[];
  /** `log.level` */
  readonly name: string;
  /** `OSTIARY_LOG_LEVEL` */
  readonly variable: string;
  /** `--log-level` */
  readonly flag: string;
  readonly schema: z.ZodType;
  /** As a person would write it; undefined where there is none. */
  readonly default: unknown;
}

/** In the order of the schema. */
export const settings: readonly Setting[] = flatten(configSchema, []);

/** Names of groups, such as `log`: keys of the file that hold further keys. */
export const groups: ReadonlySet<string> = new Set(
  settings.filter(({ path }) => path.length > 1).map(({ path }) => must(path[0])),
);

/** The effective configuration as it could be written into a file, secrets masked. */
export function describeConfig(config: Config): Record<string, unknown> {
  const described: Record<string, unknown> = {};
  for (const setting of settings) {
    const value = valueAt(config, setting.path);
    if (value === undefined) continue;
    putAt(described, setting.path, setting.secret ? "********" : z.encode(setting.schema, value));
  }
  return described;
}

export function valueAt(tree: object, path: readonly string[]): unknown {
  return path.reduce<unknown>((node, key) => (isGroup(node) && Object.hasOwn(node, key) ? node[key] : undefined), tree);
}

export function putAt(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path;
  const name = must(key);
  if (rest.length === 0) tree[name] = value;
  else putAt((tree[name] ??= {}) as Record<string, unknown>, rest, value);
}

export function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function flatten(schema: z.ZodObject, parents: readonly string[]): Setting[] {
  return Object.entries(schema.shape).flatMap(([key, value]): Setting[] => {
    const path = [...parents, key];
    const inner = value instanceof z.ZodPrefault ? value.unwrap() : value;
    if (inner instanceof z.ZodObject) return flatten(inner, path);
    const member = value as z.ZodType;
    const info = must(settingInfo.get(member), `setting \`${path.join(".")}\` has no description`);
    return [{ ...info, ...names(path), path, schema: member, default: defaultOf(member) }];
  });
}

function names(path: readonly string[]): Pick<Setting, "name" | "variable" | "flag"> {
  const words = path.map((key) => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)).join("-");
  return { name: path.join("."), variable: `OSTIARY_${words.replaceAll("-", "_").toUpperCase()}`, flag: `--${words}` };
}

function defaultOf(schema: z.ZodType): unknown {
  if (!(schema instanceof z.ZodDefault)) return undefined;
  return z.encode(schema, schema.parse(undefined));
}
