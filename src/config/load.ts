/**
 * From the sources to a checked `Config`: defaults, then the file, then the environment, then flags; later ones win. All problems are
 * found at once, and each names the setting, its value, where that came from and what is allowed; values of secrets are never repeated.
 */
import { brokerAddress, embeddedBroker } from "./broker-address.ts";
import { failoverUrlProblem } from "./failover-url.ts";
import { configSchema, developmentKey, type Config } from "./config.ts";
import { type Environment, serviceVariables } from "./kubernetes-variables.ts";
import { groups, isGroup, putAt, settings, valueAt, type Setting } from "./settings.ts";

export interface ConfigSources {
  /** What the file holds, already parsed, and its name for messages. */
  readonly file?: { readonly name: string; readonly content: unknown } | undefined;
  readonly environment: Environment;
  /** By setting name (`log.level`). */
  readonly flags: Readonly<Record<string, string>>;
}

export type LoadedConfig =
  | { readonly config: Config; readonly problems: readonly [] }
  | { readonly config: undefined; readonly problems: readonly string[] };

export function loadConfig(given: ConfigSources): LoadedConfig {
  const sources = { ...given, environment: withoutServices(given.environment) };
  const problems = [...unknownKeys(sources), ...unknownVariables(sources.environment)];
  const collected: Record<string, unknown> = {};
  for (const setting of settings) {
    const given = lookUp(setting, sources);
    if (given === undefined) continue;
    if (setting.schema.safeParse(given.value).success) putAt(collected, setting.path, given.value);
    else problems.push(refusal(setting, given));
  }
  if (valueAt(collected, ["role"]) === undefined && !problems.some((problem) => problem.startsWith("role "))) {
    problems.push(missing("role", "every node needs one"));
  }
  if (problems.length > 0) return { config: undefined, problems };

  const config = configSchema.parse(collected);
  const conflicts = checkTogether(config);
  return conflicts.length > 0 ? { config: undefined, problems: conflicts } : { config, problems: [] };
}

interface Given {
  readonly value: unknown;
  readonly from: string;
}

/** The value from the last source that has one. An empty variable counts as not set, as is usual. */
function lookUp(setting: Setting, sources: ConfigSources): Given | undefined {
  const flag = sources.flags[setting.name];
  if (flag !== undefined) return { value: flag, from: `the flag ${setting.flag}` };
  const variable = sources.environment[setting.variable];
  if (variable !== undefined && variable !== "") return { value: variable, from: `the variable ${setting.variable}` };
  const content = sources.file?.content;
  const value = isGroup(content) ? valueAt(content, setting.path) : undefined;
  if (value === undefined || value === null) return undefined;
  return { value, from: `the file ${sources.file?.name}` };
}

function refusal(setting: Setting, given: Given): string {
  const shown = setting.secret
    ? "has a value (not shown)"
    : holdsGroup(given.value)
      ? "holds a group of values (not shown)"
      : `is \`${showValue(given.value)}\``;
  return `${setting.name} ${shown} from ${given.from}; allowed: ${setting.allowed}${unquoted(setting, given.value)}`;
}

/** Somebody may have put a secret into it: `broker: { url: …, password: … }`. */
function holdsGroup(value: unknown): boolean {
  return isGroup(value) || (Array.isArray(value) && value.some(holdsGroup));
}

/** `password: 123456` is a number in YAML, and `name: true` is a boolean. */
function unquoted({ schema }: Setting, value: unknown): string {
  const isBare = typeof value === "number" || typeof value === "boolean";
  return isBare && schema.safeParse(String(value)).success ? "; put it into quotes" : "";
}

function showValue(value: unknown): string {
  // A password does not belong into a URL, but where somebody put one it must not be repeated either.
  const shown = (typeof value === "string" ? value : JSON.stringify(value)).replace(/\/\/.*@/s, "//***@");
  return shown.length > 100 ? `${shown.slice(0, 100)}…` : shown;
}

function missing(name: string, reason: string): string {
  const setting = settings.find((candidate) => candidate.name === name);
  return `${name} is not set, and ${reason}: ${setting?.flag}, ${setting?.variable} or \`${name}:\` in the file; allowed: ${setting?.allowed}`;
}

/** What each setting allows alone may still not fit together. */
function checkTogether(config: Config): string[] {
  const problems: string[] = [];
  if (config.role !== "primary") {
    const article = config.role === "edge" ? "an edge" : "a fallback";
    const fetches = config.role === "edge" || config.follow || config.peers.length > 0;
    const who = config.role === "edge" ? article : `${article} with \`follow\` or \`peers\``;
    if (config.primary === undefined && fetches) problems.push(missing("primary", `${who} needs it`));
    if (config.nodeKey === undefined) problems.push(missing("nodeKey", `${article} needs it`));
  }
  problems.push(...checkFailover(config));
  if (config.role === "primary" && config.import !== undefined) {
    problems.push(
      "import is for edges and fallbacks: a primary that started from a snapshot would forget what came after it",
    );
  }
  const keyEnvironment = config.adminKey?.split("_")[1];
  if (keyEnvironment !== undefined && keyEnvironment !== config.environment) {
    problems.push(
      `adminKey is a key of environment \`${keyEnvironment}\`, but environment is \`${config.environment}\`; make them the same`,
    );
  }
  if (config.adminKey === developmentKey) {
    problems.push("adminKey is the documented test key, which everybody knows; choose another, or run `ostiary dev`");
  }
  if (config.brokerPassword !== undefined && config.brokerUsername === undefined) {
    problems.push(missing("brokerUsername", "brokerPassword is useless without it"));
  }
  problems.push(...checkBrokers(config));
  if (config.limits.retryDelayMsMin > config.limits.retryDelayMsMax) {
    problems.push("limits.retryDelayMsMin is larger than limits.retryDelayMsMax");
  }
  return problems;
}

function checkFailover(config: Config): string[] {
  const { failover, role, peers, ack, failoverMayLoseWrites, nodeKey, failoverCert, failoverKey } = config;
  if (failover === undefined) return [];
  if (role === "fallback") return ["failover is for primaries and edges: a fallback never becomes the primary"];
  const problems: string[] = [];
  const unusable = failoverUrlProblem(failover);
  if (unusable !== undefined) problems.push(`failover is not usable: ${unusable}`);
  if (role === "primary" && peers.length === 0)
    problems.push(missing("peers", "with `failover` a node asks the others for their votes, and follows them"));
  if (role === "primary" && nodeKey === undefined)
    problems.push(missing("nodeKey", "with `failover` each node starts as an edge, which needs it"));
  if (ack === 0 && !failoverMayLoseWrites)
    problems.push(
      "failover without ack loses what the last primary has acknowledged and no edge has: set `ack: edges:1` or more, or accept the loss with `failoverMayLoseWrites: true`",
    );
  if (failoverCert !== undefined && failoverKey === undefined)
    problems.push(missing("failoverKey", "failoverCert is useless without it"));
  if (failoverKey !== undefined && failoverCert === undefined)
    problems.push(missing("failoverCert", "failoverKey is useless without it"));
  return problems;
}

function checkBrokers({ broker, brokerCert, brokerKey }: Config): string[] {
  const problems: string[] = [];
  const names = broker.map((url) => (url === embeddedBroker ? url : brokerAddress(url).name));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  // A node has one name at all its brokers, so its second connection would drive out its first, for ever.
  if (twice !== undefined) problems.push(`broker names \`${twice}\` twice; name each broker once`);
  if (brokerCert !== undefined && brokerKey === undefined) {
    problems.push(missing("brokerKey", "brokerCert is useless without it"));
  }
  if (brokerKey !== undefined && brokerCert === undefined) {
    problems.push(missing("brokerCert", "brokerKey is useless without it"));
  }
  return problems;
}

function unknownKeys({ file }: ConfigSources): string[] {
  if (file === undefined || file.content === null || file.content === undefined) return [];
  if (!isGroup(file.content))
    return [
      `the file ${file.name} holds no settings, but ${Array.isArray(file.content) ? "a list" : "a single value"}; write \`name: value\` lines, with a space after the colon`,
    ];
  const found = Object.entries(file.content).flatMap(([key, value]) => {
    if (!groups.has(key)) return [key];
    if (value === null) return [];
    return isGroup(value) ? Object.keys(value).map((inner) => `${key}.${inner}`) : [`${key} (a group of settings)`];
  });
  const known = settings.map(({ name }) => name);
  return found
    .filter((name) => !known.includes(name))
    .map((name) => `${name} in the file ${file.name} is not a setting${suggestion(name, known)}`);
}

/** What the project's own tests read, and the name of the file. */
const foreignVariable = /^OSTIARY_(?:TEST_|CONFIG$)/;

function withoutServices(environment: Environment): Environment {
  const ignored = serviceVariables(environment);
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !ignored.includes(name)));
}

function unknownVariables(environment: Environment): string[] {
  const known = settings.map(({ variable }) => variable);
  return Object.keys(environment)
    .filter((name) => name.startsWith("OSTIARY_") && !known.includes(name) && !foreignVariable.test(name))
    .map((name) => `the variable ${name} is not a setting${suggestion(name, known)}`);
}

function suggestion(name: string, known: readonly string[]): string {
  const distances = known.map((candidate) => ({
    candidate,
    distance: editDistance(name.toLowerCase(), candidate.toLowerCase()),
  }));
  const best = distances.reduce((left, right) => (right.distance < left.distance ? right : left));
  return best.distance <= Math.max(2, name.length / 4) ? `; did you mean \`${best.candidate}\`?` : "";
}

/** Levenshtein. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const swap = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
